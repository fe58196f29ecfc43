//! Plans and manifests: the lists of a dataset version's files, one JSON object a line.
//!
//! The first line is a [`Header`]; each further line an [`Entry`], in ascending [`DataPath`] order. A plan is what a source
//! offers (no digests yet); a manifest is what it seals (a SHA-256 for every file); a part is the zone's list of what it releases
//! of a manifest. All are read line by line by [`Reader`], which holds one line in memory whatever the document's length.

use crate::digest::Sha256;
use crate::ids::{AgreementId, DatasetName, SourceName, TransferId};
use crate::limits;
use crate::path::{DataPath, PathProblem};
use crate::sync::Delta;
use serde::{Deserialize, Serialize};

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "sluse", deny_unknown_fields)]
pub enum Header {
    /// What a source offers.
    #[serde(rename = "plan/1")]
    Plan {
        /// What all entries add up to.
        totals: Totals,
    },
    /// What a source seals, bound to the transfer, the plan and the chunk digests.
    #[serde(rename = "manifest/1")]
    Manifest {
        /// The transfer that carries the dataset version.
        transfer: TransferId,
        /// The source that sent it.
        source: SourceName,
        /// The agreement that allows it.
        agreement: AgreementId,
        /// The dataset's name.
        dataset: DatasetName,
        /// SHA-256 of the plan's bytes.
        plan: Sha256,
        /// What all entries add up to.
        totals: Totals,
        /// Bytes of a chunk.
        chunk_bytes: u32,
        /// Number of chunks that the transfer carried.
        chunks: u32,
        /// [`crate::digest::chunk_list_digest`] of all of them.
        chunk_list: Sha256,
        /// That they carried a difference from another version, and not the files themselves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delta: Option<Delta>,
    },
    /// What is released of a dataset some of whose files were left out: a version of its manifest that the zone makes.
    #[serde(rename = "part/1")]
    Part {
        /// The transfer that carries the dataset version.
        transfer: TransferId,
        /// The source that sent it.
        source: SourceName,
        /// The agreement that allows it.
        agreement: AgreementId,
        /// The dataset's name.
        dataset: DatasetName,
        /// SHA-256 of the manifest of the whole.
        manifest: Sha256,
        /// What the entries that are released add up to.
        totals: Totals,
        /// What those that are left out add up to.
        left_out: Totals,
    },
}

/// Sums over a document's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Number of files.
    pub files: u64,
    /// Number of (empty) folders.
    pub folders: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Totals {
    /// Counts one more entry. `None` when the sum does not fit.
    pub fn plus(self, entry: &Entry) -> Option<Totals> {
        Some(match entry.kind {
            Kind::Folder => Totals { folders: self.folders + 1, ..self },
            Kind::File => Totals { files: self.files + 1, bytes: self.bytes.checked_add(entry.size)?, ..self },
        })
    }

    /// The sum of both; none when it does not fit.
    pub fn and(self, other: Totals) -> Option<Totals> {
        Some(Totals {
            files: self.files.checked_add(other.files)?,
            folders: self.folders.checked_add(other.folders)?,
            bytes: self.bytes.checked_add(other.bytes)?,
        })
    }

    /// Number of entries.
    pub fn entries(&self) -> u64 {
        self.files.saturating_add(self.folders)
    }

    /// Number of chunks of the logical stream.
    pub fn chunks(&self, chunk_bytes: u32) -> u64 {
        self.bytes.div_ceil(u64::from(chunk_bytes))
    }
}

/// One file or empty folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it lies in the dataset.
    pub path: DataPath,
    /// What it is.
    #[serde(default, skip_serializing_if = "Kind::is_file")]
    pub kind: Kind,
    /// Bytes; 0 for a folder.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Modification time, whole seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds of the modification time.
    #[serde(default, skip_serializing_if = "is_none_u32")]
    pub mtime_ns: u32,
    /// Whether the owner may execute it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub executable: bool,
    /// SHA-256 of the file's bytes; in manifests, for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    #[default]
    File,
    /// A folder with nothing in it (other folders follow from the files' paths).
    Folder,
}

impl Kind {
    fn is_file(&self) -> bool {
        *self == Kind::File
    }
}

fn is_zero(size: &u64) -> bool {
    *size == 0
}

fn is_none_u32(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// What is wrong with a document. Never contains a path: paths may be personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A line is longer than [`limits::MAX_LINE_BYTES`].
    #[error("line {line} is longer than {} bytes", limits::MAX_LINE_BYTES)]
    LongLine {
        /// Line number from 1.
        line: u64,
    },
    /// A line is not the JSON object that belongs there.
    #[error("line {line} is not a valid {expected}")]
    Syntax {
        /// Line number from 1.
        line: u64,
        /// What belongs there.
        expected: &'static str,
    },
    /// A path that no dataset may contain.
    #[error("line {line}: {problem}")]
    Path {
        /// Line number from 1.
        line: u64,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// A path twice, out of order, or below a path that is a file.
    #[error("line {line}: paths must ascend, each once, none below a file")]
    Order {
        /// Line number from 1.
        line: u64,
    },
    /// A field that the kind of document or entry does not allow or needs.
    #[error("line {line}: {what}")]
    Field {
        /// Line number from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// More entries or bytes than the bound or the header allows.
    #[error("more than the header announces or the protocol allows")]
    TooMuch,
    /// The document ends early: its entries do not add up to the header's totals.
    #[error("the entries do not add up to the header's totals")]
    Totals,
}

/// Reads a document as its bytes arrive.
#[derive(Debug, Default)]
pub struct Reader {
    partial: Vec<u8>,
    line: u64,
    header: Option<Header>,
    totals: Totals,
    last: Option<Entry>,
}

impl Reader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The header, once its line is complete.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Takes the next bytes of the document and hands each entry that they complete to `entry`.
    ///
    /// # Errors
    /// What [`Invalid`] names; the reader must not be used any more then. An error of `entry` passes through.
    pub fn push<E: From<Invalid>>(
        &mut self,
        mut bytes: &[u8],
        mut entry: impl FnMut(&Header, Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end])?;
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.partial);
            if let Some(read) = self.line(&line)?
                && let Some(header) = &self.header
            {
                entry(header, read)?;
            }
            self.partial = line;
            self.partial.clear();
        }
        Ok(self.keep(bytes)?)
    }

    /// Says that the document ended.
    ///
    /// # Errors
    /// When the last line is incomplete or the totals are not the header's.
    pub fn finish(self) -> Result<Header, Invalid> {
        match self.header {
            Some(header) if self.partial.is_empty() && *header.totals() == self.totals => Ok(header),
            _ => Err(Invalid::Totals),
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        if self.partial.len() + bytes.len() > limits::MAX_LINE_BYTES {
            return Err(Invalid::LongLine { line: self.line + 1 });
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, text: &[u8]) -> Result<Option<Entry>, Invalid> {
        self.line += 1;
        let line = self.line;
        let Some(header) = &self.header else {
            let header: Header =
                serde_json::from_slice(text).map_err(|_| Invalid::Syntax { line, expected: "header" })?;
            if header.totals().entries() > limits::MAX_ENTRIES {
                return Err(Invalid::TooMuch);
            }
            self.header = Some(header);
            return Ok(None);
        };
        let entry = parse_entry(text, line)?;
        check_fields(header, &entry, line)?;
        self.check_order(&entry)?;
        self.totals = self.totals.plus(&entry).ok_or(Invalid::TooMuch)?;
        let announced = header.totals();
        if self.totals.entries() > announced.entries() || self.totals.bytes > announced.bytes {
            return Err(Invalid::TooMuch);
        }
        self.last = Some(entry.clone());
        Ok(Some(entry))
    }

    fn check_order(&self, entry: &Entry) -> Result<(), Invalid> {
        let Some(last) = &self.last else { return Ok(()) };
        // A listed folder is an empty one, so nothing may lie below either kind.
        if entry.path <= last.path || entry.path.is_below(&last.path) {
            return Err(Invalid::Order { line: self.line });
        }
        Ok(())
    }
}

impl Header {
    /// What all entries add up to.
    pub fn totals(&self) -> &Totals {
        match self {
            Header::Plan { totals } | Header::Manifest { totals, .. } | Header::Part { totals, .. } => totals,
        }
    }

    /// The header's line, with its line feed.
    pub fn to_line(&self) -> String {
        json_line(self)
    }
}

impl Entry {
    /// The entry's line, with its line feed.
    pub fn to_line(&self) -> String {
        json_line(self)
    }

    /// Whether `self`, of a manifest, is the file or folder that `planned` announced.
    pub fn agrees_with_plan(&self, planned: &Entry) -> bool {
        Entry { sha256: None, ..self.clone() } == *planned
    }
}

fn json_line(value: &impl Serialize) -> String {
    // Serialising these types cannot fail: no maps with keys that are not strings, no fallible implementations.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// The loosest form of an entry, so that a forbidden path is told from a broken line.
#[derive(Deserialize)]
struct PathOnly {
    path: String,
}

fn parse_entry(text: &[u8], line: u64) -> Result<Entry, Invalid> {
    serde_json::from_slice(text).map_err(|_| {
        let problem = serde_json::from_slice::<PathOnly>(text).ok().and_then(|e| DataPath::try_from(e.path).err());
        match problem {
            Some(problem) => Invalid::Path { line, problem },
            None => Invalid::Syntax { line, expected: "entry" },
        }
    })
}

fn check_fields(header: &Header, entry: &Entry, line: u64) -> Result<(), Invalid> {
    let field = |what| Err(Invalid::Field { line, what });
    if entry.mtime_ns >= 1_000_000_000 {
        return field("mtime_ns must be under a thousand million");
    }
    match (entry.kind, header, entry.sha256) {
        (Kind::Folder, ..) if entry.size != 0 || entry.executable => {
            field("a folder has no size and no executable bit")
        }
        (Kind::Folder, _, Some(_)) | (_, Header::Plan { .. }, Some(_)) => field("no sha256 belongs here"),
        (Kind::File, Header::Manifest { .. } | Header::Part { .. }, None) => {
            field("a file in a manifest needs its sha256")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, step: usize) -> Result<(Header, Vec<Entry>), Invalid> {
        let mut reader = Reader::new();
        let mut entries = Vec::new();
        for bytes in text.as_bytes().chunks(step) {
            reader.push(bytes, |_, entry| {
                entries.push(entry);
                Ok::<(), Invalid>(())
            })?;
        }
        Ok((reader.finish()?, entries))
    }

    const PLAN: &str = concat!(
        "{\"sluse\":\"plan/1\",\"totals\":{\"files\":2,\"folders\":1,\"bytes\":5}}\n",
        "{\"path\":\"a\",\"size\":5,\"mtime\":1}\n",
        "{\"path\":\"b/e\",\"kind\":\"folder\",\"mtime\":-3}\n",
        "{\"path\":\"b/æ\",\"mtime\":2,\"mtime_ns\":5,\"executable\":true}\n",
    );

    #[test]
    fn a_plan_reads_back_however_its_bytes_arrive_and_writes_the_same_bytes() {
        for step in [1, 2, 7, 1000] {
            let (header, entries) = read(PLAN, step).unwrap();
            let written: String = std::iter::once(header.to_line()).chain(entries.iter().map(Entry::to_line)).collect();
            assert_eq!(written, PLAN);
        }
    }

    #[test]
    fn each_fault_of_a_document_has_its_own_name() {
        let plan = |totals: &str, lines: &str| format!("{{\"sluse\":\"plan/1\",\"totals\":{totals}}}\n{lines}");
        let one = "{\"files\":1,\"folders\":0,\"bytes\":0}";
        let two = "{\"files\":2,\"folders\":0,\"bytes\":0}";
        let cases = [
            ("".to_owned(), Invalid::Totals),
            (plan(one, ""), Invalid::Totals),
            (plan(one, "{\"path\":\"a\",\"mtime\":0}"), Invalid::Totals),
            (plan(one, "{\"path\":\"a\",\"size\":1,\"mtime\":0}\n"), Invalid::TooMuch),
            (plan(one, "{\"path\":\"a\"}\n"), Invalid::Syntax { line: 2, expected: "entry" }),
            (plan(one, "{\"path\":\"../a\",\"mtime\":0}\n"), Invalid::Path { line: 2, problem: PathProblem::Dots }),
            (plan(two, "{\"path\":\"a\",\"mtime\":0}\n{\"path\":\"a\",\"mtime\":0}\n"), Invalid::Order { line: 3 }),
            (plan(two, "{\"path\":\"a\",\"mtime\":0}\n{\"path\":\"a/b\",\"mtime\":0}\n"), Invalid::Order { line: 3 }),
            (plan(two, "{\"path\":\"b\",\"mtime\":0}\n{\"path\":\"a\",\"mtime\":0}\n"), Invalid::Order { line: 3 }),
            (plan("{\"files\":10000000,\"folders\":0,\"bytes\":0}", ""), Invalid::TooMuch),
            ("x".repeat(limits::MAX_LINE_BYTES + 1), Invalid::LongLine { line: 1 }),
            ("{\"sluse\":\"plan/2\"}\n".to_owned(), Invalid::Syntax { line: 1, expected: "header" }),
        ];
        for (text, expected) in cases {
            assert_eq!(read(&text, 64).unwrap_err(), expected, "{}", &text[..text.len().min(200)]);
        }
    }
}
