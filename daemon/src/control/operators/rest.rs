//! Resting while somebody exchanges a key: what is signed before bears the old key, what is signed after a start the new one, and
//! nothing is signed in between.

use crate::control::shared::Control;
use sluse_protocol::limits::REST_TIMEOUT;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::{Code, Exit, Refusal};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Hears that a connection has ended: whoever rests for it takes this.
pub type Ending = Mutex<Option<Receiver<()>>>;

/// Answers whoever wants to exchange a key.
pub fn ask(control: &Arc<Control>, uid: u32, ending: &Ending) -> OperatorReply {
    match control.people.admit(uid, &OperatorRequest::Rest) {
        Ok(_) => rest(control, ending),
        Err(refusal) => {
            super::note_refused(control, uid, &refusal);
            OperatorReply::Refused(refusal)
        }
    }
}

/// Rests until the connection of `ending` ends, or for a minute; then this process ends, and whoever started it starts it again.
/// Answers when nothing is signed any more.
fn rest(control: &Arc<Control>, ending: &Ending) -> OperatorReply {
    let Some(ending) = ending.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return OperatorReply::Refused(Refusal::new(Code::WrongState, "the zone rests already"));
    };
    let (resting, rests) = sync_channel(1);
    let control = Arc::clone(control);
    let started = std::thread::Builder::new().name("rest".into()).spawn(move || {
        let rest = control.store.rest();
        let (told, position) = (resting.send(()), rest.audit_position());
        if told.is_ok() {
            tracing::warn!("at rest: a key is being exchanged");
            // Either way it is over.
            let _ = ending.recv_timeout(REST_TIMEOUT);
        }
        if let Err(error) = control.last_checkpoint.write_at(&control.store.signer, position) {
            tracing::error!(%error, "the last checkpoint was not written down: the one before stands");
        }
        tracing::warn!("ending, to be started again");
        std::process::exit(i32::from(Exit::Done as u8));
    });
    match started.map(|_| rests.recv()) {
        Ok(Ok(())) => OperatorReply::Done,
        _ => OperatorReply::Refused(Refusal::new(Code::Internal, "the zone could not come to rest")),
    }
}
