//! What messages of SSH and SFTP consist of (RFC 4251 section 5).

/// Reads a message from its front. Each part is none where the message ends before it.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// A boolean: anything but zero is true.
    pub fn flag(&mut self) -> Option<bool> {
        self.byte().map(|byte| byte != 0)
    }

    /// A number of four bytes.
    pub fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    /// A number of eight bytes.
    pub fn long(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*bytes))
    }

    /// Bytes, with their length in front.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// The same, as text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        self.take(count)
    }

    /// A positive number of any length, without the zero that keeps it positive.
    pub fn positive(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        match bytes {
            [0, rest @ ..] => Some(rest),
            [first, ..] if *first >= 0x80 => None,
            _ => Some(bytes),
        }
    }
}

/// Writes a message.
pub trait Write {
    /// A number of four bytes.
    fn put_number(&mut self, number: u32);
    /// A number of eight bytes.
    fn put_long(&mut self, number: u64);
    /// Bytes, with their length in front.
    fn put_string(&mut self, bytes: &[u8]);
    /// A positive number of any length.
    fn put_positive(&mut self, bytes: &[u8]);
}

impl Write for Vec<u8> {
    fn put_number(&mut self, number: u32) {
        self.extend(number.to_be_bytes());
    }

    fn put_long(&mut self, number: u64) {
        self.extend(number.to_be_bytes());
    }

    fn put_string(&mut self, bytes: &[u8]) {
        // Nothing that is written here comes near four gigabytes.
        self.put_number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.extend_from_slice(bytes);
    }

    fn put_positive(&mut self, bytes: &[u8]) {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let bytes = &bytes[first..];
        let sign = usize::from(bytes.first().is_some_and(|byte| *byte >= 0x80));
        self.put_number(u32::try_from(bytes.len() + sign).unwrap_or(u32::MAX));
        self.extend(std::iter::repeat_n(0, sign));
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_as_the_standard_shows_them() {
        let cases: [(&[u8], &[u8]); 4] = [
            (&[0], &[0, 0, 0, 0]),
            (&[9, 0xa3, 0x78], &[0, 0, 0, 3, 9, 0xa3, 0x78]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
            (&[0, 0, 0x7f], &[0, 0, 0, 1, 0x7f]),
        ];
        for (number, written) in cases {
            let mut bytes = Vec::new();
            bytes.put_positive(number);
            assert_eq!(bytes, written);
        }
        assert_eq!(Reader(&[0, 0, 0, 2, 0, 0x80]).positive(), Some(&[0x80][..]));
        assert_eq!(Reader(&[0, 0, 0, 1, 0x80]).positive(), None, "a negative one");
    }

    #[test]
    fn what_ends_too_early_is_nothing() {
        assert_eq!(Reader(&[0, 0, 0, 3, 1, 2]).string(), None);
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 1]).string(), None);
        assert_eq!((Reader(&[1, 2, 3]).number(), Reader(&[1; 7]).long(), Reader(&[]).byte()), (None, None, None));
    }
}
