//! Asks a courier: one connection is one delivery.

use crate::deliver::attempts::Attempt;
use crate::deliver::error::DeliverError;
use sluse_host::rpc::Client;
use sluse_protocol::courier::{
    ANSWER_TIMEOUT, AtZone, CourierReply, CourierRequest, FileHead, NotKept, STEP_BYTES, Verified,
};
use sluse_protocol::ids::{DatasetName, RoomName, TransferId};
use sluse_protocol::path::DataPath;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Characters of what a courier says in words that are passed on: into the log, and into what is signed.
const MAX_WORDS: usize = 300;

/// Characters of what it calls what its target speaks.
const MAX_NAME: usize = 32;

/// A connection to a room's courier.
pub struct Courier {
    room: RoomName,
    client: Client<CourierRequest, CourierReply>,
    stream: UnixStream,
    patience: Duration,
}

/// What a courier says of a bag when it is opened.
pub struct Opened {
    /// Whether it is visible.
    pub visible: bool,
    /// What the target speaks.
    pub by: String,
    /// How what it stores is compared.
    pub verifies: Verified,
    /// Whether it has all files listed first.
    pub lists: bool,
}

impl Opened {
    /// Whether it lets us read back.
    pub fn reads_back(&self) -> bool {
        self.verifies == Verified::ReadBack
    }
}

/// What a courier says of a bag that it made visible.
pub struct Published {
    /// What the target did not keep.
    pub not_kept: Vec<NotKept>,
    /// Where it is another landing zone: what that has signed.
    pub zone: Option<AtZone>,
}

impl Courier {
    /// Connects to the courier of `room`, whose socket lies in `couriers`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn connect(couriers: &Path, room: &RoomName) -> Result<Self, DeliverError> {
        let socket = couriers.join(format!("{room}.sock"));
        let away = |error| DeliverError::Fault(format!("the courier of room {room} cannot be reached: {error}"));
        let stream = UnixStream::connect(socket).map_err(away)?;
        let client = stream.try_clone().and_then(Client::new).map_err(away)?;
        Ok(Self { room: room.clone(), client, stream, patience: ANSWER_TIMEOUT })
    }

    /// Has the connection closed when `attempt` is ended, so that no answer is waited for any more.
    ///
    /// # Errors
    /// [`DeliverError::Stopped`], or when no descriptor is left.
    pub fn end_with(&self, attempt: &Attempt) -> Result<(), DeliverError> {
        attempt.bind(self.stream.try_clone().map_err(DeliverError::io("watching a courier"))?)
    }

    /// The same, for what somebody waits for: no answer may take longer than `patience`.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn ask(&self, request: &CourierRequest, body: &[u8]) -> Result<(CourierReply, Vec<u8>), DeliverError> {
        let room = &self.room;
        match self.client.call_within(self.patience, request, body) {
            Ok((CourierReply::Failed { message }, _)) => {
                let words: String = message.chars().filter(|letter| !letter.is_control()).take(MAX_WORDS).collect();
                Err(DeliverError::Fault(format!("room {room}: {words}")))
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(DeliverError::Fault(format!("the courier of room {room}: {error}"))),
        }
    }

    fn other(&self) -> DeliverError {
        DeliverError::Fault(format!("the courier of room {} answered something else", self.room))
    }

    fn done(&self, request: &CourierRequest, body: &[u8]) -> Result<(), DeliverError> {
        match self.ask(request, body)? {
            (CourierReply::Done, _) => Ok(()),
            _ => Err(self.other()),
        }
    }

    /// See [`CourierRequest::Open`].
    pub fn open(&self, transfer: &TransferId, dataset: &DatasetName, anew: bool) -> Result<Opened, DeliverError> {
        let (transfer, dataset) = (transfer.clone(), dataset.clone());
        match self.ask(&CourierRequest::Open { transfer, dataset, anew }, &[])? {
            (CourierReply::Opened { visible, by, verifies, lists }, _) if is_name(&by) => {
                Ok(Opened { visible, by, verifies, lists })
            }
            _ => Err(self.other()),
        }
    }

    /// See [`CourierRequest::List`].
    pub fn list(&self, file: FileHead) -> Result<(), DeliverError> {
        self.done(&CourierRequest::List { file }, &[])
    }

    /// See [`CourierRequest::Begin`].
    pub fn begin(&self, file: FileHead) -> Result<u64, DeliverError> {
        let bytes = file.bytes;
        match self.ask(&CourierRequest::Begin { file }, &[])? {
            (CourierReply::Begun { durable }, _) if durable <= bytes => Ok(durable),
            _ => Err(self.other()),
        }
    }

    /// See [`CourierRequest::Put`].
    pub fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), DeliverError> {
        self.done(&CourierRequest::Put { offset }, bytes)
    }

    /// See [`CourierRequest::End`].
    pub fn end(&self) -> Result<(), DeliverError> {
        self.done(&CourierRequest::End, &[])
    }

    /// See [`CourierRequest::Folder`].
    pub fn folder(&self, path: DataPath) -> Result<(), DeliverError> {
        self.done(&CourierRequest::Folder { path }, &[])
    }

    /// See [`CourierRequest::Read`].
    pub fn read(&self, path: &DataPath, offset: u64) -> Result<Vec<u8>, DeliverError> {
        match self.ask(&CourierRequest::Read { path: path.clone(), offset }, &[])? {
            (CourierReply::Bytes, bytes) if bytes.len() <= STEP_BYTES => Ok(bytes),
            _ => Err(self.other()),
        }
    }

    /// See [`CourierRequest::Publish`].
    pub fn publish(&self) -> Result<Published, DeliverError> {
        match self.ask(&CourierRequest::Publish, &[])? {
            (CourierReply::Published { mut not_kept, zone }, _) => {
                not_kept.sort_unstable();
                not_kept.dedup();
                Ok(Published { not_kept, zone })
            }
            _ => Err(self.other()),
        }
    }

    /// See [`CourierRequest::Lay`].
    pub fn lay(&self, name: DataPath, bytes: &[u8]) -> Result<(), DeliverError> {
        self.done(&CourierRequest::Lay { name }, bytes)
    }

    /// See [`CourierRequest::Withdraw`].
    pub fn withdraw(&self) -> Result<bool, DeliverError> {
        match self.ask(&CourierRequest::Withdraw, &[])? {
            (CourierReply::Withdrawn { visible }, _) => Ok(visible),
            _ => Err(self.other()),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
