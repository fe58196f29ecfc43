//! The logical stream: a plan's files one after the other, cut into chunks. A file that is not what was planned, before or
//! after it is read, is an error that names it.

use crate::buffers::{Buffer, Pool};
use crate::error::Error;
use crate::os;
use crate::plan::{Opened, Opener, Plan};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are read and hashed in one go: what stays in the processor's cache in between.
const BITE: usize = 256 * 1024;

/// Files of at least so many bytes are worth telling the kernel about.
const LARGE: u64 = 1024 * 1024;

/// Why reading ended early.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Nobody wants the rest.
    Unwanted,
    /// A file cannot be read, or was changed.
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Failed(error)
    }
}

/// Reads everything once, and hands out chunk after chunk. The SHA-256 of each file, in the plan's order.
pub(crate) fn read_all(
    plan: &Plan,
    pool: &Arc<Pool>,
    chunk: &mut dyn FnMut(Buffer) -> ControlFlow<()>,
) -> Result<Vec<Sha256>, Stopped> {
    let mut opener = Opener::default();
    let mut digests = Vec::with_capacity(usize::try_from(plan.totals().files).unwrap_or(0));
    let mut buffer = None;
    for at in plan.files() {
        digests.push(read_file(plan, at, &mut opener, pool, &mut buffer, chunk)?);
    }
    match buffer.map(chunk) {
        Some(ControlFlow::Break(())) => Err(Stopped::Unwanted),
        _ => Ok(digests),
    }
}

fn read_file(
    plan: &Plan,
    at: usize,
    opener: &mut Opener,
    pool: &Arc<Pool>,
    buffer: &mut Option<Buffer>,
    chunk: &mut dyn FnMut(Buffer) -> ControlFlow<()>,
) -> Result<Sha256, Stopped> {
    let mut file = open(plan, at, 0, opener)?;
    let mut left = plan.extent(at).1;
    if let Opened::Disk(file) = &file
        && left >= LARGE
    {
        os::read_ahead(file);
    }
    let mut hash = sha2::Sha256::new();
    while left > 0 {
        let mut filling = match buffer.take() {
            Some(filling) => filling,
            None => pool.take().ok_or(Stopped::Unwanted)?,
        };
        let count = read_bite(plan, at, &mut file, &mut filling, left)?;
        hash.update(filling.fill(count));
        left -= count as u64;
        if !filling.is_full() {
            *buffer = Some(filling);
        } else if chunk(filling).is_break() {
            return Err(Stopped::Unwanted);
        }
    }
    check(plan, at, &file)?;
    Ok(Sha256(hash.finalize().into()))
}

/// Reads one file, and hands its bytes out as they come.
pub(crate) fn read_bytes(
    plan: &Plan,
    at: usize,
    opener: &mut Opener,
    buffer: &mut Buffer,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Error> {
    let mut file = open(plan, at, 0, opener)?;
    let mut left = plan.extent(at).1;
    if let Opened::Disk(file) = &file
        && left >= LARGE
    {
        os::read_ahead(file);
    }
    while left > 0 {
        let count = read_bite(plan, at, &mut file, buffer, left)?;
        take(buffer.fill(count));
        buffer.empty();
        left -= count as u64;
    }
    check(plan, at, &file)
}

/// Reads a stretch of the stream: its bytes stand in `buffer` behind those that it has.
pub(crate) fn read_stretch(
    plan: &Plan,
    opener: &mut Opener,
    start: u64,
    length: u64,
    buffer: &mut Buffer,
) -> Result<(), Error> {
    let end = start + length;
    let mut at = plan.file_at(start);
    let mut offset = start;
    while offset < end && at < plan.entries() {
        let (begins, size) = plan.extent(at);
        let mut left = (begins + size).min(end) - offset;
        if left > 0 {
            let mut file = open(plan, at, offset - begins, opener)?;
            offset += left;
            while left > 0 {
                let count = read_bite(plan, at, &mut file, buffer, left)?;
                buffer.fill(count);
                left -= count as u64;
            }
            check(plan, at, &file)?;
        }
        at += 1;
    }
    Ok(())
}

/// The names of the files that a chunk holds bytes of, in a few words.
pub(crate) fn files_of(plan: &Plan, start: u64, length: u64) -> String {
    let (first, last) = (plan.file_at(start), plan.file_at(start + length.saturating_sub(1)));
    if first == last { plan.path(first) } else { format!("{} (or a file up to {})", plan.path(first), plan.path(last)) }
}

fn open(plan: &Plan, at: usize, from: u64, opener: &mut Opener) -> Result<Opened, Error> {
    let file = opener.file(plan, at, from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => vanished(plan, at),
        _ if os::is_replaced(&error) => changed(plan, at),
        _ => unreadable(plan, at, error),
    })?;
    check(plan, at, &file)?;
    Ok(file)
}

/// What lies on disk may have been changed; what is given is what it is.
fn check(plan: &Plan, at: usize, file: &Opened) -> Result<(), Error> {
    let Opened::Disk(file) = file else { return Ok(()) };
    let status = os::status_of(file).map_err(|error| unreadable(plan, at, error))?;
    if plan.is_unchanged(at, &status) { Ok(()) } else { Err(changed(plan, at)) }
}

/// Reads at most [`BITE`] bytes of what is left of a file.
fn read_bite(plan: &Plan, at: usize, file: &mut Opened, buffer: &mut Buffer, left: u64) -> Result<usize, Error> {
    let room = buffer.rest();
    let most = room.len().min(BITE).min(usize::try_from(left).unwrap_or(BITE));
    loop {
        match file.read(&mut room[..most]) {
            Ok(0) => return Err(Error::Changed { path: plan.path(at), what: "became shorter while it was read" }),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(plan, at, error)),
        }
    }
}

fn changed(plan: &Plan, at: usize) -> Error {
    Error::Changed { path: plan.path(at), what: "was changed while it was sent" }
}

fn vanished(plan: &Plan, at: usize) -> Error {
    Error::Changed { path: plan.path(at), what: "vanished while it was sent" }
}

fn unreadable(plan: &Plan, at: usize, error: io::Error) -> Error {
    Error::Unreadable { path: PathBuf::from(plan.path(at)), error }
}

#[cfg(test)]
mod tests;
