use super::build::{Entry, zip};
use super::*;
use ::base64::Engine as _;

fn encode(bytes: &[u8]) -> String {
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
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
