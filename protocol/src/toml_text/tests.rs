use super::*;

#[test]
fn everything_wrong_is_told_at_once_with_its_line() {
    let text = "nmae = \"x\"\ncount = \"three\"\nwords = [\n  1,\n  \"b\",\n  false,\n]\n[extra]\n";
    let problems = read(text, 1000, |fields| {
        let name = fields.need("name", "\"x\"", text_of_ten);
        fields.need("other", "\"x\"", text_of_ten);
        let count = fields.need("count", "3", number::<u8>(1..=9));
        let words = fields.may("words", "[\"a\"]", list(3, text_of_ten));
        Some((name?, count?, words))
    });
    let found: Vec<_> = problems.unwrap_err().into_iter().map(|p| (p.line, p.message)).collect();
    let expected = [
        (0, "`other` is missing"),
        (1, "unknown field `nmae`"),
        (2, "`count` is text, not a whole number"),
        (4, "`words` is a number, not text"),
        (6, "`words` is true or false, not text"),
        (8, "unknown field `extra`"),
    ];
    assert_eq!(found, expected.map(|(line, message)| (line, message.to_owned())));
}

fn text_of_ten(value: &Value<'_>) -> Read<String> {
    text(10)(value)
}

#[test]
fn unknown_fields_are_named_with_the_one_that_was_meant() {
    let problems = read("a = 1\n[part]\nnmae = 1\nport = 2\n", 100, |fields| {
        fields.may_table("part", |part| {
            part.may("name", "1", number::<u8>(1..=9));
            part.may("other", "1", number::<u8>(1..=9))
        });
        Some(())
    });
    let found: Vec<_> = problems.unwrap_err().into_iter().map(|p| (p.line, p.message, p.hint)).collect();
    let expected = [
        (1, "unknown field `a`", "known here: part"),
        (3, "unknown field `part.nmae`", "did you mean `name`?"),
        (4, "unknown field `part.port`", "known here: name, other"),
    ];
    assert_eq!(found, expected.map(|(line, message, hint)| (line, message.to_owned(), hint.to_owned())));
}
