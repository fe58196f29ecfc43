//! Asking the running zone, at the operators' socket.

use crate::failure::Failure;
use crate::zone_folder::ZoneFolder;
use sluse_host::layout::Layout;
use sluse_host::rpc::{CallError, Client};
use sluse_protocol::limits;
use sluse_protocol::operator::{AgreementInfo, ArchiveInfo, OperatorReply, OperatorRequest, RoomInfo, SourceInfo};
use sluse_protocol::refusal::Exit;
use std::io;
use std::time::Duration;

/// A connection to the running zone.
#[derive(Debug)]
pub struct Operator(Client<OperatorRequest, OperatorReply>);

impl Operator {
    /// Connects to the zone that the command names.
    ///
    /// # Errors
    /// When there is none, it does not run, or this user is no operator.
    pub fn connect(zone: &ZoneFolder) -> Result<Self, Failure> {
        Self::of(&zone.layout()?)
    }

    /// Connects to the zone of a layout.
    ///
    /// # Errors
    /// When it does not run, or this user is no operator.
    pub fn of(layout: &Layout) -> Result<Self, Failure> {
        let socket = layout.operator_socket();
        Client::connect(&socket).map(Self).map_err(|error| {
            let failure = |exit| Failure::file(exit, "reach the zone at", &socket, &error);
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => failure(Exit::Temporary)
                    .hint(format!("the zone does not run: `slused all --config {}`", layout.config().display()))
                    .hint("or, where its roles are systemd units: `systemctl status 'sluse-*'`"),
                io::ErrorKind::PermissionDenied => failure(Exit::Refused)
                    .hint("only operators may: root, or the group that `operators_group` in sluse.toml names"),
                _ => failure(Exit::Fault),
            }
        })
    }

    /// Asks; the answer comes with its body.
    ///
    /// # Errors
    /// When the zone refuses, or gives no answer.
    pub fn ask(&self, request: &OperatorRequest, body: &[u8]) -> Result<(OperatorReply, Vec<u8>), Failure> {
        self.ask_within(limits::ROLE_TIMEOUT, request, body)
    }

    /// The same for what may take longer.
    ///
    /// # Errors
    /// As [`Operator::ask`].
    pub fn ask_within(
        &self,
        deadline: Duration,
        request: &OperatorRequest,
        body: &[u8],
    ) -> Result<(OperatorReply, Vec<u8>), Failure> {
        match self.0.call_within(deadline, request, body) {
            Ok((OperatorReply::Refused(refusal), _)) => Err(refusal.into()),
            Ok(answer) => Ok(answer),
            Err(CallError::Frame(error)) => Err(Failure::new(Exit::Usage, "too long to be asked").because(&error)),
            Err(error) => Err(Failure::new(Exit::Temporary, "the zone gave no answer")
                .because(&error)
                .hint("try again; `sluse health` says how the zone is")),
        }
    }

    /// Everything of a list that comes in pages: `ask` makes the request for what comes after an item, `page` takes the items
    /// out of an answer and whether there are more.
    ///
    /// # Errors
    /// When the zone refuses, gives no answer, or one to another question.
    fn list<T>(
        &self,
        ask: impl Fn(Option<&T>) -> OperatorRequest,
        page: impl Fn(OperatorReply) -> Option<(Vec<T>, bool)>,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        loop {
            let (reply, _) = self.ask(&ask(all.last()), &[])?;
            let (items, more) = page(reply).ok_or_else(unexpected)?;
            let more = more && !items.is_empty();
            all.extend(items);
            if !more {
                return Ok(all);
            }
        }
    }

    /// The sources by name.
    ///
    /// # Errors
    /// When the zone refuses, or gives no answer.
    pub fn sources(&self) -> Result<Vec<SourceInfo>, Failure> {
        let ask = |last: Option<&SourceInfo>| OperatorRequest::SourceList { after: last.map(|last| last.name.clone()) };
        self.list(ask, |reply| match reply {
            OperatorReply::Sources { sources, more } => Some((sources, more)),
            _ => None,
        })
    }

    /// The rooms by name.
    ///
    /// # Errors
    /// When the zone refuses, or gives no answer.
    pub fn rooms(&self) -> Result<Vec<RoomInfo>, Failure> {
        let ask = |last: Option<&RoomInfo>| OperatorRequest::RoomList { after: last.map(|last| last.name.clone()) };
        self.list(ask, |reply| match reply {
            OperatorReply::Rooms { rooms, more } => Some((rooms, more)),
            _ => None,
        })
    }

    /// The archived bags by transfer.
    ///
    /// # Errors
    /// When the zone refuses, or gives no answer.
    pub fn archives(&self) -> Result<Vec<ArchiveInfo>, Failure> {
        let ask =
            |last: Option<&ArchiveInfo>| OperatorRequest::ArchiveList { after: last.map(|last| last.transfer.clone()) };
        self.list(ask, |reply| match reply {
            OperatorReply::Archives { archives, more } => Some((archives, more)),
            _ => None,
        })
    }

    /// The agreements by id.
    ///
    /// # Errors
    /// When the zone refuses, or gives no answer.
    pub fn agreements(&self) -> Result<Vec<AgreementInfo>, Failure> {
        let ask =
            |last: Option<&AgreementInfo>| OperatorRequest::AgreementList { after: last.map(|last| last.id.clone()) };
        self.list(ask, |reply| match reply {
            OperatorReply::Agreements { agreements, more } => Some((agreements, more)),
            _ => None,
        })
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// When the zone refuses, or gives no answer.
    pub fn act(&self, request: &OperatorRequest, body: &[u8]) -> Result<(), Failure> {
        match self.ask(request, body)? {
            (OperatorReply::Done, _) => Ok(()),
            _ => Err(unexpected()),
        }
    }
}

/// The failure for an answer that does not belong to the question.
pub fn unexpected() -> Failure {
    Failure::new(Exit::Fault, "the zone gave an answer to another question")
        .hint("this `sluse` and the zone's `slused` may be of different versions")
}
