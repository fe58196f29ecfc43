//! Records read back, are told from changed ones, corrected, chosen and added up.

use super::*;
use crate::agreement;

fn record(number: u64) -> Record {
    let agreement = agreement::parse(include_str!("../../../config/agreements/epic-nightly.toml")).unwrap();
    let digest = Sha256::of(b"x");
    Record {
        sluse: RecordFormat::V1,
        number,
        time: Timestamp::from_unix(1_000),
        zone: "midt".parse().unwrap(),
        correction: None,
        transfer: "20261122-101500-7f3k9a2m".parse().unwrap(),
        released: Timestamp::from_unix(1_000),
        release_entry: 7,
        receipt: digest,
        approval: DecisionRecord { rule: "automatic".into(), by: None, reason: "clean".into() },
        source: "epic".parse().unwrap(),
        room: "hjerte".parse().unwrap(),
        route: Route { intake: "quic-tls1.3".into(), delivery: "bag-in-folder".into(), folder: "hjerte".into() },
        dataset: "nightly".parse().unwrap(),
        totals: Totals { files: 3, folders: 1, bytes: 500 },
        manifest_sha256: digest,
        part_of: None,
        agreement: agreement.id.clone(),
        agreement_sha256: digest,
        terms: Terms::of(&agreement),
    }
}

fn outcome(disclosed: Disclosed, corrected_by: Option<u64>) -> Outcome {
    Outcome {
        disclosed,
        delivered: None,
        receipt: None,
        bag: None,
        tagmanifest: None,
        remains: None,
        deletion_due: None,
        deleted: None,
        corrected_by,
    }
}

fn change(field: &str, value: &str) -> Change {
    Change { field: field.into(), value: value.into() }
}

#[test]
fn a_record_reads_back_and_one_with_another_byte_is_told_from_it() {
    let statement = record(1).to_statement();
    assert!(!statement.contains('\n'));
    let sha256 = Sha256::of(statement.as_bytes());
    let told = |statement: String| {
        let outcome = outcome(Disclosed::Underway, None);
        Registered { statement, entry: 9, sha256, outcome }.record()
    };
    assert_eq!(told(statement.clone()), Ok(record(1)));
    assert_eq!(told(statement.replace("\"files\":3", "\"files\":4")), Err(BadRecord::Digest(9)));
    assert_eq!(told(statement + " "), Err(BadRecord::Digest(9)));
}

#[test]
fn a_correction_names_what_it_corrects_and_changes_what_people_wrote_alone() {
    let corrected = |changes: &[Change]| {
        record(3).corrected(8, Timestamp::from_unix(2_000), "kari".into(), "misspelt".into(), changes)
    };
    let new = corrected(&[change("purpose", "hjertesvikt"), change("variables", "a, b")]).unwrap();
    assert_eq!((new.number, new.corrects(), new.act()), (8, Some(3), CORRECTED));
    assert_eq!((new.terms.purpose.as_str(), new.terms.variables.len()), ("hjertesvikt", 2));
    let old = record(3);
    let terms = Terms { purpose: old.terms.purpose.clone(), variables: old.terms.variables.clone(), ..new.terms };
    assert_eq!(Record { number: 3, time: old.time, correction: None, terms, ..new }, old);
    for (field, value) in [
        ("totals", "4"),
        ("receipt", "x"),
        ("purpose", " "),
        ("purpose", "two\nlines"),
        ("identifiability", "somewhat"),
        ("legal-basis.kind", "habit"),
    ] {
        assert!(corrected(&[change(field, value)]).is_err(), "{field}={value}");
    }
    for field in CORRECTABLE {
        let value = match *field {
            "identifiability" => "anonymous",
            "legal-basis.kind" => "law",
            _ => "something",
        };
        let changed = corrected(&[change(field, value)]);
        assert!(changed.is_ok_and(|new| new.terms != record(3).terms), "{field}");
    }
}

#[test]
fn records_are_chosen_by_agreement_institution_and_time() {
    let record = record(1);
    let admits = |filter: Filter| filter.admits(&record);
    let all = Filter::default();
    let time = |seconds| Some(Timestamp::from_unix(seconds));
    assert!(admits(all.clone()) && all.is_all());
    assert!(admits(Filter { agreement: Some(record.agreement.clone()), ..all.clone() }));
    assert!(!admits(Filter { agreement: Some("another".parse().unwrap()), ..all.clone() }));
    let controller = record.terms.controller.to_uppercase();
    for (name, expected) in [(controller.as_str(), true), ("EPIC", true), ("hjerte", true), ("hjert", false)] {
        assert_eq!(admits(Filter { institution: Some(name.into()), ..all.clone() }), expected, "{name}");
    }
    for (from, to, expected) in [(1_000, 1_000, true), (1_001, 2_000, false), (0, 999, false)] {
        assert_eq!(admits(Filter { from: time(from), to: time(to), ..all.clone() }), expected);
    }
}

#[test]
fn a_corrected_release_counts_once_and_only_what_was_delivered_has_files() {
    let mut sums = Sums::default();
    let correction = record(1).corrected(3, Timestamp::from_unix(1), "kari".into(), "why".into(), &[]).unwrap();
    sums.add(&record(1), &outcome(Disclosed::Delivered, Some(3)));
    sums.add(&record(2), &outcome(Disclosed::Withdrawn, None));
    sums.add(&correction, &outcome(Disclosed::Delivered, None));
    sums.add(&record(4), &outcome(Disclosed::Underway, None));
    sums.add(&record(5), &outcome(Disclosed::Uncertain, None));
    let expected = Sums {
        records: 5,
        corrections: 1,
        releases: 4,
        delivered: 1,
        underway: 1,
        withdrawn: 1,
        uncertain: 1,
        files: 3,
        bytes: 500,
    };
    assert_eq!(sums, expected);
}
