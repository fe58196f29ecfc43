//! Snappy's raw format, as Parquet's pages have it: a length, then literal bytes and copies of what came before.

/// Unpacks `packed` into exactly `length` bytes; `None` when it is not that.
pub fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let (stated, mut rest) = varint(packed)?;
    if stated != length as u64 {
        return None;
    }
    let mut out = Vec::with_capacity(length.min(packed.len().saturating_mul(64)));
    while let [tag, after @ ..] = rest {
        rest = after;
        if tag & 3 == 0 {
            let mut size = usize::from(tag >> 2);
            if size >= 60 {
                let bytes = size - 59;
                size = number(rest.get(..bytes)?);
                rest = &rest[bytes..];
            }
            let literal = rest.get(..size + 1)?;
            rest = &rest[size + 1..];
            if out.len() + literal.len() > length {
                return None;
            }
            out.extend_from_slice(literal);
            continue;
        }
        let bytes = [1, 2, 4][usize::from(tag & 3) - 1];
        let far = number(rest.get(..bytes)?);
        rest = &rest[bytes..];
        let (size, far) = match tag & 3 {
            1 => (4 + usize::from(tag >> 2 & 7), far | usize::from(tag >> 5) << 8),
            _ => (1 + usize::from(tag >> 2), far),
        };
        let from = out.len().checked_sub(far).filter(|_| far > 0 && out.len() + size <= length)?;
        // A copy may reach into what it writes.
        (from..from + size).for_each(|at| out.push(out[at]));
    }
    (out.len() == length).then_some(out)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies_are_unpacked_and_nothing_beyond_the_stated_length() {
        assert_eq!(unpack(b"\x07\x08abc\x01\x03", 7).as_deref(), Some(&b"abcabca"[..]));
        assert_eq!(unpack(b"\x07\x08abc\x0e\x03\0", 7).as_deref(), Some(&b"abcabca"[..]));
        for wrong in
            [&b""[..], b"\x07", b"\x03\x08ab", b"\x07\x08abc\x01\x04", b"\x07\x08abc\x01\x00", b"\x04\x08abc\x01\x03"]
        {
            assert_eq!(unpack(wrong, 7).or(unpack(wrong, 4)).or(unpack(wrong, 3)), None, "{wrong:?}");
        }
    }
}
