use super::build::{Entry, zip};
use super::*;
use ::base64::Engine as _;

fn encode(bytes: &[u8]) -> String {
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Whether the test file stands in a member of a document with this text.
fn shows_eicar(text: &str) -> bool {
    let seen = walk("a.xml", &odm(text));
    seen.members[1..].iter().any(|member| memchr::memmem::find(&member.bytes, &eicar()).is_some())
}

/// A document with a file in it.
fn odm(text: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?>\n<ODM><ItemDataBase64 ItemOID=\"i\">{text}</ItemDataBase64></ODM>\n").into_bytes()
}

#[test]
fn a_file_in_base64_is_shown_as_a_member_and_so_is_what_is_in_it() {
    let seen = walk("a.xml", &odm(&encode(&eicar())));
    assert_eq!(seen.member("a.xml![base64]").bytes, eicar());
    assert_eq!(seen.member("a.xml![base64]").end, Some(End::Whole));
    assert_eq!(seen.notices, []);
    let inner = zip(&[Entry::deflated("x.txt", &eicar())]);
    let json = format!("{{\"data\":\"{}\",\"more\":[\"{}\"]}}", encode(&inner), encode(&eicar()));
    let seen = walk("a.json", json.as_bytes());
    assert_eq!(seen.member("a.json![base64]!x.txt").bytes, eicar());
    assert_eq!(seen.members.iter().filter(|member| member.bytes == eicar()).count(), 2);
}

#[test]
fn lines_and_escapes_change_nothing() {
    let file: Vec<u8> = (0..700u32).map(|at| (at * at / 7) as u8).collect();
    let text = encode(&file);
    let lines: Vec<&str> = (0..text.len()).step_by(76).map(|at| &text[at..text.len().min(at + 76)]).collect();
    for wrapped in [lines.join("\n"), lines.join("\r\n      ")] {
        assert_eq!(walk("a.xml", &odm(&wrapped)).member("a.xml![base64]").bytes, file);
    }
    let escaped = format!("{{\"data\":\"{}\"}}", lines.join("\\n").replace('/', "\\/"));
    assert_eq!(walk("a.json", escaped.as_bytes()).member("a.json![base64]").bytes, file);
    let zeros = walk("a.xml", &odm(&encode(&[0; 500])));
    assert_eq!(zeros.member("a.xml![base64]").bytes, [0; 500]);
}

#[test]
fn a_file_is_found_whatever_it_begins_with() {
    // As base64: one letter, words, hexadecimal digits, nucleotides.
    let beginnings = ["i".repeat(64), "words/and/paths/".repeat(4), "0a1b".repeat(16), "GATTACA0".repeat(8)];
    let archive = zip(&[Entry::deflated("x.txt", &eicar())]);
    for beginning in beginnings {
        for times in [1, 3, 40] {
            for phase in 0..3 {
                let blank = vec![0xa6; phase];
                let start = ::base64::engine::general_purpose::STANDARD.decode(beginning.repeat(times)).unwrap();
                let file = [&start[..], &blank, &eicar(), &blank].concat();
                let seen = walk("a.xml", &odm(&encode(&file)));
                assert_eq!(seen.member("a.xml![base64]").bytes, file, "{beginning} × {times}");
                let seen = walk("a.xml", &odm(&encode(&[&start[..], &blank, &archive].concat())));
                assert!(seen.shows(&eicar()), "{beginning} × {times}: zip");
                // In lines, and behind words that are none of it.
                let lines = format!("{}\n{}", beginning.repeat(times), encode(&file));
                assert!(shows_eicar(&lines), "{beginning} × {times}: lines");
                let words = format!("{}s {}", "words/and/paths/".repeat(4 * times), encode(&file));
                assert!(shows_eicar(&words), "{beginning} × {times}: words");
            }
        }
    }
}

#[test]
fn a_file_behind_the_end_of_another_is_found() {
    assert!(shows_eicar(&format!("{}{}", encode(&[7; 100]), encode(&eicar()))));
}

#[test]
fn a_long_run_is_a_file_whatever_it_looks_like() {
    let seen = walk("a.xml", &odm(&"i".repeat(100_000)));
    assert_eq!(seen.member("a.xml![base64]").bytes.len(), 75_000);
    assert_eq!(walk("a.xml", &odm(&"i".repeat(80_000))).members.len(), 1);
}

#[test]
fn what_is_no_file_is_no_member() {
    for text in [
        "0a1b".repeat(32),
        "GATTACA".repeat(40),
        encode(&eicar()[..64]),
        "a word ".repeat(90),
        "fhir/StructureDefinition/".repeat(9),
    ] {
        assert_eq!(walk("a.xml", &odm(&text)).members.len(), 1, "{text}");
    }
    let table = [b"a,b\n1,", encode(&eicar()).as_bytes()].concat();
    assert_eq!(walk("a.csv", &table).members.len(), 1, "tables have none");
}

#[test]
fn a_zip_archive_behind_it_is_found_all_the_same() {
    let archive = zip(&[Entry::stored("x.txt", &eicar())]);
    let seen = walk("a.xml", &[odm(&encode(&eicar().repeat(4))), archive].concat());
    assert_eq!(seen.member("a.xml![base64]").bytes, eicar().repeat(4));
    assert!(seen.says(Class::Polyglot, "ZIP archive") && seen.shows(&eicar()));
}

#[test]
fn what_is_attached_to_a_mail_is_a_member_of_it() {
    let archive = encode(&zip(&[Entry::deflated("x.txt", &eicar())]));
    let lines: Vec<&str> = (0..archive.len()).step_by(76).map(|at| &archive[at..archive.len().min(at + 76)]).collect();
    let mail = format!(
        "Received: from a\r\n by b\r\nFrom: a@example.org\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n\
         --y\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--y--\r\n",
        lines.join("\r\n")
    );
    let seen = walk("a.eml", mail.as_bytes());
    assert_eq!(seen.member("a.eml![base64]!x.txt").bytes, eicar());
    assert_eq!(seen.notices, []);
}
