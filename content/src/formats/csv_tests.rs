use super::*;
use crate::reader::Notice;
use crate::testing::{classes, cut, every_cut, policy_with, resident};
use crate::text::Text;
use proptest::prelude::*;
use sluse_protocol::agreement::Content;

fn read(table: &[u8]) -> Vec<Notice> {
    let policy = policy_with(Content::default());
    every_cut(|| Text::new(Csv::new(&policy), false), table)
}

#[track_caller]
fn only(notices: &[Notice], class: Class, part: &str) {
    assert_eq!(classes(notices), [class], "{notices:?}");
    assert!(notices[0].message.contains(part), "{notices:?}");
}

#[test]
fn tables_in_every_dialect_are_read() {
    let good = [
        "a,b\n1,2\n",
        "a;b\r\n\"1,5\";2\r\n",
        "a\tb\n1\t2",
        "a|b\r1|2\r",
        "\"a\",\"b\"\n\"1\",\"2\"\n",
        "a,b\n\"x\"\"y\",\"line\nbreak\"\n",
        "sep=;\na;b\n1;2\n",
        "a\n\n1\n",
        "a,b\n,\n",
        "\n\na,b\n1,2\n\n",
        "",
        "a",
        "\u{feff}a,b\n1,2\n",
    ];
    for table in good {
        assert_eq!(read(table.as_bytes()), [], "{table:?}");
    }
}

#[test]
fn rows_of_another_length_are_told_with_the_first_and_their_count() {
    only(&read(b"a,b,c\n1,2,3\n1,2\n1\n"), Class::Malformed, "row 3 has 2 columns where the first row has 3 (2 times)");
    only(&read(b"a,b\n1,2\n1;2\n"), Class::Malformed, "row 3 has 1 columns");
    only(&read(b"a,b\n1,2\n1"), Class::Malformed, "row 3 has 1 columns");
}

#[test]
fn quotes_that_do_not_pair_are_told() {
    only(&read(b"a,b\n1,\"2\n3,4\n"), Class::Malformed, "does not end");
    only(&read(b"a,b\n\"1\"x,2\n"), Class::Malformed, "after the end of a quoted value");
    only(&read(b"a,b\n1,2\0\n"), Class::Malformed, "NUL");
}

#[test]
fn a_column_of_numbers_blocks_whatever_its_name() {
    let rows: String = (0..5).map(|n| format!("{n},\"{}\"\n", resident(n))).collect();
    let notices = read(format!("id,value\n{rows}").as_bytes());
    only(&notices, Class::Identifier, "column 2 (value): 5 × fødselsnummer among 5");
    assert_eq!(notices[0].offset, Some(12));
}

#[test]
fn one_number_blocks_in_a_column_for_numbers_and_is_reviewed_elsewhere() {
    let table = |name: &str| format!("id;{name}\n7;{}\n", resident(0));
    only(&read(table("FNR").as_bytes()), Class::Identifier, "column 2 (FNR)");
    only(&read(table("fødselsnummer").as_bytes()), Class::Identifier, "column 2 (fødselsnummer)");
    only(&read(table("note").as_bytes()), Class::IdentifierReview, "column 2 (note)");
    let spaced = format!("id;fnr\n7;{} {}\n", &resident(0)[..6], &resident(0)[6..]);
    only(&read(spaced.as_bytes()), Class::Identifier, "column 2 (fnr)");
}

#[test]
fn a_table_in_utf_16_is_read_like_any_other() {
    for big in [false, true] {
        let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        let table = format!("\u{feff}id;fødselsnr\r\n7;{}\r\n", resident(0));
        let bytes: Vec<u8> = table.encode_utf16().flat_map(unit).collect();
        let notices = read(&bytes);
        only(&notices, Class::Identifier, "column 2 (fødselsnr)");
        assert_eq!(notices[0].offset, Some(34));
    }
}

#[test]
fn a_table_without_a_header_gives_away_no_value() {
    let first = resident(0);
    let rows: String = (1..5).map(|n| format!("{},Ola Nordmann\n", resident(n))).collect();
    let notices = read(format!("{first},Kari Nordmann\n{rows}").as_bytes());
    only(&notices, Class::Identifier, "column 1: 5 × fødselsnummer");
    assert!(!format!("{notices:?}").contains("Kari"), "{notices:?}");
}

#[test]
fn columns_outside_of_the_agreements_list_are_told() {
    let policy = policy_with(Content { columns: vec!["a".into(), "b".into()], ..Content::default() });
    let read = |table: &[u8]| every_cut(|| Text::new(Csv::new(&policy), false), table);
    assert_eq!(read(b"b,a\n1,2\n"), []);
    only(&read(b"a,name,b\n1,x,2\n"), Class::ColumnNotAgreed, "column 2 (name)");
    let other = read(b"a;c;d;e;f;g;h;i;j;k;l;m;n\n");
    assert_eq!((other.len(), &other[10].message[..2]), (11, "2 "));
}

#[test]
fn nothing_is_looked_for_where_identifiers_are_allowed() {
    let policy = policy_with(Content { forbid_identifiers: false, ..Content::default() });
    let table = format!("fnr\n{}\n", resident(0));
    assert_eq!(every_cut(|| Csv::new(&policy), table.as_bytes()), []);
}

proptest! {
    #[test]
    fn cutting_changes_nothing(
        table in "([a-c]{0,3}|[0-9]{11}|\"|\"\"|[,;\t|]|\n|\r\n|ø){0,60}",
        cuts in proptest::collection::vec(0usize..20, 0..20),
    ) {
        let policy = policy_with(Content::default());
        let table = table + &resident(1) + "," + &resident(2);
        let whole = cut(|| Text::new(Csv::new(&policy), false), table.as_bytes(), &[]);
        prop_assert_eq!(cut(|| Text::new(Csv::new(&policy), false), table.as_bytes(), &cuts), whole);
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let policy = policy_with(Content::default());
        every_cut(|| Text::new(Csv::new(&policy), false), &bytes);
    }
}

/// What is told of small counts under a threshold of 5.
fn small(table: &str) -> Vec<String> {
    let policy = policy_with(Content { small_cells: Some(5), ..Content::default() });
    let notices = every_cut(|| Text::new(Csv::new(&policy), false), table.as_bytes());
    assert!(notices.iter().all(|notice| notice.class == Class::SmallCells), "{notices:?}");
    notices.into_iter().map(|notice| notice.message).collect()
}

#[test]
fn small_counts_are_told_by_column_with_the_first_row_and_no_value() {
    let told = small("region,antall,prosent\nnord,12,3.5\n\"sør\",\"4\",2.0\nvest, 2 ,7\nøst,0,11\n");
    let of = "× a count from 1 to 4, the first in row 3";
    assert_eq!(told, [format!("column 2 (antall): 2 {of}"), format!("column 3 (prosent): 1 {of}")]);
    // Without a header the first row counts, and columns have no names.
    assert_eq!(small("12;3\n40;50\n"), ["column 2: 1 × a count from 1 to 4, the first in row 1"]);
    let wide = format!("{}\n{}\n", ["n"; 12].join(","), ["1"; 12].join(","));
    assert_eq!(small(&wide).last().unwrap(), "2 more columns have counts that small");
    assert_eq!(small("a,b\n\"1\n2\",-3\n<5,03\n").len(), 0);
}

#[test]
fn where_nobody_asks_small_counts_are_not_looked_for() {
    assert_eq!(read(b"a,b\n1,2\n"), []);
}

proptest! {
    #[test]
    fn each_small_count_of_a_table_is_counted_once(cells in proptest::collection::vec((0..12u32, 0..12u32), 1..60)) {
        let rows: String = cells.iter().map(|(one, other)| format!("{one},\"{other}\"\n")).collect();
        let expected = |column: &dyn Fn(&(u32, u32)) -> u32| cells.iter().filter(|row| (1..5).contains(&column(row))).count();
        let told = small(&format!("a,b\n{rows}")).join("\n");
        for (name, count) in [("1 (a)", expected(&|row| row.0)), ("2 (b)", expected(&|row| row.1))] {
            let line = format!("column {name}: {count} ×");
            prop_assert_eq!(told.contains(&line), count > 0, "{}", told);
        }
    }
}
