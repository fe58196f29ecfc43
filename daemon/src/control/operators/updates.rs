//! Which updates may be put in place. Whoever has the host does that, having checked the signature: `control` reaches none of those
//! files. It sees that nothing older is taken, and keeps what was done in the log.

use super::Answer;
use crate::control::failure::{Failure, refuse};
use crate::control::shared::Control;
use crate::control::store::{Who, updates};
use serde_json::json;
use sluse_protocol::digest::Sha256;
use sluse_protocol::operator::OperatorReply;
use sluse_protocol::refusal::Code;
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::update::{ADMITTED, APPLIED, Kind, REFUSED, Step, Update};

/// The newest of each kind.
pub fn list(control: &Control) -> Answer {
    Ok((OperatorReply::Updates { updates: control.store.read(updates::all)? }, Vec::new()))
}

/// Takes a step of importing a bundle.
///
/// # Errors
/// When it may not be put in place.
pub fn take(control: &Control, operator: &Who, step: Step) -> Result<(), Failure> {
    match step {
        Step::Admit { kind, number, bundle, key } => admit(control, operator, kind, number, bundle, &key),
        Step::Applied { kind, bundle } => applied(control, operator, kind, bundle),
        Step::Refused { code, bundle } => control
            .store
            .write(|write| write.record(operator, REFUSED, None, json!({"code": code, "bundle": bundle})).map(drop)),
    }
}

/// Admits a bundle that is newer than the last one of its kind, or is that one.
fn admit(control: &Control, operator: &Who, kind: Kind, number: u64, bundle: Sha256, key: &str) -> Result<(), Failure> {
    let key = match PublicKey::from_openssh(key) {
        Ok(key) => key.fingerprint(),
        Err(bad) => return refuse(Code::Invalid, format!("the key of the signature: {bad}")),
    };
    let newest = control.store.write(|write| {
        let newest = updates::find(&write.sql, kind)?;
        if newest.as_ref().is_some_and(|it| number < it.number || number == it.number && bundle != it.bundle) {
            // This too is to be in the log: no error here.
            let details = json!({"code": Code::UpdateOlder, "kind": kind, "number": number, "bundle": bundle});
            write.record(operator, REFUSED, None, details)?;
            return Ok(newest);
        }
        updates::put(write, &Update { kind, number, bundle, key: key.clone(), admitted: write.now, applied: None })?;
        let details = json!({"kind": kind, "number": number, "bundle": bundle, "key": key});
        write.record(operator, ADMITTED, None, details)?;
        Ok(None)
    })?;
    match newest {
        Some(newest) => {
            let message = format!("{kind} has number {}, this is {number}", newest.number);
            refuse(Code::UpdateOlder, message)
        }
        None => Ok(()),
    }
}

fn applied(control: &Control, operator: &Who, kind: Kind, bundle: Sha256) -> Result<(), Failure> {
    control.store.write(|write| {
        let Some(newest) = updates::find(&write.sql, kind)?.filter(|newest| newest.bundle == bundle) else {
            return refuse(Code::WrongState, format!("this is not the update of {kind} that was admitted last"));
        };
        let number = newest.number;
        updates::put(write, &Update { applied: Some(write.now), ..newest })?;
        write.record(operator, APPLIED, None, json!({"kind": kind, "number": number, "bundle": bundle})).map(drop)
    })
}
