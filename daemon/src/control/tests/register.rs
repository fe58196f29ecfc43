//! The register of disclosures: written with each release or not at all, never changed, corrected by new records.

use crate::control::failure::Failure;
use crate::control::store::register;
use crate::control::testing::*;
use sluse_protocol::digest::Sha256;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::register::{CORRECTED, Change, Disclosed, Filter, RECORDED, Record, Registered};
use sluse_protocol::roles::{InspectReply, InspectRequest};
use sluse_protocol::transfer::State;

fn registered(bench: &Bench, filter: Filter) -> Vec<Registered> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let (reply, body) = bench.ask_operator(OperatorRequest::Register { after, filter: filter.clone() }, &[]);
        let OperatorReply::Register { next } = reply else { panic!("{reply:?}") };
        let text = String::from_utf8(body).unwrap();
        all.extend(text.lines().map(|line| serde_json::from_str::<Registered>(line).unwrap()));
        let Some(next) = next else { return all };
        after = next;
    }
}

fn all(bench: &Bench) -> Vec<(Record, Registered)> {
    let told = registered(bench, Filter::default());
    told.into_iter().map(|registered| (registered.record().unwrap(), registered)).collect()
}

fn correct(number: u64, field: &str, value: &str) -> OperatorRequest {
    let changes = vec![Change { field: field.into(), value: value.into() }];
    OperatorRequest::RegisterCorrect { number, reason: "it was misspelt".into(), changes }
}

fn execute(bench: &Bench, text: &str) -> Result<(), Failure> {
    bench.control.store.write(|write| Ok(write.sql.execute_batch(text)?))
}

#[test]
fn a_release_is_recorded_with_the_digest_of_its_record_in_the_log_and_its_receipt_in_the_record() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    let (record, told) = all(&bench).pop().unwrap();
    let entries = bench.audit();
    let entry = &entries[usize::try_from(told.entry).unwrap()];
    assert_eq!((entry.act.as_str(), entry.transfer.as_ref()), (RECORDED, Some(&transfer)));
    assert_eq!(entry.details["sha256"], Sha256::of(told.statement.as_bytes()).to_string());
    assert_eq!((&entry.details["files"], &entry.details["bytes"]), (&2.into(), &15.into()));
    assert_eq!(entries[usize::try_from(record.release_entry).unwrap()].act, "transfer-released");
    let receipt = OperatorRequest::Receipt { transfer: transfer.clone(), kind: ReceiptKind::Released };
    assert_eq!(record.receipt, Sha256::of(&bench.ask_operator(receipt, &[]).1));
    assert_eq!((record.number, record.approval.rule.as_str()), (1, "automatic"));
    assert_eq!((record.terms.controller.as_str(), record.route.folder.as_str()), ("Helse Midt-Norge", "room"));
    assert_eq!(told.outcome.disclosed, Disclosed::Underway);
}

#[test]
fn what_becomes_of_a_release_is_told_with_its_record_and_leaves_the_record_as_it_is() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.delivering(&dataset);
    let before = all(&bench).pop().unwrap().1.statement;
    bench.visible(&transfer);
    let told = all(&bench).pop().unwrap().1;
    assert_eq!((told.statement, told.outcome.disclosed), (before, Disclosed::Delivered));
    let due = told.outcome.deletion_due.unwrap();
    assert_eq!((told.outcome.bag.as_deref(), due.unix()), (Some("extract/x"), START + 30 * DAY));
    assert!(told.outcome.receipt.is_some() && told.outcome.deleted.is_none());
    bench.wait(31 * DAY);
    assert_eq!(bench.inspect(InspectRequest::Purged { transfer }, &[]), InspectReply::Done);
    let told = all(&bench).pop().unwrap().1;
    assert_eq!((told.outcome.disclosed, told.outcome.deletion_due), (Disclosed::Delivered, None));
    assert_eq!(told.outcome.deleted.map(|time| time.unix()), Some(START + 31 * DAY));
}

#[test]
fn a_release_that_cannot_be_recorded_does_not_happen() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.inspecting(&dataset);
    let full = "CREATE TRIGGER full BEFORE INSERT ON register BEGIN SELECT raise(ABORT, 'full'); END";
    execute(&bench, full).unwrap();
    let before = bench.audit().len();
    assert!(matches!(bench.inspected(&dataset, &transfer, &[]), InspectReply::Refused(_)));
    assert_eq!((bench.state(&transfer), bench.audit().len()), (State::Inspecting, before));
    execute(&bench, "DROP TRIGGER full").unwrap();
    assert_eq!(bench.inspected(&dataset, &transfer, &[]), InspectReply::Done);
    assert_eq!((bench.state(&transfer), all(&bench).len()), (State::Released, 1));
}

#[test]
fn the_table_refuses_to_change_remove_replace_or_skip_a_record() {
    let bench = Bench::new();
    bench.released(&Dataset::default());
    let insert = |verb: &str, number: u64| {
        format!(
            "{verb} INTO register SELECT {number}, transfer, release_entry, NULL, 0, 'x' FROM register WHERE number = 1"
        )
    };
    for text in [
        "UPDATE register SET statement = 'x'".to_owned(),
        "DELETE FROM register".to_owned(),
        insert("INSERT OR REPLACE", 1),
        insert("INSERT", 3),
        // Of the record's own audit entry, under a number that fits.
        insert("INSERT OR REPLACE", 2).replace("NULL, 0,", "NULL, entry,"),
    ] {
        let refused = execute(&bench, &text).unwrap_err().to_string();
        assert!(refused.contains("the register only grows"), "{text}: {refused}");
    }
}

#[test]
fn what_is_held_again_and_released_again_has_two_records_and_the_first_came_to_nothing() {
    let bench = Bench::new();
    let transfer = bench.released(&Dataset::default());
    let revoke = OperatorRequest::SourceRevoke { name: lab(), reason: "moved".into() };
    assert_eq!(bench.operate(revoke), OperatorReply::Done);
    let disclosed = |bench: &Bench| all(bench).iter().map(|(_, told)| told.outcome.disclosed).collect::<Vec<_>>();
    assert_eq!(disclosed(&bench), [Disclosed::Withdrawn]);
    let release = OperatorRequest::Release { transfer, reason: "seen and good".into() };
    assert_eq!(bench.operate(release), OperatorReply::Done);
    assert_eq!(disclosed(&bench), [Disclosed::Withdrawn, Disclosed::Underway]);
    let (record, _) = all(&bench).pop().unwrap();
    assert_eq!((record.number, record.approval.by.as_deref()), (2, Some("kari")));
}

#[test]
fn a_correction_is_a_record_of_its_own_by_a_person_and_stands_in_for_the_last_one_only() {
    let bench = Bench::new();
    bench.delivered(&Dataset::default());
    let reply = bench.operate(correct(1, "purpose", "hjertesvikt"));
    assert_eq!(reply, OperatorReply::Corrected { number: 2 });
    let told = all(&bench);
    let (first, second) = (&told[0], &told[1]);
    assert_eq!((first.1.outcome.corrected_by, first.0.terms.purpose.as_str()), (Some(2), "testing"));
    let correction = second.0.correction.as_ref().unwrap();
    assert_eq!((correction.corrects, correction.by.as_str()), (1, "kari"));
    assert_eq!((second.0.terms.purpose.as_str(), second.1.outcome.disclosed), ("hjertesvikt", Disclosed::Delivered));
    let entry = bench.audit().pop().unwrap();
    assert_eq!((entry.act.as_str(), entry.actor.as_str()), (CORRECTED, "operator kari"));
    assert!(!entry.to_line().contains("misspelt"), "reasons are in the log as digests");
    assert_operator_refused(&bench.operate(correct(1, "purpose", "x")), Code::WrongState);
    assert_operator_refused(&bench.operate(correct(9, "purpose", "x")), Code::UnknownName);
    assert_operator_refused(&bench.operate(correct(2, "bytes", "1")), Code::Invalid);
    assert_eq!(bench.operate(correct(2, "project", "x")), OperatorReply::Corrected { number: 3 });
}

#[test]
fn records_are_filtered_and_one_that_was_changed_is_told_by_its_digest() {
    let bench = Bench::new();
    bench.released(&Dataset::default());
    let of = |agreement: &str| Filter { agreement: Some(agreement.parse().unwrap()), ..Filter::default() };
    assert_eq!((registered(&bench, of("lab")).len(), registered(&bench, of("other")).len()), (1, 0));
    let change = "DROP TRIGGER register_is_not_changed; \
                  UPDATE register SET statement = replace(statement, 'testing', 'tasting')";
    execute(&bench, change).unwrap();
    let told = registered(&bench, of("other")).pop().expect("a filter hides no record that was changed");
    assert!(told.record().is_err());
}

#[test]
fn a_zone_of_before_the_register_gets_a_record_of_each_release_once_and_an_emptied_register_none() {
    let bench = Bench::new();
    let transfer = bench.delivered(&Dataset::default());
    let empty = "DROP TRIGGER register_is_not_cut; DELETE FROM register;";
    execute(&bench, empty).unwrap();
    let refused = bench.control.store.write(register::catch_up).unwrap_err().to_string();
    assert!(refused.contains("the register is empty, and the audit log has 1"), "{refused}");
    // As it was before: nothing of it in the log.
    let before =
        format!("DROP TRIGGER audit_is_not_changed; UPDATE audit SET line = replace(line, '{RECORDED}', 'else')");
    execute(&bench, &before).unwrap();
    bench.control.store.write(register::catch_up).unwrap();
    bench.control.store.write(register::catch_up).unwrap();
    let told = all(&bench);
    assert_eq!((told.len(), &told[0].0.transfer), (1, &transfer));
    assert_eq!(told[0].1.outcome.disclosed, Disclosed::Delivered);
}
