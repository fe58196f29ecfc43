//! The control stream: frames from the peer, with bounds and deadlines, and answers to it.

use super::bounds;
use super::control::broken;
use super::refusals::{Stop, violation};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use sluse_protocol::frame::{self, BadFrame, Lengths, PREFIX_BYTES};
use sluse_protocol::limits::PART_BYTES;
use sluse_protocol::refusal::Refusal;
use sluse_protocol::wire::{Reply, Request};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Frames from the peer.
#[derive(Debug)]
pub struct Inbox {
    stream: RecvStream,
    announced: u64,
}

impl Inbox {
    /// Reads from the peer's half of the control stream.
    pub fn new(stream: RecvStream) -> Self {
        Self { stream, announced: 0 }
    }

    /// The next request; `None` when none begins within `patience`. Parts of a document that was refused before it was
    /// read are skipped.
    ///
    /// # Errors
    /// When the peer breaks the protocol, ends its half of the stream, or is gone.
    pub async fn request(&mut self, patience: Duration) -> Result<Option<Request>, Stop> {
        loop {
            let Some((request, body)) = self.frame(patience).await? else { return Ok(None) };
            match request {
                Request::Part => self.take(&body)?,
                request => {
                    self.announced = 0;
                    return Ok(Some(request));
                }
            }
        }
    }

    /// A document of so many bytes follows in parts.
    pub fn announce(&mut self, bytes: u64) {
        self.announced = bytes;
    }

    /// The next part of the announced document; none when it is whole.
    ///
    /// # Errors
    /// When anything but a part comes, more than was announced, or nothing in time.
    pub async fn part(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        if self.announced == 0 {
            return Ok(None);
        }
        match self.frame(bounds::FRAME).await? {
            Some((Request::Part, body)) => {
                self.take(&body)?;
                Ok(Some(body))
            }
            Some(_) => Err(violation("a document ended before all its bytes had come").into()),
            None => Err(violation("an announced document did not come in time").into()),
        }
    }

    fn take(&mut self, part: &[u8]) -> Result<(), Stop> {
        let left = self.announced.checked_sub(part.len() as u64).filter(|_| !part.is_empty());
        self.announced = left.ok_or_else(|| violation("a part that is empty, or more than was announced"))?;
        Ok(())
    }

    async fn frame(&mut self, patience: Duration) -> Result<Option<(Request, Vec<u8>)>, Stop> {
        let mut prefix = [0; PREFIX_BYTES];
        match timeout(patience, self.stream.read(&mut prefix[..1])).await {
            Err(_) => return Ok(None),
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None) | Err(_)) => return Err(Stop::Gone),
        }
        let rest = timeout(bounds::FRAME, self.rest(prefix)).await;
        rest.map_err(|_| violation("a frame was not finished in time"))?.map(Some)
    }

    async fn rest(&mut self, mut prefix: [u8; PREFIX_BYTES]) -> Result<(Request, Vec<u8>), Stop> {
        self.fill(&mut prefix[1..]).await?;
        let lengths = Lengths::parse(prefix).map_err(|_| oversized())?;
        let mut head = vec![0; lengths.head];
        self.fill(&mut head).await?;
        let request = frame::decode_head(&head).map_err(|_: BadFrame| violation("a frame's head is no request"))?;
        // Only now is it known whether there may be a body at all.
        let bound = if request == Request::Part { PART_BYTES } else { 0 };
        if lengths.body > bound {
            return Err(oversized().into());
        }
        let mut body = vec![0; lengths.body];
        self.fill(&mut body).await?;
        Ok((request, body))
    }

    async fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Stop> {
        match self.stream.read_exact(bytes).await {
            Ok(()) => Ok(()),
            Err(quinn::ReadExactError::FinishedEarly(_)) => Err(violation("a frame ended early").into()),
            Err(quinn::ReadExactError::ReadError(_)) => Err(Stop::Gone),
        }
    }
}

fn oversized() -> Refusal {
    violation("a frame is larger than the protocol allows")
}

/// Answers to the peer, from whoever has one.
#[derive(Debug)]
pub struct Outbox {
    half: Mutex<Half>,
}

#[derive(Debug)]
struct Half {
    stream: SendStream,
    /// No frame was left half written.
    whole: bool,
}

impl Outbox {
    /// Writes to our half of the control stream.
    pub fn new(stream: SendStream) -> Self {
        Self { half: Mutex::new(Half { stream, whole: true }) }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the peer is gone, or does not read.
    pub async fn send(&self, reply: &Reply, body: &[u8]) -> Result<(), Stop> {
        let frame = frame::encode(reply, body).map_err(|_| broken("an answer does not fit a frame"))?;
        let mut half = timeout(bounds::WRITE, self.half.lock()).await.map_err(|_| Stop::Gone)?;
        if !std::mem::replace(&mut half.whole, false) {
            return Err(Stop::Gone);
        }
        let written = timeout(bounds::WRITE, half.stream.write_all(&frame)).await;
        half.whole = matches!(written, Ok(Ok(())));
        if half.whole { Ok(()) } else { Err(Stop::Gone) }
    }

    /// Says why the connection ends, gives the peer a moment to read it, and closes.
    pub async fn refuse(&self, connection: &Connection, refusal: &Refusal) {
        let told = timeout(bounds::LINGER, self.send(&Reply::Refused(refusal.clone()), &[])).await;
        if matches!(told, Ok(Ok(()))) {
            // Whoever reads the refusal closes; a close of ours must not overtake it.
            let _ = timeout(bounds::LINGER, connection.closed()).await;
        }
        close(connection, refusal);
    }
}

/// Closes a connection with the refusal's exit code as the application error, and its code as the reason.
pub fn close(connection: &Connection, refusal: &Refusal) {
    let code = VarInt::from_u32(refusal.code.exit() as u32);
    connection.close(code, refusal.code.as_str().as_bytes());
}
