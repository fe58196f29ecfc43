//! Datasets that are kept in sync: what a version may be built on, and what stays for it.

use crate::control::store::transfers;
use crate::control::testing::*;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{DeliverReply, DeliverRequest, ReceiveReply, ReceiveRequest, RemoveOutcome};
use sluse_protocol::sync::{Delta, Versions};
use sluse_protocol::transfer::State;

/// A zone with an agreement whose datasets are kept in sync.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.agree(&(agreement("kept") + "\n[sync]\ndeletions = true\n"));
    bench
}

fn dataset(key: u8) -> Dataset {
    Dataset { agreement: "kept", key, ..Dataset::default() }
}

fn versions(bench: &Bench, dataset: &Dataset) -> Versions {
    let ask = ReceiveRequest::Versions {
        source: dataset.source.parse().unwrap(),
        agreement: dataset.agreement.parse().unwrap(),
        dataset: dataset.name.parse().unwrap(),
    };
    match bench.ask(ask).0 {
        ReceiveReply::Versions(versions) => versions,
        other => panic!("{other:?}"),
    }
}

fn on(base: &TransferId) -> Delta {
    Delta { base: base.clone(), recipe_bytes: 24, literal_bytes: 3 }
}

#[test]
fn a_version_is_built_on_the_one_in_the_room_and_on_no_other() {
    let bench = bench();
    assert_eq!(versions(&bench, &dataset(1)), Versions { latest: None, base: None });
    let first = bench.delivered(&dataset(1));
    let told = versions(&bench, &dataset(1));
    assert_eq!((told.base.as_ref(), told.latest.map(|latest| latest.state)), (Some(&first), Some(State::Delivered)));
    bench.wait(1);
    let second = bench.delivered(&dataset(2));
    bench.wait(1);
    // The one before, a transfer of another dataset, of another agreement, and none at all.
    let other = bench.delivered(&Dataset { name: "other", ..dataset(3) });
    let elsewhere = bench.delivered(&Dataset { key: 4, ..Dataset::default() });
    let none = "20200101-000000-7f3k9a2m".parse().unwrap();
    for base in [&first, &other, &elsewhere, &none] {
        assert_refused(&bench.offer_delta(&dataset(9), on(base)), Code::UnknownBase);
    }
    assert!(matches!(bench.offer_delta(&dataset(9), on(&second)), ReceiveReply::Accepted { bytes: 27, .. }));
    // The same key is the same transfer, and not another difference's.
    let larger = Delta { literal_bytes: 4, ..on(&second) };
    assert_refused(&bench.offer_delta(&dataset(9), larger), Code::KeyReused);
    assert_refused(&bench.offer(&dataset(9)), Code::KeyReused);
}

#[test]
fn what_waits_or_was_rejected_is_no_base_and_what_is_impossible_is_refused() {
    let bench = bench();
    let first = bench.delivered(&dataset(1));
    bench.wait(1);
    let held = bench.held(&dataset(2));
    let told = versions(&bench, &dataset(1));
    assert_eq!((told.base, told.latest.map(|latest| latest.transfer)), (Some(first.clone()), Some(held.clone())));
    assert_refused(&bench.offer_delta(&dataset(9), on(&held)), Code::UnknownBase);
    let impossible = [
        Delta { recipe_bytes: 0, ..on(&first) },
        Delta { recipe_bytes: 25, ..on(&first) },
        Delta { recipe_bytes: u64::MAX - 15, ..on(&first) },
        Delta { recipe_bytes: (24 << 20) + 24, ..on(&first) },
        Delta { literal_bytes: 16, ..on(&first) },
    ];
    for delta in impossible {
        assert_refused(&bench.offer_delta(&dataset(9), delta), Code::BadDocument);
    }
    let largest = Delta { recipe_bytes: 24 << 20, ..on(&first) };
    assert!(matches!(bench.offer_delta(&dataset(9), largest), ReceiveReply::Accepted { .. }));
}

#[test]
fn an_agreement_without_sync_has_no_versions() {
    let bench = bench();
    let first = bench.delivered(&Dataset::default());
    assert_refused(&bench.offer_delta(&Dataset { key: 9, ..Dataset::default() }, on(&first)), Code::SyncNotAllowed);
    let ask = |source: &str, agreement: &str| {
        let (source, agreement) = (source.parse().unwrap(), agreement.parse().unwrap());
        bench.ask(ReceiveRequest::Versions { source, agreement, dataset: "extract".parse().unwrap() }).0
    };
    assert_refused(&ask("lab", "lab"), Code::SyncNotAllowed);
    assert_refused(&ask("lab", "none"), Code::UnknownAgreement);
    bench.enrol("other");
    assert_refused(&ask("other", "kept"), Code::UnknownAgreement);
}

/// The transfer that is to be purged next, if there is one.
fn due(bench: &Bench) -> Option<TransferId> {
    let store = &bench.control.store;
    let first = store.read(|sql| transfers::first_to_purge(sql, store.now(), |_| true)).unwrap();
    first.map(|transfer| transfer.id)
}

#[test]
fn the_version_in_the_room_and_the_base_of_one_under_way_stay_and_others_go() {
    let bench = bench();
    let first = bench.delivered(&dataset(1));
    bench.wait(1);
    let accepted = bench.offer_delta(&dataset(9), on(&first));
    let ReceiveReply::Accepted { transfer: under_way, .. } = accepted else { panic!("{accepted:?}") };
    bench.wait(1);
    let second = bench.delivered(&dataset(2));
    bench.wait(40 * DAY);
    assert_eq!(due(&bench), None, "one is built on, the other is in the room");
    bench.operate(OperatorRequest::Cancel { transfer: under_way, reason: "late".into() });
    assert_eq!(due(&bench), Some(first));
    assert_eq!(versions(&bench, &dataset(1)).base, Some(second));
}

/// The version that `deliver` is told to remove, if there is one.
fn to_remove(bench: &Bench) -> Option<TransferId> {
    let store = &bench.control.store;
    let first = store.read(|sql| transfers::first_to_remove(sql, store.now(), |_| true)).unwrap();
    first.map(|transfer| transfer.id)
}

fn remove(bench: &Bench, transfer: &TransferId, outcome: RemoveOutcome) -> DeliverReply {
    bench.deliver(DeliverRequest::Removed { transfer: transfer.clone(), outcome }).0
}

fn bench_that_keeps(rules: &str) -> Bench {
    let bench = Bench::new();
    bench.agree(&(agreement("kept") + "\n[sync]\ndeletions = true\n" + rules));
    bench
}

fn three_versions(bench: &Bench) -> Vec<TransferId> {
    let version = |key| {
        bench.wait(DAY);
        bench.delivered(&dataset(key))
    };
    [1, 2, 3].map(version).into()
}

#[test]
fn the_newest_versions_stay_in_the_room_and_older_ones_are_removed_once() {
    let bench = bench_that_keeps("keep_versions = 2\n");
    let versions = three_versions(&bench);
    assert!(matches!(remove(&bench, &versions[0], RemoveOutcome::Gone), DeliverReply::Refused(_)), "nobody asked");
    let asked = |bench: &Bench| match bench.deliver(DeliverRequest::Next).0 {
        DeliverReply::Remove { transfer, dataset, .. } => Some((transfer, dataset.to_string())),
        _ => None,
    };
    assert_eq!(asked(&bench), Some((versions[0].clone(), dataset(1).name.to_owned())));
    let away = RemoveOutcome::Fault { reason: "the room is away".into() };
    assert_eq!(remove(&bench, &versions[0], away), DeliverReply::Done);
    bench.wait(3600);
    assert_eq!(asked(&bench), Some((versions[0].clone(), dataset(1).name.to_owned())));
    let removed = |transfer: &TransferId| bench.show(transfer).removed.map(|time| time.unix());
    assert_eq!(removed(&versions[0]), None);
    assert_eq!(remove(&bench, &versions[0], RemoveOutcome::Gone), DeliverReply::Done);
    assert_eq!((removed(&versions[0]), removed(&versions[1])), (Some(bench.control.store.now().unix()), None));
    assert_eq!(to_remove(&bench), None);
    assert!(bench.acts().contains(&"version-removed".to_owned()));
    bench.restart();
}

#[test]
fn a_version_stays_while_one_rule_keeps_it_and_under_legal_hold() {
    let bench = bench_that_keeps("keep_versions = 1\nkeep_days = 5\n");
    let versions = three_versions(&bench);
    assert_eq!(to_remove(&bench), None, "none is five days old");
    bench.wait(4 * DAY);
    assert_eq!(to_remove(&bench), Some(versions[0].clone()));
    let hold = OperatorRequest::Retain { transfer: versions[0].clone(), reason: "a court asks".into() };
    assert_eq!(bench.operate(hold), OperatorReply::Done);
    assert_eq!(to_remove(&bench), None);
    bench.wait(100 * DAY);
    assert_eq!(to_remove(&bench), Some(versions[1].clone()), "and never the newest");
}

#[test]
fn without_a_rule_all_versions_stay() {
    let bench = bench();
    three_versions(&bench);
    bench.wait(1000 * DAY);
    assert_eq!(to_remove(&bench), None);
}
