//! Archived bags: the zone's signature of each before it is visible, and the reading of each again on a schedule.

use super::failure::{Failure, refuse};
use super::live::LinkId;
use super::shared::Control;
use super::store::archives::{self, Archived};
use super::store::{Who, agreements, receipts, transfers};
use super::work::{Choice, Task};
use serde_json::json;
use sluse_protocol::agreement::Delivery;
use sluse_protocol::archive::{ArchiveFormat, ArchiveStatement, CHECKED, SIGNED};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::HealthProblem;
use sluse_protocol::receipt::{Algorithms, ReceiptKind};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{CheckOutcome, DeliverReply, FaultCause};
use sluse_protocol::sshsig::NAMESPACE_RECEIPT;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

/// Signs for a bag that `deliver` has written and not yet made visible: statement and signature. The log has it first.
///
/// # Errors
/// When the transfer is not being delivered by that connection, was signed for in this attempt, or is not to be archived.
pub fn sign(
    control: &Control,
    link: LinkId,
    id: &TransferId,
    tagmanifest: &Sha256,
) -> Result<(String, String), Failure> {
    if !control.work.sign_once(link, &Task::Deliver(id.clone())) {
        return refuse(Code::WrongState, format!("no delivery of transfer {id} waits for a signature"));
    }
    let signer = &control.store.signer;
    control.store.write(|write| {
        let transfer = transfers::get(&write.sql, id)?;
        let agreement = agreements::get(&write.sql, &transfer.agreement)?;
        if transfer.state != State::Delivering || agreement.agreement.delivery != Delivery::Archive {
            return refuse(Code::WrongState, format!("transfer {id} is {} and not to be signed", transfer.state));
        }
        let broken = || Failure::broken(format!("transfer {id} is being delivered and was not released"));
        let listed = transfer.released().ok_or_else(broken)?;
        let released = receipts::find(&write.sql, id, ReceiptKind::Released)?.ok_or_else(broken)?;
        let appended = write.record(&Who::Deliver, SIGNED, Some(id), json!({"tagmanifest": tagmanifest}))?;
        let statement = ArchiveStatement {
            sluse: ArchiveFormat::V1,
            zone: signer.zone.clone(),
            time: write.now,
            transfer: id.clone(),
            source: transfer.source,
            agreement: transfer.agreement,
            agreement_sha256: agreement.sha256,
            dataset: transfer.dataset,
            room: transfer.room,
            totals: listed.totals,
            manifest_sha256: listed.manifest_sha256,
            tagmanifest: *tagmanifest,
            previous: Sha256::of(released.statement.as_bytes()),
            audit: appended.position,
            inclusion: appended.inclusion,
            algorithms: Algorithms::default(),
        };
        let statement = statement.to_statement();
        let signature = signer.key.sign(NAMESPACE_RECEIPT, statement.as_bytes());
        Ok((statement, signature))
    })
}

/// The bag that is to be read again now, if there is one: one at a time, that which waited longest.
pub fn find_due(control: &Control, choice: &Choice<'_>) -> Result<Option<(Task, DeliverReply)>, Failure> {
    let before = control.store.now().plus(-period(control));
    let due = control.store.read(|sql| archives::waiting_since(sql, before))?;
    let due = due.into_iter().find(|archived| choice.allows(&Task::Check(archived.transfer.clone()), 0));
    Ok(due.map(|archived| {
        let Archived { transfer, room_folder, bag, tagmanifest, totals, .. } = archived;
        (Task::Check(transfer.clone()), DeliverReply::Check { transfer, room_folder, bag, tagmanifest, totals })
    }))
}

/// Seconds from one reading of a bag to the next.
fn period(control: &Control) -> i64 {
    i64::try_from(control.settings.deliver.archive_check.as_secs()).unwrap_or(i64::MAX)
}

/// A bag was read again, or could not be.
///
/// # Errors
/// When that connection was not told to read it, there is no such bag any more, or the database fails.
pub fn checked(control: &Control, link: LinkId, id: &TransferId, outcome: CheckOutcome) -> Result<(), Failure> {
    let task = Task::Check(id.clone());
    if !control.work.has(link, &task) {
        return refuse(Code::WrongState, format!("nobody asked for the archived bag of {id} to be read"));
    }
    let failed = |reason: &str| {
        control.work.failed(link, task.clone(), FaultCause::Retrying, reason, control.store.now());
    };
    let fixity = match outcome {
        CheckOutcome::Read { fixity } => fixity,
        CheckOutcome::Fault { reason } => {
            failed(&reason);
            return Ok(());
        }
    };
    let noted = control.store.write(|write| {
        archives::set_checked(write, id, &fixity)?;
        let details = serde_json::to_value(fixity).map_err(|error| Failure::broken(error.to_string()))?;
        write.record(&Who::Deliver, CHECKED, Some(id), details).map(drop)
    });
    match &noted {
        Ok(()) => control.work.done(link, &task),
        Err(failure) => failed(&failure.to_string()),
    }
    noted
}

/// What is wrong with archived bags, as they were read last; and those that were not read for long.
///
/// # Errors
/// When the database fails.
pub fn troubles(control: &Control, now: Timestamp) -> Result<(Vec<HealthProblem>, Vec<HealthProblem>), Failure> {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for archived in control.store.read(archives::all)? {
        let (transfer, since) = (&archived.transfer, archived.since);
        if let Some(fixity) = archived.fixity.filter(|fixity| !fixity.is_whole()) {
            let mut wrong: Vec<String> = [
                (fixity.changed, "changed"),
                (fixity.missing, "missing"),
                (fixity.added, "added"),
                (fixity.unreadable, "unreadable"),
            ]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
            wrong.extend((!fixity.signed).then(|| "not signed".to_owned()));
            problems.push(HealthProblem {
                code: "archive-damaged".into(),
                count: 1,
                message: format!("the archived bag of {transfer}, read at {since}: {}", wrong.join(", ")),
                hint: "`sluse archive check` names each file; put the bag back from another copy.".into(),
            });
        } else if since.plus(2 * period(control)) < now {
            warnings.push(HealthProblem {
                code: "archive-not-checked".into(),
                count: 1,
                message: format!("the archived bag of {transfer} was not read since {since}"),
                hint:
                    "deliver reads one after another: it is away, or they take longer than `[deliver] archive_check`."
                        .into(),
            });
        }
    }
    Ok((problems, warnings))
}
