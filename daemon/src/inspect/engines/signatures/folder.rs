//! Reads the files of the signature folder: `*.sha256` and `*.patterns`; others are left alone.

use super::HINT;
use crate::inspect::engines::search::Pattern;
use sluse_host::config::ConfigError;
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::time::Timestamp;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes of one file of signatures.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Patterns in all: each costs memory for as long as the role runs.
const MAX_PATTERNS: usize = 50_000;

/// Digests in all.
const MAX_DIGESTS: usize = 1_000_000;

/// Bytes of a signature's name.
const MAX_NAME_BYTES: usize = 100;

/// What the folder holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Digests of whole files, and their names.
    pub files: HashMap<Sha256, String>,
    /// Patterns.
    pub patterns: Vec<Pattern>,
    /// When the newest of the files was written.
    pub newest: Option<Timestamp>,
}

/// Reads every list in `folder`; a folder that is not there holds nothing.
///
/// # Errors
/// The first thing that is wrong: file, line, what to write instead.
pub fn read(folder: &Path) -> Result<Read, ConfigError> {
    let mut read = Read::default();
    for path in list(folder).map_err(|error| wrong(folder, 0, error.to_string()))? {
        let take_line = match path.extension().and_then(|extension| extension.to_str()) {
            Some("sha256") => take_digest,
            Some("patterns") => take_pattern,
            _ => continue,
        };
        let failed = |error: io::Error| wrong(&path, 0, error.to_string());
        let bytes = files::read_bounded(&path, MAX_FILE_BYTES).map_err(failed)?;
        let written = Timestamp::from_unix(std::fs::metadata(&path).map_err(failed)?.mtime());
        read.newest = read.newest.max(Some(written));
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong(&path, 0, "it is not UTF-8 text".into()))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                take_line(&mut read, line).map_err(|message| wrong(&path, number + 1, message))?;
            }
        }
    }
    Ok(read)
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn wrong(file: &Path, line: usize, message: String) -> ConfigError {
    ConfigError { file: file.to_owned(), line, message, hint: HINT.into() }
}

/// `<64 hexadecimal digits>  <name>`, as sha256sum writes it.
fn take_digest(read: &mut Read, line: &str) -> Result<(), String> {
    let (digest, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let digest = digest.to_ascii_lowercase().parse().map_err(|_| "the line must begin with a SHA-256: 64 digits")?;
    let name = check_name(name.trim().trim_start_matches('*'))?;
    if read.files.len() >= MAX_DIGESTS {
        return Err(format!("more than {MAX_DIGESTS} digests"));
    }
    read.files.insert(digest, name);
    Ok(())
}

/// `<name> = <pattern>`.
fn take_pattern(read: &mut Read, line: &str) -> Result<(), String> {
    let (name, hex) = line.split_once('=').ok_or("a line is `name = pattern`")?;
    let pattern = Pattern::parse(&check_name(name.trim())?, hex)?;
    if read.patterns.len() >= MAX_PATTERNS {
        return Err(format!("more than {MAX_PATTERNS} patterns"));
    }
    read.patterns.push(pattern);
    Ok(())
}

fn check_name(name: &str) -> Result<String, String> {
    let good = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if good { Ok(name.to_owned()) } else { Err("a signature's name is 1 to 100 printable ASCII characters".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named_with_its_file_and_number() {
        let digest = "0".repeat(64);
        let cases = [
            ("a.sha256", "\n# x\nabc  name\n".to_owned(), 3),
            ("a.sha256", format!("{digest}\n"), 1),
            ("a.sha256", format!("{digest}  two words\n"), 1),
            ("a.patterns", "name 41424344\n".to_owned(), 1),
            ("a.patterns", "a = 41424344\nb = 41??43\n".to_owned(), 2),
        ];
        for (name, text, line) in cases {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), &text).unwrap();
            let error = read(folder.path()).unwrap_err();
            assert_eq!((error.line, error.file), (line, folder.path().join(name)), "{text}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder.path().join("none")).unwrap(), Read::default());
    }
}
