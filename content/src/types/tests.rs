use super::*;

fn seen_with(name: &str, bytes: &[u8], step: usize, types: &[&str]) -> Vec<Notice> {
    let allowed: Arc<[String]> = types.iter().map(|one| (*one).to_owned()).collect();
    let (mut reader, mut seen) = (TypeReader::new(name, &allowed), Vec::new());
    bytes.chunks(step).for_each(|piece| reader.feed(piece, &mut seen));
    reader.finish(&mut seen);
    assert_eq!(reader.consumed(), bytes.len() as u64);
    seen
}

/// The beginning of a Linux program for x86-64.
const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0";

pub fn classes(path: &str, bytes: &[u8], types: &[&str]) -> Vec<Class> {
    let whole: Vec<Class> = seen_with(path, bytes, usize::MAX, types).into_iter().map(|seen| seen.class).collect();
    for step in [1, 7, 4096] {
        let cut: Vec<Class> = seen_with(path, bytes, step, types).into_iter().map(|seen| seen.class).collect();
        assert_eq!(cut, whole, "{path} in pieces of {step}");
    }
    whole
}

/// That `bytes`, under a name that says nothing, are of type `one` before any other.
fn assert_type(one: FileType, bytes: &[u8]) {
    assert_named(one, "x", bytes);
}

fn assert_named(one: FileType, path: &str, bytes: &[u8]) {
    assert!(!classes(path, bytes, &[one.as_str()]).contains(&Class::TypeNotAllowed), "{one} {path}");
    // Where it is not allowed, what was found is named.
    let seen = seen_with(path, bytes, usize::MAX, &["webp"]);
    let named = seen.iter().any(|seen| seen.message.starts_with(&format!("{one}: ")));
    assert!(named || one == FileType::Empty, "{one} {path}: {seen:?}");
}

fn padded(start: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.resize(length.max(start.len()), 0);
    bytes
}

fn at(offset: usize, mark: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(mark);
    padded(&bytes, offset + 600)
}

/// A ZIP archive of stored entries.
pub fn zip(entries: &[(&str, &[u8])], flags: u16) -> Vec<u8> {
    let (mut bytes, mut central) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = bytes.len() as u32;
        let sizes = [(content.len() as u32).to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
        let common =
            [&20u16.to_le_bytes()[..], &flags.to_le_bytes(), &[0; 10], &sizes, &(name.len() as u16).to_le_bytes()];
        let common = [common.concat(), vec![0, 0]].concat();
        bytes.extend([&b"PK\x03\x04"[..], &common[..26], name.as_bytes(), content].concat());
        central.extend(
            [&b"PK\x01\x02\x14\0"[..], &common[..26], &[0; 10], &offset.to_le_bytes(), name.as_bytes()].concat(),
        );
    }
    let count = (entries.len() as u16).to_le_bytes();
    let start = (bytes.len() as u32).to_le_bytes();
    let size = (central.len() as u32).to_le_bytes();
    bytes.extend(central);
    bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &start, &[0, 0]].concat());
    bytes
}

#[test]
fn programs_are_found_whatever_they_are_called() {
    let mut pe = padded(b"MZ\x90\0\x03\0", 0x3c);
    pe.extend([0x80, 0, 0, 0]);
    pe.resize(0x80, 0);
    pe.extend(b"PE\0\0\x64\x86");
    let programs: [(&str, &[u8]); 14] = [
        ("a.csv", PROGRAM),
        ("a.csv", &pe),
        ("a.dcm", b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0"),
        ("a", b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07"),
        ("a", b"\xca\xfe\xba\xbe\0\0\0\x34\0\x10"),
        ("a", b"\0asm\x01\0\0\0"),
        ("a.txt", b"#!/bin/sh\necho\n"),
        ("run.bat", b"@echo off\r\n"),
        ("a.PS1", b"Write-Host 1\r\n"),
        ("a.vbs", "\u{feff}MsgBox 1".as_bytes()),
        ("a.js", b"\xff\xfea\0=\0b\0"),
        ("report.pdf", b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F\x9b\0\x08\0"),
        ("model.pkl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94."),
        ("a.deb", b"!<arch>\ndebian-binary   1410122664  0     0     100644  4         `\n2.0\n"),
    ];
    for (path, bytes) in programs {
        assert!(classes(path, bytes, &[]).contains(&Class::Executable), "{path} {bytes:?}");
    }
    assert!(!classes("run.sh", b"#!/bin/sh\n", &["script"]).contains(&Class::Executable));
}

#[test]
fn what_its_sender_encrypted_cannot_be_inspected() {
    let cases: [(&str, Vec<u8>); 6] = [
        ("a.c4gh", padded(b"crypt4gh\x01\0\0\0", 100)),
        ("a.age", b"age-encryption.org/v1\n-> X25519 abc\n".to_vec()),
        ("a.asc", b"-----BEGIN PGP MESSAGE-----\n\nhQ".to_vec()),
        ("a.gpg", b"\x85\x01\x0c\x03\x01\x02\x03\x04\x05\x06\x07\x08\x01\x07".to_vec()),
        ("a.gpg", b"\x8c\x0d\x04\x09\x03\x02\xaa\xbb".to_vec()),
        ("a.zip", zip(&[("a.csv", b"12345678901234567890")], 1)),
    ];
    for (path, bytes) in cases {
        assert_eq!(classes(path, &bytes, &[]), [Class::Encrypted], "{path}");
    }
    let wide: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let office = [padded(compound::MAGIC, 100_000), wide, vec![0; 1000]].concat();
    assert_eq!(classes("a.xlsx", &office, &[]), [Class::Encrypted]);
}

#[test]
fn texts_are_told_apart() {
    use FileType::*;
    let cases: [(FileType, &str, &[u8]); 26] = [
        (Mail, "x", b"Received: from a\r\n by b\r\nFrom: a@example.org\r\nSubject: x\r\n\r\nA letter.\r\n"),
        (Text, "x", b"Note: this is no letter, though it has one.\nTo: nobody\n"),
        (Csv, "x", b"id;value\n1;2,5\n2;3,5\n"),
        (Csv, "x", b"\xef\xbb\xbf\"id\",\"name\"\r\n\"1\",\"a, b\"\r\n"),
        (Csv, "navn.csv", "navn\nbl\u{e5}b\u{e6}r\n".as_bytes()),
        (Csv, "latin1.csv", b"navn;by\nK\xe5re;Tr\xf8ndelag\n"),
        (Tsv, "x", b"a\tb\n1\t2\n"),
        (Text, "x", b"Dear all,\nthis is it.\n"),
        (Text, "x", b"\xff\xfeD\0e\0a\0r\0"),
        (Json, "x", b" {\n \"a\": 1\n}\n"),
        (Json, "x", b"[1, 2]"),
        (Json, "x.json", b"{\"resourceType\":\"Bundle\"}"),
        (Ndjson, "x", b"{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\"}\n"),
        (Ndjson, "x.ndjson", b"{\"resourceType\":\"Patient\"}\n"),
        (Text, "x", b"[1] 2 3\n"),
        (Json, "x", b"[\n1\n]"),
        (Xml, "x", b"<?xml version=\"1.0\"?>\n<ODM/>\n"),
        (Xml, "x", b"<MsgHead xmlns=\"http://www.kith.no\"></MsgHead>"),
        (Svg, "x", b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"></svg>"),
        (Html, "x", b"<!DOCTYPE html><html></html>"),
        (Hl7, "x", b"MSH|^~\\&|LAB|X\rPID|1\r"),
        (Hl7, "x", b"\x0bMSH|^~\\&|LAB|X\rPID|1\r\x1c\r"),
        (Vcf, "x", b"##fileformat=VCFv4.2\n#CHROM\tPOS\n"),
        (Fastq, "x", b"@read1\nACGTN\n+\nIIIII\n"),
        (Fasta, "x", b">chr1\nACGT\nACGT\n"),
        (Sam, "x", b"@HD\tVN:1.6\tSO:coordinate\nr1\t0\tchr1\n"),
    ];
    for (one, path, bytes) in cases {
        assert_named(one, path, bytes);
        assert_eq!(classes(path, bytes, &[]), [], "{one} {path}");
    }
}

#[test]
fn binary_formats_are_told_by_their_marks() {
    use FileType::*;
    let cases: Vec<(FileType, Vec<u8>)> = vec![
        (Empty, Vec::new()),
        (Dicom, at(128, b"DICM\x02\0\0\0UL\x04\0\xc0\0\0\0")),
        (Dicom, b"\x08\0\x05\0CS\x0a\0ISO_IR 100\x08\0\x08\0CS\x06\0ORIGIN".to_vec()),
        (Dicom, b"\x02\0\0\0UL\x04\0\xc0\0\0\0\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01".to_vec()),
        (Dicom, b"\0\x08\0\x05CS\0\x0aISO_IR 100\0\x08\0\x12DA\0\x0820150529".to_vec()),
        (Parquet, [&b"PAR1"[..], &[1; 50], b"PAR1"].concat()),
        (Sav, padded(b"$FL2@(#) SPSS DATA FILE", 200)),
        (Sav, padded(b"$FL3@(#) SPSS DATA FILE", 200)),
        (Dta, b"<stata_dta><header></header></stata_dta>".to_vec()),
        (Dta, b"\x72\x02\x01\0\x03\0\x10\0\0\0".to_vec()),
        (Xpt, padded(b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!", 200)),
        (Hdf5, padded(b"\x89HDF\r\n\x1a\n", 100)),
        (Nifti, at(344, b"n+1\0")),
        (Edf, padded(b"0       X X X X", 300)),
        (Pdf, b"%PDF-1.7\n%\xe2\xe3\n%%EOF\n".to_vec()),
        (Png, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR....IEND\xaeB`\x82".to_vec()),
        (Jpeg, padded(b"\xff\xd8\xff\xe0\0\x10JFIF", 100)),
        (Tiff, padded(b"II*\0\x08\0\0\0", 100)),
        (Gif, padded(b"GIF89a", 100)),
        (Bmp, padded(b"BM\x64\0\0\0", 100)),
        (Wav, padded(b"RIFF\x24\0\0\0WAVEfmt ", 100)),
        (Mp4, padded(b"\0\0\0\x18ftypmp42", 100)),
        (Cram, padded(b"CRAM\x03\0", 100)),
        (Bgzf, BGZF.to_vec()),
        (Gzip, padded(b"\x1f\x8b\x08\0\0\0\0\0\0\x03", 40)),
        (Xz, padded(b"\xfd7zXZ\0", 40)),
        (Zstd, padded(b"\x28\xb5\x2f\xfd", 40)),
        (Bzip2, padded(b"BZh91AY&SY", 40)),
        (SevenZip, padded(b"7z\xbc\xaf\x27\x1c", 40)),
        (Tar, at(257, b"ustar\0")),
        (Zip, zip(&[("a.csv", b"1"), ("b/", b"")], 0)),
        (Zip, zip(&[], 0)),
        (Xlsx, zip(&[("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<w/>")], 0)),
        (Docx, zip(&[("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<w/>")], 0)),
        (Ods, zip(&[("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", b"<w/>")], 0)),
        (Java, zip(&[("META-INF/MANIFEST.MF", b"x"), ("A.class", b"x")], 0)),
        (Ole, padded(compound::MAGIC, 2000)),
    ];
    for (one, bytes) in cases {
        assert_type(one, &bytes);
        if one.kind() != Kind::Program {
            assert_eq!(classes("x", &bytes, &[]), [], "{one}");
        }
    }
}

/// The empty block that ends a BGZF file is one itself.
const BGZF: &[u8] = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0\x03\0\0\0\0\0\0\0\0\0";

#[test]
fn an_unknown_type_is_named_so_and_an_unlisted_one_too() {
    let unknown = [0x91, 0x00, 0xff, 0x03, 0x80, 0x00].repeat(50);
    assert_eq!(classes("x.bin", &unknown, &[]), [Class::TypeUnknown]);
    assert_eq!(classes("x.bin", &unknown, &["csv"]), [Class::TypeUnknown]);
    assert_eq!(classes("x.pdf", b"%PDF-1.4\n", &["csv"]), [Class::TypeNotAllowed]);
    assert_eq!(classes("x.txt", b"a text\nof two lines\n", &["csv"]), [Class::TypeNotAllowed]);
    assert_eq!(classes("x.csv", b"", &["dicom"]), []);
    // A table may pass as a text.
    assert_eq!(classes("x.txt", b"a;b\n1;2\n", &["text"]), []);
    assert_eq!(classes("x.exe", PROGRAM, &["csv"]), [Class::Executable, Class::TypeNotAllowed]);
}

#[test]
fn a_name_that_belongs_to_another_type_is_pointed_out() {
    assert_eq!(classes("x.csv", b"%PDF-1.4\n", &[]), [Class::TypeMismatch]);
    assert_eq!(classes("x.dcm", b"a;b\n1;2\n", &[]), [Class::TypeMismatch]);
    assert_eq!(classes("x.JPG", b"\xff\xd8\xff\xe0", &[]), []);
    let mut two = at(128, b"DICM\x02\0\0\0UL\x04\0\xc0\0\0\0");
    two[..4].copy_from_slice(b"%PDF");
    assert!(classes("x.dcm", &two, &[]).contains(&Class::Polyglot));
    two[..4].copy_from_slice(b"\x7fELF");
    assert_eq!(classes("x.dcm", &two, &[]), [Class::Executable, Class::TypeMismatch, Class::Polyglot]);
}

#[test]
fn what_was_cut_off_is_malformed_or_a_broken_archive() {
    let archive = zip(&[("a.csv", b"12345678901234567890"), ("b.csv", b"1")], 0);
    let cases: [(&str, &[u8]); 8] = [
        ("x.parquet", b"PAR1\x15\x04\x15\x10\x15\x14\x4c\x15\x02"),
        ("x.zip", &archive[..archive.len() - 30]),
        ("x.zip", &archive[..40]),
        ("x.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        ("x.json", b"{\"a\": [1, 2"),
        ("x.ndjson", b"{\"a\": 1}\n{\"a\": "),
        ("x.xml", b"<?xml version=\"1.0\"?><ODM><Stu"),
        ("x.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ];
    for (path, bytes) in cases {
        let archive = ["x.zip", "x.gz"].contains(&path);
        let class = if archive { Class::BrokenArchive } else { Class::Malformed };
        assert_eq!(classes(path, bytes, &[]), [class], "{path}");
    }
}

#[test]
fn documents_with_macros_are_programs() {
    let book = zip(&[("xl/workbook.xml", b"<w/>"), ("xl/vbaProject.bin", b"x")], 0);
    assert_eq!(classes("x.xlsm", &book, &[]), [Class::Executable]);
    let wide: Vec<u8> = "_VBA_PROJECT".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let old = [padded(compound::MAGIC, 70_000), wide].concat();
    assert_eq!(classes("x.xls", &old, &[]), [Class::Executable]);
}
