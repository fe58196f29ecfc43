//! Files within files, read as wholes.

use super::*;
use crate::containers::tests::build::{Entry, gzip, zip};
use crate::containers::tests::eicar;
use crate::reader::Unpacked;
use crate::testing::{classes, policy_with, resident};
use proptest::prelude::*;
use sluse_protocol::agreement::Content;
use sluse_protocol::finding::Class;

/// The beginning of a Linux program for x86-64.
const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0";

const TABLE: &[u8] = b"a;b\n1;2\n";

/// What was noticed, and what was unpacked: each member's place and bytes.
#[derive(Default)]
struct Seen {
    notices: Vec<Notice>,
    members: Vec<(String, Vec<u8>)>,
    open: Vec<usize>,
}

impl Sink for Seen {
    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn unpacked(&mut self, unpacked: Unpacked<'_>) {
        match unpacked {
            Unpacked::Begin { place } => {
                self.open.push(self.members.len());
                self.members.push((place.into(), Vec::new()));
            }
            Unpacked::Bytes { depth, bytes } => self.members[self.open[depth - 1]].1.extend_from_slice(bytes),
            Unpacked::End => drop(self.open.pop().unwrap()),
        }
    }
}

fn read_in(name: &str, bytes: &[u8], content: Content, piece: usize) -> Seen {
    let (policy, mut seen) = (policy_with(content), Seen::default());
    let mut reader = FileReader::new(name, bytes.len() as u64, &policy);
    bytes.chunks(piece).for_each(|piece| reader.feed(piece, &mut seen));
    reader.finish(&mut seen);
    assert!(seen.open.is_empty());
    seen
}

fn read(name: &str, bytes: &[u8]) -> Seen {
    read_in(name, bytes, Content::default(), 4096)
}

fn of_types(types: &[&str]) -> Content {
    Content { types: types.iter().map(|one| (*one).to_owned()).collect(), ..Content::default() }
}

fn office(more: Entry) -> Vec<u8> {
    let part = |name: &str| Entry::deflated(name, b"<a/>");
    zip(&[part("[Content_Types].xml"), part("xl/workbook.xml"), part("xl/styles.xml"), more])
}

#[test]
fn members_are_read_as_files_are_and_named_by_their_place() {
    let number = resident(0);
    let table = format!("fnr\n{number}\n");
    let inner = zip(&[Entry::deflated("deep/table.csv", table.as_bytes())]);
    let file = zip(&[Entry::stored("readme.txt", b"nothing"), Entry::stored("inner.zip", &inner)]);
    let seen = read("outer.zip.gz", &gzip(&file));
    assert_eq!(classes(&seen.notices), [Class::Identifier]);
    let notice = &seen.notices[0];
    assert!(notice.message.starts_with(r#"within "outer.zip" > "inner.zip" > "deep/table.csv": column 1 (fnr)"#));
    assert!(notice.message.ends_with("(at its byte 4)") && notice.offset.is_none(), "{notice:?}");
    assert!(!notice.message.contains(&number[..6]));
}

/// A workbook as Excel writes it: a sheet, and behind it the texts to which its cells refer.
fn workbook(rows: &str, texts: &[&str]) -> Vec<u8> {
    let sheet = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
    let texts: String = texts.iter().map(|text| format!("<si><t>{text}</t></si>")).collect();
    let part = |name: &str| Entry::deflated(name, b"<a/>");
    zip(&[
        part("[Content_Types].xml"),
        part("xl/workbook.xml"),
        Entry::deflated("xl/worksheets/sheet1.xml", sheet.as_bytes()),
        Entry::deflated("xl/sharedStrings.xml", format!("<sst>{texts}</sst>").as_bytes()),
    ])
}

const HEADER: &str = "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"C1\" t=\"s\"><v>1</v></c></row>";

fn cell(place: &str, kind: &str, value: &str) -> String {
    format!("{HEADER}<row r=\"2\"><c r=\"A2\"><v>7</v></c><c s=\"1\" r=\"{place}2\"{kind}>{value}</c></row>")
}

#[test]
fn numbers_in_a_workbook_are_weighed_by_the_columns_of_its_sheets() {
    let number = resident(0);
    let as_number = format!("<v>{number}</v>");
    let inline = format!("<is><r><t>{}</t></r><r><t>{}</t></r></is>", &number[..4], &number[4..]);
    let shared = " t=\"s\"";
    let cells = [
        ("", as_number.as_str(), "fnr"),
        (" t=\"inlineStr\"", &inline, "F\u{f8}dselsnummer"),
        (" t=\"str\"", &as_number, "pnr"),
        (shared, "<v>2</v>", "fnr"),
    ];
    for (kind, value, name) in cells {
        let text = if kind == shared { number.as_str() } else { "x" };
        let seen = read("a.xlsx", &workbook(&cell("C", kind, value), &["age", name, text]));
        let found: Vec<_> = seen.notices.iter().filter(|notice| notice.class == Class::Identifier).collect();
        assert_eq!(found.len(), 1, "{kind} {:?}", seen.notices);
        assert!(found[0].message.starts_with(&format!("in a sheet: column 3 ({name}): 1 ×")), "{found:?}");
        // Elsewhere it is for review.
        let seen = read("a.xlsx", &workbook(&cell("C", kind, value), &["age", "code", text]));
        assert!(!seen.notices.iter().any(|notice| notice.class == Class::Identifier), "{kind} {:?}", seen.notices);
        assert!(seen.notices.iter().any(|notice| notice.class == Class::IdentifierReview), "{kind}");
    }
    // A first zero that a number lost.
    let lost = workbook(&cell("A", "", "<v>2.013299997E9</v>"), &["fnr", "x"]);
    assert!(read("a.xlsx", &lost).notices.iter().any(|notice| notice.class == Class::Identifier));
    // The same parts in another archive are no workbook.
    let zipped = zip(&[Entry::deflated("xl/worksheets/sheet1.xml", cell("A", "", &as_number).as_bytes())]);
    assert!(!read("a.zip", &zipped).notices.iter().any(|notice| notice.message.contains("in a sheet")));
}

#[test]
fn small_counts_in_a_workbook_are_told_by_the_columns_of_its_sheets() {
    let rows = format!(
        "{HEADER}<row r=\"2\"><c r=\"A2\" t=\"s\"><v>2</v></c><c r=\"C2\"><v>40</v></c></row>\
         <row r=\"3\"><c r=\"A3\" t=\"s\"><v>3</v></c><c r=\"C3\"><v>3</v></c></row>\
         <row><c r=\"A4\" t=\"inlineStr\"><is><t>4</t></is></c><c r=\"C4\"><v>1.0</v></c></row>"
    );
    let bytes = workbook(&rows, &["region", "antall", "nord", "2"]);
    let told = |small_cells| {
        let notices = read_in("a.xlsx", &bytes, Content { small_cells, ..Content::default() }, 64).notices;
        let small = notices.into_iter().filter(|notice| notice.class == Class::SmallCells);
        small.map(|notice| notice.message).collect::<Vec<_>>()
    };
    let of = "× a count from 1 to 4";
    assert_eq!(
        told(Some(5)),
        [
            format!("in a sheet: column 1 (region): 2 {of}, the first in row 4"),
            format!("in a sheet: column 3 (antall): 2 {of}, the first in row 3")
        ]
    );
    assert!(told(None).is_empty() && told(Some(1)).is_empty());
}

#[test]
fn tables_of_opendocument_have_columns() {
    let number = resident(0);
    let text = |text: &str| {
        format!("<table:table-cell office:value-type=\"string\"><text:p>{text}</text:p></table:table-cell>")
    };
    let row = |cells: &[String]| format!("<table:table-row>{}</table:table-row>", cells.concat());
    let value = format!(
        "<table:table-cell office:value-type='float' office:value='{number}'><text:p>1,23E+10</text:p></table:table-cell>"
    );
    let twice = "<table:table-cell table:number-columns-repeated=\"2\"/>".to_owned();
    let spreadsheet = |rows: &[String]| {
        let tables = format!("<table:table table:name='a'></table:table><table:table>{}</table:table>", rows.concat());
        let content = format!(
            "<office:document-content xmlns:office='o' xmlns:table='t' xmlns:text='x'>{tables}</office:document-content>"
        );
        let kind = Entry::stored("mimetype", b"application/vnd.oasis.opendocument.spreadsheet");
        zip(&[kind, Entry::deflated("content.xml", content.as_bytes())])
    };
    for found in [text(&format!(" {number} ")), value] {
        let named = [row(&[text("age"), text("x"), text("x"), text("fnr")]), row(&[text("4"), twice.clone(), found])];
        let seen = read("a.ods", &spreadsheet(&named));
        let told: Vec<_> = seen.notices.iter().filter(|notice| notice.class == Class::Identifier).collect();
        assert_eq!(told.len(), 1, "{:?}", seen.notices);
        assert!(told[0].message.starts_with("in a sheet: column 4 (fnr): 1 ×"), "{told:?}");
    }
    let bytes = spreadsheet(&[row(&[text("age"), text("visit")]), row(&[text("1"), text("2")])]);
    let counts = Content { small_cells: Some(5), ..Content::default() };
    let told = read_in("a.ods", &bytes, counts, 7).notices;
    let small = told.iter().find(|notice| notice.class == Class::SmallCells).unwrap();
    assert_eq!(small.message, "in a sheet: column 1 (age): 1 × a count from 1 to 4, the first in row 2", "{told:?}");
    let content = Content { columns: vec!["age".into()], ..Content::default() };
    let told = read_in("a.ods", &bytes, content, 7).notices;
    assert!(
        told.iter().any(|notice| notice.message.contains("column 2 (visit) is not in the agreement's list")),
        "{told:?}"
    );
}

#[test]
fn columns_of_sheets_are_held_against_the_agreements_list() {
    let columns = |names: &[&str]| Content {
        columns: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Content::default()
    };
    let bytes = workbook(&cell("C", "", "<v>7</v>"), &["age", "visit"]);
    let told = |names: &[&str]| {
        let notices = read_in("a.xlsx", &bytes, columns(names), 1 << 20).notices;
        let of_columns = notices.into_iter().filter(|notice| notice.class == Class::ColumnNotAgreed);
        of_columns.map(|notice| notice.message).collect::<Vec<_>>()
    };
    // Its second column has no cell at all.
    assert_eq!(told(&["age", "visit"]), Vec::<String>::new());
    assert_eq!(told(&["age"]), ["in a sheet: column 3 (visit) is not in the agreement's list"]);
}

#[test]
fn programs_and_what_acts_are_found_in_members_whatever_lies_around_them() {
    for name in ["a.csv", "tool"] {
        let seen = read("x.zip", &zip(&[Entry::deflated(name, PROGRAM)]));
        assert!(classes(&seen.notices).contains(&Class::Executable), "{name}");
    }
    let seen = read("x.xlsx", &office(Entry::deflated("xl/media/image1.png", PROGRAM)));
    assert!(classes(&seen.notices).contains(&Class::Executable));
    let seen = read("x.zip", &zip(&[Entry::stored("x.xlsx", &office(Entry::stored("xl/vbaProject.bin", b"x")))]));
    assert!(classes(&seen.notices).contains(&Class::Executable), "{:?}", seen.notices);
    let seen = read("x.svg.gz", &gzip(b"<svg><script>x</script></svg>"));
    assert!(classes(&seen.notices).contains(&Class::ActiveContent), "{:?}", seen.notices);
}

#[test]
fn types_of_members_are_judged_by_the_agreements_list_but_parts_are_not() {
    let judged = |name: &str, bytes: &[u8], types: &[&str]| {
        let seen = read_in(name, bytes, of_types(types), 4096);
        classes(&seen.notices)
    };
    let archive = zip(&[Entry::deflated("a.csv", TABLE), Entry::deflated("b.json", b"{\"a\":1}")]);
    assert_eq!(judged("x.zip", &archive, &["zip", "csv", "json"]), []);
    assert_eq!(judged("x.zip", &archive, &["zip", "csv"]), [Class::TypeNotAllowed]);
    assert_eq!(judged("a.csv.gz", &gzip(TABLE), &["gzip", "csv"]), []);
    assert_eq!(judged("a.csv.gz", &gzip(TABLE), &["gzip"]), [Class::TypeNotAllowed]);
    let book = office(Entry::deflated("xl/printerSettings1.bin", &[1, 2, 3, 0x80]));
    assert_eq!(judged("x.xlsx", &book, &["xlsx"]), []);
    let smuggler = office(Entry::deflated("xl/media/a.pdf", b"%PDF-1.4\n%%EOF\n"));
    let classes = judged("x.xlsx", &smuggler, &["xlsx"]);
    assert!(classes.contains(&Class::TypeNotAllowed), "{classes:?}");
    let in_archive = zip(&[Entry::stored("x.xlsx", &book)]);
    assert_eq!(judged("x.zip", &in_archive, &["zip", "xlsx"]), []);
    assert_eq!(judged("x.zip", &in_archive, &["zip"]), [Class::TypeNotAllowed]);
}

#[test]
fn what_is_of_no_known_type_is_read_as_what_its_name_says() {
    let seen = read("a.csv", b"a;b\n1;\0\n");
    assert_eq!(classes(&seen.notices), [Class::Malformed, Class::TypeUnknown]);
    let seen = read("a", b"a;b\n1;\0\n");
    assert_eq!(classes(&seen.notices), [Class::TypeUnknown]);
}

#[test]
fn what_could_not_be_shown_to_its_end_is_told_once() {
    let whole = gzip("a;b\n".repeat(1000).as_bytes());
    let seen = read("a.csv.gz", &whole[..whole.len() / 2]);
    assert_eq!(classes(&seen.notices), [Class::BrokenArchive], "{:?}", seen.notices);
}

#[test]
fn a_text_is_no_broken_table_but_a_table_by_name_is() {
    let text = "a,b\n".repeat(30) + "one, two, three\n";
    assert_eq!(classes(&read("notes.txt", text.as_bytes()).notices), []);
    assert_eq!(classes(&read("notes.csv", text.as_bytes()).notices), [Class::Malformed]);
    // What identifies is found in both.
    let table = format!("fnr,a\n{},1\n", resident(0));
    for name in ["x.txt", "x.csv", "x"] {
        assert_eq!(classes(&read(name, table.as_bytes()).notices), [Class::Identifier], "{name}");
    }
}

#[test]
fn members_are_shown_with_their_bytes_at_every_depth() {
    let inner = zip(&[Entry::deflated("virus.com", &eicar())]);
    let seen = read("x.zip", &zip(&[Entry::stored("inner.zip", &inner)]));
    let places: Vec<&str> = seen.members.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, [r#""inner.zip""#, r#""inner.zip" > "virus.com""#]);
    assert_eq!((&seen.members[0].1, &seen.members[1].1), (&inner, &eicar()));
}

#[test]
fn a_number_in_a_members_name_is_told_and_not_shown() {
    let number = resident(0);
    let seen = read("x.zip", &zip(&[Entry::deflated(&format!("pas_{number}.csv"), TABLE)]));
    assert_eq!(classes(&seen.notices), [Class::IdentifierReview]);
    assert!(!format!("{:?}{:?}", seen.notices, seen.members).contains(&number[..6]), "{:?}", seen.notices);
}

#[test]
fn a_reader_is_chosen_by_as_much_as_tells_the_type() {
    // The first line alone is longer than any piece.
    let long = format!("{{\"a\":\"{}\",\"fnr\":\"{}\"}}\n{{\"a\":1}}\n", "x".repeat(60_000), resident(0));
    for piece in [1000, 65_535, 65_536, 1 << 20] {
        let seen = read_in("a.ndjson", long.repeat(3).as_bytes(), Content::default(), piece);
        assert_eq!(classes(&seen.notices), [Class::Identifier], "{piece}");
    }
}

#[test]
fn a_number_in_a_path_is_for_review_and_is_not_shown() {
    let policy = policy_with(Content::default());
    let number = resident(0);
    let look = |path: &str| {
        let mut notices = Vec::new();
        look_at_name(path, "the file's path", &policy, &mut notices);
        notices
    };
    for path in [format!("a/{number}.csv"), format!("pas_{number}/b.dcm"), format!("x{number}-1.txt")] {
        let notices = look(&path);
        assert_eq!(classes(&notices), [Class::IdentifierReview], "{path}");
        assert!(notices[0].offset.is_none() && !notices[0].message.contains(&number[..6]), "{notices:?}");
    }
    assert!(look("a/1234567890123.csv").is_empty() && look("12345678901/b").is_empty());
}

proptest! {
    #[test]
    fn cutting_changes_nothing(piece in 1usize..200, damage in 0usize..400, byte: u8) {
        let inner = zip(&[Entry::deflated("t.csv", format!("fnr\n{}\n", resident(0)).as_bytes())]);
        let mut file = zip(&[Entry::stored("i.zip", &inner), Entry::deflated("p", PROGRAM)]);
        if let Some(place) = file.get_mut(damage) {
            *place = byte;
        }
        let told = |piece| {
            let mut told: Vec<_> = read_in("x.zip", &file, Content::default(), piece)
                .notices
                .into_iter()
                .map(|notice| (notice.class, notice.offset, notice.message))
                .collect();
            told.sort();
            told
        };
        prop_assert_eq!(told(piece), told(usize::MAX));
    }
}
