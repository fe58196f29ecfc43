//! What the sender tells goes to the log, and as events to standard output. The log names records and transfers, never files.

use sluse_sender::watch::{Happening, What};
use std::io::Write as _;

/// Tells one thing.
pub fn tell(happening: &Happening, events: bool) {
    log(happening);
    if events {
        match serde_json::to_string(happening) {
            // A reader that went away needs no more events; the work goes on.
            Ok(line) => drop(writeln!(std::io::stdout().lock(), "{line}")),
            Err(error) => tracing::error!("an event cannot be written: {error}"),
        }
    }
}

fn log(happening: &Happening) {
    let flow = happening.outbox.as_deref().unwrap_or("-");
    let batch = happening.name.as_deref().unwrap_or("-");
    let transfer = happening.transfer.as_ref().map_or("-", |transfer| transfer.as_str());
    match &happening.what {
        What::Failed { why, rests, milliseconds } => {
            let (why, hint) = (why.for_log(), &why.hint);
            tracing::warn!(flow, batch, transfer, rests, milliseconds, hint, "will try again: {why}");
        }
        What::Refused { why } => {
            tracing::warn!(flow, batch, transfer, hint = why.hint, "refused: {}", why.for_log());
        }
        What::Waiting { why, until } => tracing::info!(flow, %until, "waits: {}", why.for_log()),
        What::State { state } => tracing::info!(flow, batch, transfer, "now {state}"),
        What::Delivered => tracing::info!(flow, batch, transfer, "delivered"),
        What::Received => tracing::info!(flow, batch, transfer, "received by the zone"),
        What::PutAway { deleted } => tracing::info!(flow, batch, transfer, deleted, "put away"),
        What::Mended { rested } => tracing::info!(flow, rested, "works again"),
        What::Renewed { until } => tracing::info!(%until, "the certificate was renewed"),
        What::Withdrawn => tracing::warn!(flow, batch, "was taken out of the spool before it was sent"),
        What::Whole => tracing::debug!(flow, batch, "whole"),
        What::Sending => tracing::debug!(flow, batch, transfer, "sending"),
        What::Accepted => tracing::info!(flow, batch, transfer, "accepted"),
    }
}
