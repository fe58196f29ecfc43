//! Each reason for which an offer is refused, and everything that keeps a dataset from being released.

use super::*;
use crate::agreement::{self, Export, Output, Sync};
use crate::courier::Elsewhere;
use crate::finding::{AboveLimit, EngineReport, Finding};
use crate::review::Choice;

const TEXT: &str = r#"
id = "lab"
title = "Test"
project = "test"
controller = "Helse Midt-Norge"
purpose = "testing"
identifiability = "pseudonymised"
valid_from = "2026-02-01T00:00:00Z"
valid_to = "2026-11-30T00:00:00Z"
from = "lab"
to = "room"

[legal_basis]
kind = "consent"
authority = "REK"
reference = "1"
valid_from = "2026-03-01T00:00:00Z"
valid_to = "2026-10-31T00:00:00Z"
periodic = true

[rek]
reference = "2"
expires = "2026-09-30T00:00:00Z"

[dpia]
reference = "3"

[processing_agreement]
reference = "4"

[limits]
max_bytes = 1000
max_files = 10
max_open_bytes = 2000

[content]
engines = ["file-type", "signatures"]
forbidden_paths = ["**/*.exe"]

[release]
rule = "automatic"

[retention]
quarantine_days = 30
hold_days = 60
"#;

fn lab() -> Agreement {
    agreement::parse(TEXT).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

struct Case {
    agreement: Agreement,
    source: SourceName,
    of_room: Option<RoomName>,
    room: Option<RoomName>,
    standing: Standing,
    totals: Totals,
    open_bytes: u64,
    delivered: u64,
    now: Timestamp,
}

impl Case {
    fn good() -> Self {
        Self {
            agreement: lab(),
            source: "lab".parse().unwrap(),
            of_room: None,
            room: Some("room".parse().unwrap()),
            standing: Standing::Added,
            totals: Totals { files: 9, folders: 1, bytes: 1000 },
            open_bytes: 1000,
            delivered: 5,
            now: at("2026-06-01T00:00:00Z"),
        }
    }

    fn check(&self) -> Result<(), Code> {
        let facts = OfferFacts {
            source: &self.source,
            of_room: self.of_room.as_ref(),
            standing: self.standing,
            room: self.room.as_ref(),
            totals: self.totals,
            open_bytes: self.open_bytes,
            delivered: self.delivered,
            now: self.now,
        };
        check_offer(&self.agreement, &facts).map_err(|refusal| refusal.code)
    }
}

#[test]
fn an_offer_within_its_agreement_is_accepted_and_each_way_out_of_it_has_its_code() {
    assert_eq!(Case::good().check(), Ok(()));
    let other = |change: &dyn Fn(&mut Case)| {
        let mut case = Case::good();
        change(&mut case);
        case.check().unwrap_err()
    };
    assert_eq!(other(&|case| case.source = "pacs".parse().unwrap()), Code::UnknownAgreement);
    assert_eq!(other(&|case| case.standing = Standing::Suspended), Code::AgreementSuspended);
    assert_eq!(other(&|case| case.standing = Standing::Ended), Code::AgreementInactive);
    assert_eq!(other(&|case| case.room = None), Code::ForbiddenRoom);
    assert_eq!(other(&|case| case.room = Some("elsewhere".parse().unwrap())), Code::ForbiddenRoom);
    assert_eq!(other(&|case| case.agreement.legal_basis.periodic = false), Code::AgreementExpired);
    assert_eq!(other(&|case| case.totals = Totals::default()), Code::EmptyDataset);
    assert_eq!(other(&|case| case.totals.folders = 2), Code::TooManyFiles);
    assert_eq!(other(&|case| case.totals.bytes = 1001), Code::DatasetTooLarge);
    assert_eq!(other(&|case| case.open_bytes = 1001), Code::QuotaExceeded);
    assert_eq!(other(&|case| case.open_bytes = u64::MAX), Code::QuotaExceeded);
}

#[test]
fn what_leaves_a_room_leaves_it_under_an_agreement_of_exports_alone() {
    let offered = |export: bool, of_room: Option<&str>| {
        let mut case = Case::good();
        case.agreement.export = export.then(|| Export { output: vec![Output::Figures] });
        case.of_room = of_room.map(|room| room.parse().unwrap());
        case.check()
    };
    assert_eq!(offered(false, None), Ok(()));
    assert_eq!(offered(true, Some("heart")), Ok(()));
    assert_eq!(offered(false, Some("heart")), Err(Code::Forbidden));
    assert_eq!(offered(true, None), Err(Code::Forbidden));
    assert_eq!(offered(true, Some("room")), Err(Code::ForbiddenRoom), "out of a room and into it");
}

#[test]
fn what_the_protocol_cannot_carry_is_refused_whatever_the_agreement_says() {
    let mut case = Case::good();
    (case.agreement.limits.max_bytes, case.agreement.limits.max_open_bytes) = (u64::MAX, u64::MAX);
    case.agreement.limits.max_files = u64::MAX;
    case.totals.bytes = u64::from(limits::MAX_CHUNKS) * u64::from(limits::CHUNK_BYTES);
    assert_eq!(case.check(), Ok(()));
    case.totals.bytes += 1;
    assert_eq!(case.check(), Err(Code::DatasetTooLarge));
    case.totals.files = limits::MAX_ENTRIES;
    assert_eq!(case.check(), Err(Code::TooManyFiles));
}

#[test]
fn the_narrowest_of_agreement_legal_basis_and_approval_is_when_it_holds() {
    let check = |now: &str| check_in_force(&lab(), Standing::Added, at(now)).map_err(|refusal| refusal.code);
    assert_eq!(in_force(&lab()), (at("2026-03-01T00:00:00Z"), at("2026-09-30T00:00:00Z")));
    assert_eq!(check("2026-02-28T23:59:59Z"), Err(Code::AgreementNotYetValid));
    assert_eq!(check("2026-03-01T00:00:00Z"), Ok(()));
    assert_eq!(check("2026-09-30T00:00:00Z"), Ok(()));
    assert_eq!(check("2026-09-30T00:00:01Z"), Err(Code::AgreementExpired));
    let mut without_approval = lab();
    without_approval.rek = None;
    assert_eq!(in_force(&without_approval).1, at("2026-10-31T00:00:00Z"));
    without_approval.legal_basis.valid_to = at("2099-01-01T00:00:00Z");
    assert_eq!(in_force(&without_approval).1, at("2026-11-30T00:00:00Z"));
}

#[test]
fn a_release_needs_the_agreement_in_force_and_a_single_disclosure_not_made_yet() {
    let now = at("2026-06-01T00:00:00Z");
    let check = |agreement: &Agreement, standing, others| {
        check_release(agreement, standing, others, now).map_err(|refusal| refusal.code)
    };
    assert_eq!(check(&lab(), Standing::Added, 7), Ok(()));
    assert_eq!(check(&lab(), Standing::Suspended, 0), Err(Code::AgreementSuspended));
    assert_eq!(check(&lab(), Standing::Ended, 0), Err(Code::AgreementInactive));
    let mut once = lab();
    once.legal_basis.periodic = false;
    assert_eq!(check(&once, Standing::Added, 0), Ok(()));
    assert_eq!(check(&once, Standing::Added, 1), Err(Code::AgreementExpired));
}

fn paths(names: NameRule, paths: &[&str]) -> Result<(), (u64, Code)> {
    let mut check = PathCheck::new(&lab(), names);
    for (number, path) in (1..).zip(paths) {
        check.path(number, &path.parse().unwrap(), Kind::File).map_err(|refusal| {
            assert!(path.len() < 4 || !refusal.message.contains(path), "{}", refusal.message);
            assert!(refusal.message.contains(&format!("entry {number} ")), "{}", refusal.message);
            (number, refusal.code)
        })?;
    }
    Ok(())
}

#[test]
fn forbidden_paths_are_refused_in_every_kind_of_room() {
    for names in [NameRule::Posix, NameRule::WindowsRefuse, NameRule::WindowsMap, NameRule::TsdRefuse] {
        assert_eq!(paths(names, &["a.csv", "b/c.EXE"]), Err((2, Code::ForbiddenPath)));
    }
}

#[test]
fn names_that_windows_cannot_hold_are_refused_or_mapped_as_the_room_says() {
    for path in ["a:b", "nul.txt", "x ", "e\u{301}", &"x".repeat(181)] {
        assert_eq!(paths(NameRule::WindowsRefuse, &[path]), Err((1, Code::WindowsPath)), "{path}");
        assert_eq!(paths(NameRule::Posix, &[path]), Ok(()), "{path}");
    }
    assert_eq!(paths(NameRule::WindowsMap, &["a:b", "nul.txt", "x "]), Ok(()));
    assert_eq!(paths(NameRule::WindowsMap, &[&"x".repeat(181)]), Err((1, Code::WindowsPath)));
}

#[test]
fn names_that_tsd_would_not_keep_are_refused_where_the_room_is_there() {
    assert_eq!(paths(NameRule::TsdRefuse, &["a b.csv", "two words/b.csv"]), Err((2, Code::ForbiddenPath)));
    assert_eq!(paths(NameRule::TsdRefuse, &["a:b", "nul.txt", "A", "a"]), Ok(()));
    let mut check = PathCheck::new(&lab(), NameRule::TsdRefuse);
    assert!(check.path(1, &"empty/two words".parse().unwrap(), Kind::Folder).is_ok());
}

#[test]
fn names_that_windows_takes_for_the_same_collide_files_and_folders_alike() {
    use NameRule::{Posix, WindowsMap, WindowsRefuse};
    let collision = |number| Err((number, Code::PathCollision));
    assert_eq!(paths(WindowsRefuse, &["A", "a"]), collision(2));
    assert_eq!(paths(WindowsRefuse, &["A/x", "a/y"]), collision(2));
    assert_eq!(paths(WindowsRefuse, &["A", "a/y"]), collision(2));
    assert_eq!(paths(WindowsRefuse, &["d/A/x", "d/B/x", "d/a/x"]), collision(3));
    assert_eq!(paths(WindowsMap, &["a:b", "a?b"]), collision(2));
    assert_eq!(paths(WindowsMap, &["a:/x", "a?/y"]), collision(2));
    assert_eq!(paths(WindowsMap, &["e\u{301}.csv", "é.csv"]), collision(2));
    assert_eq!(paths(Posix, &["A", "A/x", "a"]), Ok(()));
    assert_eq!(paths(WindowsRefuse, &["a/b/c", "a/b/d", "a/c", "b/a/c", "c"]), Ok(()));
}

fn manifest() -> Sha256 {
    Sha256::of(b"manifest")
}

const FILES: u64 = 3;

/// A report that clears everything.
fn report() -> Report {
    let engine = |name: &str| EngineReport {
        engine: name.into(),
        version: "1".into(),
        signatures: String::new(),
        files: FILES,
        above_limit: None,
    };
    Report {
        transfer: TransferId::new(Timestamp::from_unix(0), [1; 5]),
        manifest: manifest(),
        files: FILES,
        engines: vec![engine("signatures"), engine("file-type")],
        counts: Default::default(),
        findings: Vec::new(),
    }
}

fn found(class: Class) -> Report {
    let file = Some("a.csv".parse().unwrap());
    let finding = Finding { engine: "signatures".into(), class, file, offset: None, message: "something".into() };
    Report { findings: vec![finding], ..report() }
}

fn counted(class: Class) -> Report {
    Report { counts: [(class, 1)].into(), ..report() }
}

fn outcome(agreement: &Agreement, report: &Report) -> &'static str {
    match decide(agreement, manifest(), FILES, report) {
        Decision::Release(cleared) => {
            assert_eq!((cleared.transfer(), cleared.manifest()), (&report.transfer, manifest()));
            "release"
        }
        Decision::Hold(reason) => {
            assert!(!reason.is_empty());
            "hold"
        }
        Decision::Reject(_) => "reject",
    }
}

#[test]
fn only_a_whole_inspection_without_grave_findings_is_released_by_rule() {
    assert_eq!(outcome(&lab(), &report()), "release");
    assert_eq!(outcome(&lab(), &Report { manifest: Sha256::of(b"other"), ..report() }), "hold");
    for files in [FILES - 1, FILES + 1, 0] {
        assert_eq!(outcome(&lab(), &Report { files, ..report() }), "hold", "{files}");
    }
    let mut reviewed = lab();
    reviewed.release.rule = ReleaseRule::OneReviewer;
    assert_eq!(outcome(&reviewed, &report()), "hold");
}

#[test]
fn each_class_leads_to_its_action_whether_it_was_kept_or_only_counted() {
    for class in Class::ALL {
        let expected = match class.default_action() {
            Action::Allow | Action::Warn => "release",
            Action::Hold => "hold",
            Action::Block => "reject",
        };
        assert_eq!(outcome(&lab(), &found(*class)), expected, "{class}");
        assert_eq!(outcome(&lab(), &counted(*class)), expected, "{class}");
        let mut lenient = lab();
        lenient.content.actions.insert(*class, Action::Warn);
        assert_eq!(outcome(&lenient, &found(*class)), "release", "{class}");
        let mut strict = lab();
        strict.content.actions.insert(*class, Action::Block);
        assert_eq!(outcome(&strict, &counted(*class)), "reject", "{class}");
    }
    assert_eq!(outcome(&lab(), &Report { counts: [(Class::Malware, 0)].into(), ..report() }), "release");
}

#[test]
fn what_is_blocked_is_rejected_even_where_something_else_holds() {
    let mut both = found(Class::Malware);
    both.findings.extend(found(Class::Encrypted).findings);
    assert_eq!(outcome(&lab(), &both), "reject");
    assert_eq!(outcome(&lab(), &Report { files: 0, engines: vec![], ..both }), "reject");
}

#[test]
fn a_required_engine_that_was_absent_holds_whatever_the_agreement_says_of_unread_files() {
    let without = |count: usize| Report { engines: report().engines.into_iter().take(count).collect(), ..report() };
    let partly = |files: u64| {
        let mut report = report();
        report.engines[0].files = files;
        report
    };
    for report in [without(0), without(1), partly(0), partly(FILES - 1), partly(FILES + 1)] {
        assert_eq!(outcome(&lab(), &report), "hold");
    }
    let mut lenient = lab();
    lenient.content.actions.insert(Class::NotInspected, Action::Warn);
    assert_eq!(outcome(&lenient, &partly(FILES - 1)), "release");
    assert_eq!(outcome(&lenient, &without(1)), "hold");
    assert_eq!(outcome(&lenient, &partly(0)), "hold");
}

#[test]
fn what_was_too_large_for_an_engine_counts_if_all_that_suffice_have_read_it() {
    let mut agreement = lab();
    agreement.content.engines.push("clamd".into());
    agreement.content.above_limit.insert("clamd".into(), vec!["file-type".into(), "signatures".into()]);
    let read = |files: u64, above: u64, read_by: &[&str]| {
        let mut report = report();
        let read_by = read_by.iter().map(|name| (*name).to_owned()).collect();
        let mut clamd = EngineReport { engine: "clamd".into(), files, ..report.engines[0].clone() };
        clamd.above_limit = Some(AboveLimit { files: above, read_by });
        report.engines.push(clamd);
        report
    };
    let both = ["file-type", "signatures"];
    assert_eq!(outcome(&agreement, &read(FILES - 1, 1, &both)), "release");
    assert_eq!(outcome(&agreement, &read(0, FILES, &both)), "release");
    for report in [
        read(FILES - 1, 0, &both),
        read(FILES - 2, 1, &both),
        read(FILES, 1, &both[..1]),
        read(u64::MAX, FILES + 1, &both),
        read(0, FILES, &["signatures"]),
        read(0, FILES, &["file-type", "icap"]),
    ] {
        let expected = if report.engines[2].files == FILES { "release" } else { "hold" };
        assert_eq!(outcome(&agreement, &report), expected, "{report:?}");
    }
    let mut lacking = read(0, FILES, &both);
    lacking.engines[0].files = FILES - 1;
    assert_eq!(outcome(&agreement, &lacking), "hold", "one that suffices has not read them");
    agreement.content.above_limit.clear();
    assert_eq!(outcome(&agreement, &read(0, FILES, &both)), "hold", "the agreement says nothing of it");
}

#[test]
fn an_engine_that_is_not_to_be_trusted_holds_whatever_the_agreement_says() {
    let mut report = found(Class::NotInspected);
    report.findings[0].file = None;
    for action in [Action::Allow, Action::Warn, Action::Hold] {
        let mut agreement = lab();
        agreement.content.actions.insert(Class::NotInspected, action);
        assert_eq!(outcome(&agreement, &report), "hold");
    }
}

#[test]
fn a_dataset_of_folders_alone_needs_its_engines_too_and_is_released() {
    let mut empty = Report { files: 0, ..report() };
    empty.engines.iter_mut().for_each(|engine| engine.files = 0);
    assert!(matches!(decide(&lab(), manifest(), 0, &empty), Decision::Release(_)));
    empty.engines.clear();
    assert!(matches!(decide(&lab(), manifest(), 0, &empty), Decision::Hold(_)));
}

#[test]
fn a_person_may_release_what_is_held_but_not_what_is_blocked_or_was_not_inspected_whole() {
    let by_all = |report: &Report, reviews: &[Review]| {
        decide_by_reviews(&lab(), manifest(), FILES, report, reviews).map_err(|refusal| refusal.code)
    };
    let review = |choice, manifest| Review { by: 1, choice, manifest, part: None };
    let decide = |report: &Report| by_all(report, &[review(Choice::Release, manifest())]);
    assert_eq!(by_all(&report(), &[]), Err(Code::Held));
    assert_eq!(by_all(&report(), &[review(Choice::Reject, manifest())]), Err(Code::Held));
    assert_eq!(by_all(&report(), &[review(Choice::Release, Sha256::of(b"other"))]), Err(Code::Held));
    assert!(decide(&found(Class::Encrypted)).is_ok());
    assert!(decide(&Report { engines: vec![], ..report() }).is_ok());
    assert_eq!(decide(&counted(Class::Malware)), Err(Code::Forbidden));
    assert_eq!(decide(&Report { files: 2, ..report() }), Err(Code::WrongState));
    assert_eq!(decide(&Report { manifest: Sha256::of(b"other"), ..report() }), Err(Code::WrongState));
}

#[test]
fn what_comes_outside_its_hours_is_refused_with_the_time_from_which_it_is_taken() {
    let hours = |text: &str| Hours::new(vec![text.parse().unwrap()]);
    let (source, agreement) = (hours("Mon-Fri 18:00-06:00"), hours("Tue"));
    // A Monday.
    let now = at("2026-11-23T12:00:00Z");
    let refusal = check_hours(&[&source, &agreement], now).unwrap_err();
    assert_eq!((refusal.code, refusal.until), (Code::OutsideHours, Some(at("2026-11-24T00:00:00Z"))));
    assert!(refusal.message.contains("Mon-Fri 18:00-06:00; and Tue: next from 2026-11-24T00:00:00Z"), "{refusal}");
    assert_eq!(check_hours(&[&source, &agreement], at("2026-11-24T05:59:59Z")), Ok(()));
    assert_eq!(check_hours(&[], now), Ok(()));
    let never = check_hours(&[&hours("Mon"), &agreement], now).unwrap_err();
    assert!(never.until.is_none() && never.hint.contains("must change one"), "{never}");
}

#[test]
fn what_is_read_or_named_again_in_its_room_does_not_go_elsewhere() {
    let room = |elsewhere| RoomInfo {
        name: "room".parse().unwrap(),
        folder: "room".into(),
        names: NameRule::Posix,
        key: None,
        recipient: None,
        elsewhere,
    };
    let away = room(Some(Elsewhere { until: None }));
    let archived = Agreement { delivery: Delivery::Archive, ..lab() };
    let synced = Agreement { sync: Some(Sync { deletions: true, hold_deletions_above: 10, keep: None }), ..lab() };
    assert_eq!(check_room(&lab(), &away), Ok(()));
    for agreement in [archived, synced] {
        assert_eq!(check_room(&agreement, &room(None)), Ok(()));
        assert_eq!(check_room(&agreement, &away).map_err(|refusal| refusal.code), Err(Code::ForbiddenRoom));
    }
}
