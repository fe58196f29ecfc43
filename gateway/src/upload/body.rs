//! The bytes of one request, on their way into parcels. Those that are durable count, also where the rest never comes.

use super::ticket::Ticket;
use super::uploads::{Turn, Upload, Uploads};
use super::words::Checksum;
use crate::spool::{Ends, Inlet, Label, NotStored, Parcel, Says};
use aws_lc_rs::digest;
use hyper::body::{Body as _, Bytes, Incoming};
use sluse_host::clock;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A parcel takes so many bytes, and is open for so long: what a crash may cost of an upload.
const PARCEL: u64 = 64 * 1024 * 1024;
const OPEN: Duration = Duration::from_secs(60);

/// Pieces that wait for the disk.
const WAITING: usize = 4;

/// Why the bytes of a request were not, or not all, taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// More than the upload's length.
    #[error("more bytes than Upload-Length")]
    TooMuch,
    /// They are not what the checksum says.
    #[error("the bytes are not those of Upload-Checksum")]
    Mismatch,
    /// The client broke off, or was silent for too long.
    #[error("the bytes broke off")]
    Broken,
    /// The spool does not take them.
    #[error(transparent)]
    Spool(#[from] NotStored),
}

impl From<std::io::Error> for NotTaken {
    fn from(error: std::io::Error) -> Self {
        NotTaken::Spool(error.into())
    }
}

/// Takes a request's bytes to an upload whose turn it has.
pub struct Receiving {
    inlet: Arc<Inlet>,
    uploads: Arc<Uploads>,
    ticket: Ticket,
    upload: Upload,
    /// Where the next byte belongs.
    at: u64,
    checked: Option<(digest::Context, Checksum)>,
    parcel: Option<(Parcel, Instant)>,
    _turn: Turn,
}

/// What comes from the client.
enum Piece {
    Bytes(Bytes),
    End,
}

impl Receiving {
    /// From where `upload` stands.
    pub fn new(
        inlet: Arc<Inlet>,
        uploads: Arc<Uploads>,
        ticket: Ticket,
        upload: Upload,
        checksum: Option<Checksum>,
        turn: Turn,
    ) -> Self {
        let checked = checksum.map(|checksum| (digest::Context::new(checksum.algorithm), checksum));
        Self { inlet, uploads, ticket, at: upload.offset, upload, checked, parcel: None, _turn: turn }
    }

    /// Takes all of `body`, whose next bytes must come within `idle`; how the upload stands then. Where the client vanishes, this
    /// is dropped: what came so far is stored all the same.
    ///
    /// # Errors
    /// When they were not all taken.
    pub async fn receive(self, mut body: Incoming, idle: Duration) -> Result<Upload, NotTaken> {
        let (sender, pieces) = mpsc::channel(WAITING);
        let storing = tokio::task::spawn_blocking(move || self.store(pieces));
        loop {
            let next = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let piece = match tokio::time::timeout(idle, next).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => Piece::Bytes(bytes),
                    // Trailers say nothing here.
                    Err(_) => continue,
                },
                Ok(None) => Piece::End,
                Ok(Some(Err(_))) | Err(_) => break,
            };
            let ends = matches!(piece, Piece::End);
            // Whoever stores has given up where this fails, and says why below.
            if sender.send(piece).await.is_err() || ends {
                break;
            }
        }
        drop(sender);
        storing.await.map_err(|error| NotTaken::from(std::io::Error::other(error)))?
    }

    fn store(mut self, mut pieces: mpsc::Receiver<Piece>) -> Result<Upload, NotTaken> {
        loop {
            match pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.take(&bytes)?,
                Some(Piece::End) => return self.end(),
                None => {
                    // What was checked as a whole is of no worth in parts.
                    if self.checked.is_none() {
                        self.store_parcel()?;
                    }
                    return Err(NotTaken::Broken);
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), NotTaken> {
        let after = self.at + bytes.len() as u64;
        if after > self.upload.length {
            return Err(NotTaken::TooMuch);
        }
        if let Some((context, _)) = &mut self.checked {
            context.update(bytes);
        }
        let (parcel, since) = match &mut self.parcel {
            Some(open) => open,
            None => self.parcel.insert((self.inlet.begin()?, Instant::now())),
        };
        parcel.write(bytes)?;
        let full = parcel.bytes() >= PARCEL || since.elapsed() >= OPEN;
        self.at = after;
        // The last one waits for the end: what is checked is checked before the file is whole.
        if full && after < self.upload.length { self.store_parcel() } else { Ok(()) }
    }

    fn end(mut self) -> Result<Upload, NotTaken> {
        if let Some((context, checksum)) = self.checked.take()
            && context.finish().as_ref() != checksum.digest
        {
            return Err(NotTaken::Mismatch);
        }
        self.store_parcel()?;
        // After a checksum, parcels that were stored before count now.
        if self.upload.offset != self.at {
            self.advance()?;
        }
        Ok(self.upload)
    }

    fn store_parcel(&mut self) -> Result<(), NotTaken> {
        let Some((parcel, _)) = self.parcel.take() else { return Ok(()) };
        let offset = self.at - parcel.bytes();
        let whole = self.at == self.upload.length;
        parcel.store(label(&self.ticket, offset, whole))?;
        if self.checked.is_none() { self.advance() } else { Ok(()) }
    }

    fn advance(&mut self) -> Result<(), NotTaken> {
        self.upload = Upload { offset: self.at, touched: clock::now(), ..self.upload };
        Ok(self.uploads.keep(self.ticket.file, self.upload)?)
    }
}

/// What is said of an upload's bytes from `offset` on.
pub fn label(ticket: &Ticket, offset: u64, whole: bool) -> Label {
    let closes = ticket.dataset.is_none();
    let ends = whole.then(|| Ends { stands: true, closes, ..Ends::of(ticket.path.clone(), ticket.created) });
    let says = Says::Part { file: ticket.file, offset, ends };
    Label { flow: ticket.flow.clone(), group: ticket.group(), dataset: ticket.dataset.clone(), says }
}
