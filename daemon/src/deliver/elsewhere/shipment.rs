//! Gives the dataset's files to a courier as they are decrypted, goes on with those that are there in part, and compares what is there
//! with what was released. Where the room has a recipient each is encrypted to it.

use super::courier::Courier;
use super::journal::Journal;
use crate::deliver::bag::Content;
use crate::deliver::error::DeliverError;
use crate::deliver::lists::Lists;
use crate::deliver::payload::Finished;
use crate::deliver::sealed_file::SealedFile;
use crate::deliver::tags;
use crate::quarantine::dataset::Visitor;
use age::x25519::Recipient;
use sha2::Digest as _;
use sluse_protocol::courier::{FileHead, STEP_BYTES};
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Entry;
use sluse_protocol::path::DataPath;

const WHAT: &str = "writing a list of the bag";

/// Takes a dataset and gives it away.
pub struct Shipment<'a> {
    /// Who takes it.
    pub courier: &'a Courier,
    /// What an earlier attempt did.
    pub journal: &'a Journal,
    /// The bag's lists.
    pub lists: Lists<'a>,
    /// To whom files are encrypted.
    pub recipient: Option<Recipient>,
    /// Whether the target lets us read back.
    pub reads_back: bool,
    /// Files and bytes that are there.
    pub there: (u64, u64),
    /// The file that is on its way.
    pub current: Option<Current>,
}

/// A file that is on its way.
pub struct Current {
    path: DataPath,
    /// In the list: relative to the data folder.
    listed: DataPath,
    plain: sha2::Sha256,
    state: Sending,
}

enum Sending {
    /// As it is.
    Plain(Parcel),
    /// Encrypted.
    Sealed(Box<SealedFile>, Parcel),
    /// An earlier attempt encrypted and sent it: so many bytes with this digest.
    There(u64, Sha256),
}

impl Shipment<'_> {
    fn head(&self, path: &DataPath, bytes: u64, resume: bool, entry: &Entry) -> FileHead {
        let (mtime, executable) = (entry.mtime, entry.executable);
        FileHead { path: path.clone(), bytes, mtime, executable, resume }
    }

    fn begin_sealed(&self, path: &DataPath, recipient: &Recipient, entry: &Entry) -> Result<Sending, DeliverError> {
        if let Some((bytes, sha256)) = self.journal.sealed(path.as_str())
            && self.courier.begin(self.head(path, bytes, true, entry))? == bytes
        {
            return Ok(Sending::There(bytes, sha256));
        }
        let sealed = SealedFile::begin(recipient, entry.size).map_err(DeliverError::io("encrypting to the room"))?;
        let durable = self.courier.begin(self.head(path, sealed.length(), false, entry))?;
        Ok(Sending::Sealed(Box::new(sealed), Parcel::new(durable)))
    }
}

impl Visitor for Shipment<'_> {
    type Error = DeliverError;

    fn folder(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let listed = self.lists.place(&entry.path).map_err(DeliverError::io(WHAT))?;
        self.courier.folder(in_data(&listed)?)
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let listed = self.lists.place(&entry.path).map_err(DeliverError::io(WHAT))?;
        let path = in_data(&listed)?;
        let state = match &self.recipient {
            Some(recipient) => self.begin_sealed(&path, recipient, entry)?,
            None => {
                let durable = self.courier.begin(self.head(&path, entry.size, true, entry))?;
                Sending::Plain(Parcel::new(durable))
            }
        };
        self.current = Some(Current { path, listed, plain: sha2::Sha256::new(), state });
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DeliverError> {
        let Some(current) = &mut self.current else { return Err(DeliverError::Fault("bytes of no file".into())) };
        current.plain.update(bytes);
        match &mut current.state {
            Sending::Plain(parcel) => parcel.push(self.courier, bytes),
            Sending::Sealed(sealed, parcel) => {
                let next = sealed.seal(bytes).map_err(DeliverError::io("encrypting to the room"))?;
                parcel.push(self.courier, &next)
            }
            Sending::There(..) => Ok(()),
        }
    }

    fn end(&mut self, entry: &Entry) -> Result<(), DeliverError> {
        let Some(current) = self.current.take() else { return Err(DeliverError::Fault("the end of no file".into())) };
        let plain = Sha256(current.plain.finalize().into());
        if Some(plain) != entry.sha256 {
            return Err(DeliverError::Integrity("a file is not what the manifest says of it".into()));
        }
        let (bytes, stored) = match current.state {
            Sending::Plain(parcel) => (parcel.finish(self.courier)?, plain),
            Sending::Sealed(sealed, mut parcel) => {
                let (last, digests) = sealed.finish().map_err(DeliverError::io("encrypting to the room"))?;
                parcel.push(self.courier, &last)?;
                let bytes = parcel.finish(self.courier)?;
                let noted = self.journal.note_sealed(current.path.as_str(), bytes, digests.sealed);
                noted.map_err(DeliverError::io("noting how far a delivery came"))?;
                (bytes, digests.sealed)
            }
            Sending::There(bytes, stored) => {
                self.courier.end()?;
                (bytes, stored)
            }
        };
        if self.reads_back {
            compare(self.courier, &current.path, bytes, stored)?;
        }
        self.there = (self.there.0 + 1, self.there.1 + bytes);
        self.lists.list(current.listed.as_str(), Some(plain), Some(stored)).map_err(DeliverError::io(WHAT))
    }
}

impl Content for Shipment<'_> {
    fn finish(self) -> Result<Finished, DeliverError> {
        self.lists.finish(self.there.0, self.there.1).map_err(DeliverError::io(WHAT))
    }
}

/// Where a file of the dataset stands in the bag.
///
/// # Errors
/// When its path is too long.
pub fn in_data(path: &DataPath) -> Result<DataPath, DeliverError> {
    let path = format!("{}/{path}", tags::DATA);
    path.parse().map_err(|_| DeliverError::Fault("a file's path is too long for a room elsewhere".into()))
}

/// Reads a file back, and compares length and digest.
///
/// # Errors
/// [`DeliverError::Differs`], or when it cannot be read.
pub fn compare(courier: &Courier, path: &DataPath, bytes: u64, digest: Sha256) -> Result<(), DeliverError> {
    let (mut hash, mut at) = (sha2::Sha256::new(), 0);
    loop {
        let read = courier.read(path, at)?;
        at += read.len() as u64;
        if read.is_empty() {
            break;
        }
        if at > bytes {
            return Err(DeliverError::Differs);
        }
        hash.update(&read);
    }
    let same = at == bytes && Sha256(hash.finalize().into()) == digest;
    same.then_some(()).ok_or(DeliverError::Differs)
}

/// A file's bytes, gathered to steps; those that are there already are passed by.
pub struct Parcel {
    /// So many bytes of the file are there, or are gathered.
    at: u64,
    /// So many are passed by.
    durable: u64,
    gathered: Vec<u8>,
}

impl Parcel {
    /// Of a file of which so many bytes are there.
    pub fn new(durable: u64) -> Self {
        Self { at: 0, durable, gathered: Vec::new() }
    }

    /// Takes the file's next bytes.
    ///
    /// # Errors
    /// When the courier fails.
    pub fn push(&mut self, courier: &Courier, mut bytes: &[u8]) -> Result<(), DeliverError> {
        let passed = (self.durable - self.at.min(self.durable)).min(bytes.len() as u64);
        self.at += passed;
        bytes = &bytes[usize::try_from(passed).unwrap_or(bytes.len())..];
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(STEP_BYTES - self.gathered.len()));
            self.gathered.extend_from_slice(now);
            self.at += now.len() as u64;
            bytes = later;
            if self.gathered.len() == STEP_BYTES {
                self.put(courier)?;
            }
        }
        Ok(())
    }

    /// Gives away what is left and ends the file; its bytes.
    ///
    /// # Errors
    /// When the courier fails.
    pub fn finish(mut self, courier: &Courier) -> Result<u64, DeliverError> {
        if !self.gathered.is_empty() {
            self.put(courier)?;
        }
        courier.end()?;
        Ok(self.at)
    }

    fn put(&mut self, courier: &Courier) -> Result<(), DeliverError> {
        courier.put(self.at - self.gathered.len() as u64, &self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}
