//! The running zone's records, one after the other, each checked against the digest that the audit log has.

use crate::failure::Failure;
use crate::operator::{Operator, unexpected};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Entry, Invalid, Kind, Reader};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::register::{Disclosed, Filter, Record, Registered};

/// Hands each record after a number (0: from the first on) that the filter admits to `take`, as it was told.
///
/// # Errors
/// When the zone gives no answer, or what `take` says.
pub fn each(
    operator: &Operator,
    mut after: u64,
    filter: &Filter,
    mut take: impl FnMut(Registered) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        let (reply, body) = operator.ask(&OperatorRequest::Register { after, filter: filter.clone() }, &[])?;
        let OperatorReply::Register { next } = reply else { return Err(unexpected()) };
        let text = std::str::from_utf8(&body).map_err(|_| unexpected())?;
        for line in text.lines() {
            take(serde_json::from_str(line).map_err(|_| unexpected())?)?;
        }
        match next {
            Some(next) if next > after => after = next,
            _ => return Ok(()),
        }
    }
}

/// A record that is the one that was written.
///
/// # Errors
/// When it is another.
pub fn genuine(registered: &Registered) -> Result<Record, Failure> {
    registered.record().map_err(|bad| {
        let message = format!("the record of audit entry {} was changed", registered.entry);
        Failure::new(Exit::Integrity, message).because(&bad).hint("`sluse register reconcile` names every difference")
    })
}

/// The files of a disclosure; none where their list was destroyed with what was not disclosed.
///
/// # Errors
/// When the zone gives no answer, or the list is not the record's.
pub fn files(operator: &Operator, record: &Record, registered: &Registered) -> Result<Option<Vec<Entry>>, Failure> {
    if registered.outcome.disclosed == Disclosed::Withdrawn {
        return Ok(None);
    }
    let bad = || {
        let message =
            format!("the list of files of {} is not the one that record {} names", record.transfer, record.number);
        Failure::new(Exit::Integrity, message)
    };
    let (mut reader, mut hash, mut offset, mut files) = (Reader::new(), sha2::Sha256::new(), 0, Vec::new());
    loop {
        let ask =
            OperatorRequest::Manifest { transfer: record.transfer.clone(), part: record.part_of.is_some(), offset };
        let (OperatorReply::Document, bytes) = operator.ask(&ask, &[])? else { return Err(unexpected()) };
        if bytes.is_empty() {
            break;
        }
        offset += bytes.len() as u64;
        hash.update(&bytes);
        let taken = reader.push(&bytes, |_, entry| {
            files.extend(Some(entry).filter(|entry| entry.kind == Kind::File));
            Ok::<(), Invalid>(())
        });
        taken.map_err(|_| bad())?;
    }
    let agrees = Sha256(hash.finalize().into()) == record.manifest_sha256 && reader.finish().is_ok();
    if agrees { Ok(Some(files)) } else { Err(bad()) }
}
