//! Receipts: made with the state change that they attest, kept as they were signed.

use super::audit::Appended;
use super::transfers::Listed;
use super::{Write, agreements, transfers};
use crate::control::failure::Failure;
use rusqlite::{Connection, OptionalExtension as _, params};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::{Algorithms, Receipt, ReceiptFormat, ReceiptKind};
use sluse_protocol::sshsig::NAMESPACE_RECEIPT;

/// A receipt as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The statement.
    pub statement: String,
    /// The signature.
    pub signature: String,
}

/// Makes, signs and keeps a receipt of what has just become the transfer's state, as the entry `stated` says; it comes back with
/// its statement's SHA-256.
pub fn issue(
    write: &mut Write<'_>,
    id: &TransferId,
    kind: ReceiptKind,
    stated: Appended,
) -> Result<(Receipt, Sha256), Failure> {
    let transfer = transfers::get(&write.sql, id)?;
    let released = transfer.released();
    let Some(seal) = transfer.seal else {
        return Err(Failure::broken(format!("transfer {id} is not sealed and cannot have a receipt")));
    };
    let inspected = kind != ReceiptKind::Received;
    let of_what_is_released =
        matches!(kind, ReceiptKind::Released | ReceiptKind::Delivered | ReceiptKind::Acknowledged);
    let whole = Listed { manifest_sha256: seal.manifest_sha256, totals: transfer.totals, part_of: None };
    let listed = released.filter(|_| of_what_is_released).unwrap_or(whole);
    let previous: Option<String> = write
        .sql
        .prepare_cached("SELECT statement FROM receipts WHERE transfer = ? ORDER BY number DESC LIMIT 1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    let receipt = Receipt {
        sluse: ReceiptFormat::V1,
        kind,
        zone: write.signer.zone.clone(),
        time: write.now,
        transfer: id.clone(),
        source: transfer.source,
        agreement_sha256: agreements::get(&write.sql, &transfer.agreement)?.sha256,
        agreement: transfer.agreement,
        dataset: transfer.dataset,
        room: transfer.room,
        totals: listed.totals,
        manifest_sha256: listed.manifest_sha256,
        part_of: listed.part_of,
        chunk_list: seal.chunk_list,
        engines: transfer.report.filter(|_| inspected).map(|report| report.engines).unwrap_or_default(),
        decision: transfer.decision.filter(|_| inspected),
        stored: transfer.stored.filter(|_| matches!(kind, ReceiptKind::Delivered | ReceiptKind::Acknowledged)),
        acknowledgement: transfer.acknowledgement.filter(|_| kind == ReceiptKind::Acknowledged),
        previous: previous.map(|statement| Sha256::of(statement.as_bytes())),
        audit: stated.position,
        inclusion: Some(stated.inclusion),
        algorithms: Algorithms::default(),
    };
    let statement = receipt.to_statement();
    let signature = write.signer.key.sign(NAMESPACE_RECEIPT, statement.as_bytes());
    write
        .sql
        .prepare_cached(
            "INSERT INTO receipts SELECT ?1, coalesce(max(number) + 1, 0), ?2, ?3, ?4 FROM receipts WHERE transfer = ?1",
        )?
        .execute(params![id.as_str(), kind.as_str(), statement, signature])?;
    Ok((receipt, Sha256::of(statement.as_bytes())))
}

/// The latest receipt of a kind: a transfer that was held again after its release can have two.
pub fn find(sql: &Connection, id: &TransferId, kind: ReceiptKind) -> Result<Option<Signed>, Failure> {
    let text = "SELECT statement, signature FROM receipts WHERE transfer = ? AND kind = ? ORDER BY number DESC LIMIT 1";
    let row = sql.prepare_cached(text)?.query_row([id.as_str(), kind.as_str()], |row| {
        Ok(Signed { statement: row.get("statement")?, signature: row.get("signature")? })
    });
    Ok(row.optional()?)
}

/// The kinds of receipts that a transfer has.
pub fn kinds(sql: &Connection, id: &TransferId) -> Result<Vec<ReceiptKind>, Failure> {
    let mut statement = sql.prepare_cached("SELECT DISTINCT kind FROM receipts WHERE transfer = ?")?;
    let names = statement.query_map([id.as_str()], |row| row.get::<_, String>("kind"))?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(ReceiptKind::ALL.iter().copied().filter(|kind| names.iter().any(|name| name == kind.as_str())).collect())
}
