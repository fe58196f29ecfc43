//! The log's lines, from the running zone or from an exported file, one after the other.

use crate::failure::Failure;
use crate::operator::{Operator, unexpected};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// Bytes of the longest entry that is read; the zone's are far below.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// Hands each of the first `size` lines of the running zone's log to `take`.
///
/// # Errors
/// When the zone gives no answer, or what `take` says.
pub fn of_zone(
    operator: &Operator,
    size: u64,
    mut take: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut from = 0;
    while from < size {
        let (reply, body) = operator.ask(&OperatorRequest::AuditLines { from }, &[])?;
        let OperatorReply::Audit { count } = reply else { return Err(unexpected()) };
        if count == 0 || body.is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(&body).map_err(|_| unexpected())?;
        let left = usize::try_from(size - from).unwrap_or(usize::MAX);
        text.lines().take(left).try_for_each(&mut take)?;
        from += count;
    }
    Ok(())
}

/// Hands each line of an exported log to `take`.
///
/// # Errors
/// When the file cannot be read or is no log, or what `take` says.
pub fn of_file(file: &Path, mut take: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let damaged = error.kind() == std::io::ErrorKind::InvalidData;
        Failure::file(if damaged { Exit::Integrity } else { Exit::Usage }, "read", file, &error)
    };
    let mut reader = BufReader::with_capacity(256 * 1024, File::open(file).map_err(failed)?);
    let mut line = String::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE_BYTES).read_line(&mut line).map_err(failed)?;
        match line.strip_suffix('\n') {
            Some(line) => take(line)?,
            None if line.is_empty() => return Ok(()),
            None => {
                let message = format!("{} is cut off: a line has no end", file.display());
                return Err(Failure::new(Exit::Integrity, message));
            }
        }
    }
}
