//! `[source.NAME]`: what one source may take of the zone.

use serde::Serialize;
use sluse_protocol::ids::SourceName;
use sluse_protocol::sharing::MAX_WEIGHT;
use sluse_protocol::toml_text::{Fields, number};

/// Sources with settings of their own.
const MAX_SOURCES: usize = 1000;

/// `[source.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceSettings {
    /// The source.
    pub name: SourceName,
    /// Its share of the zone where several sources want the same, beside the others' weights.
    pub weight: u32,
    /// Bytes of its transfers that are not settled, with their plans; no bound but its agreements' where there is none.
    pub max_open_bytes: Option<u64>,
}

/// Reads all of them.
pub(super) fn sources(file: &Fields<'_>) -> Vec<SourceSettings> {
    let why = "write `[source.NAME]` with `weight = 10` or `max_open_bytes = 400000000000` below";
    file.may_tables("source", why, MAX_SOURCES, source).unwrap_or_default()
}

fn source(name: &str, fields: &Fields<'_>) -> Option<SourceSettings> {
    let weight = fields.may("weight", "10", number(1..=u64::from(MAX_WEIGHT)));
    let max_open_bytes = fields.may("max_open_bytes", "400000000000", number(1..=1 << 60));
    match name.parse() {
        Ok(name) => Some(SourceSettings { name, weight: weight.unwrap_or(1), max_open_bytes }),
        Err(_) => {
            fields.wrong_at("weight", format!("{name} is no source's name"), "rename the section");
            None
        }
    }
}
