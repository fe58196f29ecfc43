//! The OpenMetrics text format, version 1.0.0.

use super::numbers::Numbers;
use crate::control::store::totals::{Entered, Inside};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use sluse_protocol::time::Timestamp;
use std::fmt;

/// The numbers as text.
pub fn write(numbers: Numbers) -> String {
    let mut registry = Registry::with_prefix("sluse");
    registry.register_collector(Box::new(numbers));
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = text::encode(&mut out, &registry);
    out
}

/// A label and its value. All values are names of this zone, of characters that need no escaping.
type Label<'a> = (&'static str, &'a str);

/// A metric's name without the zone's prefix, its help, and its unit.
type Metric = (&'static str, &'static str, Option<Unit>);

/// Writes one metric after the other, each with all its values.
struct Families<'e>(DescriptorEncoder<'e>);

impl Families<'_> {
    fn gauge<'a, const N: usize>(
        &mut self,
        (name, help, unit): Metric,
        values: impl IntoIterator<Item = ([Label<'a>; N], i64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in values {
            match N {
                0 => metric.encode_gauge(&value)?,
                _ => metric.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn counter<'a, const N: usize>(
        &mut self,
        (name, help, unit): Metric,
        values: impl IntoIterator<Item = ([Label<'a>; N], u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (labels, value) in values {
            match N {
                0 => metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                _ => metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
            }
        }
        Ok(())
    }
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        let zone = [("zone", self.zone.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
        families.gauge(("zone_info", "The zone, and the version of its software", None), [(zone, 1)])?;
        families.gauge(("clock_timestamp", "The zone's clock", Some(Unit::Seconds)), [([], self.now.unix())])?;
        self.transfers(&mut families)?;
        self.host(&mut families)?;
        self.endings(&mut families)
    }
}

impl Numbers {
    fn transfers(&self, families: &mut Families<'_>) -> fmt::Result {
        let entered = |count: fn(&Entered) -> u64| {
            self.entered.iter().map(move |it| {
                let (state, source, agreement) = (it.state.as_str(), it.source.as_str(), it.agreement.as_str());
                ([("state", state), ("source", source), ("agreement", agreement)], count(it))
            })
        };
        let help = "Transfers that entered a state, ever";
        families.counter(("transfers_entered", help, None), entered(|it| it.transfers))?;
        let help = "Bytes of transfers that entered a state, ever";
        families.counter(("entered", help, Some(Unit::Bytes)), entered(|it| it.bytes))?;
        let now = self.now;
        let inside = |count: fn(&Inside, Timestamp) -> i64| {
            self.inside.iter().map(move |it| ([("state", it.state.as_str())], count(it, now)))
        };
        let help = "Transfers in a state in which something is still to happen";
        families.gauge(("transfers", help, None), inside(|it, _| as_i64(it.transfers)))?;
        let help = "Bytes of transfers in such a state";
        families.gauge(("transfers", help, Some(Unit::Bytes)), inside(|it, _| as_i64(it.bytes)))?;
        let help = "How long the one that is longest in such a state is in it";
        let age = |it: &Inside, now: Timestamp| it.oldest.map_or(0, |since| now.unix() - since.unix());
        families.gauge(("transfers_oldest", help, Some(Unit::Seconds)), inside(age))
    }

    fn host(&self, families: &mut Families<'_>) -> fmt::Result {
        let roles = self.roles.iter().map(|(role, up)| ([("role", role.as_str())], i64::from(*up)));
        families.gauge(("role_up", "Whether a role is connected", None), roles)?;
        let engines = self.engines.iter().map(|(engine, up)| ([("engine", engine.as_str())], i64::from(*up)));
        families.gauge(("engine_up", "Whether an engine can be used", None), engines)?;
        let made = self.signatures.iter().map(|(engine, made)| ([("engine", engine.as_str())], made.unix()));
        let help = "When the signatures of an engine that grows old were made";
        families.gauge(("engine_signatures_timestamp", help, Some(Unit::Seconds)), made)?;
        let problems = self.problems.iter().map(|(code, count)| ([("code", code.as_str())], as_i64(*count)));
        families.gauge(("health_problems", "What is wrong, by code", None), problems)?;
        let warnings = self.warnings.iter().map(|(code, count)| ([("code", code.as_str())], as_i64(*count)));
        families.gauge(("health_warnings", "What a person should know, by code", None), warnings)?;
        let help = "Free bytes of the quarantine's file system at the last offer";
        families
            .gauge(("quarantine_free", help, Some(Unit::Bytes)), self.free_bytes.map(|bytes| ([], as_i64(bytes))))?;
        let help = "How many of them stay free";
        families.gauge(("quarantine_keep_free", help, Some(Unit::Bytes)), [([], as_i64(self.keep_free_bytes))])?;
        families.counter(("audit_entries", "Entries of the audit log", None), [([], self.audit_entries)])
    }

    fn endings(&self, families: &mut Families<'_>) -> fmt::Result {
        let status = self
            .agreements
            .iter()
            .map(|(id, status, _)| ([("agreement", id.as_str()), ("status", status.as_str())], 1));
        families.gauge(("agreement_status", "The status of each agreement that was not ended", None), status)?;
        let ends = self.agreements.iter().map(|(id, _, ends)| ([("agreement", id.as_str())], ends.unix()));
        let help = "When an agreement, or an approval of it, ends";
        families.gauge(("agreement_ends_timestamp", help, Some(Unit::Seconds)), ends)?;
        let help = "When the zone's own certificate authority ends";
        families.gauge(("authority_ends_timestamp", help, Some(Unit::Seconds)), [([], self.authority.unix())])?;
        let ends = self.certificates.iter().map(|(source, ends)| ([("source", source.as_str())], ends.unix()));
        families.gauge(("certificate_ends_timestamp", "When a source's certificate ends", Some(Unit::Seconds)), ends)
    }
}

/// Every count here is bounded far below 2^63.
fn as_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
