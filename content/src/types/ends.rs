//! What a whole file of a type must end with: cheap and certain signs of one that was cut off.

use sluse_protocol::types::FileType::{self, *};

/// The empty block that ends every BGZF file.
const BGZF_END: &[u8] = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0\x03\0\0\0\0\0\0\0\0\0";

/// What is wrong with the end (or the length) of a file of type `one`, if anything. `tail` is its last bytes.
pub fn check(one: FileType, head: &[u8], tail: &[u8], size: u64) -> Option<&'static str> {
    let text = tail.trim_ascii_end();
    let good = match one {
        Parquet => (tail.ends_with(b"PAR1") || tail.ends_with(b"PARE")) && size >= 12,
        Arrow => !head.starts_with(b"ARROW1") || tail.ends_with(b"ARROW1"),
        Dta if head.starts_with(b"<stata_dta>") => text.ends_with(b"</stata_dta>"),
        Png => tail.windows(4).any(|window| window == b"IEND"),
        Gzip => size >= 18,
        Bgzf | Bam | Bcf if head.starts_with(b"\x1f\x8b") => tail.ends_with(BGZF_END),
        // Nothing but white space may be all that is kept.
        Json | Ndjson if !text.is_empty() => closes(head, text),
        Xml | Svg if !text.is_empty() && !wide(head) => text.ends_with(b">"),
        _ => true,
    };
    (!good).then_some("the file does not end as its format requires: it may have been cut off")
}

fn closes(head: &[u8], end: &[u8]) -> bool {
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match start.first() {
        Some(b'{') => end.ends_with(b"}"),
        Some(b'[') => end.ends_with(b"]"),
        _ => true,
    }
}

fn wide(head: &[u8]) -> bool {
    head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff")
}
