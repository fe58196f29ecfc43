//! What stands within a start tag: a name, attributes, references.

/// A start or empty tag.
pub struct Tag<'t> {
    /// Its name.
    pub name: &'t [u8],
    /// Its attributes in order: name, value as it stands there, and the value's place in the tag's text.
    pub attributes: Vec<(&'t [u8], &'t [u8], usize)>,
    /// Whether it ends itself.
    pub empty: bool,
}

/// Reads what stands between `<` and `>`.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &[u8]) -> Result<Tag<'_>, &'static str> {
    let (body, empty) = text.strip_suffix(b"/").map_or((text, false), |body| (body, true));
    let name = name(body).ok_or("a tag without a name")?;
    let mut tag = Tag { name, attributes: Vec::new(), empty };
    let mut at = name.len();
    loop {
        let spaces = body[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        at += spaces;
        let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(tag) };
        let attribute = self::name(rest).filter(|_| spaces > 0).ok_or("a tag with something that is no attribute")?;
        at += attribute.len();
        at += blanks(body, at);
        if body.get(at) != Some(&b'=') {
            return Err("an attribute without a value");
        }
        at += 1;
        at += blanks(body, at);
        let quote =
            body.get(at).copied().filter(|byte| matches!(byte, b'"' | b'\'')).ok_or("an attribute without quotes")?;
        let rest = body.get(at + 1..).unwrap_or_default();
        let length = memchr::memchr(quote, rest).ok_or("an attribute that does not end")?;
        let value = &rest[..length];
        if value.contains(&b'<') {
            return Err("a < within an attribute");
        }
        if tag.attributes.iter().any(|(other, ..)| *other == attribute) {
            return Err("an attribute that stands twice in a tag");
        }
        tag.attributes.push((attribute, value, at + 1));
        at += length + 2;
    }
}

fn blanks(text: &[u8], at: usize) -> usize {
    text.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The name that a text begins with; letters past ASCII are taken as they come.
pub fn name(text: &[u8]) -> Option<&[u8]> {
    let first = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || byte >= 128;
    let length =
        text.iter().take_while(|byte| first(**byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')).count();
    text.first().copied().filter(|byte| first(*byte)).map(|_| &text[..length])
}

/// The part of a name after its prefix.
pub fn local(name: &[u8]) -> &[u8] {
    name.iter().rposition(|byte| *byte == b':').map_or(name, |at| &name[at + 1..])
}

/// The byte that a reference stands for, between `&` and `;`; what is outside of ASCII is a letter as far as identifiers go.
///
/// # Errors
/// An entity that XML does not know by itself, or a character that none may have.
pub fn reference(text: &[u8]) -> Result<u8, &'static str> {
    let number = match text {
        b"lt" => return Ok(b'<'),
        b"gt" => return Ok(b'>'),
        b"amp" => return Ok(b'&'),
        b"apos" => return Ok(b'\''),
        b"quot" => return Ok(b'"'),
        [b'#', b'x', digits @ ..] => {
            std::str::from_utf8(digits).ok().and_then(|text| u32::from_str_radix(text, 16).ok())
        }
        [b'#', digits @ ..] => std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()),
        _ => return Err("an entity that is not declared"),
    };
    match number {
        Some(0) | Some(0xd800..=0xdfff) | Some(0x11_0000..) | None => Err("a reference to no character"),
        Some(number) => Ok(u8::try_from(number).ok().filter(u8::is_ascii).unwrap_or(0xff)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_with_their_attributes() {
        let tag = read(b"a:b x=\"1\" y = '>\"'/").unwrap();
        assert_eq!((tag.name, local(tag.name), tag.empty), (&b"a:b"[..], &b"b"[..], true));
        assert_eq!(tag.attributes, [(&b"x"[..], &b"1"[..], 7), (b"y", b">\"", 15)]);
        for bad in [
            "",
            " a",
            "1a",
            "a b",
            "a b=",
            "a b=c",
            "a b=\"c",
            "a b=\"<\"",
            "a b=\"1\"c=\"2\"",
            "a b='1' b='2'",
            "a =\"1\"",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn references_are_those_that_xml_knows() {
        assert_eq!(reference(b"amp"), Ok(b'&'));
        assert_eq!(reference(b"#49"), Ok(b'1'));
        assert_eq!(reference(b"#x31"), Ok(b'1'));
        assert_eq!(reference(b"#xe5"), Ok(0xff));
        for bad in ["", "nbsp", "#", "#0", "#x", "#xd800", "#x110000", "#-1"] {
            assert!(reference(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
