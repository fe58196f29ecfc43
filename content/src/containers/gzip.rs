//! The header of a gzip member (RFC 1952).

/// Bytes of a name or comment in a header; the extra field has at most 64 KiB by itself.
const MAX_TEXT: usize = 64 * 1024;

/// What begins a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header<'a> {
    /// It is not all there.
    More,
    /// It is none.
    Bad,
    /// It has so many bytes, and may state a name.
    Read { length: usize, name: Option<&'a [u8]> },
}

/// Reads a member's header.
pub(super) fn header(input: &[u8]) -> Header<'_> {
    let Some([0x1f, 0x8b, method, flags, ..]) = input.get(..10) else {
        return if input.len() < 10 { Header::More } else { Header::Bad };
    };
    if *method != 8 || flags & 0xe0 != 0 {
        return Header::Bad;
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(length) = input.get(at..).and_then(|rest| rest.first_chunk()) else { return Header::More };
        at += 2 + usize::from(u16::from_le_bytes(*length));
    }
    let mut texts = [None, None];
    for (text, flag) in texts.iter_mut().zip([8, 16]) {
        if flags & flag == 0 {
            continue;
        }
        let rest = input.get(at..).unwrap_or_default();
        match memchr::memchr(0, &rest[..rest.len().min(MAX_TEXT)]) {
            Some(end) => {
                *text = Some(&rest[..end]);
                at += end + 1;
            }
            None if rest.len() < MAX_TEXT => return Header::More,
            None => return Header::Bad,
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    if input.len() < at { Header::More } else { Header::Read { length: at, name: texts[0] } }
}

/// What ends a member: the CRC-32 and the length (modulo 2^32) of what it unpacks to.
pub(super) fn trailer(input: &[u8]) -> Option<(u32, u32)> {
    let crc = u32::from_le_bytes(*input.first_chunk()?);
    let length = u32::from_le_bytes(*input.get(4..)?.first_chunk()?);
    Some((crc, length))
}
