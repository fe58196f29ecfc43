//! Taking in: parcels are encrypted as they come, made durable, and can never be read by who wrote them.

use super::{Label, Spool, Tail};
use crate::Error;
use age::Encryptor;
use age::stream::StreamWriter;
use age::x25519::Recipient;
use nix::sys::statvfs::statvfs;
use sha2::Digest as _;
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sealed bytes that are handed to the kernel at a time.
const WRITE: usize = 256 * 1024;

/// Plain bytes after which free space is looked at again.
const SPACE_EVERY: u64 = 16 * 1024 * 1024;

/// Files that must stay possible on the spool's file system, where it has a bound.
const KEEP_FREE_FILES: u64 = 1000;

/// Why a parcel was not stored.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// There is too little space: the client may come again later.
    #[error("there is too little space in the spool")]
    Full,
    /// The disk failed.
    #[error("the spool cannot be written")]
    Fault(#[source] io::Error),
}

impl From<io::Error> for NotStored {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NotStored::Full,
            _ => NotStored::Fault(error),
        }
    }
}

/// Where parcels go in: one for each process that takes in, shared by all adapters.
#[derive(Debug)]
pub struct Inlet {
    spool: Spool,
    recipient: Recipient,
    keep_free: u64,
    epoch: u64,
    count: AtomicU64,
    _lock: File,
}

impl Inlet {
    /// Opens the spool for taking in. What an earlier process was still writing is removed: no client was told of it.
    ///
    /// # Errors
    /// When another process takes in, or the spool cannot be written.
    pub fn open(spool: Spool, recipient: Recipient, keep_free: u64) -> Result<Arc<Self>, Error> {
        let lock = spool.lock("intake.lock")?;
        for left in fs::read_dir(spool.partial()).map_err(Error::at(&spool.partial()))? {
            let path = left.map_err(Error::at(&spool.partial()))?.path();
            fs::remove_file(&path).map_err(Error::at(&path))?;
        }
        let epoch = begin_epoch(&spool)?;
        Ok(Arc::new(Self { spool, recipient, keep_free, epoch, count: AtomicU64::new(0), _lock: lock }))
    }

    /// Where parcels go.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Begins a parcel. Nothing of it is durable before [`Parcel::store`]; one that is dropped leaves nothing.
    ///
    /// # Errors
    /// When there is too little space, or the disk fails.
    pub fn begin(self: &Arc<Self>) -> Result<Parcel, NotStored> {
        self.check_space(0)?;
        self.begin_word()
    }

    /// Begins a parcel that says something and brings no bytes of files. What is kept free is there for it: a spool that is full
    /// would else never hear that something in it is complete, or not wanted any more.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn begin_word(self: &Arc<Self>) -> Result<Parcel, NotStored> {
        let name = format!("{:08x}-{:012x}", self.epoch, self.count.fetch_add(1, Ordering::Relaxed));
        let path = self.spool.partial().join(&name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path)?;
        let encryptor = Encryptor::with_recipients(std::iter::once(&self.recipient as _)).map_err(io::Error::other)?;
        let sealed = encryptor.wrap_output(BufWriter::with_capacity(WRITE, file))?;
        let sealed = Some(sealed);
        Ok(Parcel { inlet: Arc::clone(self), name, path, sealed, sha256: sha2::Sha256::new(), bytes: 0 })
    }

    /// Whether `bytes` more may come.
    ///
    /// # Errors
    /// When there is too little space for them, or that cannot be found out.
    pub fn check_space(&self, bytes: u64) -> Result<(), NotStored> {
        let found = statvfs(self.spool.folder()).map_err(io::Error::from)?;
        let free = found.blocks_available().saturating_mul(found.fragment_size());
        // A file system without a bound on files says that it has none at all.
        let files_left = found.files() == 0 || found.files_available() >= KEEP_FREE_FILES;
        if free < self.keep_free.saturating_add(bytes) || !files_left {
            return Err(NotStored::Full);
        }
        Ok(())
    }
}

/// Counts how often a spool was opened: parcels' names ascend across restarts, whatever the clock says.
fn begin_epoch(spool: &Spool) -> Result<u64, Error> {
    let path = spool.folder().join("epoch");
    let before = match files::read_bounded(&path, 32) {
        Ok(bytes) => std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<u64>().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        Err(error) => return Err(Error::at(&path)(error)),
    };
    let Some(before) = before else {
        return Err(Error::at(&path)(io::Error::new(io::ErrorKind::InvalidData, "not a number")));
    };
    files::replace(&path, format!("{}\n", before + 1).as_bytes(), 0o640).map_err(Error::at(&path))?;
    Ok(before + 1)
}

/// Bytes on their way into the spool.
pub struct Parcel {
    inlet: Arc<Inlet>,
    name: String,
    path: PathBuf,
    /// None once it was stored.
    sealed: Option<StreamWriter<BufWriter<File>>>,
    sha256: sha2::Sha256,
    bytes: u64,
}

impl Parcel {
    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// When there is too little space, or the disk fails; the parcel is of no use any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), NotStored> {
        let before = self.bytes / SPACE_EVERY;
        self.bytes += bytes.len() as u64;
        if self.bytes / SPACE_EVERY != before {
            self.inlet.check_space(0)?;
        }
        self.sha256.update(bytes);
        self.sealed()?.write_all(bytes)?;
        Ok(())
    }

    /// How many bytes were taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the parcel durable. When this returns, and only then, the client may be told that it is stored.
    ///
    /// # Errors
    /// When there is too little space, or the disk fails; then nothing is left.
    pub fn store(mut self, label: Label) -> Result<Sha256, NotStored> {
        let sha256 = Sha256(std::mem::take(&mut self.sha256).finalize().into());
        let tail = Tail { label, bytes: self.bytes, sha256 }.encode()?;
        self.sealed()?.write_all(&tail)?;
        let Some(sealed) = self.sealed.take() else { return Err(ended().into()) };
        let file = sealed.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        // The bytes before their name, the name before the answer.
        file.sync_all()?;
        let arrived = self.inlet.spool.arrived();
        fs::rename(&self.path, arrived.join(&self.name))?;
        files::sync_folder(&arrived)?;
        Ok(sha256)
    }

    fn sealed(&mut self) -> io::Result<&mut StreamWriter<BufWriter<File>>> {
        self.sealed.as_mut().ok_or_else(ended)
    }
}

fn ended() -> io::Error {
    io::Error::other("a parcel that was stored takes no more")
}

impl Drop for Parcel {
    fn drop(&mut self) {
        // After it was stored nothing lies there; what cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Parcel").field("name", &self.name).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
