//! What may come, and what is promised to it.

use crate::control::store::identities;
use crate::control::store::transfers::{self, Offered};
use crate::control::testing::*;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::transfer::State;

#[test]
fn the_same_offer_again_is_the_same_transfer_in_whatever_state_it_is() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let transfer = bench.accepted(&dataset);
    assert_eq!(bench.accepted(&dataset), transfer);
    let reason = "not meant".to_owned();
    bench.operate(OperatorRequest::Cancel { transfer: transfer.clone(), reason });
    let reply = bench.offer(&dataset);
    assert!(matches!(reply, ReceiveReply::Accepted { transfer: t, state: State::Cancelled, .. } if t == transfer));
    assert_ne!(bench.accepted(&Dataset { key: 1, ..dataset }), transfer);
}

#[test]
fn a_key_that_came_with_another_plan_is_refused() {
    let bench = Bench::new();
    bench.accepted(&Dataset::default());
    assert_refused(&bench.offer(&Dataset { files: vec![("z.csv", 1)], ..Dataset::default() }), Code::KeyReused);
    assert_refused(&bench.offer(&Dataset { name: "other", ..Dataset::default() }), Code::KeyReused);
}

#[test]
fn a_plan_that_is_not_what_was_announced_is_refused() {
    let bench = Bench::new();
    let dataset = Dataset::default();
    let manifest = dataset.manifest(&dataset.manifest_header(&"20270115-080000-00000000".parse().unwrap()));
    assert_refused(&bench.offer_plan(&dataset, &manifest), Code::BadDocument);
    assert_refused(&bench.offer_plan(&dataset, "garbage\n"), Code::BadDocument);
    assert_refused(&bench.offer_plan(&dataset, &"x".repeat(20_000)), Code::TooLarge);
    let more = Dataset { files: vec![("a.csv", 10), ("b/c.csv", 6)], ..Dataset::default() };
    assert_refused(&bench.offer_plan(&dataset, &more.plan()), Code::BadDocument);
    assert_refused(&bench.offer_plan(&dataset, &dataset.plan().replace("b/c.csv", "../c.csv")), Code::ForbiddenPath);
    bench.upload(1, dataset.plan().as_bytes());
    let offer = ReceiveRequest::Offer {
        source: lab(),
        upload: 1,
        agreement: "lab".parse().unwrap(),
        dataset: "x".parse().unwrap(),
        key: Sha256::of(b"k"),
        totals: dataset.totals(),
        plan_sha256: Sha256::of(b"other"),
        delta: None,
        free_bytes: 1 << 40,
    };
    assert_refused(&bench.ask(offer.clone()).0, Code::BadDocument);
    assert_refused(&bench.ask(offer).0, Code::BadDocument);
}

#[test]
fn space_that_others_were_promised_is_not_promised_twice() {
    let bench = Bench::new();
    let size = 100_000_000;
    let large = |key| Dataset { key, files: vec![("a.bin", size)], free_bytes: 250_000_000, ..Dataset::default() };
    let transfer = bench.accepted(&large(1));
    bench.accepted(&large(2));
    assert_refused(&bench.offer(&large(3)), Code::NoSpace);
    // What arrived is no longer promised: it is on the disk, which has less free space by it.
    bench.ask(ReceiveRequest::Progress { transfer: transfer.clone(), chunks: 24 });
    bench.accepted(&large(3));
    assert_refused(&bench.offer(&large(4)), Code::NoSpace);
    bench.operate(OperatorRequest::Cancel { transfer, reason: "room".into() });
    assert_refused(&bench.offer(&large(4)), Code::NoSpace);
    bench.accepted(&Dataset { free_bytes: 350_000_000, ..large(4) });
}

#[test]
fn bytes_under_way_count_against_the_agreements_quota() {
    let bench = Bench::new();
    bench.agree(
        &agreement("small")
            .replace("max_open_bytes = 1_000_000_000", "max_open_bytes = 20")
            .replace("max_bytes = 1_000_000_000", "max_bytes = 20"),
    );
    let dataset = |key| Dataset { key, agreement: "small", ..Dataset::default() };
    let transfer = bench.accepted(&dataset(1));
    assert_refused(&bench.offer(&dataset(2)), Code::QuotaExceeded);
    bench.operate(OperatorRequest::Cancel { transfer, reason: "quota".into() });
    bench.accepted(&dataset(2));
}

#[test]
fn plans_under_way_count_against_the_agreements_quota() {
    let bench = Bench::new();
    bench.agree(
        &agreement("small")
            .replace("max_open_bytes = 1_000_000_000", "max_open_bytes = 100")
            .replace("max_bytes = 1_000_000_000", "max_bytes = 100"),
    );
    let empty = |key| Dataset { key, agreement: "small", files: vec![("empty.csv", 0)], ..Dataset::default() };
    assert!(empty(1).plan().len() > 50);
    let accepted = (1..10).take_while(|key| matches!(bench.offer(&empty(*key)), ReceiveReply::Accepted { .. })).count();
    assert!(accepted <= 2, "{accepted} datasets without a byte were accepted");
    assert_refused(&bench.offer(&empty(20)), Code::QuotaExceeded);
}

#[test]
fn a_source_has_a_thousand_transfers_under_way_at_most() {
    let bench = Bench::new();
    let first = bench.accepted(&Dataset::default());
    let copied = bench.control.store.write(|write| {
        for number in 1..1000 {
            let id = TransferId::new(write.now, [1, 0, 0, (number >> 8) as u8, number as u8]);
            identities::add(write, &recipient(1000 + number))?;
            let identity = identities::take(write, &id)?.unwrap();
            let offered = Offered {
                id: id.clone(),
                source: lab(),
                agreement: "lab".parse().unwrap(),
                room: "room".parse().unwrap(),
                dataset: "extract".parse().unwrap(),
                key: Sha256::of(id.as_str().as_bytes()),
                plan_sha256: Sha256::of(b"plan"),
                plan_bytes: 1,
                totals: Totals { files: 1, folders: 0, bytes: 0 },
                delta: None,
                identity,
            };
            transfers::insert(write, &offered)?;
            write.sql.execute("UPDATE transfers SET state = 'receiving' WHERE id = ?", [id.as_str()])?;
        }
        Ok(())
    });
    copied.unwrap();
    assert_refused(&bench.offer(&Dataset { key: 1, ..Dataset::default() }), Code::QuotaExceeded);
    assert_eq!(bench.accepted(&Dataset::default()), first, "what is under way goes on");
    bench.operate(OperatorRequest::Cancel { transfer: first, reason: "room".into() });
    bench.accepted(&Dataset { key: 1, ..Dataset::default() });
}

#[test]
fn an_offer_waits_for_an_identity_and_never_gets_one_that_was_used() {
    let bench = Bench::new();
    let identities: std::collections::BTreeSet<String> = (0..40)
        .map(|key| bench.show(&bench.accepted(&Dataset { key, ..Dataset::default() })).identity.unwrap())
        .collect();
    assert_eq!(identities.len(), 40);
    std::thread::scope(|scope| {
        let offered = scope.spawn(|| bench.accepted(&Dataset { key: 100, ..Dataset::default() }));
        // Told again, a used identity is not a new one.
        bench.mint(0..40);
        bench.mint(40..41);
        assert_eq!(bench.show(&offered.join().unwrap()).identity, Some(recipient(40)));
    });
}

#[test]
fn a_flood_of_bad_offers_is_one_audit_entry_a_minute() {
    let bench = Bench::new();
    let refused = |bench: &Bench| bench.acts().iter().filter(|act| *act == "offer-refused").count();
    for _ in 0..20 {
        assert_refused(&bench.offer_plan(&Dataset::default(), "garbage\n"), Code::BadDocument);
    }
    assert_eq!(refused(&bench), 1);
    bench.wait(61);
    bench.offer_plan(&Dataset::default(), "garbage\n");
    assert_eq!(refused(&bench), 2);
    assert_eq!(bench.audit().last().unwrap().details["more_since_the_last"], 19);
}

#[test]
fn documents_that_never_became_a_transfers_are_gone_after_a_restart() {
    let bench = Bench::new();
    let transfer = bench.accepted(&Dataset::default());
    bench.upload(9, b"half a plan");
    let documents = bench.layout().documents();
    std::fs::write(documents.join("20270115-080000-00000000.plan"), b"left behind").unwrap();
    let arriving = bench.layout().role(sluse_protocol::roles::Role::Control).join("arriving");
    std::fs::write(arriving.join("left-behind"), b"x").unwrap();
    let bench = bench.restart();
    let names = |folder| -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names(documents), [format!("{transfer}.plan")]);
    assert_eq!(names(arriving), [""; 0]);
    assert_eq!(bench.state(&transfer), State::Receiving);
}

#[test]
fn documents_that_arrive_are_bounded_in_number_and_dropped_when_told() {
    let bench = Bench::new();
    let part = |upload| bench.receive.answer(ReceiveRequest::Part { upload }, b"x").0;
    for upload in 0..512 {
        assert_eq!(part(upload), ReceiveReply::Done);
    }
    assert_refused(&part(1000), Code::Busy);
    assert_eq!(bench.ask(ReceiveRequest::Drop { upload: 7 }).0, ReceiveReply::Done);
    assert_eq!(part(1000), ReceiveReply::Done);
}

#[test]
fn a_dataset_of_nothing_but_an_empty_file_is_one() {
    let bench = Bench::new();
    let dataset = Dataset { files: vec![("empty.csv", 0)], ..Dataset::default() };
    assert_eq!(dataset.totals(), Totals { files: 1, folders: 0, bytes: 0 });
    let transfer = bench.delivered(&dataset);
    assert_eq!(bench.state(&transfer), State::Delivered);
    assert_refused(&bench.offer(&Dataset { key: 1, files: vec![], ..Dataset::default() }), Code::EmptyDataset);
}

#[test]
fn a_legal_basis_for_one_disclosure_allows_one() {
    let bench = Bench::new();
    bench.agree(&agreement("once").replace("periodic = true", "periodic = false"));
    let dataset = |key| Dataset { key, agreement: "once", ..Dataset::default() };
    // Both were offered before either was delivered: the second is stopped at its release.
    let second = bench.inspecting(&dataset(2));
    bench.delivered(&dataset(1));
    bench.inspected(&dataset(2), &second, &[]);
    assert_eq!(bench.state(&second), State::Held);
    let release = OperatorRequest::Release { transfer: second, reason: "please".into() };
    assert_operator_refused(&bench.operate(release), Code::AgreementExpired);
    assert_refused(&bench.offer(&dataset(3)), Code::AgreementExpired);
}

#[test]
fn offers_leave_no_name_of_file_or_dataset_in_the_audit_log() {
    let bench = Bench::new();
    let dataset = Dataset { name: "canary-dataset", files: vec![("canary-file.csv", 10)], ..Dataset::default() };
    let transfer = bench.held(&dataset);
    let reason = "canary reason".to_owned();
    assert_eq!(bench.operate(OperatorRequest::Reject { transfer, reason }), OperatorReply::Done);
    let (_, lines) = bench.ask_operator(OperatorRequest::AuditLines { from: 0 }, &[]);
    assert!(!String::from_utf8(lines).unwrap().contains("canary"));
}
