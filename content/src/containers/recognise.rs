//! What kind of container a stream is, by its first bytes.

/// Bytes that it takes to tell: one block of a tar archive.
pub(super) const HEAD_BYTES: usize = 512;

/// What a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Zip,
    Tar,
    SevenZip,
    Compressed(Format),
    /// A container that nothing here opens; the sentence to say so.
    Closed(&'static str),
    Plain,
}

/// What holds one compressed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Gzip,
    Xz,
    Bzip2,
    Zstd,
}

impl Format {
    /// Whether a stream, or another one behind it, begins here; none when that takes more bytes.
    pub fn begins(self, head: &[u8]) -> Option<bool> {
        let fixed: &[u8] = match self {
            Self::Gzip => b"\x1f\x8b\x08",
            Self::Xz => b"\xfd7zXZ\0",
            Self::Bzip2 => b"BZh",
            Self::Zstd => return zstd_begins(head),
        };
        let common = fixed.len().min(head.len());
        if head[..common] != fixed[..common] {
            return Some(false);
        }
        (head.len() >= fixed.len()).then_some(true)
    }
}

/// A frame, or one that is to be skipped.
fn zstd_begins(head: &[u8]) -> Option<bool> {
    let mark = head.first_chunk::<4>()?;
    Some(mark == b"\x28\xb5\x2f\xfd" || (mark[0] & 0xf0 == 0x50 && mark[1..] == *b"\x2a\x4d\x18"))
}

/// Containers that are not opened.
const CLOSED: &[(usize, &[u8], &str)] = &[
    (0, b"Rar!\x1a\x07", "a RAR archive cannot be opened here"),
    (0, b"MSCF\0\0\0\0", "a Windows cabinet cannot be opened here"),
    (0, b"ISc(", "an InstallShield cabinet cannot be opened here"),
    (0, b"\x04\x22\x4d\x18", "LZ4 cannot be opened here"),
    (0, b"\x02\x21\x4c\x18", "LZ4 cannot be opened here"),
    (0, b"LZIP\x01", "lzip cannot be opened here"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop cannot be opened here"),
    (0, b"\xff\x06\0\0sNaPpY", "framed Snappy cannot be opened here"),
    (0, b"\x1f\x9d", "a file of compress cannot be opened here"),
    (0, b"\x1f\xa0", "a file of compress cannot be opened here"),
    (0, b"\x1f\x1e", "a file of pack cannot be opened here"),
    (0, b"!<arch>\n", "an ar archive cannot be opened here"),
    (0, b"070701", "a cpio archive cannot be opened here"),
    (0, b"070702", "a cpio archive cannot be opened here"),
    (0, b"070707", "a cpio archive cannot be opened here"),
    (0, b"\xc7\x71", "a cpio archive cannot be opened here"),
    (0, b"\x60\xea", "an ARJ archive cannot be opened here"),
    (2, b"-lh5-", "an LHA archive cannot be opened here"),
    (2, b"-lh7-", "an LHA archive cannot be opened here"),
    (0, b"xar!\0", "a xar archive cannot be opened here"),
    (0, b"MSWIM\0\0\0", "a Windows image cannot be opened here"),
    (0, b"hsqs", "a SquashFS image cannot be opened here"),
    (0, b"conectix", "a virtual disk cannot be opened here"),
    (0, b"vhdxfile", "a virtual disk cannot be opened here"),
    (0, b"QFI\xfb", "a virtual disk cannot be opened here"),
    (0, b"KDMV", "a virtual disk cannot be opened here"),
    (0, b"ITSF\x03\0\0\0", "a compiled help file cannot be opened here"),
    (0, b"\x78\x9f\x3e\x22", "a TNEF attachment (winmail.dat) cannot be opened here"),
    (7, b"**ACE**", "an ACE archive cannot be opened here"),
    (0, b"7kSt", "a ZPAQ archive cannot be opened here"),
    (0, b"zPQ\x01", "a ZPAQ archive cannot be opened here"),
];

/// Whether a stream is taken apart, or would be if that were known here; `head` is its first 512 bytes, or all of it.
pub fn is_container(head: &[u8]) -> bool {
    recognise(&head[..head.len().min(HEAD_BYTES)]) != Kind::Plain
}

/// Tells what a stream is; `head` is its first [`HEAD_BYTES`], or all of it.
pub(super) fn recognise(head: &[u8]) -> Kind {
    let starts = |marks: &[&[u8]]| marks.iter().any(|mark| head.starts_with(mark));
    if starts(&[b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04"]) {
        return Kind::Zip;
    }
    if starts(&[b"7z\xbc\xaf\x27\x1c"]) {
        return Kind::SevenZip;
    }
    // A text may begin with bzip2's three letters.
    let bzip2 = matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..]);
    for format in [Format::Gzip, Format::Xz, Format::Zstd] {
        if format.begins(head) == Some(true) {
            return Kind::Compressed(format);
        }
    }
    if bzip2 {
        return Kind::Compressed(Format::Bzip2);
    }
    if super::tar::begins(head) {
        return Kind::Tar;
    }
    let closed = CLOSED.iter().find(|(offset, mark, _)| head.get(*offset..).is_some_and(|head| head.starts_with(mark)));
    match closed {
        Some((_, mark, text)) if mark.len() > 2 || fits(head) => Kind::Closed(text),
        _ => Kind::Plain,
    }
}

/// Whether what follows a mark of two bytes is what its format has there: so short a mark begins one in 65,536 files of other kinds by
/// chance, and texts in other encodings.
fn fits(head: &[u8]) -> bool {
    let number = |at: usize| head.get(at..at + 2).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
    match head {
        // compress: bits of a code, 9 to 16; two flags that nobody has given a meaning.
        [0x1f, 0x9d, flags, ..] => flags & 0x60 == 0 && (9..=16).contains(&(flags & 0x1f)),
        // pack: levels of the tree, after the length.
        [0x1f, 0x1e, _, _, _, _, levels, ..] => (1..=24).contains(levels),
        // cpio: a kind of file that there is, and the length of a path.
        [0xc7, 0x71, ..] => {
            matches!(number(6) >> 12, 1 | 2 | 4 | 6 | 8 | 9 | 10 | 12) && (1..=4096).contains(&number(20))
        }
        // ARJ: the header's length, and that of its first part.
        [0x60, 0xea, ..] => (30..=2600).contains(&number(2)) && head.get(4).is_some_and(|first| *first >= 30),
        _ => head.get(2..8).is_some_and(|rest| !rest.is_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a file with these bytes at its beginning, and nothing but `fill` behind them.
    fn start(bytes: &[u8], fill: u8) -> [u8; HEAD_BYTES] {
        let mut head = [fill; HEAD_BYTES];
        head[..bytes.len()].copy_from_slice(bytes);
        head
    }

    #[test]
    fn a_short_mark_is_one_when_what_follows_fits() {
        let mut cpio = start(b"\xc7\x71\x01\x08\x02\x00\xa4\x81", 0);
        cpio[20] = 6;
        let arj = start(b"\x60\xea\x2b\x00\x22\x0b\x01\x0b\x10\x00\x02", 0);
        let pack = start(b"\x1f\x1e\x00\x00\x10\x00\x08", b'a');
        for head in [start(b"\x1f\x9d\x90", 0), start(b"\x1f\x9d\x10", b'a'), pack, cpio, arj, start(b"\x1f\xa0", 0xee)]
        {
            assert!(matches!(recognise(&head), Kind::Closed(_)), "{:02x?}", &head[..24]);
        }
    }

    #[test]
    fn a_file_that_begins_like_one_by_chance_is_none() {
        for mark in [b"\x1f\x9d", b"\x1f\x1e", b"\xc7\x71", b"\x60\xea"] {
            assert_eq!(recognise(&start(mark, 0xee)), Kind::Plain, "{mark:02x?}");
            assert_eq!(recognise(mark), Kind::Plain, "{mark:02x?} alone");
        }
        assert_eq!(recognise(&start(b"\x1f\xa0", b'a')), Kind::Plain);
    }
}
