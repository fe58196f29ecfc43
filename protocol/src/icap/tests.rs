use super::*;
use proptest::prelude::*;

fn head(text: &str) -> Result<Head, Wrong> {
    let text = text.replace('\n', "\r\n");
    Head::read(text.as_bytes()).map(|read| read.unwrap().0)
}

fn answer(text: &str) -> Result<Answer, Wrong> {
    head(text).and_then(|head| head.answer())
}

const OPTIONS: &str =
    "ICAP/1.0 200 OK\nMethods: REQMOD, RESPMOD\nService: Scanner 1.0\nISTag: \"A-1\"\nAllow: 204\nPreview: 1024\n\n";

#[test]
fn only_204_with_a_tag_is_unchanged() {
    assert_eq!(answer("ICAP/1.0 204 No Content\nISTag: \"A-1\"\n\n"), Ok(Answer::Unchanged("A-1".into())));
    assert_eq!(answer("ICAP/1.0 100 Continue\n\n"), Ok(Answer::Continue));
    assert_eq!(answer("ICAP/1.0 200 OK\nISTag: \"A-1\"\n\n"), Ok(Answer::Changed));
    for wrong in [
        "ICAP/1.0 204 No Content\n\n",
        "ICAP/1.0 204 No Content\nISTag: \"A\"\nISTag: \"B\"\n\n",
        "ICAP/1.0 201 Created\nISTag: \"A\"\n\n",
        "ICAP/1.0 404 Not found\nISTag: \"A\"\n\n",
        "ICAP/1.0 500 Error\nISTag: \"A\"\n\n",
        "ICAP/1.0 20 OK\nISTag: \"A\"\n\n",
        "ICAP/1.0 2045 OK\nISTag: \"A\"\n\n",
        "ICAP/2.0 204 OK\nISTag: \"A\"\n\n",
        "HTTP/1.1 204 OK\nISTag: \"A\"\n\n",
        "ICAP/1.0 204 OK\nISTag \"A\"\n\n",
        "ICAP/1.0 204 OK\n folded\nISTag: \"A\"\n\n",
        "ICAP/1.0 204 OK\nIS\u{7}Tag: \"A\"\n\n",
    ] {
        assert!(answer(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_found_has_the_services_name_for_it() {
    let found = |fields: &str| answer(&format!("ICAP/1.0 200 OK\nISTag: \"A\"\n{fields}\n\n"));
    let name = |name: &str| Ok(Answer::Found(name.into()));
    assert_eq!(found("X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test;"), name("Eicar-Test"));
    assert_eq!(found("X-Virus-ID: Win.Test"), name("Win.Test"));
    assert_eq!(found("X-Violations-Found: 1\n\t-\n\tEicar\n\t0\n\t0"), name("1 - Eicar 0 0"));
    assert_eq!(found("X-Infection-Found:"), name("(no name)"));
    // What names something is not clean, whatever its number.
    assert_eq!(answer("ICAP/1.0 204 OK\nISTag: \"A\"\nX-Virus-ID: X\n\n"), name("X"));
}

#[test]
fn a_service_must_answer_204_and_say_its_state() {
    let options = |text: &str| head(text).and_then(|head| head.options());
    let good = Options { name: "Scanner 1.0".into(), tag: "A-1".into(), preview: Some(1024) };
    assert_eq!(options(OPTIONS), Ok(good));
    assert_eq!(options(&OPTIONS.replace("1024", "9999999")).unwrap().preview, Some(MAX_PREVIEW));
    assert_eq!(options(&OPTIONS.replace("Preview: 1024\n", "")).unwrap().preview, None);
    for (from, to) in [("204", "206"), ("RESPMOD", "FILEMOD"), ("ISTag", "Tag"), ("200", "404"), ("1024", "many")] {
        assert!(options(&OPTIONS.replace(from, to)).is_err(), "{from}");
    }
}

#[test]
fn a_request_says_where_its_parts_lie() {
    let service: Service = "icap://scanner:1344/avscan?x=1".parse().unwrap();
    assert_eq!(service.to_string(), "icap://scanner:1344/avscan?x=1");
    let text = String::from_utf8(service.respmod(70, Some(69))).unwrap();
    let (head, parts) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("RESPMOD icap://scanner:1344/avscan?x=1 ICAP/1.0\r\nHost: scanner:1344\r\n"), "{head}");
    assert!(head.contains("\r\nPreview: 69\r\n") && head.contains("\r\nAllow: 204\r\n"), "{head}");
    let place = |name: &str| {
        let after = head.split_once(name).unwrap().1;
        after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(place("req-hdr="), 0);
    assert!(parts[place("res-hdr=")..].starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(place("res-body="), parts.len());
    for wrong in
        ["icap://", "icap://a", "icap://a/", "http://a/b", "icap://a/b c", "icap://a b/c", "icap://a/b\r\nX: y"]
    {
        assert!(wrong.parse::<Service>().is_err(), "{wrong}");
    }
}

#[test]
fn a_head_that_does_not_end_is_none() {
    let long = format!("ICAP/1.0 204 OK\r\nX: {}", "x".repeat(MAX_HEAD));
    assert!(Head::read(long.as_bytes()).is_err());
    assert!(Head::read(&long.as_bytes()[..MAX_HEAD - 1]).unwrap().is_none());
    assert!(Head::read(b"nonsense").is_err() && Head::read(b"").unwrap().is_none());
    let many = format!("ICAP/1.0 204 OK\r\n{}\r\n", "X: y\r\n".repeat(MAX_FIELDS + 1));
    assert!(Head::read(many.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn a_head_is_read_the_same_however_it_comes(more in proptest::collection::vec(any::<u8>(), 0..50), cut in 0usize..200) {
        let whole = OPTIONS.replace('\n', "\r\n");
        let bytes = [whole.as_bytes(), &more].concat();
        let (head, length) = Head::read(&bytes).unwrap().unwrap();
        prop_assert_eq!(length, whole.len());
        prop_assert_eq!(head.options().unwrap().tag, "A-1");
        let cut = cut.min(whole.len() - 1);
        prop_assert_eq!(Head::read(&bytes[..cut]), Ok(None));
    }

    #[test]
    fn anything_is_taken_and_what_is_stated_is_bounded(
        start in prop_oneof![Just("ICAP/1.0 200 OK\r\n"), Just("ICAP/1.0 204 \r\nISTag: "), Just("X-Virus-ID: "), Just("")],
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start.as_bytes(), &bytes, b"\r\n\r\n"].concat();
        if let Ok(Some((head, length))) = Head::read(&bytes) {
            prop_assert!(length <= bytes.len());
            if let Ok(Answer::Found(name) | Answer::Unchanged(name)) = head.answer() {
                prop_assert!(name.chars().count() <= MAX_STATED && !name.chars().any(char::is_control));
            }
            let _ = head.options();
        }
    }
}
