//! Archived bags: signed while they are delivered, read again on a schedule, and told of when they are not what they were.

use crate::control::archives;
use crate::control::testing::*;
use sluse_protocol::archive::{ArchiveStatement, CHECKED, ENDED, Fixity, SIGNED};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{CheckOutcome, DeliverReply, DeliverRequest};
use sluse_protocol::sharing::Size;
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT};

const DAY: i64 = 86_400;

/// A zone whose agreement `trial` is for archiving, and a dataset under it.
fn trial() -> (Bench, Dataset) {
    let bench = Bench::new();
    bench.agree(&format!("delivery = \"archive\"\n{}", agreement("trial")));
    (bench, Dataset { agreement: "trial", ..Dataset::default() })
}

fn sign(bench: &Bench, transfer: &TransferId) -> (DeliverReply, Vec<u8>) {
    bench.deliver(DeliverRequest::Sign { transfer: transfer.clone(), tagmanifest: Sha256::of(b"tags") })
}

fn report(bench: &Bench, transfer: &TransferId, outcome: CheckOutcome) -> DeliverReply {
    bench.deliver(DeliverRequest::Checked { transfer: transfer.clone(), outcome }).0
}

fn checked(bench: &Bench, transfer: &TransferId, outcome: CheckOutcome) {
    assert_eq!(report(bench, transfer, outcome), DeliverReply::Done);
}

/// The bag that is handed out now to be read.
fn due(bench: &Bench) -> Option<TransferId> {
    let mut choice = bench.control.work.choose(bench.deliver, bench.control.store.now()).unwrap();
    let (task, reply) = archives::find_due(&bench.control, &choice).unwrap()?;
    let DeliverReply::Check { transfer, bag, tagmanifest, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((bag.as_str(), tagmanifest), ("extract/x", Sha256::of(b"tags")));
    choice.give(task, Size::Small);
    Some(transfer)
}

fn codes(bench: &Bench) -> Vec<String> {
    match bench.operate(OperatorRequest::Health) {
        OperatorReply::Health(health) => {
            let all = health.problems.into_iter().chain(health.warnings);
            all.map(|problem| problem.code).filter(|code| code.starts_with("archive")).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_to_be_archived_is_signed_while_it_is_delivered_and_nothing_else_is() {
    let (bench, dataset) = trial();
    let plain = bench.delivering(&Dataset { key: 9, ..Dataset::default() });
    assert!(matches!(sign(&bench, &plain).0, DeliverReply::Refused(it) if it.code == Code::WrongState));
    let transfer = bench.delivering(&dataset);
    let (DeliverReply::Signed { signature }, statement) = sign(&bench, &transfer) else { panic!() };
    let key = bench.control.store.signer.key.public();
    sshsig::verify(&key, NAMESPACE_RECEIPT, &statement, &signature).unwrap();
    let stated: ArchiveStatement = serde_json::from_slice(&statement).unwrap();
    assert_eq!((&stated.transfer, stated.tagmanifest), (&transfer, Sha256::of(b"tags")));
    stated.check_inclusion().unwrap();
    assert_eq!(bench.acts().last().unwrap(), SIGNED);
    assert!(matches!(sign(&bench, &transfer).0, DeliverReply::Refused(it) if it.code == Code::WrongState), "once");
    assert_eq!(bench.acts().iter().filter(|act| *act == SIGNED).count(), 1);
    bench.visible(&transfer);
    assert!(matches!(sign(&bench, &transfer).0, DeliverReply::Refused(it) if it.code == Code::WrongState));
}

#[test]
fn an_archived_bag_is_read_again_when_its_time_has_come_and_what_is_wrong_stays_in_health_until_it_is_not() {
    let (bench, dataset) = trial();
    bench.delivered(&Dataset { key: 9, ..Dataset::default() });
    let transfer = bench.delivered(&dataset);
    bench.wait(89 * DAY);
    assert_eq!(due(&bench), None);
    bench.wait(2 * DAY);
    assert_eq!(due(&bench), Some(transfer.clone()));
    assert_eq!(due(&bench), None, "it is being read");
    checked(&bench, &transfer, CheckOutcome::Fault { reason: "the room is away".into() });
    bench.wait(10);
    assert_eq!(due(&bench), Some(transfer.clone()), "tried again");
    let found = Fixity { files: 7, bytes: 70, changed: 1, signed: true, ..Fixity::default() };
    checked(&bench, &transfer, CheckOutcome::Read { fixity: found });
    let entry = bench.audit().into_iter().rfind(|entry| entry.act == CHECKED).unwrap();
    assert_eq!((entry.transfer.as_ref(), &entry.details["changed"]), (Some(&transfer), &1.into()));
    assert_eq!(codes(&bench), ["archive-damaged"]);
    bench.wait(91 * DAY);
    assert_eq!(due(&bench), Some(transfer.clone()));
    checked(&bench, &transfer, CheckOutcome::Read { fixity: Fixity { changed: 0, ..found } });
    assert_eq!(codes(&bench), [""; 0]);
    bench.wait(181 * DAY);
    assert_eq!(codes(&bench), ["archive-not-checked"]);
}

#[test]
fn an_archived_bag_that_another_keeper_has_is_read_no_more_and_stays_in_the_list() {
    let (bench, dataset) = trial();
    let transfer = bench.delivered(&dataset);
    let (id, reason) = (transfer.clone(), "handed to the national archive".to_owned());
    let end = || bench.operate(OperatorRequest::ArchiveEnd { transfer: id.clone(), reason: reason.clone() });
    let found = Fixity { missing: 1, ..Fixity::default() };
    bench.wait(91 * DAY);
    assert_eq!(due(&bench), Some(transfer.clone()));
    checked(&bench, &transfer, CheckOutcome::Read { fixity: found });
    assert_eq!(codes(&bench), ["archive-damaged"]);
    assert_eq!(end(), OperatorReply::Done);
    assert_eq!(bench.acts().last().unwrap(), ENDED);
    assert_operator_refused(&end(), Code::UnknownName);
    bench.wait(1000 * DAY);
    assert_eq!(codes(&bench), [""; 0]);
    let choice = bench.control.work.choose(bench.deliver, bench.control.store.now()).unwrap();
    assert!(archives::find_due(&bench.control, &choice).unwrap().is_none());
    drop(choice);
    let OperatorReply::Archives { archives, more: false } = bench.operate(OperatorRequest::ArchiveList { after: None })
    else {
        panic!()
    };
    let told: Vec<_> = archives.iter().map(|it| (&it.transfer, it.fixity, it.reason.as_deref())).collect();
    assert_eq!(told, [(&transfer, Some(found), Some(reason.as_str()))]);
    assert!(archives[0].ended.is_some());
}

#[test]
fn a_reading_that_nobody_asked_for_is_refused_and_not_in_the_log() {
    let (bench, dataset) = trial();
    let transfer = bench.delivered(&dataset);
    let refused = || {
        let whole = CheckOutcome::Read { fixity: Fixity { signed: true, ..Fixity::default() } };
        assert!(matches!(report(&bench, &transfer, whole), DeliverReply::Refused(it) if it.code == Code::WrongState));
    };
    refused();
    bench.wait(91 * DAY);
    assert_eq!(due(&bench), Some(transfer.clone()));
    checked(&bench, &transfer, CheckOutcome::Read { fixity: Fixity { changed: 1, ..Fixity::default() } });
    refused();
    assert_eq!(bench.acts().iter().filter(|act| *act == CHECKED).count(), 1);
    assert_eq!(codes(&bench), ["archive-damaged"]);
}
