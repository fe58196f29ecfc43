//! Hostile and damaged files, made here: each is told for what it is, however it is cut, by the readers as `inspect` gets them.

use sluse_content::identifiers::HashKey;
use sluse_content::{Notice, Policy, readers};
use sluse_protocol::agreement::Content;
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;
use std::sync::Arc;

/// A valid fødselsnummer of nobody: the published example of the rule until 2032.
const CANARY: &str = "02013299997";

/// A number of each kind, of nobody; what it is called, and what it leads to in a place made for numbers.
const KINDS: [(&str, &str, Class); 6] = [
    (CANARY, "fødselsnummer", Class::Identifier),
    ("02013299903", "fødselsnummer", Class::Identifier),
    ("53097210094", "D-nummer", Class::Identifier),
    ("13497210083", "H-nummer", Class::Identifier),
    ("83097210007", "felles hjelpenummer", Class::Identifier),
    ("13897210066", "synthetic test number", Class::IdentifierTest),
];

#[expect(clippy::unwrap_used, reason = "what every test begins with")]
fn policy() -> Arc<Policy> {
    Arc::new(Policy::new(&Content::default(), HashKey::new([3; 32])).unwrap())
}

fn read(file_type: FileType, bytes: &[u8], piece: usize) -> Vec<Notice> {
    let (mut reader, mut notices) = (readers(file_type, &policy()), Vec::new());
    bytes.chunks(piece).for_each(|piece| reader.feed(piece, &mut notices));
    reader.finish(&mut notices);
    notices
}

fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// What it is, its type, its bytes, and what must be noticed.
fn vectors() -> Vec<(&'static str, FileType, Vec<u8>, Class)> {
    use Class::{Identifier, IdentifierReview, Malformed};
    use FileType::{Csv, Dicom, Hl7, Json, Ndjson, Parquet, Text, Tsv, Vcf, Xml};
    let text = |text: String| text.into_bytes();
    let filler = "x".repeat(65_530);
    let spaced = format!("{} {}", &CANARY[..6], &CANARY[6..]);
    let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><a>&b;</a>";
    vec![
        ("csv whose delimiter changes", Csv, text("a,b\n1,2\n3;4\n".into()), Malformed),
        ("csv with NUL", Csv, b"a,b\n1,\0\n".to_vec(), Malformed),
        ("csv that ends within quotes", Csv, text("a,b\n1,\"2".into()), Malformed),
        ("csv in quotes with a number", Csv, text(format!("\"fnr\"\n\"{CANARY}\"\n")), Identifier),
        ("csv in utf-16 with a number", Csv, utf16(&format!("fnr\r\n{CANARY}\r\n")), Identifier),
        ("csv with a number at a border of pieces", Csv, text(format!("note,fnr\n{filler},{CANARY}\n")), Identifier),
        (
            "csv with a number in a quoted text of lines",
            Csv,
            text(format!("note\n\"a\nb {CANARY} c\"\n")),
            IdentifierReview,
        ),
        ("tsv with a number with a space", Tsv, text(format!("a\tpnr\n1\t{spaced}\n")), Identifier),
        ("text with a number at its end", Text, text(format!("{filler} {CANARY}")), IdentifierReview),
        ("text in utf-16 with a number", Text, utf16(&format!("se {CANARY}.")), IdentifierReview),
        ("json without end", Json, text("{\"a\":[1,2".into()), Malformed),
        ("json of brackets alone", Json, text("[".repeat(1 << 20)), Malformed),
        ("json with a number in escapes", Json, text(format!("{{\"fnr\":\"\\u0030{}\"}}", &CANARY[1..])), Identifier),
        ("ndjson cut off", Ndjson, text("{\"a\":1}\n{\"a\":".into()), Malformed),
        ("ndjson with an object over two lines", Ndjson, text("{\"a\":\n1}\n".into()), Malformed),
        ("xml with entities that grow", Xml, text(bomb.into()), Malformed),
        (
            "xml with a file for an entity",
            Xml,
            text("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>".into()),
            Malformed,
        ),
        ("xml of start tags alone", Xml, text("<a>".repeat(1 << 18)), Malformed),
        ("xml with one endless tag", Xml, text(format!("<a b=\"{}", "c".repeat(4 << 20))), Malformed),
        ("xml with a number in references", Xml, text(format!("<fnr>&#48;{}</fnr>", &CANARY[1..])), Identifier),
        ("hl7 with a wrong count", Hl7, text("BHS|^~\\&\rMSH|^~\\&\rBTS|7\r".into()), Malformed),
        ("hl7 with a number in a name", Hl7, text(format!("MSH|^~\\&\rPID|||{CANARY}\r")), Identifier),
        ("dicom of zeros", Dicom, vec![0; 4096], Malformed),
        (
            "dicom cut off in its header",
            Dicom,
            [vec![0; 128], b"DICM\x02\0\0\0UL\x04\0\xff\xff".to_vec()].concat(),
            Malformed,
        ),
        ("parquet cut off", Parquet, b"PAR1 and some pages".to_vec(), Malformed),
        ("parquet with a footer longer than itself", Parquet, b"PAR1\0\0\0\0\xff\xff\xff\xffPAR1".to_vec(), Malformed),
        ("vcf cut off", Vcf, text("##fileformat=VCFv4.2\n#CHROM\tPOS\n1\n".into()), Malformed),
    ]
}

#[test]
fn each_hostile_file_is_told_for_what_it_is_however_it_is_cut() {
    for (name, file_type, bytes, class) in vectors() {
        let whole = read(file_type, &bytes, usize::MAX);
        assert!(whole.iter().any(|notice| notice.class == class), "{name}: {whole:?}");
        for piece in [997, 65_536] {
            assert_eq!(read(file_type, &bytes, piece), whole, "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn what_is_told_is_little_and_never_a_number() {
    for (name, file_type, bytes, _) in vectors() {
        let told = format!("{:?}", read(file_type, &bytes, 4096));
        assert!(told.len() < 4096, "{name}: {} bytes", told.len());
        for part in [CANARY, &CANARY[..6], &CANARY[6..]] {
            assert!(!told.contains(part), "{name}: {told}");
        }
    }
}

#[test]
fn a_number_of_every_kind_is_found_at_every_border_of_pieces_in_every_format() {
    for (number, kind, class) in KINDS {
        let samples = [
            (FileType::Csv, format!("a,fnr\n1,{number}\n").into_bytes()),
            (FileType::Csv, format!("\"a\",\"fnr\"\n\"1\",\"{number}\"\n").into_bytes()),
            (FileType::Csv, utf16(&format!("a,fnr\n1,{number}\n"))),
            (FileType::Ndjson, format!("{{\"fnr\":\"{number}\"}}\n").into_bytes()),
            (FileType::Xml, format!("<a><fnr>{number}</fnr></a>").into_bytes()),
            (FileType::Hl7, format!("MSH|^~\\&|\rPID|||{number}^^^\r").into_bytes()),
        ];
        for (file_type, text) in samples {
            for cut in 0..text.len() {
                let (mut reader, mut notices) = (readers(file_type, &policy()), Vec::new());
                reader.feed(&text[..cut], &mut notices);
                reader.feed(&text[cut..], &mut notices);
                reader.finish(&mut notices);
                let found = notices.iter().any(|notice| notice.class == class && notice.message.contains(kind));
                assert!(found, "{kind} in {file_type} cut at {cut}: {notices:?}");
            }
        }
    }
}
