use super::*;
use crate::testing::{classes, cut, every_cut, policy_with, resident};
use crate::text::Text;
use proptest::prelude::*;
use sluse_protocol::agreement::Content;

fn read(text: &str, lines: bool) -> Vec<Notice> {
    let policy = policy_with(Content::default());
    every_cut(|| Text::new(Json::new(&policy, lines), true), text.as_bytes())
}

#[track_caller]
fn only(notices: &[Notice], class: Class, part: &str) {
    assert_eq!(classes(notices), [class], "{notices:?}");
    assert!(notices[0].message.contains(part), "{notices:?}");
}

#[test]
fn json_as_the_standard_has_it_is_read() {
    let good = [
        "{}",
        " [ ] ",
        "0",
        "-1.5e+10",
        "\"\"",
        "null",
        "[1,\"a\\n\\u00e5\\\"\",{\"a\":{\"b\":[true,false]}}]\n",
        "{\"a\":1 , \"b\" : [ ] }",
        "\u{feff}{}",
    ];
    for text in good {
        assert_eq!(read(text, false), [], "{text}");
    }
    for text in ["", "{}\n", "{}\r\n{\"a\":[1]}\n\n{}", "{\"resourceType\":\"Patient\"}\n"] {
        assert_eq!(read(text, true), [], "{text}");
    }
}

#[test]
fn what_is_no_json_is_malformed_once() {
    let bad = [
        "",
        "{",
        "[1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[1 2]",
        "{} {}",
        "tru",
        "01",
        "1.",
        "1e",
        "-",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "{a:1}",
        "[}",
        "{]",
        "]",
        "}",
        "[1}",
        "{\"a\":1]",
        "'a'",
        "NaN",
        "1 1",
        ",",
    ];
    for text in bad {
        assert_eq!(classes(&read(text, false)), [Class::Malformed], "{text}");
    }
    for text in ["[]\n", "1\n", "{} {}\n", "{}\n{", "{\n}\n", "{}x"] {
        assert_eq!(classes(&read(text, true)), [Class::Malformed], "{text}");
    }
    only(&read(&"[".repeat(1000), false), Class::Malformed, "too deep");
    only(&read("{\"a\":\"b", false), Class::Malformed, "cut off");
}

#[test]
fn a_number_blocks_under_a_fhir_system_before_or_after_it() {
    let number = resident(0);
    let system = "\"system\":\"urn:oid:2.16.578.1.12.4.1.4.1\"";
    for inner in [format!("{system},\"value\":\"{number}\""), format!("\"value\":\"{number}\",{system}")] {
        let text = format!("{{\"resourceType\":\"Patient\",\"identifier\":[{{{inner}}}]}}\n");
        let notices = read(&text, true);
        only(&notices, Class::Identifier, "identifier.value (system of national numbers): 1 × fødselsnummer");
        assert_eq!(notices[0].offset, Some(text.find(&number).unwrap() as u64));
    }
    let other = format!("{{\"identifier\":[{{\"system\":\"urn:oid:1.2.3\",\"value\":\"{number}\"}}]}}");
    only(&read(&other, false), Class::IdentifierReview, "identifier.value");
}

#[test]
fn the_system_of_one_object_says_nothing_of_another() {
    let system = "\"system\":\"urn:oid:2.16.578.1.12.4.1.4.1\"";
    let text = format!(
        "[{{{system}}},{{\"value\":\"{}\"}},{{\"a\":{{{system}}},\"value\":\"{}\"}}]",
        resident(0),
        resident(1)
    );
    only(&read(&text, false), Class::IdentifierReview, "value: 2 × ");
}

#[test]
fn a_number_under_a_key_for_numbers_blocks_as_string_or_number() {
    let number = resident(0);
    for value in [number.clone(), format!("\"{number}\""), format!("\"{}\"", escaped(&number)), format!("[{number}]")] {
        let notices = read(&format!("{{\"a\":{{\"fnr\":{value}}},\"b\":1}}"), false);
        only(&notices, Class::Identifier, "a.fnr: 1 × fødselsnummer");
    }
    only(&read(&format!("{{\"note\":\"se {number}.\"}}"), false), Class::IdentifierReview, "note");
    assert_eq!(read(&format!("{{\"fnr\":-{number}}}"), false), [], "a negative number is none");
}

fn escaped(number: &str) -> String {
    number.chars().map(|c| format!("\\u00{:02x}", u32::from(c))).collect()
}

#[test]
fn keys_that_may_be_values_are_not_shown() {
    let number = resident(0);
    let notices = read(&format!("{{\"{number}\":{{\"x\":\"{number}\"}}}}"), false);
    assert_eq!(classes(&notices), [Class::IdentifierReview; 2]);
    assert!(notices[0].message.starts_with("keys: ") && notices[1].message.starts_with("*.x: "), "{notices:?}");
    assert!(!format!("{notices:?}").contains(&number[..6]), "{notices:?}");
}

#[test]
fn what_follows_a_flaw_is_still_looked_through() {
    let notices = read(&format!("{{\"a\":tru,\"fnr\":\"{}\"}}", resident(0)), false);
    assert_eq!(classes(&notices), [Class::Malformed, Class::IdentifierReview]);
    let text = format!("{{\"a\":\"{} \u{1}\"}}", resident(0));
    assert_eq!(classes(&read(&text, false)), [Class::Malformed, Class::IdentifierReview], "before it, too");
}

proptest! {
    #[test]
    fn it_agrees_with_another_parser_of_json(
        text in "([\\[\\]{},:]|\"[a-c]{0,2}\"|\"a\":|[0-9]|-|\\.|e|true|null| |\\\\|\"){0,16}"
    ) {
        let ours = read(&text, false).iter().all(|notice| notice.class != Class::Malformed);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // A number beyond the reach of floating point is JSON, but not for them.
        let out_of_range = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        prop_assert!(ours == theirs.is_ok() || out_of_range, "{text:?}");
    }

    #[test]
    fn cutting_changes_nothing(
        text in "([\\[\\]{},:]|\"[a-c]{0,3}\"|\"fnr\":|\"value\":|[0-9]{11}|\\\\u00e5|ø|true|\n|\"){0,40}",
        cuts in proptest::collection::vec(0usize..20, 0..20), lines in any::<bool>(),
    ) {
        let policy = policy_with(Content::default());
        let text = format!("[{{\"fnr\":\"{}\"}},{text}", resident(1));
        let json = || Text::new(Json::new(&policy, lines), true);
        prop_assert_eq!(cut(json, text.as_bytes(), &cuts), cut(json, text.as_bytes(), &[]));
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in any::<bool>()) {
        let policy = policy_with(Content::default());
        every_cut(|| Text::new(Json::new(&policy, lines), true), &bytes);
    }
}

/// What a document is to an export, however it is cut.
fn bulk(text: &str, lines: bool) -> Option<Bulk> {
    let policy = policy_with(Content::default());
    let read = |piece: usize| {
        let (mut reader, mut notices) = (Json::new(&policy, lines), Vec::new());
        text.as_bytes().chunks(piece).for_each(|piece| reader.feed(piece, &mut notices));
        reader.finish(&mut notices);
        reader.bulk()
    };
    let whole = read(text.len());
    for piece in [1, 3, 10] {
        assert_eq!(read(piece), whole, "in pieces of {piece}");
    }
    whole
}

#[test]
fn resources_are_counted_by_their_types() {
    let lines = "{\"resourceType\":\"Patient\",\"contained\":[{\"resourceType\":\"Group\"}]}\n{\"id\":1,\"resourceType\":\"Patient\"}\n\
                 {\"resourceType\":\"Group\"}\n{\"a\":1}\n{\"resourceType\":\"02013299997\"}\n";
    let counts = [("", 2), ("Group", 1), ("Patient", 2)].map(|(of, count)| (of.to_owned(), count));
    assert_eq!(bulk(lines, true), Some(Bulk::Resources(counts.into())));
    assert_eq!(bulk("{\"a\":1}\n{\"a\":2}\n", true), None);
    let many: String =
        (b'A'..=b'Z').flat_map(|a| (b'a'..b'e').map(move |b| [a, b])).fold(String::new(), |all, name| {
            all + &format!("{{\"resourceType\":\"{}\"}}\n", std::str::from_utf8(&name).unwrap())
        });
    let Some(Bulk::Resources(counts)) = bulk(&many, true) else { panic!() };
    assert_eq!((counts.len(), counts[""], counts.values().sum::<u64>()), (65, 40, 104));
}

#[test]
fn a_manifest_says_which_files_there_are() {
    let manifest = "{\"transactionTime\":\"2026-01-01T00:00:00Z\",\"output\":[{\"type\":\"Patient\",\"url\":\
                    \"https://a/b/Patient.000.ndjson?x=/y\",\"count\":3,\"extension\":{\"type\":\"x\"}},{\"url\":\"c.ndjson\"}],\
                    \"deleted\":[{\"type\":\"Bundle\",\"url\":\"https://a/del.ndjson\"}],\"request\":[{\"url\":\"no\"}]}";
    let output = |of: &str, file: &str, count| crate::bulk::Output { of: of.into(), file: file.into(), count };
    let outputs = vec![
        output("Patient", "Patient.000.ndjson", Some(3)),
        output("", "c.ndjson", None),
        output("Bundle", "del.ndjson", None),
    ];
    assert_eq!(bulk(manifest, false), Some(Bulk::Manifest(outputs)));
    for other in
        ["{\"output\":[{\"url\":\"a\"}]}", "{\"transactionTime\":\"x\",\"output\":1}", "[{\"output\":[]}]", "{}"]
    {
        assert_eq!(bulk(other, false), None, "{other}");
    }
    assert_eq!(bulk("{\"transactionTime\":\"x\",\"output\":[]}", false), Some(Bulk::Manifest(Vec::new())));
    let many = format!("{{\"transactionTime\":\"x\",\"output\":[{}{{}}]}}", "{\"url\":\"a\"},".repeat(5000));
    let told = read(&many, false);
    assert!(told.iter().any(|notice| notice.class == Class::NotInspected), "{told:?}");
}
