//! A sealed transfer's manifest, decrypted as a stream: memory does not grow with the number of files.

use super::ReadError;
use super::folder::Folder;
use age::stream::StreamReader;
use age::x25519::Identity;
use sha2::Digest as _;
use sluse_host::layout::MANIFEST;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Entry, Header, Invalid, Reader};
use sluse_protocol::limits::MAX_DOCUMENT_BYTES;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read as _};

/// Bytes that are decrypted at a time; so few entries wait in memory.
const STEP: usize = 64 * 1024;

const WHAT: &str = "the manifest";

/// The plain bytes of a manifest, as they come.
pub struct Plain {
    reader: StreamReader<BufReader<File>>,
    hash: sha2::Sha256,
    length: u64,
    expected: Sha256,
}

impl Plain {
    /// Opens the manifest whose SHA-256 must be `expected`.
    ///
    /// # Errors
    /// When it is not there or does not open with `identity`.
    pub fn open(folder: &Folder, identity: &Identity, expected: Sha256) -> Result<Self, ReadError> {
        let file = folder.file(MANIFEST).map_err(|error| ReadError::of_sealed(WHAT, &error))?;
        let closed = |_| ReadError::integrity("the manifest does not open with the transfer's identity");
        let decryptor = age::Decryptor::new_buffered(BufReader::with_capacity(STEP, file)).map_err(closed)?;
        let reader = decryptor.decrypt(std::iter::once(identity as _)).map_err(closed)?;
        Ok(Self { reader, hash: sha2::Sha256::new(), length: 0, expected })
    }

    /// Fills `buffer` with the next bytes and returns how many; 0 is the end, and says that the digest agreed.
    ///
    /// # Errors
    /// When the manifest was changed or is too long, or the disk fails.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let count = loop {
            match self.reader.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::of_sealed(WHAT, &error)),
            }
        };
        if count == 0 {
            let digest = Sha256(self.hash.clone().finalize().into());
            let agrees = digest == self.expected;
            return agrees
                .then_some(0)
                .ok_or_else(|| ReadError::integrity("the manifest is not the one that was sealed"));
        }
        self.length += count as u64;
        if self.length > MAX_DOCUMENT_BYTES {
            return Err(ReadError::integrity("the manifest is longer than the protocol allows"));
        }
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// A manifest's entries, one after the other. Its whole digest was checked before the first is handed out, and is once more
/// after the last.
pub struct Entries {
    plain: Plain,
    parser: Option<Reader>,
    waiting: VecDeque<Entry>,
    buffer: Vec<u8>,
    header: Header,
}

impl Entries {
    /// Checks the manifest's digest, and reads its header.
    ///
    /// # Errors
    /// When it is not the manifest that was sealed, or cannot be read.
    pub fn open(folder: &Folder, identity: &Identity, expected: Sha256) -> Result<Self, ReadError> {
        let mut buffer = vec![0; STEP];
        let mut first = Plain::open(folder, identity, expected)?;
        while first.read(&mut buffer)? > 0 {}
        let plain = Plain::open(folder, identity, expected)?;
        let parser = Reader::new();
        let placeholder = Header::Plan { totals: Default::default() };
        let mut entries = Self { plain, parser: Some(parser), waiting: VecDeque::new(), buffer, header: placeholder };
        entries.header = entries.read_header()?;
        Ok(entries)
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next entry; none after the last.
    ///
    /// # Errors
    /// When the document is not well-formed, or was changed since its digest was checked.
    pub fn take_next(&mut self) -> Result<Option<Entry>, ReadError> {
        while self.waiting.is_empty() && self.parser.is_some() {
            self.step()?;
        }
        Ok(self.waiting.pop_front())
    }

    fn read_header(&mut self) -> Result<Header, ReadError> {
        loop {
            if let Some(header) = self.parser.as_ref().and_then(Reader::header) {
                return Ok(header.clone());
            }
            if self.parser.is_none() {
                return Err(ReadError::integrity("the manifest has no header"));
            }
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<(), ReadError> {
        let Some(mut parser) = self.parser.take() else { return Ok(()) };
        let count = self.plain.read(&mut self.buffer)?;
        if count == 0 {
            parser.finish().map_err(invalid)?;
            return Ok(());
        }
        let waiting = &mut self.waiting;
        let keep = |_: &Header, entry| {
            waiting.push_back(entry);
            Ok::<(), Invalid>(())
        };
        parser.push(&self.buffer[..count], keep).map_err(invalid)?;
        self.parser = Some(parser);
        Ok(())
    }
}

fn invalid(error: Invalid) -> ReadError {
    ReadError::integrity(format!("the manifest: {error}"))
}
