//! The operators' socket: who is there, and what is asked. Only root, the user that `control` runs as, and members of the
//! operators' group are answered; the person's name stands in the audit entry of each act.

mod acts;
mod archives;
mod peer;
mod questions;
mod register;
mod retention;

use super::failure::Failure;
use super::shared::Control;
use super::store::Who;
use crate::RoleError;
use peer::Operators;
use sluse_host::config::Zone;
use sluse_host::rpc;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::{Code, Refusal};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Operators connected at once.
const MAX_CONNECTIONS: usize = 64;

/// The socket, listening.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    operators: Operators,
}

/// Makes the socket: mode 0660, of the operators' group where there is one.
///
/// # Errors
/// When it cannot be made, or the group is not known.
pub fn listen(zone: &Zone) -> Result<Listener, RoleError> {
    let operators = Operators::new(zone.settings.control.operators_group.as_deref())?;
    let path = zone.layout.operator_socket();
    let listener = bind(&path, &operators).map_err(RoleError::io(path.display().to_string()))?;
    Ok(Listener { listener, operators })
}

fn bind(path: &Path, operators: &Operators) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // Where it has its group already, as in the unit, the role needs no call to change it, and has none.
    if let Some(group) = operators.group()
        && std::fs::metadata(path)?.gid() != group
    {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers whoever connects, each on a thread of its own.
pub fn accept(control: &Arc<Control>, listener: &Listener) {
    let connected = Arc::new(AtomicUsize::new(0));
    for stream in listener.listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "an operator could not connect");
                // Out of descriptors, most likely: they come back when connections end.
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
        };
        if connected.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
            tracing::warn!("too many operators are connected");
            continue;
        }
        let person = listener.operators.identify(&stream);
        let control = Arc::clone(control);
        let slot = Slot::take(&connected);
        let started = std::thread::Builder::new().name("operator".into()).spawn(move || {
            serve(control, stream, person);
            drop(slot);
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for an operator");
        }
    }
}

struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(connected: &Arc<AtomicUsize>) -> Self {
        connected.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(connected))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(control: Arc<Control>, stream: UnixStream, person: Result<String, peer::Stranger>) {
    let operator = person.map(Who::Operator);
    if let Err(stranger) = &operator {
        tracing::warn!(code = Code::Forbidden.as_str(), %stranger, "an operator was refused");
    }
    let ended = rpc::serve(stream, move |request, body| match &operator {
        Ok(operator) => answer(&control, operator, request, &body),
        Err(stranger) => (OperatorReply::Refused(Refusal::new(Code::Forbidden, stranger.to_string())), Vec::new()),
    });
    if let Err(error) = ended {
        tracing::debug!(%error, "an operator's connection ended");
    }
}

/// Answers one request of a person.
pub fn answer(control: &Control, operator: &Who, request: OperatorRequest, body: &[u8]) -> (OperatorReply, Vec<u8>) {
    let answered = handle(control, operator, request, body);
    if let Err(Failure::Refused(refusal)) = &answered {
        tracing::info!(by = %operator, code = refusal.code.as_str(), "refused");
    }
    answered.unwrap_or_else(|failure| (OperatorReply::Refused(failure.into_refusal()), Vec::new()))
}

type Answer = Result<(OperatorReply, Vec<u8>), Failure>;

fn handle(control: &Control, operator: &Who, request: OperatorRequest, body: &[u8]) -> Answer {
    let done = |act: Result<(), Failure>| act.map(|()| (OperatorReply::Done, Vec::new()));
    match request {
        OperatorRequest::SourceInvite { name, hours } => acts::invite(control, operator, &name, hours),
        OperatorRequest::SourceRevoke { name, reason } => done(acts::revoke_source(control, operator, &name, &reason)),
        OperatorRequest::RoomAdd { name, folder, names } => {
            done(acts::add_room(control, operator, name, folder, names))
        }
        OperatorRequest::AgreementAdd => done(acts::add_agreement(control, operator, body)),
        OperatorRequest::AgreementRevoke { id, reason } => {
            done(acts::revoke_agreement(control, operator, &id, &reason))
        }
        OperatorRequest::Cancel { transfer, reason } => done(acts::cancel(control, operator, &transfer, &reason)),
        OperatorRequest::Release { transfer, reason } => done(acts::release(control, operator, &transfer, &reason)),
        OperatorRequest::Reject { transfer, reason } => done(acts::reject(control, operator, &transfer, &reason)),
        OperatorRequest::InspectAgain { transfer, reason } => {
            done(acts::inspect_again(control, operator, &transfer, &reason))
        }
        OperatorRequest::Retain { transfer, reason } => done(retention::retain(control, operator, &transfer, &reason)),
        OperatorRequest::LiftRetention { transfer, reason } => {
            done(retention::lift(control, operator, &transfer, &reason))
        }
        OperatorRequest::SourceList { after } => questions::sources(control, after.as_ref()),
        OperatorRequest::RoomList { after } => questions::rooms(control, after.as_ref()),
        OperatorRequest::AgreementList { after } => questions::agreements(control, after.as_ref()),
        OperatorRequest::AgreementShow { id } => questions::agreement(control, &id),
        OperatorRequest::Transfers { state, before } => questions::transfers(control, state, before.as_ref()),
        OperatorRequest::Show { transfer } => questions::show(control, &transfer),
        OperatorRequest::Manifest { transfer, offset } => questions::manifest(control, &transfer, offset),
        OperatorRequest::Receipt { transfer, kind } => questions::receipt(control, &transfer, kind),
        OperatorRequest::AuditLines { from } => questions::audit_lines(control, from),
        OperatorRequest::Checkpoint => Ok(questions::checkpoint(control)),
        OperatorRequest::Register { after, filter } => register::records(control, after, &filter),
        OperatorRequest::RegisterCorrect { number, reason, changes } => {
            register::correct(control, operator, number, &reason, &changes)
        }
        OperatorRequest::ArchiveList { after } => archives::list(control, after.as_ref()),
        OperatorRequest::ArchiveEnd { transfer, reason } => done(archives::end(control, operator, &transfer, &reason)),
        OperatorRequest::Snapshot => questions::snapshot(control, operator),
        OperatorRequest::SnapshotBytes { offset } => Ok((OperatorReply::Document, control.snapshots.bytes(offset)?)),
        OperatorRequest::Health => Ok((OperatorReply::Health(crate::control::health::health(control)?), Vec::new())),
    }
}
