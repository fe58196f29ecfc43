//! Reading parcels: for who has the private key.

use super::Tail;
use super::label::MAX_TAIL_BYTES;
use age::stream::StreamReader;
use age::x25519::Identity;
use age::{DecryptError, Decryptor};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

/// A parcel that is open, as a stream out of the disk: nothing of it is written in the clear.
pub struct Opened {
    tail: Tail,
    plain: StreamReader<BufReader<File>>,
}

impl Opened {
    /// Opens the parcel at `path` and reads its tail. A file that was cut short is found out by that.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is no whole parcel to this key; else when it cannot be read.
    pub fn open(path: &Path, identity: &Identity) -> io::Result<Self> {
        let mut plain = open_age(path, identity)?;
        let length = plain.seek(SeekFrom::End(0))?;
        let mut last = [0; 4];
        plain.seek(SeekFrom::Start(length.checked_sub(4).ok_or_else(no_parcel)?))?;
        plain.read_exact(&mut last)?;
        let line = u64::from(u32::from_be_bytes(last));
        if line + 4 > MAX_TAIL_BYTES as u64 || line + 4 > length {
            return Err(no_parcel());
        }
        plain.seek(SeekFrom::Start(length - 4 - line))?;
        let mut text = vec![0; usize::try_from(line).map_err(|_| no_parcel())?];
        plain.read_exact(&mut text)?;
        let tail: Tail = serde_json::from_slice(&text).map_err(|_| no_parcel())?;
        if tail.bytes != length - 4 - line {
            return Err(no_parcel());
        }
        Ok(Self { tail, plain })
    }

    /// What it says.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The bytes of the file in it, from `from` on, as far as `until`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(mut self, from: u64, until: u64) -> io::Result<impl Read + Send> {
        let until = until.min(self.tail.bytes);
        self.plain.seek(SeekFrom::Start(from))?;
        Ok(self.plain.take(until.saturating_sub(from)))
    }
}

/// Opens an age file for reading with seeks.
pub(crate) fn open_age(path: &Path, identity: &Identity) -> io::Result<StreamReader<BufReader<File>>> {
    let closed = |error: DecryptError| match error {
        DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => error,
        _ => no_parcel(),
    };
    let decryptor = Decryptor::new_buffered(BufReader::with_capacity(128 * 1024, File::open(path)?)).map_err(closed)?;
    decryptor.decrypt(std::iter::once(identity as _)).map_err(closed)
}

fn no_parcel() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is damaged, or encrypted to another key")
}
