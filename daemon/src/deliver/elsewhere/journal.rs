//! How far a delivery to a room elsewhere came, in a file of `deliver`'s own: what a next attempt goes on with.
//!
//! Nothing is taken for delivered because it stands here: all that is sent is compared anew in each attempt. What it tells is whether what
//! lies there is of the same dataset for the same key, which digests the encrypted files there have (encrypting again gives others), and
//! whether a bag that stands there is ours. A file that is lost or torn costs the bytes that were sent.

use serde::{Deserialize, Serialize};
use sluse_protocol::courier::Verified;
use sluse_protocol::digest::Sha256;
use sluse_protocol::grant::GrantStatement;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::MAX_LINE_BYTES;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Encrypted files that are remembered; those beyond are sent again.
const MOST_SEALED: usize = 100_000;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    /// The first one: of what is sent, and when it was granted first.
    Begun {
        content: Sha256,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        granted: Option<Timestamp>,
    },
    /// An encrypted file is there whole.
    Sealed { path: Sha256, bytes: u64, sha256: Sha256 },
    /// All is there and was compared; what makes it visible comes next.
    Publishing {
        tagmanifest: Sha256,
        /// How; not known of those that older versions noted.
        #[serde(default)]
        verified: Option<Verified>,
    },
    /// What is there is not what was sent: all of it is sent anew.
    Useless,
}

/// A bag of ours that may be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publishing {
    /// The list of its own files.
    pub tagmanifest: Sha256,
    /// How the attempt that made it visible had compared what was stored.
    pub verified: Verified,
}

/// The journal of one delivery.
pub struct Journal {
    path: PathBuf,
    content: Sha256,
    granted: Timestamp,
    file: Option<File>,
    sealed: BTreeMap<Sha256, (u64, Sha256)>,
    publishing: Option<Publishing>,
    useless: bool,
}

impl Journal {
    /// Reads the journal of what `grant` releases, in `folder`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(folder: &Path, grant: &GrantStatement) -> io::Result<Self> {
        let path = Self::path(folder, &grant.transfer);
        let told = (grant.released_manifest(), &grant.room, &grant.room_recipient, grant.room_names);
        let content = Sha256::of(&serde_json::to_vec(&told)?);
        let granted = grant.time;
        let mut journal =
            Self { path, content, granted, file: None, sealed: BTreeMap::new(), publishing: None, useless: false };
        match File::open(&journal.path) {
            Ok(file) => journal.read(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(journal)
    }

    fn read(&mut self, file: File) -> io::Result<()> {
        let mut lines = BufReader::new(file);
        let (mut whole, mut ours) = (0, false);
        while let Some((read, count)) = next(&mut lines)? {
            match read {
                Line::Begun { content, granted } => {
                    ours = content == self.content;
                    self.granted = granted.filter(|_| ours).unwrap_or(self.granted);
                }
                Line::Sealed { path, bytes, sha256 } if ours && self.sealed.len() < MOST_SEALED => {
                    self.sealed.insert(path, (bytes, sha256));
                }
                Line::Publishing { tagmanifest, verified } if ours => {
                    // Never more than is known.
                    let verified = verified.unwrap_or(Verified::Sizes);
                    self.publishing = Some(Publishing { tagmanifest, verified });
                }
                Line::Useless if ours => {
                    (self.sealed, self.publishing, self.useless) = (BTreeMap::new(), None, true);
                }
                Line::Sealed { .. } | Line::Publishing { .. } | Line::Useless => {}
            }
            whole += count as u64;
        }
        if ours {
            let file = File::options().append(true).open(&self.path)?;
            // A line that a crash tore.
            file.set_len(whole)?;
            self.file = Some(file);
        }
        Ok(())
    }

    /// Whether nothing of this dataset was begun that can be gone on with, as far as is known.
    pub fn is_new(&self) -> bool {
        self.file.is_none() || self.useless
    }

    /// Whether a bag of the transfer may have become visible, whatever was sent of it since.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn may_be_visible(folder: &Path, transfer: &TransferId) -> io::Result<bool> {
        let mut lines = match File::open(Self::path(folder, transfer)) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        while let Some((line, _)) = next(&mut lines)? {
            if matches!(line, Line::Publishing { .. }) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// When this dataset was granted first: each attempt has a grant of its own.
    pub fn granted(&self) -> Timestamp {
        self.granted
    }

    /// The bag of ours that may be visible.
    pub fn publishing(&self) -> Option<Publishing> {
        self.publishing
    }

    /// Notes that a delivery begins, unless that is noted.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin(&mut self) -> io::Result<()> {
        if self.is_new() {
            let file = File::create(&self.path)?;
            (self.file, self.useless) = (Some(file), false);
            self.write(&Line::Begun { content: self.content, granted: Some(self.granted) })?;
            self.sync()?;
        }
        Ok(())
    }

    /// Length and digest that an encrypted file has there.
    pub fn sealed(&self, path: &str) -> Option<(u64, Sha256)> {
        self.sealed.get(&Sha256::of(path.as_bytes())).copied()
    }

    /// Notes that an encrypted file is there whole.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn note_sealed(&self, path: &str, bytes: u64, sha256: Sha256) -> io::Result<()> {
        self.write(&Line::Sealed { path: Sha256::of(path.as_bytes()), bytes, sha256 })
    }

    /// Notes, durably, that the bag is about to be made visible, and how all but its last file was compared.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn note_publishing(&self, Publishing { tagmanifest, verified }: Publishing) -> io::Result<()> {
        self.write(&Line::Publishing { tagmanifest, verified: Some(verified) })?;
        self.sync()
    }

    /// Notes, durably, that what is there cannot be gone on with.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn note_useless(&self) -> io::Result<()> {
        self.write(&Line::Useless)?;
        self.sync()
    }

    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.as_ref().map_or(Ok(()), |mut file| file.write_all(&text))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)?;
        self.path.parent().map_or(Ok(()), sluse_host::files::sync_folder)
    }

    /// Forgets what is known of a transfer.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget(folder: &Path, transfer: &TransferId) -> io::Result<()> {
        match std::fs::remove_file(Self::path(folder, transfer)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(folder: &Path, transfer: &TransferId) -> PathBuf {
        folder.join(format!("{transfer}.jsonl"))
    }
}

/// The next line that is whole, and its bytes.
fn next(lines: &mut BufReader<File>) -> io::Result<Option<(Line, usize)>> {
    let mut line = Vec::new();
    let count = lines.take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)?;
    let read = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
    Ok(read.map(|read| (read, count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::tests::some_grant;

    fn publishing() -> Publishing {
        Publishing { tagmanifest: Sha256::of(b"tags"), verified: Verified::ReadBack }
    }

    #[test]
    fn of_a_bag_that_an_older_version_noted_no_more_is_said_than_is_known() {
        let (folder, grant) = (tempfile::tempdir().unwrap(), some_grant());
        let mut journal = Journal::open(folder.path(), &grant).unwrap();
        journal.begin().unwrap();
        journal.note_publishing(publishing()).unwrap();
        let path = folder.path().join(format!("{}.jsonl", grant.transfer));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(",\"verified\":\"read-back\"", "")).unwrap();
        let expected = Publishing { verified: Verified::Sizes, ..publishing() };
        assert_eq!(Journal::open(folder.path(), &grant).unwrap().publishing(), Some(expected));
    }

    #[test]
    fn what_a_crash_tore_is_forgotten_and_what_stands_before_it_is_not() {
        let (folder, grant) = (tempfile::tempdir().unwrap(), some_grant());
        let open = || Journal::open(folder.path(), &grant).unwrap();
        assert!(open().is_new() && open().is_new());
        let mut journal = open();
        journal.begin().unwrap();
        journal.note_sealed("data/a", 7, Sha256::of(b"a")).unwrap();
        let path = folder.path().join(format!("{}.jsonl", grant.transfer));
        let whole = std::fs::read(&path).unwrap();
        journal.note_publishing(publishing()).unwrap();
        assert_eq!(open().publishing(), Some(publishing()));
        let torn = std::fs::read(&path).unwrap();
        std::fs::write(&path, &torn[..torn.len() - 3]).unwrap();
        let journal = open();
        assert_eq!((journal.publishing(), journal.sealed("data/a")), (None, Some((7, Sha256::of(b"a")))));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        journal.note_sealed("data/b", 8, Sha256::of(b"b")).unwrap();
        assert_eq!(open().sealed("data/b"), Some((8, Sha256::of(b"b"))));
        journal.note_publishing(publishing()).unwrap();
        let may_be_visible = || Journal::may_be_visible(folder.path(), &grant.transfer).unwrap();
        open().note_useless().unwrap();
        let journal = open();
        assert!(journal.is_new() && journal.publishing().is_none() && journal.sealed("data/b").is_none());
        assert!(may_be_visible());
        Journal::forget(folder.path(), &grant.transfer).unwrap();
        assert!(open().is_new() && !may_be_visible());
    }

    #[test]
    fn a_later_attempt_knows_when_the_first_one_was_granted() {
        let (folder, first) = (tempfile::tempdir().unwrap(), some_grant());
        let later = GrantStatement { time: first.time.plus(60), ..some_grant() };
        assert_eq!(Journal::open(folder.path(), &later).unwrap().granted(), later.time);
        Journal::open(folder.path(), &first).unwrap().begin().unwrap();
        assert_eq!(Journal::open(folder.path(), &later).unwrap().granted(), first.time);
        let other = GrantStatement { room_recipient: Some("age1other".into()), ..later.clone() };
        assert_eq!(Journal::open(folder.path(), &other).unwrap().granted(), later.time);
    }

    #[test]
    fn what_was_sent_of_something_else_or_for_another_key_is_not_gone_on_with() {
        let (folder, grant) = (tempfile::tempdir().unwrap(), some_grant());
        let mut journal = Journal::open(folder.path(), &grant).unwrap();
        journal.begin().unwrap();
        journal.note_publishing(publishing()).unwrap();
        let other = GrantStatement { room_recipient: Some("age1other".into()), ..grant };
        let mut journal = Journal::open(folder.path(), &other).unwrap();
        assert!(journal.is_new() && journal.publishing().is_none());
        journal.begin().unwrap();
        assert!(!Journal::open(folder.path(), &other).unwrap().is_new());
    }
}
