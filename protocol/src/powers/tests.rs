use super::*;
use crate::path::NameRule;
use crate::receipt::ReceiptKind;
use crate::register::Filter;
use crate::update::Step;

/// One request of each kind, and the initials of those who may ask it, in the order of [`Power::ALL`].
pub fn table() -> Vec<(OperatorRequest, &'static str)> {
    use OperatorRequest as R;
    let (transfer, id) = ("20261122-101500-7f3k9a2m".parse::<crate::ids::TransferId>().unwrap(), "a".parse().unwrap());
    let (name, reason): (crate::ids::SourceName, String) = ("lab".parse().unwrap(), "why".into());
    let of = |make: fn(crate::ids::TransferId, String) -> R| make(transfer.clone(), reason.clone());
    let agreement =
        |make: fn(crate::ids::AgreementId, String) -> R| make(crate::ids::AgreementId::clone(&id), reason.clone());
    vec![
        (R::SourceInvite { name: name.clone(), hours: 1, room: None }, "A"),
        (R::SourceRevoke { name: name.clone(), reason: reason.clone() }, "AO"),
        (R::RoomAdd { name: "r".parse().unwrap(), folder: "r".into(), names: NameRule::Posix, elsewhere: None }, "A"),
        (
            R::RoomChange {
                name: "r".parse().unwrap(),
                key: None,
                recipient: None,
                until: None,
                reason: reason.clone(),
            },
            "A",
        ),
        (R::Snapshot, "A"),
        (R::SnapshotBytes { offset: 0 }, "A"),
        (R::Rest, "A"),
        (R::AgreementAdd, "O"),
        (R::AgreementChange { reason: reason.clone() }, "O"),
        (agreement(|id, reason| R::AgreementActivate { id, version: 1, reason }), "O"),
        (agreement(|id, reason| R::AgreementSuspend { id, reason }), "O"),
        (agreement(|id, reason| R::AgreementResume { id, reason }), "O"),
        (agreement(|id, reason| R::AgreementEnd { id, reason }), "O"),
        (of(|transfer, reason| R::Cancel { transfer, reason }), "O"),
        (of(|transfer, reason| R::Retain { transfer, reason }), "O"),
        (of(|transfer, reason| R::LiftRetention { transfer, reason }), "O"),
        (R::RegisterCorrect { number: 1, reason: reason.clone(), changes: vec![] }, "O"),
        (of(|transfer, reason| R::ArchiveEnd { transfer, reason }), "O"),
        (R::ArchiveList { after: None }, "ORU"),
        (of(|transfer, reason| R::InspectAgain { transfer, reason }), "OR"),
        (of(|transfer, reason| R::Release { transfer, reason }), "R"),
        (of(|transfer, reason| R::Reject { transfer, reason }), "R"),
        (of(|transfer, _| R::Show { transfer }), "ORU"),
        (of(|transfer, _| R::Manifest { transfer, part: false, offset: 0 }), "ORU"),
        (R::SourceList { after: None }, "AORU"),
        (R::RoomList { after: None }, "AORU"),
        (R::AgreementList { after: None }, "AORU"),
        (agreement(|id, _| R::AgreementShow { id, version: None }), "AORU"),
        (R::Transfers { state: None, before: None }, "AORU"),
        (of(|transfer, _| R::Receipt { transfer, kind: ReceiptKind::Received }), "AORU"),
        (R::AuditLines { from: 0 }, "AORU"),
        (R::Checkpoint, "AORU"),
        (R::Register { after: 0, filter: Filter::default() }, "AORU"),
        (R::Update { step: Step::Refused { code: Code::UpdateUnsigned, bundle: None } }, "A"),
        (R::Updates, "AORU"),
        (R::Health, "AORU"),
    ]
}

#[test]
fn each_power_may_what_the_table_says_and_its_neighbours_are_refused() {
    for (request, expected) in table() {
        for (power, initial) in Power::ALL.iter().zip("AORU".chars()) {
            let checked = check(&[*power], &request);
            assert_eq!(checked.is_ok(), expected.contains(initial), "{power} {request:?}");
            assert!(checked.is_ok() || checked.unwrap_err().code == Code::Forbidden);
        }
        assert!(check(&[], &request).is_err());
    }
}

#[test]
fn an_auditor_changes_nothing_and_nobody_but_a_reviewer_decides() {
    for (request, allowed) in table() {
        let named = serde_json::to_value(&request).unwrap();
        let acts = named.get("reason").is_some() || matches!(allowed, "A" | "O");
        assert!(!acts || !allowed.contains('U'), "{request:?}");
    }
}

#[test]
fn powers_that_exclude_each_other_are_found_whatever_else_a_person_has() {
    use Power::*;
    assert_eq!(conflict(&[]), None);
    assert_eq!(conflict(&[Administrator, Operator]), None);
    for power in Power::ALL {
        assert_eq!(conflict(&[*power]), None);
    }
    for pair in [[Administrator, Reviewer], [Operator, Reviewer], [Operator, Auditor], [Reviewer, Auditor]] {
        assert!(conflict(&pair).is_some() && conflict(&[pair[1], pair[0]]).is_some(), "{pair:?}");
    }
    assert!(conflict(&[Administrator, Operator, Reviewer]).is_some());
}
