//! How SAS packs the rows of a data set, each by itself: by runs of one byte (`COMPRESS=CHAR`), or by runs and by what came before in
//! the row (`COMPRESS=BINARY`, Ross's data compression).

/// How rows are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// `SASYZCRL`.
    Runs,
    /// `SASYZCR2`.
    Repeats,
}

impl Packing {
    /// The packing that a data set's texts name.
    pub fn named_in(text: &[u8]) -> Option<Self> {
        let names = |mark: &[u8]| memchr::memmem::find(text, mark).is_some();
        if names(b"SASYZCRL") {
            return Some(Self::Runs);
        }
        names(b"SASYZCR2").then_some(Self::Repeats)
    }

    /// A row of `row` bytes; none where what is packed is damaged.
    pub fn unpack(self, packed: &[u8], row: usize) -> Option<Vec<u8>> {
        let (mut input, mut out) = (Input(packed), Out { bytes: Vec::with_capacity(row), row });
        match self {
            Self::Runs => runs(&mut input, &mut out)?,
            Self::Repeats => repeats(&mut input, &mut out)?,
        }
        (out.bytes.len() == row).then_some(out.bytes)
    }
}

/// Bytes that hold a control and a length at least: a byte whose first half says what to do, and whose second half is a part of how often.
fn runs(input: &mut Input<'_>, out: &mut Out) -> Option<()> {
    while let Some(control) = input.byte() {
        let (what, length) = (control >> 4, usize::from(control & 15));
        match what {
            0 | 1 => {
                let count = 64 + 4096 * usize::from(what) + 256 * length + input.number()?;
                out.copy(input.take(count)?)?;
            }
            2 => out.copy(input.take(96 + length)?)?,
            4 => {
                let count = 18 + 16 * length + input.number()?;
                out.fill(input.byte()?, count)?;
            }
            5..=7 => out.fill(b"@ \0"[usize::from(what) - 5], 17 + 256 * length + input.number()?)?,
            8..=11 => out.copy(input.take(1 + 16 * (usize::from(what) - 8) + length)?)?,
            12 => out.fill(input.byte()?, 3 + length)?,
            13..=15 => out.fill(b"@ \0"[usize::from(what) - 13], 2 + length)?,
            _ => return None,
        }
    }
    Some(())
}

/// Sixteen bits, each for a byte as it is (0) or for a code (1); then those.
fn repeats(input: &mut Input<'_>, out: &mut Out) -> Option<()> {
    let (mut bits, mut left) = (0u16, 0);
    while !input.0.is_empty() {
        if left == 0 {
            (bits, left) = (u16::from_be_bytes([input.byte()?, input.byte()?]), 16);
            continue;
        }
        (left, bits) = (left - 1, bits.rotate_left(1));
        if bits & 1 == 0 {
            out.fill(input.byte()?, 1)?;
            continue;
        }
        let code = input.byte()?;
        let (what, low) = (code >> 4, usize::from(code & 15));
        match what {
            0 => out.fill(input.byte()?, 3 + low)?,
            1 => {
                let count = 19 + low + 16 * input.number()?;
                out.fill(input.byte()?, count)?;
            }
            _ => {
                let back = 3 + low + 16 * input.number()?;
                let count = if what == 2 { 16 + input.number()? } else { usize::from(what) };
                out.again(back, count)?;
            }
        }
    }
    Some(())
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn number(&mut self) -> Option<usize> {
        self.byte().map(usize::from)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        self.0.split_off(..count)
    }
}

/// A row as far as it is unpacked.
struct Out {
    bytes: Vec<u8>,
    row: usize,
}

impl Out {
    fn copy(&mut self, bytes: &[u8]) -> Option<()> {
        self.fits(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Some(())
    }

    fn fill(&mut self, byte: u8, count: usize) -> Option<()> {
        self.fits(count)?;
        self.bytes.resize(self.bytes.len() + count, byte);
        Some(())
    }

    /// What stood `back` bytes before the end, again; it may go on into what is repeated.
    fn again(&mut self, back: usize, count: usize) -> Option<()> {
        self.fits(count)?;
        let start = self.bytes.len().checked_sub(back)?;
        for at in start..start + count {
            self.bytes.push(*self.bytes.get(at)?);
        }
        Some(())
    }

    fn fits(&self, count: usize) -> Option<()> {
        (count <= self.row - self.bytes.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_control_of_runs_is_read() {
        let unpack = |packed: &[u8], row| Packing::Runs.unpack(packed, row);
        // The two examples of the format's description.
        let first = [&b"\x87ABCDEFGH\xf2\x8a123456789AB\xd0\xa1"[..], &[b'x'; 34]].concat();
        let whole = [&b"ABCDEFGH\0\0\0\x00123456789AB@@"[..], &[b'x'; 34]].concat();
        assert_eq!(unpack(&first, whole.len()), Some(whole));
        assert_eq!(unpack(b"\x80A\xc1\x99", 5), Some(b"A\x99\x99\x99\x99".to_vec()));
        let text = vec![b't'; 6000];
        for (head, count) in [(&b"\x01\x02"[..], 322), (b"\x10\x05", 4165), (b"\x21", 97), (b"\x9f", 32), (b"\xb0", 49)]
        {
            assert_eq!(unpack(&[head, &text[..count]].concat(), count), Some(text[..count].to_vec()), "{head:02x?}");
        }
        for (packed, byte, count) in [
            (&b"\x41\x01z"[..], b'z', 35),
            (b"\x51\x00", b'@', 273),
            (b"\x60\x03", b' ', 20),
            (b"\x70\x00", 0, 17),
            (b"\xef", b' ', 17),
        ] {
            assert_eq!(unpack(packed, count), Some(vec![byte; count]), "{packed:02x?}");
        }
    }

    #[test]
    fn each_code_of_repeats_is_read() {
        let unpack = |packed: &[u8], row| Packing::Repeats.unpack(packed, row);
        // Three bytes as they are, then those again twice over, a short run, a long one and a long repetition.
        let packed = b"\x1f\0abc\x60\0\x01x\x10\0y\x22\0\x01\x70\0";
        let made = unpack(packed, 3 + 6 + 4 + 19 + 17 + 7);
        let whole = [&b"abcabcabcxxxx"[..], &[b'y'; 19 + 17 + 7]].concat();
        assert_eq!(made, Some(whole));
    }

    #[test]
    fn what_is_damaged_unpacks_to_nothing_and_never_to_more_than_a_row() {
        for packing in [Packing::Runs, Packing::Repeats] {
            for packed in [&b"\x30"[..], b"\x00", b"\xaf", b"\x40\xff", b"\x7f\xff", b"\xff\xffab", b"\x80\0\x20\x00"] {
                assert_eq!(packing.unpack(packed, 10), None, "{packing:?} {packed:02x?}");
            }
        }
    }
}
