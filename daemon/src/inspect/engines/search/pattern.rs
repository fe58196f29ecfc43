//! One pattern of bytes, some of which may be anything.

/// Bytes of the longest pattern.
pub const MAX_BYTES: usize = 1024;

/// Fixed bytes in a row that each pattern must have: they are what is searched for.
pub const MIN_FIXED: usize = 4;

/// A pattern: each byte fixed or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    name: String,
    bytes: Vec<Option<u8>>,
    /// Where its longest run of fixed bytes lies.
    run: std::ops::Range<usize>,
}

impl Pattern {
    /// A pattern without any free byte.
    pub fn literal(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.into(), bytes: bytes.iter().copied().map(Some).collect(), run: 0..bytes.len() }
    }

    /// Reads a pattern from `hex`: pairs of hexadecimal digits, or `??` for any byte, with or without spaces.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str, hex: &str) -> Result<Self, String> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if digits.is_empty() || !digits.len().is_multiple_of(2) {
            return Err("a pattern is pairs of hexadecimal digits, or ?? for any byte".into());
        }
        if digits.len() / 2 > MAX_BYTES {
            return Err(format!("a pattern has at most {MAX_BYTES} bytes"));
        }
        let bytes: Vec<Option<u8>> = digits.chunks_exact(2).map(parse_byte).collect::<Result<_, _>>()?;
        let run = longest_run(&bytes);
        if run.len() < MIN_FIXED {
            return Err(format!("a pattern needs {MIN_FIXED} fixed bytes in a row somewhere"));
        }
        Ok(Self { name: name.into(), bytes, run })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that it covers.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Its longest run of fixed bytes.
    pub fn fixed(&self) -> Vec<u8> {
        self.bytes[self.run.clone()].iter().copied().flatten().collect()
    }

    /// Where the pattern begins in `text` when its fixed run stands at `at` and the rest agrees too.
    pub fn matches(&self, text: &[u8], at: usize) -> Option<usize> {
        let start = at.checked_sub(self.run.start)?;
        let here = text.get(start..start.checked_add(self.bytes.len())?)?;
        let agrees = self.bytes.iter().zip(here).all(|(wanted, byte)| wanted.is_none_or(|wanted| wanted == *byte));
        agrees.then_some(start)
    }
}

fn parse_byte(pair: &[u8]) -> Result<Option<u8>, String> {
    if pair == b"??" {
        return Ok(None);
    }
    let text = std::str::from_utf8(pair).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let byte = text.and_then(|text| u8::from_str_radix(text, 16).ok());
    byte.map(Some).ok_or_else(|| "neither two hexadecimal digits nor ??".into())
}

fn longest_run(bytes: &[Option<u8>]) -> std::ops::Range<usize> {
    let (mut longest, mut start) = (0..0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        if byte.is_none() {
            start = at + 1;
        } else if at + 1 - start > longest.len() {
            longest = start..at + 1;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_at_its_own_start_and_only_whole() {
        let pattern = Pattern::parse("p", "41??42 43444546??").unwrap();
        assert_eq!((pattern.fixed(), pattern.length()), (b"BCDEF".to_vec(), 8));
        assert_eq!(pattern.matches(b"-AxBCDEFy-", 3), Some(1));
        assert_eq!(pattern.matches(b"-AxBCDEF", 3), None);
        assert_eq!(pattern.matches(b"xBCDEFy", 1), None);
        assert_eq!(pattern.matches(b"-ZxBCDEFy-", 3), None);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for hex in ["", "4", "4g", "+1414141", "4142", "41 42 43 ?? 44 45 46", "é1é1", &"41".repeat(1025)] {
            assert!(Pattern::parse("p", hex).is_err(), "{hex}");
        }
    }
}
