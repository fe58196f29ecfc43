//! The register as CSV (RFC 4180): commas, every cell in quotes, one row for each record.
//!
//! Programs for tables take a cell that begins with `=`, `+`, `-` or `@` for a formula, in quotes too: such a cell gets an
//! apostrophe in front, which they take for `this is text`.

use super::export::{Form, Heading, Item};
use crate::safe;
use sluse_protocol::audit::Position;
use sluse_protocol::register::Sums;
use sluse_protocol::time::Timestamp;

const COLUMNS: &[&str] = &[
    "number",
    "corrects",
    "corrected_by",
    "recorded",
    "released",
    "disclosed",
    "delivered",
    "zone",
    "controller",
    "source",
    "room",
    "project",
    "title",
    "purpose",
    "identifiability",
    "variables",
    "output",
    "legal_basis",
    "authority",
    "reference",
    "conditions",
    "basis_from",
    "basis_to",
    "periodic",
    "rek",
    "rek_expires",
    "dpia",
    "processing_agreement",
    "agreement",
    "valid_from",
    "valid_to",
    "dataset",
    "transfer",
    "files",
    "bytes",
    "manifest_sha256",
    "left_out_files",
    "left_out_bytes",
    "part_of_manifest_sha256",
    "approval",
    "approved_by",
    "approval_reason",
    "intake",
    "delivery",
    "folder",
    "bag",
    "released_receipt_sha256",
    "delivered_receipt_sha256",
    "deletion_due",
    "deleted",
    "correction_by",
    "correction_reason",
    "audit_entry",
    "record_sha256",
];

/// See the module.
#[derive(Debug)]
pub struct Csv;

impl Form for Csv {
    fn begin(&mut self, _: &Heading) -> String {
        row(COLUMNS.iter().map(|name| (*name).to_owned()))
    }

    fn item(&mut self, item: &Item) -> String {
        row(cells(item))
    }

    fn end(&mut self, _: &Sums, _: &Position) -> String {
        String::new()
    }
}

fn cells(item: &Item) -> [String; COLUMNS.len()] {
    let (record, outcome) = (&item.record, &item.registered.outcome);
    let (terms, approval, correction) = (&record.terms, &record.approval, record.correction.as_ref());
    let legal = &terms.legal_basis;
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let maybe = |value: Option<&dyn std::fmt::Display>| value.map(|value| value.to_string()).unwrap_or_default();
    [
        record.number.to_string(),
        maybe(record.corrects().as_ref().map(|number| number as _)),
        maybe(outcome.corrected_by.as_ref().map(|number| number as _)),
        record.time.to_string(),
        record.released.to_string(),
        word(&outcome.disclosed),
        time(outcome.delivered),
        record.zone.to_string(),
        terms.controller.clone(),
        record.source.to_string(),
        record.room.to_string(),
        terms.project.clone(),
        terms.title.clone(),
        terms.purpose.clone(),
        word(&terms.identifiability),
        terms.variables.join("; "),
        terms.output.iter().map(|output| output.as_str()).collect::<Vec<_>>().join("; "),
        word(&legal.kind),
        legal.authority.clone(),
        legal.reference.clone(),
        legal.conditions.join("; "),
        legal.valid_from.to_string(),
        legal.valid_to.to_string(),
        legal.periodic.to_string(),
        terms.rek.as_ref().map(|rek| rek.reference.clone()).unwrap_or_default(),
        time(terms.rek.as_ref().map(|rek| rek.expires)),
        terms.dpia.reference.clone(),
        terms.processing_agreement.reference.clone(),
        record.agreement.to_string(),
        terms.valid_from.to_string(),
        terms.valid_to.to_string(),
        record.dataset.to_string(),
        record.transfer.to_string(),
        record.totals.files.to_string(),
        record.totals.bytes.to_string(),
        record.manifest_sha256.to_string(),
        maybe(record.part_of.as_ref().map(|part_of| &part_of.left_out.files as _)),
        maybe(record.part_of.as_ref().map(|part_of| &part_of.left_out.bytes as _)),
        maybe(record.part_of.as_ref().map(|part_of| &part_of.manifest_sha256 as _)),
        approval.rule.clone(),
        approval.by.clone().unwrap_or_default(),
        approval.reason.clone(),
        record.route.intake.clone(),
        record.route.delivery.clone(),
        record.route.folder.clone(),
        outcome.bag.clone().unwrap_or_default(),
        record.receipt.to_string(),
        maybe(outcome.receipt.as_ref().map(|digest| digest as _)),
        time(outcome.deletion_due),
        time(outcome.deleted),
        correction.map(|correction| correction.by.clone()).unwrap_or_default(),
        correction.map(|correction| correction.reason.clone()).unwrap_or_default(),
        item.registered.entry.to_string(),
        item.registered.sha256.to_string(),
    ]
}

/// The name of a plain enum's value, as JSON has it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|text| cell(&text)).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let text = safe::text(text);
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_cell_is_a_formula_or_ends_its_row() {
        let cases = [
            ("plain", "\"plain\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("+47", "\"'+47\""),
            ("-1", "\"'-1\""),
            ("＝1", "\"'＝1\""),
            ("a\"b,c", "\"a\"\"b,c\""),
            ("a\r\n=b", "\"a\\u{d}\\u{a}=b\""),
            ("\t=1", "\"\\u{9}=1\""),
        ];
        for (text, expected) in cases {
            assert_eq!(super::cell(text), expected);
        }
    }
}
