//! What monitors read.

use super::text;
use crate::control::testing::*;
use sluse_protocol::finding::EngineReport;
use sluse_protocol::roles::{EngineFailure, InspectRequest};
use sluse_protocol::time::Timestamp;

/// The value of a metric with these labels, as it stands there.
fn value(text: &str, sample: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ').map(str::to_owned))
}

fn now(bench: &Bench, sample: &str) -> String {
    let text = text(&bench.control).unwrap();
    value(&text, sample).unwrap_or_else(|| panic!("no {sample} in {text}"))
}

#[test]
fn what_was_counted_stays_counted_and_what_waits_has_an_age() {
    let bench = Bench::new();
    let entered =
        |state: &str| format!(r#"sluse_transfers_entered_total{{state="{state}",source="lab",agreement="lab"}}"#);
    let bytes = |state: &str| format!(r#"sluse_entered_bytes_total{{state="{state}",source="lab",agreement="lab"}}"#);
    bench.delivered(&Dataset::default());
    bench.held(&Dataset { key: 1, ..Dataset::default() });
    bench.wait(90);
    assert_eq!(now(&bench, &entered("received")), "2");
    assert_eq!(now(&bench, &bytes("received")), "30");
    assert_eq!(now(&bench, &entered("delivered")), "1");
    assert_eq!(now(&bench, r#"sluse_transfers{state="held"}"#), "1");
    assert_eq!(now(&bench, r#"sluse_transfers_bytes{state="held"}"#), "15");
    assert_eq!(now(&bench, r#"sluse_transfers_oldest_seconds{state="held"}"#), "90");
    assert_eq!(now(&bench, r#"sluse_transfers_oldest_seconds{state="receiving"}"#), "0");
    let bench = bench.restart();
    assert_eq!(now(&bench, &entered("delivered")), "1");
}

#[test]
fn what_is_wrong_is_counted_by_code() {
    let bench = Bench::new();
    assert_eq!(now(&bench, r#"sluse_health_problems{code="role-missing"}"#), "1");
    assert_eq!(now(&bench, r#"sluse_role_up{role="receive"}"#), "0");
    assert_eq!(now(&bench, r#"sluse_role_up{role="inspect"}"#), "1");
    bench.control.live.connect(sluse_protocol::roles::Role::Receive);
    let text = text(&bench.control).unwrap();
    assert_eq!(value(&text, r#"sluse_health_problems{code="role-missing"}"#), None);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn an_engine_that_is_there_and_stale_has_one_value_and_a_date() {
    let bench = Bench::new();
    let engine = EngineReport {
        engine: "clamd".into(),
        version: "1".into(),
        signatures: "7".into(),
        files: 0,
        above_limit: None,
    };
    let stale = EngineFailure { engine: "clamd".into(), reason: "old".into(), holds_everything: true };
    let dated = [("clamd".to_owned(), Timestamp::from_unix(START - 5))].into();
    let engines =
        InspectRequest::Engines { engines: vec![engine], failing: vec![stale], dated, full_malware_engine: true };
    bench.inspect(engines, &[]);
    assert_eq!(now(&bench, r#"sluse_engine_up{engine="clamd"}"#), "0");
    let made = now(&bench, r#"sluse_engine_signatures_timestamp_seconds{engine="clamd"}"#);
    assert_eq!(made, (START - 5).to_string());
    let text = text(&bench.control).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("sluse_engine_up{")).count(), 1);
}

#[test]
fn what_ends_is_known_before() {
    let bench = Bench::new();
    let ends: i64 = now(&bench, r#"sluse_certificate_ends_timestamp_seconds{source="lab"}"#).parse().unwrap();
    assert!(ends > START + 300 * DAY);
    let ends: i64 = now(&bench, r#"sluse_agreement_ends_timestamp_seconds{agreement="lab"}"#).parse().unwrap();
    assert!(ends > START);
    assert_eq!(now(&bench, r#"sluse_agreement_status{agreement="lab",status="active"}"#), "1");
    assert_eq!(now(&bench, "sluse_clock_timestamp_seconds"), START.to_string());
}
