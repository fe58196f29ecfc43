//! The operators' socket: who is there, and what is asked. Who may ask what follows from the system's groups at the time of each
//! request; the person's name stands in the audit entry of each act.

mod acts;
mod agreements;
mod archives;
mod places;
mod questions;
mod register;
mod rest;
mod retention;
mod rooms;
mod updates;
mod versions;

pub use acts::{check_reason, digest};
use places::{Place, Places};

use super::failure::{Failure, refuse};
use super::people::{self, People, Person, Stranger};
use super::reviews::Settled;
use super::shared::Control;
use super::store::Who;
use super::{parts, readings, reviews};
use crate::{RoleError, doors};
use sluse_host::config::Zone;
use sluse_host::rpc;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::review::Choice;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Requests of one person that are answered at the same time.
const MAX_IN_FLIGHT: usize = 8;

/// Makes the socket. Where one group has every power it is of that group, mode 0660; where powers are separated anybody may
/// connect, since a file has one group, and is known by the kernel's word.
///
/// # Errors
/// When it cannot be made.
pub fn listen(zone: &Zone, people: &People) -> Result<UnixListener, RoleError> {
    let path = zone.layout.operator_socket();
    doors::bind(&path, people.operators(), people.separated()).map_err(RoleError::io(path.display().to_string()))
}

/// Answers whoever connects, each on a thread of its own.
pub fn accept(control: &Arc<Control>, listener: &UnixListener) {
    let places = Arc::new(Places::default());
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a person could not connect");
                // Out of descriptors, most likely: they come back when connections end.
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
        };
        let uid = match people::peer(&stream) {
            Ok(uid) => uid,
            Err(error) => {
                tracing::warn!(%error, "the kernel does not say who connected");
                continue;
            }
        };
        let Some(place) = places.take(uid) else {
            note_crowded(control, uid);
            continue;
        };
        let control = Arc::clone(control);
        let started =
            std::thread::Builder::new().name("operator".into()).spawn(move || meet(control, stream, uid, place));
        if let Err(error) = started {
            tracing::error!(%error, "no thread for a person");
        }
    }
}

/// Asks the system who is there, which may take its time: nobody waits for that but who connected.
fn meet(control: Arc<Control>, stream: UnixStream, uid: u32, mut place: Place) {
    let known = control.people.look_up(uid).map(drop);
    if !place.settle(known.is_ok()) {
        return note_crowded(&control, uid);
    }
    match known {
        Ok(()) => serve(control, stream, uid),
        Err(stranger) => turn_away(&control, stream, uid, &stranger),
    }
}

fn note_crowded(control: &Control, uid: u32) {
    if control.people.is_news(uid, Instant::now()) {
        tracing::warn!(uid, "too many people are connected");
    }
}

fn serve(control: Arc<Control>, stream: UnixStream, uid: u32) {
    // Dropped when the connection ends, which whoever rests for it hears.
    let (_connection, ending) = std::sync::mpsc::channel();
    let ending: rest::Ending = Mutex::new(Some(ending));
    let ended = rpc::serve_within(MAX_IN_FLIGHT, stream, move |request, body| match request {
        OperatorRequest::Rest => (rest::ask(&control, uid, &ending), Vec::new()),
        request => ask(&control, uid, request, &body),
    });
    if let Err(error) = ended {
        tracing::debug!(%error, "an operator's connection ended");
    }
}

/// Says once why nothing is answered. Nothing that a stranger sends is decoded.
fn turn_away(control: &Control, stream: UnixStream, uid: u32, stranger: &Stranger) {
    let refusal = stranger.refusal();
    note_refused(control, uid, &refusal);
    if let Err(error) = rpc::turn_away(stream, &OperatorReply::Refused(refusal)) {
        tracing::debug!(%error, "a stranger's connection ended");
    }
}

fn note_refused(control: &Control, uid: u32, refusal: &Refusal) {
    if control.people.is_news(uid, Instant::now()) {
        tracing::warn!(uid, code = refusal.code.as_str(), reason = refusal.message, "a person was refused");
    }
}

/// Answers one request of whoever has a user id now.
pub fn ask(control: &Control, uid: u32, request: OperatorRequest, body: &[u8]) -> (OperatorReply, Vec<u8>) {
    match control.people.admit(uid, &request) {
        Ok(person) => {
            let asked = request.clone();
            let answered = answer(control, &person, request, body);
            if matches!(answered.0, OperatorReply::Refused(_)) {
                return answered;
            }
            match readings::note(control, &person, &asked) {
                Ok(()) => answered,
                Err(failure) => (OperatorReply::Refused(failure.into_refusal()), Vec::new()),
            }
        }
        Err(refusal) => {
            note_refused(control, uid, &refusal);
            (OperatorReply::Refused(refusal), Vec::new())
        }
    }
}

/// Answers one request of a person who may ask it.
pub fn answer(control: &Control, person: &Person, request: OperatorRequest, body: &[u8]) -> (OperatorReply, Vec<u8>) {
    let operator = Who::Operator(person.name.clone());
    let answered = handle(control, person, &operator, request, body);
    if let Err(Failure::Refused(refusal)) = &answered {
        tracing::info!(by = %operator, code = refusal.code.as_str(), "refused");
    }
    answered.unwrap_or_else(|failure| (OperatorReply::Refused(failure.into_refusal()), Vec::new()))
}

type Answer = Result<(OperatorReply, Vec<u8>), Failure>;

fn handle(control: &Control, person: &Person, operator: &Who, request: OperatorRequest, body: &[u8]) -> Answer {
    let done = |act: Result<(), Failure>| act.map(|()| (OperatorReply::Done, Vec::new()));
    match request {
        OperatorRequest::SourceInvite { name, hours, room } => {
            acts::invite(control, operator, &name, hours, room.as_ref())
        }
        OperatorRequest::SourceRevoke { name, reason } => done(acts::revoke_source(control, operator, &name, &reason)),
        OperatorRequest::RoomAdd { name, folder, names, elsewhere } => {
            done(rooms::add(control, operator, name, (folder, names), elsewhere))
        }
        OperatorRequest::RoomChange { name, key, recipient, until, reason } => {
            done(rooms::change(control, operator, &name, (key, recipient), until, &reason))
        }
        OperatorRequest::AgreementAdd => versions::add(control, person, body),
        OperatorRequest::AgreementChange { reason } => versions::change(control, person, &reason, body),
        OperatorRequest::AgreementActivate { id, version, reason } => {
            done(versions::activate(control, person, &id, version, &reason))
        }
        OperatorRequest::AgreementSuspend { id, reason } => done(agreements::suspend(control, operator, &id, &reason)),
        OperatorRequest::AgreementResume { id, reason } => done(agreements::resume(control, operator, &id, &reason)),
        OperatorRequest::AgreementEnd { id, reason } => done(agreements::end(control, operator, &id, &reason)),
        OperatorRequest::Cancel { transfer, reason } => done(acts::cancel(control, operator, &transfer, &reason)),
        OperatorRequest::Release { transfer, reason } => {
            let without = parts::read_without(body)?;
            chosen(reviews::choose(control, person, &transfer, (Choice::Release, without), &reason))
        }
        OperatorRequest::Reject { transfer, reason } => {
            chosen(reviews::choose(control, person, &transfer, (Choice::Reject, None), &reason))
        }
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
        OperatorRequest::AgreementShow { id, version } => questions::agreement(control, &id, version),
        OperatorRequest::Transfers { state, before } => questions::transfers(control, state, before.as_ref()),
        OperatorRequest::Show { transfer } => questions::show(control, person, &transfer),
        OperatorRequest::Manifest { transfer, part, offset } => questions::manifest(control, &transfer, part, offset),
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
        OperatorRequest::Update { step } => done(updates::take(control, operator, step)),
        OperatorRequest::Updates => updates::list(control),
        OperatorRequest::Rest => refuse(Code::WrongState, "the zone rests for a connection, and this is none"),
        OperatorRequest::Health => Ok((OperatorReply::Health(crate::control::health::health(control)?), Vec::new())),
    }
}

fn chosen(settled: Result<Settled, Failure>) -> Answer {
    let reply = match settled? {
        Settled::Decided => OperatorReply::Done,
        Settled::Waiting(missing) => OperatorReply::Reviewed { missing: u32::try_from(missing).unwrap_or(u32::MAX) },
        Settled::Differing => OperatorReply::Differing,
    };
    Ok((reply, Vec::new()))
}
