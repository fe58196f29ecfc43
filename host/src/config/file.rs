//! A configuration's file: read whole and bounded, with what is wrong told by file and line.

use crate::files;
use sluse_protocol::toml_text::Problem;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the longest configuration.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// A configuration that cannot be used: file, line, what is wrong, what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", file.display(), at(*line))]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line from 1; 0 when it is about the whole file.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

fn at(line: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

impl ConfigError {
    /// About a file that cannot be used at all.
    pub fn whole(file: &Path, cause: &io::Error, hint: &str) -> Self {
        Self { file: file.to_owned(), line: 0, message: cause.to_string(), hint: hint.to_owned() }
    }
}

/// Reads a configuration; `parse` gets its text and the folder that it lies in, where relative paths begin. `hint` says where one is
/// shown.
///
/// # Errors
/// Everything that is wrong with it, at least one thing.
pub fn load<T>(
    file: &Path,
    hint: &str,
    parse: impl FnOnce(&str, &Path) -> Result<T, Vec<Problem>>,
) -> Result<T, Vec<ConfigError>> {
    let whole = |cause: io::Error| vec![ConfigError::whole(file, &cause, hint)];
    let bytes = files::read_bounded(file, MAX_CONFIG_BYTES as u64).map_err(whole)?;
    let text = String::from_utf8(bytes).map_err(|_| whole(io::Error::other("not UTF-8 text")))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::path::absolute(folder).map_err(whole)?;
    let told = |Problem { line, message, hint }| ConfigError { file: file.to_owned(), line, message, hint };
    parse(&text, &folder).map_err(|problems| problems.into_iter().map(told).collect())
}
