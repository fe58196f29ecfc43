//! Archived bags as operators see them, and the end of the zone's care for one.

use super::Answer;
use super::acts::{check_reason, digest};
use super::questions::page;
use crate::control::failure::Failure;
use crate::control::shared::Control;
use crate::control::store::{Who, archives};
use serde_json::json;
use sluse_protocol::archive::ENDED;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::OperatorReply;

/// All of them, those that are read no more too.
pub fn list(control: &Control, after: Option<&TransferId>) -> Answer {
    let (archives, more) = page(control.store.read(archives::infos)?, after, |archive| &archive.transfer);
    Ok((OperatorReply::Archives { archives, more }, Vec::new()))
}

/// Reads an archived bag no more: another keeper has it, or its time is over.
///
/// # Errors
/// When there is no such bag, or it is read no more already.
pub fn end(control: &Control, operator: &Who, id: &TransferId, reason: &str) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        archives::set_ended(write, id, reason)?;
        write.record(operator, ENDED, Some(id), json!({"reason_sha256": digest(reason)})).map(drop)
    })
}
