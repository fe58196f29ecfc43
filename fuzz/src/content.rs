//! What every parser of content keeps to, whatever it is given: it ends, tells the same however the bytes are cut, tells
//! little, and never a national number. Run by `fuzz/` on what libFuzzer makes up, and by `content/tests/seeds.rs` on the seeds.
//!
//! An input's first byte says how long the pieces are; the rest is the file.

use sluse_content::containers::{End, Limits, Member, Visitor, Walker};
use sluse_content::identifiers::{HashKey, national};
use sluse_content::types::TypeReader;
use sluse_content::{FileReader, Notice, Policy, Reader as _, look_at_name, readers};
use sluse_protocol::agreement::{Content, NamedPattern};
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;
use std::sync::{Arc, LazyLock};

/// One target: it panics on what must not be.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders in `fuzz/seeds`.
pub const TARGETS: &[(&str, Target)] = &[
    ("bam", |bytes| reader(FileType::Bam, bytes)),
    ("cram", |bytes| reader(FileType::Cram, bytes)),
    ("csv", |bytes| reader(FileType::Csv, bytes)),
    ("dicom", |bytes| reader(FileType::Dicom, bytes)),
    ("dta", |bytes| reader(FileType::Dta, bytes)),
    ("fastq", |bytes| reader(FileType::Fastq, bytes)),
    ("hl7", |bytes| reader(FileType::Hl7, bytes)),
    ("jpeg", |bytes| reader(FileType::Jpeg, bytes)),
    ("json", |bytes| reader(FileType::Json, bytes)),
    ("ndjson", |bytes| reader(FileType::Ndjson, bytes)),
    ("parquet", |bytes| reader(FileType::Parquet, bytes)),
    ("pdf", |bytes| reader(FileType::Pdf, bytes)),
    ("png", |bytes| reader(FileType::Png, bytes)),
    ("sam", |bytes| reader(FileType::Sam, bytes)),
    ("sas7bdat", |bytes| reader(FileType::Sas7bdat, bytes)),
    ("sav", |bytes| reader(FileType::Sav, bytes)),
    ("svg", |bytes| reader(FileType::Svg, bytes)),
    ("text", |bytes| reader(FileType::Text, bytes)),
    ("vcf", |bytes| reader(FileType::Vcf, bytes)),
    ("xml", |bytes| reader(FileType::Xml, bytes)),
    ("xpt", |bytes| reader(FileType::Xpt, bytes)),
    ("types", types),
    ("path", path),
    ("workbook", workbook),
    ("zip", containers),
    ("compressed", containers),
    ("base64", containers),
    ("tar", |bytes| containers(&with_tar_sums(bytes))),
    ("sevenz", |bytes| containers(&with_sevenz_sums(bytes))),
];

/// Notices of one file, and bytes of one notice. A file has at most some 4,096 places that are told by themselves.
const MAX_NOTICES: usize = 9000;
const MAX_MESSAGE: usize = 2000;

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let pattern = "NPR-[0-9]{3}".parse().expect("a pattern");
    let content = Content {
        pseudonym: Some("P[0-9]+".parse().expect("a pattern")),
        patterns: vec![NamedPattern { name: "hospital number".into(), pattern }],
        columns: vec!["pseudonym".into()],
        small_cells: Some(5),
        ..Content::default()
    };
    Arc::new(Policy::new(&content, HashKey::new([5; 32])).expect("patterns that compile"))
});

/// The length of pieces that an input asks for, and its file.
fn split(bytes: &[u8]) -> (usize, &[u8]) {
    let (first, file) = bytes.split_first().unwrap_or((&0, &[]));
    ([1, 2, 3, 7, 64, 511, 4096, 255][usize::from(first % 8)], file)
}

fn reader(file_type: FileType, bytes: &[u8]) {
    let (piece, file) = split(bytes);
    let read = |piece: usize| {
        let (mut reader, mut notices) = (readers(file_type, &POLICY), Vec::new());
        file.chunks(piece.max(1)).for_each(|piece| reader.feed(piece, &mut notices));
        reader.finish(&mut notices);
        (notices, reader.bulk())
    };
    let whole = read(file.len());
    check(&whole.0, file);
    assert_eq!(read(piece), whole, "in pieces of {piece}");
}

/// A sheet and, behind the first zero, the texts to which its cells refer: read as a workbook with these parts.
fn workbook(bytes: &[u8]) {
    let (piece, parts) = split(bytes);
    let (sheet, texts) = match parts.iter().position(|byte| *byte == 0) {
        Some(zero) => (&parts[..zero], &parts[zero + 1..]),
        None => (parts, &[][..]),
    };
    let file = stored(&[
        ("[Content_Types].xml", b"<a/>"),
        ("xl/workbook.xml", b"<a/>"),
        ("xl/worksheets/sheet1.xml", sheet),
        ("xl/sharedStrings.xml", texts),
    ]);
    let read = |piece: usize| {
        let (mut reader, mut notices) = (FileReader::new("a.xlsx", file.len() as u64, &POLICY), Vec::new());
        file.chunks(piece.max(1)).for_each(|piece| reader.feed(piece, &mut notices));
        reader.finish(&mut notices);
        // What is noticed of a part and of the archive around it comes in the order in which the bytes do.
        notices.sort_by(|one, other| (one.class, &one.message).cmp(&(other.class, &other.message)));
        notices
    };
    let whole = read(file.len());
    check(&whole, &file);
    assert_eq!(read(piece), whole, "in pieces of {piece}");
}

/// A ZIP archive of these files, as they are.
fn stored(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut entries, mut list) = (Vec::new(), Vec::new());
    for (name, file) in files {
        let (place, length) = (entries.len() as u32, (file.len() as u32).to_le_bytes());
        let sum = crc32fast::hash(file).to_le_bytes();
        let name_length = (name.len() as u16).to_le_bytes();
        let common = [&[20, 0][..], &[0; 8], &sum, &length, &length, &name_length, &[0; 2]].concat();
        entries.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), file].concat());
        list.extend([&b"PK\x01\x02\x14\0"[..], &common, &[0; 10], &place.to_le_bytes(), name.as_bytes()].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (length, place) = ((list.len() as u32).to_le_bytes(), (entries.len() as u32).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &length, &place, &[0; 2]].concat();
    [entries, list, end].concat()
}

fn types(bytes: &[u8]) {
    let (piece, file) = split(bytes);
    let read = |piece: usize| {
        let (mut reader, mut notices) = (TypeReader::new("a.csv", &Arc::from(["csv".to_owned()])), Vec::new());
        file.chunks(piece.max(1)).for_each(|piece| sluse_content::Reader::feed(&mut reader, piece, &mut notices));
        sluse_content::Reader::finish(&mut reader, &mut notices);
        assert_eq!(reader.consumed(), file.len() as u64);
        (reader.types().to_vec(), notices)
    };
    let whole = read(file.len());
    check(&whole.1, file);
    assert_eq!(read(piece), whole, "in pieces of {piece}");
}

fn path(bytes: &[u8]) {
    let mut notices = Vec::new();
    look_at_name(&String::from_utf8_lossy(bytes), "the file's name", &POLICY, &mut notices);
    check(&notices, bytes);
}

/// That little is told, in bounded sentences, and no national number that stands in the file.
fn check(notices: &[Notice], file: &[u8]) {
    assert!(notices.len() <= MAX_NOTICES, "{} notices", notices.len());
    let numbers: Vec<&str> = file
        .windows(11)
        .filter(|digits| (*digits).try_into().ok().and_then(national).is_some())
        .filter_map(|digits| std::str::from_utf8(digits).ok())
        .collect();
    for Notice { message, .. } in notices {
        assert!(message.len() <= MAX_MESSAGE, "a message of {} bytes", message.len());
        assert!(!message.chars().any(char::is_control), "a control character in {message:?}");
        assert!(!numbers.iter().any(|number| message.contains(number)), "a number in {message:?}");
    }
}

/// Limits by which a small input comes to its end soon.
fn limits() -> Limits {
    Limits {
        depth: 4,
        entries: 200,
        bytes: 4 << 20,
        free: 1 << 20,
        held: 1 << 20,
        dictionary: 1 << 20,
        ..Limits::default()
    }
}

fn containers(bytes: &[u8]) {
    let (piece, file) = split(bytes);
    let walk = |piece: usize| {
        let mut seen = Seen::default();
        let mut walker = Walker::new("x", Some(file.len() as u64), limits());
        file.chunks(piece.max(1)).for_each(|piece| walker.feed(piece, &mut seen));
        let totals = walker.finish(&mut seen);
        assert!(seen.open.is_empty(), "every member ends");
        assert_eq!(totals.fed, file.len() as u64);
        assert!(totals.entries <= limits().entries + 1);
        seen
    };
    let whole = walk(file.len());
    check(&whole.notices, file);
    let cut = whole.members.iter().any(|member| member.end == Some(End::Cut));
    assert!(!cut || !whole.notices.is_empty(), "a member that is cut has a notice");
    // A limit may end it in the middle of a piece.
    if !whole.notices.iter().any(|notice| matches!(notice.class, Class::Bomb | Class::NotInspected)) {
        assert_eq!(walk(piece), whole, "in pieces of {piece}");
    }
}

/// What a walk shows.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    members: Vec<Shown>,
    open: Vec<usize>,
    notices: Vec<Notice>,
}

#[derive(Debug, Default, PartialEq)]
struct Shown {
    chain: Vec<String>,
    size: Option<u64>,
    bytes: u64,
    sum: u32,
    end: Option<End>,
}

impl Visitor for Seen {
    fn begin(&mut self, member: &Member<'_>) {
        assert_eq!(member.depth, self.open.len(), "members form a stack");
        assert_eq!(member.chain.len(), member.depth + 1);
        self.open.push(self.members.len());
        self.members.push(Shown { chain: member.chain.to_vec(), size: member.size, ..Shown::default() });
    }

    fn bytes(&mut self, depth: usize, bytes: &[u8]) {
        let member = &mut self.members[self.open[depth]];
        let mut sum = crc32fast::Hasher::new_with_initial(member.sum);
        sum.update(bytes);
        (member.sum, member.bytes) = (sum.finalize(), member.bytes + bytes.len() as u64);
    }

    fn end(&mut self, depth: usize, end: End) {
        assert_eq!(depth + 1, self.open.len(), "the innermost ends first");
        let member = self.open.pop().expect("an open member");
        self.members[member].end = Some(end);
    }

    fn notice(&mut self, depth: usize, notice: Notice) {
        assert!(depth < self.open.len(), "a notice of an open member");
        self.notices.push(notice);
    }
}

/// The same, with right sums in all blocks that may be headers of tar: no fuzzer guesses those.
fn with_tar_sums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.iter_mut().skip(1).collect::<Vec<_>>().chunks_mut(512) {
        if block.len() == 512 && (*block[257] == b'u' || *block[156] < 0x80 && *block[0] > b' ') {
            block[148..156].iter_mut().for_each(|byte| **byte = b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(**byte)).sum();
            block[148..156].iter_mut().zip(format!("{sum:06o}\0 ").bytes()).for_each(|(to, byte)| **to = byte);
        }
    }
    bytes
}

/// The same, with right sums of the two headers of 7z.
fn with_sevenz_sums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(file) = bytes.get_mut(1..).filter(|file| file.len() >= 32) else { return bytes };
    let number = |at: usize| file[at..at + 8].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let (start, length) = (number(12).saturating_add(32), number(20));
    let header = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
    if let Some(header) = header.and_then(|(start, end)| file.get(start..end)) {
        let sum = crc32fast::hash(header).to_le_bytes();
        file[28..32].copy_from_slice(&sum);
    }
    let sum = crc32fast::hash(&file[12..32]).to_le_bytes();
    file[8..12].copy_from_slice(&sum);
    bytes
}
