//! DICOM files beyond their mark.

/// Whether a file begins with DICOM's data elements, without preamble and mark: two of group 2 or 8, ascending, in the
/// explicit or the implicit form.
pub fn without_preamble(head: &[u8]) -> bool {
    begins(head, u16::from_le_bytes, u32::from_le_bytes) || begins(head, u16::from_be_bytes, u32::from_be_bytes)
}

fn begins(head: &[u8], short: fn([u8; 2]) -> u16, long: fn([u8; 4]) -> u32) -> bool {
    let Some((first, rest)) = element(head, short, long) else { return false };
    let Some((second, _)) = head.get(rest..).and_then(|rest| element(rest, short, long)) else { return false };
    matches!(first.0, 2 | 8) && first < second && matches!(second.0, 2 | 8)
}

/// Reads one data element: its tag, and where the next begins.
fn element(bytes: &[u8], short: fn([u8; 2]) -> u16, long: fn([u8; 4]) -> u32) -> Option<((u16, u16), usize)> {
    let [a, b, c, d, kind @ .., g, h] = *bytes.first_chunk::<8>()?;
    let tag = (short([a, b]), short([c, d]));
    let (start, length) = if kind.iter().all(u8::is_ascii_uppercase) {
        if [*b"OB", *b"OW", *b"UN", *b"SQ", *b"UT", *b"OF"].contains(&kind) {
            (12, long(*bytes.get(8..)?.first_chunk()?))
        } else {
            (8, u32::from(short([g, h])))
        }
    } else {
        (8, long([kind[0], kind[1], g, h]))
    };
    // The elements in question are short: identifiers, dates, a version.
    (length.is_multiple_of(2) && length < 4096).then_some((tag, start + length as usize))
}

/// Whether a preamble holds the beginning of another format: a file that is two things at once.
pub fn hides(preamble: &[u8]) -> bool {
    let marks: [&[u8]; 8] = [b"MZ", b"\x7fELF", b"#!", b"PK\x03\x04", b"%PDF", b"<html", b"<scri", b"\xca\xfe\xba\xbe"];
    marks.iter().any(|mark| preamble.starts_with(mark))
}
