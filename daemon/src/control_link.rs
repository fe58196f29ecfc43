//! A role's link to `control`: whoever loses it ends, and is started again.

use serde::{Serialize, de::DeserializeOwned};
use sluse_host::rpc::{CallError, Client};
use sluse_protocol::refusal::Refusal;
use sluse_protocol::roles::{DeliverReply, InspectReply};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// The asking end of a role's socket.
pub struct Link<Q, A> {
    client: Client<Q, A>,
    stream: UnixStream,
}

/// An answer that may be a refusal.
pub trait Answer {
    /// The refusal, if it is one.
    fn refusal(&self) -> Option<&Refusal>;
}

impl Answer for InspectReply {
    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused(refusal) = self { Some(refusal) } else { None }
    }
}

impl Answer for DeliverReply {
    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused(refusal) = self { Some(refusal) } else { None }
    }
}

impl<Q: Serialize, A: DeserializeOwned + Answer + Send + 'static> Link<Q, A> {
    /// A link on a connected socket.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        Ok(Self { stream: stream.try_clone()?, client: Client::new(stream)? })
    }

    /// Asks, and waits for the answer and its body.
    ///
    /// # Errors
    /// When the link is lost or `control` does not answer.
    pub fn ask(&self, request: &Q, body: &[u8]) -> Result<(A, Vec<u8>), CallError> {
        self.client.call(request, body)
    }

    /// Tells `control` something. A refusal means that the transfer's state has changed meanwhile: it is logged.
    ///
    /// # Errors
    /// When the link is lost or `control` does not answer.
    pub fn tell(&self, request: &Q, body: &[u8]) -> Result<(), CallError> {
        let (answer, _) = self.ask(request, body)?;
        if let Some(refusal) = answer.refusal() {
            tracing::warn!(code = %refusal.code, "control refused what it was told");
        }
        Ok(())
    }

    /// The same, from a thread that has nobody to report to: the link ends when that fails, and with it the role.
    pub fn tell_or_end(&self, request: &Q, body: &[u8]) {
        if let Err(error) = self.tell(request, body) {
            tracing::error!(%error, "control was not told");
            self.end();
        }
    }

    /// Ends the link.
    pub fn end(&self) {
        // Whoever waits on it learns of it; it may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether it has ended.
    pub fn is_lost(&self) -> bool {
        self.client.is_lost()
    }
}
