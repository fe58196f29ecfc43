//! What `inspect` asks and reports.

use crate::control::failure::Failure;
use crate::control::inspections;
use crate::control::live::{Engines, LinkId};
use crate::control::shared::Control;
use crate::control::tasks;
use sluse_protocol::roles::{InspectReply, InspectRequest};

/// Answers one request.
pub fn answer(control: &Control, link: LinkId, request: InspectRequest, body: &[u8]) -> (InspectReply, Vec<u8>) {
    let reply = handle(control, link, request, body);
    (reply.unwrap_or_else(|failure| InspectReply::Refused(failure.into_refusal())), Vec::new())
}

fn handle(control: &Control, link: LinkId, request: InspectRequest, body: &[u8]) -> Result<InspectReply, Failure> {
    match request {
        InspectRequest::Next => return tasks::next_for_inspect(control, link),
        InspectRequest::Engines { engines, failing, dated, full_malware_engine } => {
            let full_malware_engine = Some(full_malware_engine);
            inspections::engines(control, Engines { there: engines, failing, dated, full_malware_engine })
        }
        InspectRequest::Identities { recipients } => inspections::identities(control, link, &recipients),
        InspectRequest::Taken { transfer, refused } => inspections::taken(control, link, &transfer, refused),
        InspectRequest::Inspected { transfer, outcome } => {
            inspections::inspected(control, link, &transfer, outcome, body)
        }
        InspectRequest::NotDone { task, cause, reason } => {
            inspections::not_done(control, link, task, cause, &reason);
            Ok(())
        }
        InspectRequest::Wrapped { transfer } => inspections::wrapped(control, link, &transfer, body),
        InspectRequest::Purged { transfer } => inspections::purged(control, link, &transfer),
    }?;
    Ok(InspectReply::Done)
}
