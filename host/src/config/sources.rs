//! `[source.NAME]` and `[agreement.ID]`: what one source, and what comes under one agreement, may take of the zone, and when.

use serde::Serialize;
use sluse_protocol::hours::{Hours, MAX_SPANS};
use sluse_protocol::ids::{AgreementId, SourceName};
use sluse_protocol::sharing::MAX_WEIGHT;
use sluse_protocol::toml_text::{Fields, list, number, parsed};

/// Sources, and agreements, with settings of their own.
const MAX_SECTIONS: usize = 1000;

/// `[source.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceSettings {
    /// The source.
    pub name: SourceName,
    /// Its share of the zone where several sources want the same, beside the others' weights.
    pub weight: u32,
    /// Bytes of its transfers that are not settled, with their plans; no bound but its agreements' where there is none.
    pub max_open_bytes: Option<u64>,
    /// When it may send.
    #[serde(serialize_with = "as_text")]
    pub hours: Hours,
}

/// `[agreement.ID]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgreementSettings {
    /// The agreement.
    pub id: AgreementId,
    /// Its share of what its source gets, beside the weights of that source's other agreements.
    pub weight: u32,
    /// When may be sent under it.
    #[serde(serialize_with = "as_text")]
    pub hours: Hours,
}

/// Reads the sources' settings.
pub(super) fn sources(file: &Fields<'_>) -> Vec<SourceSettings> {
    let why = "write `[source.NAME]` with `weight = 10` or `max_open_bytes = 400000000000` below";
    file.may_tables("source", why, MAX_SECTIONS, source).unwrap_or_default()
}

/// Reads the agreements' settings.
pub(super) fn agreements(file: &Fields<'_>) -> Vec<AgreementSettings> {
    let why = "write `[agreement.ID]` with `weight = 10` or `hours = [\"18:00-06:00\"]` below";
    file.may_tables("agreement", why, MAX_SECTIONS, agreement).unwrap_or_default()
}

fn source(name: &str, fields: &Fields<'_>) -> Option<SourceSettings> {
    let (weight, hours) = (weight(fields), hours(fields));
    let max_open_bytes = fields.may("max_open_bytes", "400000000000", number(1..=1 << 60));
    let name = named(name, "source's name", fields)?;
    Some(SourceSettings { name, weight, max_open_bytes, hours })
}

fn agreement(id: &str, fields: &Fields<'_>) -> Option<AgreementSettings> {
    let (weight, hours) = (weight(fields), hours(fields));
    let id = named(id, "agreement's id", fields)?;
    Some(AgreementSettings { id, weight, hours })
}

fn weight(fields: &Fields<'_>) -> u32 {
    fields.may("weight", "10", number(1..=u64::from(MAX_WEIGHT))).unwrap_or(1)
}

fn hours(fields: &Fields<'_>) -> Hours {
    let spans = fields.may("hours", "[\"Mon-Fri 18:00-06:00\", \"Sat-Sun\"]", list(MAX_SPANS, parsed));
    Hours::new(spans.unwrap_or_default())
}

fn named<T: std::str::FromStr>(name: &str, what: &str, fields: &Fields<'_>) -> Option<T> {
    match name.parse() {
        Ok(name) => Some(name),
        Err(_) => {
            fields.wrong_at("weight", format!("{name} is no {what}"), "rename the section");
            None
        }
    }
}

fn as_text<S: serde::Serializer>(hours: &Hours, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(hours)
}
