use super::said::{COLUMN_LABEL, COLUMN_NAME, COLUMN_PLACE, COLUMN_TEXT, ROW_SIZE};
use super::unpack::Packing;
use super::*;
use crate::testing::{classes, every_cut, policy_with};
use sluse_protocol::agreement::Content;

const NUMBERS: [&str; 2] = ["02013299997", "30108299920"];

/// Numbers as a file of this order and width has them.
struct Made {
    wide: bool,
    big: bool,
}

impl Made {
    fn two(&self, number: usize) -> Vec<u8> {
        let number = number as u16;
        if self.big { number.to_be_bytes().to_vec() } else { number.to_le_bytes().to_vec() }
    }

    fn four(&self, number: u32) -> Vec<u8> {
        if self.big { number.to_be_bytes().to_vec() } else { number.to_le_bytes().to_vec() }
    }

    fn word(&self, number: usize) -> Vec<u8> {
        match (self.wide, self.big) {
            (false, _) => self.four(number as u32),
            (true, true) => (number as u64).to_be_bytes().to_vec(),
            (true, false) => (number as u64).to_le_bytes().to_vec(),
        }
    }

    fn mark(&self, mark: u32) -> Vec<u8> {
        match (self.wide, self.big) {
            (false, _) => self.four(mark),
            (true, false) => [self.four(mark), vec![0; 4]].concat(),
            (true, true) => [self.four(u32::MAX), self.four(mark)].concat(),
        }
    }

    /// A part with so many bytes of zeros in which these stand.
    fn part(&self, mark: u32, length: usize, inside: &[(usize, Vec<u8>)]) -> Vec<u8> {
        let mut part = self.mark(mark);
        part.resize(length, 0);
        for (at, bytes) in inside {
            part[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        part
    }

    /// Parts come with what is said of them: how they are packed, and of what kind they are.
    fn page(&self, kind: usize, blocks: usize, parts: &[(Vec<u8>, [u8; 2])], rows: &[u8]) -> Vec<u8> {
        let (head, pointer) = if self.wide { (40, 24) } else { (24, 12) };
        let mut page = vec![0; head - 8];
        page.extend([self.two(kind), self.two(blocks), self.two(parts.len()), vec![0; 2]].concat());
        let mut end = 2048;
        let mut behind = Vec::new();
        for (part, marks) in parts {
            end -= part.len();
            let said = [self.word(end), self.word(part.len()), marks.to_vec()].concat();
            page.extend(&said);
            page.resize(page.len() + pointer - said.len(), 0);
            behind.splice(0..0, part.iter().copied());
        }
        page.resize(page.len().next_multiple_of(8), 0);
        page.extend(rows);
        page.resize(end, 0);
        page.extend(behind);
        page
    }

    /// A data set of a column `code` of numbers, which is labelled, and a column `fnr`; a row on a mixed page and one on its own.
    fn file(&self, packing: Option<Packing>) -> Vec<u8> {
        let word = if self.wide { 8 } else { 4 };
        let text = match packing {
            None => "  --------codefnrFodselsnummer",
            Some(Packing::Runs) => "  SASYZCRLcodefnrFodselsnummer",
            Some(Packing::Repeats) => "  SASYZCR2codefnrFodselsnummer",
        };
        let reference = |at: usize, length: usize| [self.two(0), self.two(at), self.two(length)].concat();
        let (fixed, each) = if self.wide { (28, 16) } else { (20, 12) };
        let place =
            |start: usize, width: u32, kind: u8| [self.word(start), self.four(width), vec![0, 0, kind, 0]].concat();
        let label = if self.wide { 52 } else { 40 };
        let mut parts = [
            self.part(ROW_SIZE, 200, &[(5 * word, self.word(19)), (6 * word, self.word(2)), (15 * word, self.word(1))]),
            [self.mark(COLUMN_TEXT), text.as_bytes().to_vec()].concat(),
            self.part(COLUMN_NAME, fixed + 16, &[(word + 8, reference(10, 4)), (word + 16, reference(14, 3))]),
            self.part(
                COLUMN_PLACE,
                fixed + 2 * each,
                &[(word + 8, place(0, 8, 1)), (word + 8 + each, place(8, 11, 2))],
            ),
            self.part(COLUMN_LABEL, 80, &[(label, reference(17, 13))]),
            self.part(COLUMN_LABEL, 80, &[]),
        ]
        .map(|part| (part, [0, 0]))
        .to_vec();
        let row = |number: &str, text: &str| {
            let number: f64 = number.parse().unwrap();
            let number = if self.big { number.to_be_bytes() } else { number.to_le_bytes() };
            [&number[..], text.as_bytes()].concat()
        };
        let mut head = vec![0; 1024];
        head[32] = if self.wide { b'3' } else { b'2' };
        head[35] = b'2';
        head[37] = u8::from(!self.big);
        let lengths = [self.four(1024), self.four(2048), self.word(2)].concat();
        head[196..196 + lengths.len()].copy_from_slice(&lengths);
        let rows = [row(NUMBERS[0], "           "), row("1", NUMBERS[1])];
        let Some(packing) = packing else {
            let mixed = self.page(0x200, 7, &parts, &rows[0]);
            return [head, mixed, self.page(0x100, 1, &[], &rows[1])].concat();
        };
        // Eight bytes as they are, and eleven spaces.
        let (number, spaces) = (&rows[0][..8], 11);
        let packed = match packing {
            Packing::Runs => [&[0x80 + 7], number, &[0xe0 + spaces - 2]].concat(),
            Packing::Repeats => [&[0b0000_0000, 0b1000_0000], number, &[spaces - 3, b' ']].concat(),
        };
        parts.push((packed, [4, 1]));
        // A row that would not become shorter stands as it is; what is cut off comes again on the next page.
        let second = [(rows[1].clone(), [0, 1]), (b"cut".to_vec(), [1, 1])];
        [head, self.page(0, 7, &parts, &[]), self.page(0, 2, &second, &[])].concat()
    }
}

fn read(bytes: &[u8], columns: &[&str]) -> Vec<Notice> {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let policy = policy_with(Content { columns, ..Content::default() });
    every_cut(|| Sas::new(&policy), bytes)
}

fn kinds() -> [Made; 4] {
    [(false, false), (true, false), (false, true), (true, true)].map(|(wide, big)| Made { wide, big })
}

const PACKINGS: [Option<Packing>; 3] = [None, Some(Packing::Runs), Some(Packing::Repeats)];

#[test]
fn numbers_are_found_by_name_and_label_on_every_kind_of_page_however_rows_are_packed() {
    for (made, packing) in kinds().iter().flat_map(|made| PACKINGS.map(|packing| (made, packing))) {
        let told = read(&made.file(packing), &["code", "fnr"]);
        let named = told.iter().filter(|notice| notice.class == Class::Identifier).map(|notice| &notice.message[..16]);
        assert_eq!(named.collect::<Vec<_>>(), ["column 1 (code):", "column 2 (fnr): "], "{packing:?} {told:?}");
        assert_eq!(told.len(), 3, "and the text as a whole: {told:?}");
        let told = read(&made.file(packing), &["code"]);
        assert!(classes(&told).contains(&Class::ColumnNotAgreed), "{told:?}");
    }
}

/// A seed's file: its first byte is the fuzzer's.
macro_rules! seed {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../fuzz/seeds/sas7bdat/", $name)).split_first().unwrap().1
    };
}

#[test]
fn files_that_readstat_wrote_are_read_packed_or_not() {
    // By ReadStat 1.1.8; its own reader and that of pandas 3.1 find the same in them.
    let files: [&[u8]; 4] = [
        seed!("readstat-narrow"),
        seed!("readstat-wide"),
        seed!("readstat-narrow-packed"),
        seed!("readstat-wide-packed"),
    ];
    for (number, file) in files.into_iter().enumerate() {
        let told = read(file, &["subject", "code", "fnr", "note"]);
        let of_columns: Vec<_> = told.iter().filter(|notice| notice.message.starts_with("column")).collect();
        assert_eq!(of_columns.len(), 3, "{number} {told:?}");
        for (notice, column) in of_columns.into_iter().zip(["2 (code): 2 ×", "3 (fnr): 2 ×", "4 (note): 1 ×"]) {
            assert!(notice.message.starts_with(&format!("column {column}")), "{number} {told:?}");
        }
        assert!(told.iter().all(|notice| notice.class != Class::Malformed), "{number} {told:?}");
        let told = read(file, &["subject", "code", "fnr"]);
        assert!(told.iter().any(|notice| notice.message.contains("column 4 (note) is not")), "{number} {told:?}");
    }
}

#[test]
fn a_packed_row_that_is_damaged_is_told() {
    for (made, packing) in kinds().iter().flat_map(|made| PACKINGS.map(|packing| (made, packing))) {
        let Some(packing) = packing else { continue };
        let mut file = made.file(Some(packing));
        let number: f64 = NUMBERS[0].parse().unwrap();
        let number = if made.big { number.to_be_bytes() } else { number.to_le_bytes() };
        let at = memchr::memmem::find(&file, &number).unwrap();
        file[at - 1] ^= 0xff;
        let told = read(&file, &[]);
        assert!(told.iter().any(|notice| notice.message == DAMAGED), "{packing:?} {told:?}");
    }
}

#[test]
fn what_was_cut_off_is_told() {
    let policy = policy_with(Content::default());
    for made in kinds() {
        let whole = made.file(None);
        for length in (0..whole.len()).step_by(13) {
            let told = crate::testing::cut(|| Sas::new(&policy), &whole[..length], &[]);
            assert!(classes(&told).contains(&Class::Malformed), "{length}");
        }
    }
}

#[test]
fn lengths_and_places_that_lie_are_told_and_never_end_the_parser() {
    for (made, packing) in kinds().iter().flat_map(|made| PACKINGS.map(|packing| (made, packing))) {
        let whole = made.file(packing);
        for at in 0..whole.len() {
            let mut lying = whole.clone();
            lying[at] ^= 0xff;
            let policy = policy_with(Content::default());
            crate::testing::cut(|| Sas::new(&policy), &lying, &[]);
        }
        let mut long = whole.clone();
        long[200..204].copy_from_slice(&[0xff; 4]);
        assert_eq!(classes(&read(&long, &[]))[0], Class::Malformed);
    }
}
