//! Asking `control` from asynchronous code. What goes wrong on the way is a refusal too: the peer learns that the zone
//! cannot answer, the journal why.

use sluse_host::rpc::{CallError, Client};
use sluse_protocol::limits;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{oneshot, watch};

/// What `control` answered, with the body; a refusal is an error.
pub type Answer = Result<(ReceiveReply, Vec<u8>), Refusal>;

/// The link to `control`.
#[derive(Debug)]
pub struct Control {
    client: Arc<Client<ReceiveRequest, ReceiveReply>>,
    lost: watch::Sender<bool>,
    uploads: AtomicU64,
}

impl Control {
    /// Asks over `client`.
    pub fn new(client: Client<ReceiveRequest, ReceiveReply>) -> Self {
        Self { client: Arc::new(client), lost: watch::Sender::new(false), uploads: AtomicU64::new(1) }
    }

    /// Returns when the link is lost.
    pub async fn lost(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, request: ReceiveRequest, body: Vec<u8>) -> Answer {
        let (answered, answer) = oneshot::channel();
        let client = Arc::clone(&self.client);
        let start = move || {
            client.start(&request, &body, |result| {
                // Whoever asked may have gone.
                let _ = answered.send(result);
            });
        };
        // Writing to the socket blocks while `control` is behind.
        tokio::task::spawn_blocking(start).await.map_err(|_| broken("a request was not sent"))?;
        let result = match tokio::time::timeout(limits::ROLE_TIMEOUT, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CallError::Lost),
            Err(_) => Err(CallError::TimedOut(limits::ROLE_TIMEOUT)),
        };
        match result {
            Ok((ReceiveReply::Refused(refusal), _)) => Err(refusal),
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// A new document to be sent to `control` part by part.
    pub fn upload(self: &Arc<Self>) -> Upload {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        Upload { control: Arc::clone(self), number, kept: false }
    }

    fn failed(&self, error: &CallError) -> Refusal {
        match error {
            CallError::Lost | CallError::Io(_) => {
                self.lost.send_replace(true);
                unavailable()
            }
            CallError::TimedOut(_) => {
                tracing::error!("control did not answer in time");
                unavailable()
            }
            CallError::Frame(_) => broken("a request does not fit a frame"),
        }
    }
}

/// A document on its way to `control`. One that is not kept is dropped there too.
#[derive(Debug)]
pub struct Upload {
    control: Arc<Control>,
    number: u64,
    kept: bool,
}

impl Upload {
    /// Sends the next bytes.
    pub async fn part(&self, bytes: Vec<u8>) -> Result<(), Refusal> {
        match self.control.ask(ReceiveRequest::Part { upload: self.number }, bytes).await? {
            (ReceiveReply::Done, _) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The document is whole: the request that names it takes it over.
    pub fn keep(mut self) -> u64 {
        self.kept = true;
        self.number
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (control, upload) = (Arc::clone(&self.control), self.number);
        // Outside a runtime the role has ended, and `control` forgets what its lost link had begun.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { control.ask(ReceiveRequest::Drop { upload }, Vec::new()).await.map(drop) });
        }
    }
}

/// `control` answered with something that does not belong to the question.
pub fn unexpected(reply: &ReceiveReply) -> Refusal {
    let kind = match reply {
        ReceiveReply::Done => "done",
        ReceiveReply::Peer { .. } => "peer",
        ReceiveReply::Enrolled { .. } => "enrolled",
        ReceiveReply::Renewed { .. } => "renewed",
        ReceiveReply::Keys => "keys",
        ReceiveReply::Accepted { .. } => "accepted",
        ReceiveReply::Versions(_) => "versions",
        ReceiveReply::Sealed { .. } => "sealed",
        ReceiveReply::Status(_) => "status",
        ReceiveReply::Transfers { .. } => "transfers",
        ReceiveReply::Receipt { .. } => "receipt",
        ReceiveReply::Changes { .. } => "changes",
        ReceiveReply::Refused(_) => "refused",
    };
    tracing::error!(answer = kind, "control gave an answer that does not belong to the question");
    broken("an answer did not belong to its question")
}

/// The zone cannot answer now.
pub fn unavailable() -> Refusal {
    Refusal::new(Code::Unavailable, "the zone cannot answer now")
}

/// Our own fault; the journal says more.
pub fn broken(what: &'static str) -> Refusal {
    tracing::error!(what, "internal fault");
    Refusal::new(Code::Internal, "the zone failed")
}
