//! Regular expressions in agreements: checked when the agreement is, matched in time linear to the text.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Bytes of the longest match that is certain to be found.
pub const MAX_MATCH_BYTES: usize = 1024;

/// Bytes of the longest pattern.
const MAX_PATTERN_BYTES: usize = 1000;

/// Bytes that a compiled pattern may take, and those of the table that matching builds.
const SIZE_LIMIT: usize = 1 << 20;
const TABLE_LIMIT: usize = 4 << 20;

/// Groups within groups.
const NEST_LIMIT: u32 = 50;

/// The text of a regular expression (syntax of the crate `regex`) that compiles within bounds and does not match nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Longer than a thousand bytes.
    #[error("a pattern has at most {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    /// Not a regular expression.
    #[error("no regular expression: {0}")]
    Syntax(String),
    /// It would take too much memory.
    #[error("it takes too much memory: its repetitions are too long")]
    TooLarge,
    /// It matches the empty text: everywhere.
    #[error("it matches the empty text, so it would be found everywhere")]
    MatchesNothing,
}

impl Pattern {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compiles it to be looked for: `^` and `$` are the borders of lines.
    ///
    /// # Errors
    /// [`BadPattern`]: never, for one that was read; a caller that cannot go on without must still fail closed.
    pub fn search(&self) -> Result<regex::bytes::Regex, BadPattern> {
        compile(&self.0, true)
    }

    /// Compiles it to match whole values.
    ///
    /// # Errors
    /// As [`Pattern::search`].
    pub fn whole(&self) -> Result<regex::bytes::Regex, BadPattern> {
        compile(&format!(r"\A(?:{})\z", self.0), false)
    }
}

fn compile(text: &str, lines: bool) -> Result<regex::bytes::Regex, BadPattern> {
    let mut builder = regex::bytes::RegexBuilder::new(text);
    let builder = builder.size_limit(SIZE_LIMIT).dfa_size_limit(TABLE_LIMIT).nest_limit(NEST_LIMIT).multi_line(lines);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => BadPattern::TooLarge,
        // The last line of the message says what is wrong; those before it draw where.
        other => BadPattern::Syntax(other.to_string().lines().last().unwrap_or_default().trim().to_owned()),
    })
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(BadPattern::TooLong);
        }
        let pattern = Self(text.to_owned());
        pattern.whole()?;
        if pattern.search()?.is_match(b"") {
            return Err(BadPattern::MatchesNothing);
        }
        Ok(pattern)
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_cannot_work_is_refused_with_the_reason() {
        let bad = |text: &str| text.parse::<Pattern>().unwrap_err();
        assert_eq!(bad("x*"), BadPattern::MatchesNothing);
        assert_eq!(bad(&"x".repeat(MAX_PATTERN_BYTES + 1)), BadPattern::TooLong);
        assert_eq!(bad("(a{1000}){1000}"), BadPattern::TooLarge);
        assert!(matches!(bad("(a"), BadPattern::Syntax(_)), "{}", bad("(a"));
        // A bracket that closes the one around a whole match.
        assert!(matches!(bad("a)|(?:b"), BadPattern::Syntax(_)));
        assert!(matches!(bad(&"(".repeat(400)), BadPattern::Syntax(_)));
    }

    #[test]
    fn whole_values_match_whole() {
        let pattern: Pattern = "P[0-9]{3}|x".parse().unwrap();
        let whole = pattern.whole().unwrap();
        assert!(whole.is_match(b"P123") && whole.is_match(b"x"));
        assert!(!whole.is_match(b"P1234") && !whole.is_match(b"P123\n") && !whole.is_match(b"ax"));
    }
}
