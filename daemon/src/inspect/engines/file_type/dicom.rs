//! DICOM files beyond their mark.

/// Whether a file begins with DICOM's data elements, without preamble and mark: group 2 or 8, ascending, in the explicit or
/// the implicit form.
pub fn without_preamble(head: &[u8]) -> bool {
    let Some((first, rest)) = element(head) else { return false };
    let Some((second, _)) = head.get(rest..).and_then(element) else { return false };
    matches!(first.0, 2 | 8) && first < second && matches!(second.0, 2 | 8)
}

/// Reads one little-endian data element: its tag, and where the next begins.
fn element(bytes: &[u8]) -> Option<((u16, u16), usize)> {
    let head: &[u8; 8] = bytes.first_chunk()?;
    let tag = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
    let kind = &head[4..6];
    let (start, length) = if kind.iter().all(u8::is_ascii_uppercase) {
        if [b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF"].iter().any(|long| kind == *long) {
            (12, u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?))
        } else {
            (8, u32::from(u16::from_le_bytes([head[6], head[7]])))
        }
    } else {
        (8, u32::from_le_bytes([head[4], head[5], head[6], head[7]]))
    };
    // The elements in question are short: identifiers, dates, a version.
    (length % 2 == 0 && length < 4096).then_some((tag, start + length as usize))
}

/// Whether a preamble holds the beginning of another format: a file that is two things at once.
pub fn hides(preamble: &[u8]) -> bool {
    let marks: [&[u8]; 8] = [b"MZ", b"\x7fELF", b"#!", b"PK\x03\x04", b"%PDF", b"<html", b"<scri", b"\xca\xfe\xba\xbe"];
    marks.iter().any(|mark| preamble.starts_with(mark))
}
