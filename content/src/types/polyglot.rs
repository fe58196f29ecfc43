//! Files that are of two types at once.

use sluse_protocol::types::FileType;

/// How far into a file readers look for a PDF document's mark.
const PDF_ROOM: usize = 1024;

/// Bytes of a ZIP archive's end record before its comment.
const ZIP_END: usize = 22;

/// What else a file of these types is, if anything. ZIP archives in the middle of a file, or with long comments, are
/// found where containers are opened.
pub fn other(types: &[FileType], head: &[u8], tail: &[u8]) -> Option<&'static str> {
    let likeliest = types.first()?;
    if *likeliest != FileType::Pdf && holds_pdf(head) && memchr::memmem::find(tail, b"%%EOF").is_some() {
        return Some("a PDF document as well: readers look for its beginning within the first kilobyte");
    }
    let archive = head.starts_with(b"PK");
    (!archive && ends_as_zip(tail)).then_some("a ZIP archive as well: programs find its directory from the end")
}

fn holds_pdf(head: &[u8]) -> bool {
    let start = &head[..head.len().min(PDF_ROOM)];
    let digits = |place: usize| matches!(head.get(place + 5..place + 8), Some([b'1' | b'2', b'.', b'0'..=b'9']));
    memchr::memmem::find_iter(start, b"%PDF-").any(digits)
}

fn ends_as_zip(tail: &[u8]) -> bool {
    memchr::memmem::rfind(tail, b"PK\x05\x06").is_some_and(|place| {
        let end = &tail[place..];
        let comment = end.get(20..22).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
        comment.is_some_and(|comment| end.len() == ZIP_END + comment)
    })
}
