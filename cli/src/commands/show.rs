//! `sluse show`: everything about one transfer.

use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::{Output, bytes};
use crate::zone_folder::ZoneFolder;
use serde::Serialize;
use sluse_protocol::courier::{NotKept, Remains, Stored, Verified};
use sluse_protocol::finding::Finding;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest, ReviewInfo, TransferDetails};
use sluse_protocol::part::Part;
use sluse_protocol::refusal::Exit;
use sluse_protocol::review::Choice;

/// `sluse show`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The transfer
    id: TransferId,
    #[command(flatten)]
    zone: ZoneFolder,
}

/// A transfer with its findings.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Everything but the findings.
    #[serde(flatten)]
    pub details: TransferDetails,
    /// What was found in which file.
    pub findings: Vec<Finding>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let shown = fetch(&Operator::connect(&self.zone)?, self.id)?;
        if out.is_json() {
            out.object(&shown);
        } else {
            print(out, &shown);
        }
        Ok(Exit::Done)
    }
}

/// Asks for a transfer.
///
/// # Errors
/// When the zone refuses or does not answer.
pub fn fetch(operator: &Operator, transfer: TransferId) -> Result<Shown, Failure> {
    let (reply, body) = operator.ask(&OperatorRequest::Show { transfer }, &[])?;
    let OperatorReply::Transfer(details) = reply else { return Err(unexpected()) };
    let findings =
        if body.is_empty() { Vec::new() } else { serde_json::from_slice(&body).map_err(|_| unexpected())? };
    Ok(Shown { details: *details, findings })
}

fn print(out: &Output, shown: &Shown) {
    let (details, info) = (&shown.details, &shown.details.info);
    let (status, totals) = (&info.status, &info.status.totals);
    out.line(format!("transfer   {}", status.transfer));
    out.line(format!("state      {} since {}", status.state, status.since));
    out.line(format!("dataset    {}", status.dataset));
    out.line(format!("from, to   {} to {}, under {}", info.source, info.room, status.agreement));
    out.line(format!("content    {} files, {} folders, {}", totals.files, totals.folders, bytes(totals.bytes)));
    if let Some(manifest) = &details.manifest_sha256 {
        out.line(format!("manifest   SHA-256 {manifest}"));
    }
    if let Some(reason) = &status.reason {
        out.line(format!("reason     {reason}"));
    }
    if let Some(decision) = &details.decision {
        let by = decision.by.as_deref().unwrap_or("rule");
        out.line(format!("decision   {} by {by}: {}", decision.rule, decision.reason));
    }
    if let Some(part) = &details.part {
        out.line(format!("part       {}", of_part(part)));
    }
    for review in &details.reviews {
        out.line(format!("review     {}", told(review)));
    }
    if let Some(bag) = &details.bag {
        let place = match (&details.stored, details.removed) {
            (_, Some(time)) => format!("removed from the room at {time}: newer versions stand there"),
            (Some(_), None) => "elsewhere".to_owned(),
            (None, None) => "in the room's folder".to_owned(),
        };
        out.line(format!("bag        {bag}, {place}"));
    }
    if let Some(stored) = &details.stored {
        out.line(format!("stored     {}", of_stored(stored)));
    }
    if let Some(remains) = details.remains {
        out.line(format!("remains    {}", of_remains(remains, info.room.as_str())));
    }
    if let Some(time) = details.purge_after {
        out.line(format!("purge      after {time}"));
    }
    if let Some(retained) = &details.retained {
        let (since, by, reason) = (retained.since, &retained.by, &retained.reason);
        out.line(format!("retained   since {since} by {by}: {reason}"));
    }
    let receipts: Vec<&str> = status.receipts.iter().map(|kind| kind.as_str()).collect();
    out.line(format!("receipts   {}", if receipts.is_empty() { "none yet".into() } else { receipts.join(", ") }));
    for (state, since) in &details.history {
        out.line(format!("  {since}  {state}"));
    }
    let engines = details.report.iter().flat_map(|report| &report.engines);
    for engine in engines {
        let read = format!("engine     {} {} read {} files", engine.engine, engine.version, engine.files);
        let above = engine
            .above_limit
            .iter()
            .map(|above| format!(", {} above its limit by {} instead", above.files, above.read_by.join(", ")));
        out.line(format!("{read}{} {}", above.collect::<String>(), engine.signatures).trim_end());
    }
    let counts = details.report.iter().flat_map(|report| &report.counts);
    for (class, count) in counts {
        out.line(format!("found      {count} × {class}"));
    }
    for finding in &shown.findings {
        let file = finding.file.as_ref().map_or("the whole transfer", |file| file.as_str());
        let at = finding.offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
        out.line(format!("  {} ({}): {file}{at}: {}", finding.class, finding.engine, finding.message));
    }
}

/// Who chose, and what, where that may be seen.
fn told(review: &ReviewInfo) -> String {
    let chose = match (review.choice, &review.reason) {
        (Some(Choice::Release), Some(reason)) => format!("to release: {reason}"),
        (Some(Choice::Reject), Some(reason)) => format!("to reject: {reason}"),
        _ => "what is shown to those who have chosen too".to_owned(),
    };
    let part = review.part.as_ref().map(|part| format!(" (in part: {})", of_part(part))).unwrap_or_default();
    let void = review.void.as_ref().map(|why| format!(" (does not count: {why})")).unwrap_or_default();
    format!("{} chose at {} {chose}{part}{void}", review.by, review.time)
}

/// How a bag in a room elsewhere was stored, in a line.
fn of_stored(stored: &Stored) -> String {
    let verified = match stored.verified {
        Verified::ReadBack => "every file was read back",
        Verified::Sizes => "NOT READ BACK: the target says that each file has its length",
        Verified::Receipt => "not read back: that zone has signed that it stands there",
        Verified::PieceDigests => {
            "NOT READ BACK: the target told the digest of each piece as it came, and says that each file has its length"
        }
    };
    let kept = |what: &NotKept| match what {
        NotKept::EmptyFolders => "empty folders",
        NotKept::Times => "modification times",
        NotKept::ExecutableBits => "executable bits",
    };
    let not_kept: Vec<&str> = stored.not_kept.iter().map(kept).collect();
    let lost = if not_kept.is_empty() { String::new() } else { format!("; not kept: {}", not_kept.join(", ")) };
    let there = stored.zone.as_ref().map_or(String::new(), |there| {
        format!("; zone {}, room {}, transfer {}, {}", there.zone, there.room, there.transfer, there.time)
    });
    format!("by {}; {verified}{there}{lost}", stored.by)
}

/// What may be left of a delivery that was given up, in a line.
fn of_remains(remains: Remains, room: &str) -> String {
    let what = match remains {
        Remains::Files => "files of it MAY BE LEFT, not as a bag",
        Remains::Bag => "the whole bag MAY STAND THERE, visible",
    };
    format!("room {room} could not be reached when the delivery was taken back: {what}")
}

/// What of a dataset is released, in a line.
pub fn of_part(part: &Part) -> String {
    let (kept, left_out) = (part.totals.files, part.left_out.files);
    format!("{kept} files without {left_out}, manifest SHA-256 {}", part.manifest_sha256)
}
