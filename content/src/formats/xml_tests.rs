use super::*;
use crate::testing::{classes, cut, every_cut, policy_with, resident};
use crate::text::Text;
use proptest::prelude::*;
use sluse_protocol::agreement::Content;

fn read(text: &str) -> Vec<Notice> {
    let policy = policy_with(Content::default());
    every_cut(|| Text::new(Xml::new(&policy), false), text.as_bytes())
}

#[track_caller]
fn only(notices: &[Notice], class: Class, part: &str) {
    assert_eq!(classes(notices), [class], "{notices:?}");
    assert!(notices[0].message.contains(part), "{notices:?}");
}

#[test]
fn documents_as_the_standard_has_them_are_read() {
    let good = [
        "<a/>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- x -- y --->\n<a:b c='>' d=\"'\">t<e>&amp;&#49;</e ><![CDATA[<x>]]]></a:b>\n",
        "\u{feff}<a>blåbær</a>",
        "<a><?pi ? ?><!----></a>",
        "<æ ø=\"å\"/>",
    ];
    for text in good {
        assert_eq!(read(text), [], "{text}");
    }
}

#[test]
fn what_is_not_well_formed_is_malformed_once() {
    let bad = [
        "",
        "x",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "</a>",
        "<a b></a>",
        "<a b=\"1\" b=\"2\"/>",
        "<a>&nbsp;</a>",
        "<a b=\"&x;\"/>",
        "<a b=\"&\"/>",
        "<a>&#0;</a>",
        "<a>& b</a>",
        "<a",
        "<a><!-- x",
        "<a><![CDATA[x</a>",
        "<![CDATA[x]]>",
        "<a><!ELEMENT b></a>",
        "< a/>",
        "<a>&amp</a>",
        "<a b='1",
        "&amp;<a/>",
    ];
    for text in bad {
        assert_eq!(classes(&read(text)), [Class::Malformed], "{text}");
    }
    only(&read(&"<a>".repeat(1000)), Class::Malformed, "too deep");
}

#[test]
fn a_document_type_is_refused_before_anything_of_it_is_read() {
    let lol = "<!DOCTYPE a [<!ENTITY x \"y\"><!ENTITY z \"&x;&x;\">]><a>&z;</a>";
    only(&read(lol), Class::Malformed, "document type");
    only(&read("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), Class::Malformed, "document type");
}

#[test]
fn a_number_blocks_where_its_element_or_the_one_around_says_what_it_is() {
    let n = resident(0);
    let national = [
        format!("<Ident><Id>{n}</Id><TypeId V=\"FNR\" DN=\"F\"/></Ident>"),
        format!("<Ident><TypeId V=\"FNR\"/><Id>{n}</Id></Ident>"),
        format!("<id root=\"2.16.578.1.12.4.1.4.1\" extension=\"{n}\"/>"),
        format!("<id extension=\"{n}\" root=\"2.16.578.1.12.4.1.4.1\"/>"),
        format!("<identifier><system value=\"urn:oid:2.16.578.1.12.4.1.4.2\"/><value value=\"{n}\"/></identifier>"),
        format!("<Pasient><Fodselsnummer>{n}</Fodselsnummer></Pasient>"),
        format!("<p fnr=\"{n}\"/>"),
        format!("<p><fnr><![CDATA[{n}]]></fnr></p>"),
        format!("<p><fnr>{}<![CDATA[{}]]></fnr></p>", &n[..5], &n[5..]),
        format!("<p><fnr>{}&#{};{}</fnr></p>", &n[..5], n.as_bytes()[5], &n[6..]),
    ];
    for inner in national {
        let notices = read(&format!("<m>{inner}</m>"));
        assert_eq!(classes(&notices), [Class::Identifier], "{inner} {notices:?}");
        assert!(!notices[0].message.contains(&n[..5]), "{notices:?}");
    }
    for inner in
        [format!("<t>{n}</t>"), format!("<x V=\"FNR\"><y/></x><a><b>{n}</b></a>"), format!("<!-- {n} --><?p {n} ?>")]
    {
        assert_eq!(classes(&read(&format!("<m>{inner}</m>")))[0], Class::IdentifierReview, "{inner}");
    }
    let text = format!("<m><t>se {n}</t></m>");
    let notices = read(&text);
    assert_eq!(notices[0].offset, Some(text.find(&n).unwrap() as u64));
    assert!(notices[0].message.starts_with("m/t: "), "{notices:?}");
}

#[test]
fn what_stands_in_a_broken_document_is_still_looked_through() {
    let n = resident(0);
    for text in [format!("<a>{n}"), format!("<a>x</b>{n}"), format!("<a b=\"{n}"), n.clone(), format!("<a>{n}&x;</a>")]
    {
        assert_eq!(classes(&read(&text)), [Class::Malformed, Class::IdentifierReview], "{text}");
    }
}

#[test]
fn a_subject_key_must_be_a_pseudonym() {
    let policy = policy_with(Content { pseudonym: Some("P[0-9]{3}".parse().unwrap()), ..Content::default() });
    let read = |key: &str| {
        let text = format!("<ODM><SubjectData SubjectKey=\"{key}\"/></ODM>");
        every_cut(|| Text::new(Xml::new(&policy), false), text.as_bytes())
    };
    assert_eq!(read("P017"), []);
    only(&read("Ola Nordmann"), Class::NotDeidentified, "SubjectKey");
}

proptest! {
    #[test]
    fn cutting_changes_nothing(
        text in "(<a>|</a>|<b c=\"[0-9]{11}\"/>|<!--|-->|-|\\]|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|&amp;|&#49;|&|[0-9]{11}|<|>|ø|\"){0,30}",
        cuts in proptest::collection::vec(0usize..20, 0..20),
    ) {
        let policy = policy_with(Content::default());
        let text = format!("<a><fnr>{}</fnr>{text}", resident(1));
        let xml = || Text::new(Xml::new(&policy), false);
        prop_assert_eq!(cut(xml, text.as_bytes(), &cuts), cut(xml, text.as_bytes(), &[]));
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let policy = policy_with(Content::default());
        every_cut(|| Text::new(Xml::new(&policy), false), &bytes);
    }
}
