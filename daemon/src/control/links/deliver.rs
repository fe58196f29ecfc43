//! What `deliver` asks and reports.

use crate::control::acknowledgements;
use crate::control::archives;
use crate::control::deliveries;
use crate::control::failure::Failure;
use crate::control::live::LinkId;
use crate::control::shared::Control;
use crate::control::syncs::keeping;
use crate::control::tasks;
use crate::control::withdrawals;
use sluse_protocol::roles::{DeliverReply, DeliverRequest};

/// Answers one request.
pub fn answer(control: &Control, link: LinkId, request: DeliverRequest, body: &[u8]) -> (DeliverReply, Vec<u8>) {
    handle(control, link, request, body)
        .unwrap_or_else(|failure| (DeliverReply::Refused(failure.into_refusal()), Vec::new()))
}

fn handle(
    control: &Control,
    link: LinkId,
    request: DeliverRequest,
    body: &[u8],
) -> Result<(DeliverReply, Vec<u8>), Failure> {
    match request {
        DeliverRequest::Recipient { recipient } => {
            deliveries::recipient(control, &recipient)?;
            Ok((DeliverReply::Done, Vec::new()))
        }
        DeliverRequest::Next => tasks::next_for_deliver(control, link),
        DeliverRequest::Document { transfer, name, offset } => {
            let bytes = deliveries::document(control, &transfer, &name, offset)?;
            Ok((DeliverReply::Document, bytes))
        }
        DeliverRequest::Sign { transfer, tagmanifest } => {
            let (statement, signature) = archives::sign(control, link, &transfer, &tagmanifest)?;
            Ok((DeliverReply::Signed { signature }, statement.into()))
        }
        DeliverRequest::Checked { transfer, outcome } => {
            archives::checked(control, link, &transfer, outcome)?;
            Ok((DeliverReply::Done, Vec::new()))
        }
        DeliverRequest::Acknowledged { transfer, signature } => {
            let receipt = acknowledgements::acknowledged(control, &transfer, body, &signature)?;
            Ok((DeliverReply::Receipt { signature: receipt.signature }, receipt.statement.into()))
        }
        DeliverRequest::Laid { transfer } => {
            acknowledgements::laid(control, link, &transfer)?;
            Ok((DeliverReply::Done, Vec::new()))
        }
        DeliverRequest::Withdrawn { transfer, outcome } => {
            withdrawals::ended(control, link, &transfer, &outcome)?;
            Ok((DeliverReply::Done, Vec::new()))
        }
        DeliverRequest::Removed { transfer, outcome } => {
            keeping::removed(control, link, &transfer, outcome)?;
            Ok((DeliverReply::Done, Vec::new()))
        }
        DeliverRequest::Looked => {
            acknowledgements::looked(control, link)?;
            Ok((DeliverReply::Done, Vec::new()))
        }
        DeliverRequest::Delivered { transfer, outcome } => {
            Ok(match deliveries::delivered(control, link, &transfer, outcome)? {
                Some(receipt) => (DeliverReply::Receipt { signature: receipt.signature }, receipt.statement.into()),
                None => (DeliverReply::Done, Vec::new()),
            })
        }
    }
}
