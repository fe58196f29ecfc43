//! What must be remembered of an inbox: its changes, one record behind the other, each durable before its client hears of it.
//!
//! A record is its length as four bytes, the most significant first, and an age file to `intake`'s own key: a JSON array of
//! [`Change`]s. The first record is all that there was when the file was written anew; it is always whole.

use super::change::Change;
use age::x25519::Identity;
use sluse_host::files;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of the longest record: some hundred for each of 100,000 files.
const MAX_RECORD: usize = 128 * 1024 * 1024;

/// Bytes of the longest journal that is read: what is written anew at [`REWRITE`] is never so long.
const MAX_JOURNAL: u64 = 512 * 1024 * 1024;

/// Bytes from which on a journal is written anew, if it has doubled since it was.
const REWRITE: u64 = 4 * 1024 * 1024;

/// The journal of one inbox.
pub struct Journal {
    path: PathBuf,
    identity: Identity,
    file: File,
    length: u64,
    /// How long it was when it was written anew.
    first: u64,
    /// A record may lie there in half, and could not be taken away.
    broken: bool,
}

impl Journal {
    /// Reads the journal at `path`, where there is one: what it remembers.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged, or encrypted to another key ([`io::ErrorKind::InvalidData`]).
    pub fn read(path: &Path, identity: &Identity) -> io::Result<Vec<Change>> {
        let bytes = match files::read_bounded(path, MAX_JOURNAL) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut rest = &bytes[..];
        let mut all = Vec::new();
        while !rest.is_empty() {
            let first = rest.len() == bytes.len();
            match record(&mut rest, identity)? {
                Some(changes) => all.extend(changes),
                None if first => return Err(io::ErrorKind::InvalidData.into()),
                // A record that a crash cut off: nobody was told of it. Nothing can be behind it.
                None => break,
            }
        }
        Ok(all)
    }

    /// Writes a journal of all that there is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(path: PathBuf, identity: Identity, all: &[Change]) -> io::Result<Self> {
        let record = seal(&identity, all)?;
        files::replace(&path, &record, 0o600)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        let length = record.len() as u64;
        Ok(Self { path, identity, file, length, first: length, broken: false })
    }

    /// Adds changes, durably. When it fails, they never were.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&mut self, changes: &[Change]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the journal of an inbox cannot be mended"));
        }
        let record = seal(&self.identity, changes)?;
        let written = self.file.write_all(&record).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.broken = self.file.set_len(self.length).and_then(|()| self.file.sync_data()).is_err();
            return Err(error);
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Writes it anew if it has grown, or cannot be added to.
    ///
    /// # Errors
    /// When it cannot be written; it is as it was then.
    pub fn tidy(&mut self, all: impl FnOnce() -> Vec<Change>) -> io::Result<()> {
        if self.length >= REWRITE.max(2 * self.first) || self.broken {
            *self = Self::write(self.path.clone(), self.identity.clone(), &all())?;
        }
        Ok(())
    }
}

fn seal(identity: &Identity, changes: &[Change]) -> io::Result<Vec<u8>> {
    let sealed = age::encrypt(&identity.to_public(), &serde_json::to_vec(changes)?).map_err(io::Error::other)?;
    let length = u32::try_from(sealed.len()).ok().filter(|length| *length as usize <= MAX_RECORD);
    let length = length.ok_or(io::ErrorKind::FileTooLarge)?;
    Ok([&length.to_be_bytes()[..], &sealed].concat())
}

/// The next record; none where it was cut off: it is longer than what is there, or its space was never written.
fn record(rest: &mut &[u8], identity: &Identity) -> io::Result<Option<Vec<Change>>> {
    let Some((length, behind)) = rest.split_first_chunk() else { return Ok(None) };
    let whole = behind.split_at_checked(u32::from_be_bytes(*length) as usize);
    let Some((sealed, behind)) = whole.filter(|_| rest.iter().any(|byte| *byte != 0)) else { return Ok(None) };
    let plain = age::decrypt(identity, sealed).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    *rest = behind;
    Ok(Some(serde_json::from_slice(&plain)?))
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Journal").field("path", &self.path).field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn removed(path: &str) -> Change {
        Change::Removed { path: path.to_owned() }
    }

    #[test]
    fn what_was_added_is_read_again_and_a_record_that_was_cut_off_is_not() {
        let (folder, key) = (tempfile::tempdir().unwrap(), Identity::generate());
        let path = folder.path().join("lab");
        assert_eq!(Journal::read(&path, &key).unwrap(), []);
        let mut journal = Journal::write(path.clone(), key.clone(), &[removed("first")]).unwrap();
        let first = fs::metadata(&path).unwrap().len();
        journal.add(&[removed("second")]).unwrap();
        let all = [removed("first"), removed("second")];
        assert_eq!(Journal::read(&path, &key).unwrap(), all);
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|bytes| bytes == b"second"));
        for cut in 0..bytes.len() as u64 {
            fs::write(&path, &bytes[..cut as usize]).unwrap();
            match cut {
                0 => assert_eq!(Journal::read(&path, &key).unwrap(), []),
                cut if cut < first => {
                    assert_eq!(Journal::read(&path, &key).unwrap_err().kind(), io::ErrorKind::InvalidData);
                }
                _ => assert_eq!(Journal::read(&path, &key).unwrap(), all[..1]),
            }
        }
        // One that a crash left as zeros is one that was cut off; one that is damaged is not, wherever it stands.
        fs::write(&path, [&bytes[..first as usize], &[0; 300]].concat()).unwrap();
        assert_eq!(Journal::read(&path, &key).unwrap(), all[..1]);
        for damaged in [first as usize - 1, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[damaged] ^= 1;
            fs::write(&path, other).unwrap();
            assert_eq!(Journal::read(&path, &key).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Journal::read(&path, &Identity::generate()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_journal_that_has_grown_is_written_anew() {
        let (folder, key) = (tempfile::tempdir().unwrap(), Identity::generate());
        let path = folder.path().join("lab");
        let mut journal = Journal::write(path.clone(), key.clone(), &[]).unwrap();
        journal.tidy(|| panic!("it has not grown")).unwrap();
        journal.add(&[removed(&"x".repeat(REWRITE as usize))]).unwrap();
        journal.tidy(|| vec![removed("all")]).unwrap();
        journal.add(&[removed("more")]).unwrap();
        assert_eq!(Journal::read(&path, &key).unwrap(), [removed("all"), removed("more")]);
        assert!(fs::metadata(&path).unwrap().len() < REWRITE);
        // Where there is much, it is not written anew with each change.
        let much = removed(&"x".repeat(REWRITE as usize));
        let mut journal = Journal::write(path, key, std::slice::from_ref(&much)).unwrap();
        journal.tidy(|| panic!("it has not doubled")).unwrap();
        // The heads of two records differ in length, as age pads them by chance: the second holds a little more.
        journal.add(&[much, removed(&"y".repeat(4096))]).unwrap();
        let mut written = false;
        journal
            .tidy(|| {
                written = true;
                Vec::new()
            })
            .unwrap();
        assert!(written);
    }
}
