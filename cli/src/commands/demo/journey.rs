//! One dataset's way from its source to a decision, shown as it happens.

use super::Extract;
use crate::failure::Failure;
use crate::landing_zone::{LandingZone, run, this_program};
use crate::operator::unexpected;
use crate::output::Output;
use serde::Deserialize;
use sluse_protocol::finding::Finding;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest, TransferDetails};
use sluse_protocol::refusal::Exit;
use sluse_protocol::transfer::State;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How often the zone is asked for a transfer's state.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a dataset got to.
#[derive(Debug)]
pub struct Journey {
    /// What the zone knows of the transfer.
    pub details: TransferDetails,
    /// What the inspection found.
    pub findings: Vec<Finding>,
    /// The source's receipts.
    pub receipts: Vec<PathBuf>,
}

/// What `sluse send --json` prints, as far as it is needed here.
#[derive(Deserialize)]
struct Sent {
    transfer: TransferId,
}

impl Journey {
    /// Sends a dataset with `sluse send` and follows it to a decision.
    ///
    /// # Errors
    /// When it cannot be sent, or the zone does not answer.
    pub fn make(zone: &LandingZone, extract: &Extract, out: &Output) -> Result<Self, Failure> {
        let identity = zone.identity(&extract.agreement.from);
        let mut command = Command::new(this_program()?);
        command.arg("send").arg(&extract.path).arg("--identity").arg(&identity);
        command.args(["--agreement", extract.agreement.id.as_str(), "--dataset", extract.dataset.as_str()]);
        command.args(["--wait", "received", "--json"]);
        out.note(format!("{} sends {}", extract.agreement.from, extract.dataset));
        let sent: Sent = serde_json::from_slice(&run(command)?)
            .map_err(|error| Failure::new(Exit::Fault, "`sluse send --json` printed something else").because(&error))?;
        let (details, findings) = follow(zone, &sent.transfer, out)?;
        for finding in findings.iter().take(10) {
            let file = finding.file.as_ref().map_or("", |file| file.as_str());
            out.note(format!("    {} in {file}: {}", finding.class, finding.message));
        }
        if findings.len() > 10 {
            out.note(format!("    and {} findings more", findings.len() - 10));
        }
        let mut status = Command::new(this_program()?);
        status.args(["status", sent.transfer.as_str(), "--json", "--identity"]).arg(&identity);
        run(status)?;
        let folder = identity.join("transfers").join(sent.transfer.as_str());
        let kinds = &details.info.status.receipts;
        let receipts = kinds.iter().map(|kind| folder.join(format!("{kind}.json"))).collect();
        Ok(Self { details, findings, receipts })
    }
}

/// Shows each state of a transfer until nothing more happens without a person.
fn follow(zone: &LandingZone, transfer: &TransferId, out: &Output) -> Result<(TransferDetails, Vec<Finding>), Failure> {
    let mut shown = 0;
    loop {
        let (reply, body) = zone.operator.ask(&OperatorRequest::Show { transfer: transfer.clone() }, &[])?;
        let OperatorReply::Transfer(details) = reply else { return Err(unexpected()) };
        for (state, since) in &details.history[shown.min(details.history.len())..] {
            out.note(format!("  {since}  {state}"));
        }
        shown = details.history.len();
        let state = details.info.status.state;
        if state.is_settled() || state == State::Held {
            let findings = serde_json::from_slice(&body).map_err(|_| unexpected())?;
            return Ok((*details, findings));
        }
        std::thread::sleep(PAUSE);
    }
}
