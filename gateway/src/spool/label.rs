//! What stands at the end of a parcel: to which file of which dataset its bytes belong.

use serde::{Deserialize, Serialize};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{AgreementId, DatasetName};
use sluse_protocol::path::DataPath;
use sluse_protocol::time::Timestamp;
use std::io;

/// Bytes of the longest [`Label::group`].
pub const MAX_GROUP_BYTES: usize = 512;

/// Bytes of the longest tail, its length included: two paths, a group and some numbers.
pub(super) const MAX_TAIL_BYTES: usize = 32 * 1024;

/// Names a file while it arrives: 16 random bytes. One that is uploaded in several parcels has the same in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileId([u8; 16]);

impl FileId {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn new() -> io::Result<Self> {
        Ok(Self(*sluse_host::random::bytes::<16>()?))
    }
}

/// Not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file's id is 32 hexadecimal digits")]
pub struct NoFileId;

impl std::fmt::Display for FileId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl std::str::FromStr for FileId {
    type Err = NoFileId;

    fn from_str(text: &str) -> Result<Self, NoFileId> {
        if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NoFileId);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NoFileId)
    }
}

impl TryFrom<String> for FileId {
    type Error = NoFileId;

    fn try_from(text: String) -> Result<Self, NoFileId> {
        text.parse()
    }
}

impl From<FileId> for String {
    fn from(id: FileId) -> Self {
        id.to_string()
    }
}

/// What an adapter says of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The flow, and so the agreement: a name of the configuration, safe as a folder's.
    pub flow: AgreementId,
    /// What is gathered into one dataset: a study's UID, an upload's id. At most [`MAX_GROUP_BYTES`].
    pub group: String,
    /// The dataset's name, where the client chose it; else it is made of the flow's and a pseudonym of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetName>,
    /// What is said.
    pub says: Says,
}

/// What a parcel says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Says {
    /// These are bytes of a file, from `offset` on. What was stored of it from there on does not count any more.
    Part {
        /// The file.
        file: FileId,
        /// Where these bytes begin.
        offset: u64,
        /// The file is whole with these bytes; else more is waited for.
        ends: Option<Ends>,
    },
    /// A file is not wanted any more.
    Withdrawn {
        /// The file.
        file: FileId,
    },
    /// Nothing more comes for this group: as soon as all its files are whole, the dataset is.
    Closed,
    /// These are bytes of a file in an inbox, from `offset` on, as with [`Says::Part`]. The group is the inbox. The adapter keeps
    /// account of what such files are called: they stay, for however long, until a list takes them or they are withdrawn.
    Inbox {
        /// The file.
        file: FileId,
        /// Where these bytes begin.
        offset: u64,
    },
    /// These bytes are a list ([`Listed`], a line of JSON each) of files in inboxes, which are this group now: all of it.
    Listed,
    /// These bytes are the ids (a line of JSON each) of all files that are still in an inbox, which is the group: others that
    /// came before are wanted no more.
    Remaining,
}

/// A file of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The file.
    pub file: FileId,
    /// How many of its bytes count.
    pub bytes: u64,
    /// Its path in the dataset.
    pub path: DataPath,
    /// When it was changed last.
    pub mtime: Timestamp,
}

/// The end of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// Its path in the dataset. A file that has it already is replaced.
    pub path: DataPath,
    /// When it was changed last.
    pub mtime: Timestamp,
    /// SHA-256 of the whole file, where it came in several parcels and the adapter saw all its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// It shows how something stands now. A dataset of such files is sent unless the group's last one was the same; one of
    /// others, unless each of them was ever sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands: bool,
    /// What stands for its content when it is compared, without what does not matter, such as the time at which it was made;
    /// else its SHA-256 does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<Sha256>,
    /// Nothing comes for the group after this file, as if [`Says::Closed`] followed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closes: bool,
}

impl Ends {
    /// The end of a file whose bytes are all that is to be known of it.
    pub fn of(path: DataPath, mtime: Timestamp) -> Self {
        Self { path, mtime, sha256: None, stands: false, same_as: None, closes: false }
    }
}

/// The end of a parcel's plain bytes: this as one line of JSON, and behind it the line's length as four bytes, the most
/// significant first. In front of it are the file's bytes and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// What the adapter said.
    pub label: Label,
    /// How many bytes of a file are in front.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Sha256,
}

impl Tail {
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let length = u32::try_from(line.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        if line.len() + 4 > MAX_TAIL_BYTES || self.label.group.len() > MAX_GROUP_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a label that is too long"));
        }
        line.extend(length.to_be_bytes());
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_id_is_read_as_it_is_written_and_nothing_else_is() {
        let id = FileId::new().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "12", "+1234567890abcdef1234567890abcde", &id.to_string().to_uppercase().replace('0', "G")] {
            assert_eq!(wrong.parse::<FileId>(), Err(NoFileId), "{wrong}");
        }
    }
}
