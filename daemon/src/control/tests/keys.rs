//! Keys that were exchanged while the role did not run: what its next start makes of that.

use super::enrolment;
use crate::control::authority::{self, Authority};
use crate::control::health::health;
use crate::control::testing::*;
use sluse_host::keys::{create_signing_key, read_signing_key};
use sluse_host::layout::Layout;
use sluse_protocol::key_statement::{Change, Format, KEY_ROTATED, KeyStatement, Signed, ZoneKey};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT, SigningKey};
use sluse_protocol::time::Timestamp;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// Adds a statement to those that the zone keeps.
fn state(layout: &Layout, number: u64, key: ZoneKey, (before, signer): (&SigningKey, &SigningKey)) -> String {
    let statement = KeyStatement {
        sluse: Format::V1,
        number,
        zone: "zone".parse().unwrap(),
        time: Timestamp::from_unix(START + 1),
        key,
        change: Change::Rotated,
        by: "kari".into(),
        public: None,
        before: before.public().to_openssh(),
        signer: signer.public().to_openssh(),
        authorities: vec![fs::read_to_string(layout.ca_certificate()).unwrap()],
    };
    let kept = fs::read_to_string(layout.key_statements()).unwrap_or_default();
    let line = Signed::new(&statement, before).to_line();
    fs::write(layout.key_statements(), kept + &line).unwrap();
    line
}

/// Exchanges the signing key; the line of its statement.
fn exchange_signing_key(layout: &Layout) -> String {
    let old = read_signing_key(&layout.signing_key()).unwrap();
    fs::remove_file(layout.signing_key()).unwrap();
    let new = create_signing_key(&layout.signing_key()).unwrap();
    state(layout, 1, ZoneKey::Signing, (&old, &new))
}

fn told(bench: &Bench, after: u64) -> String {
    let (reply, lines) = bench.ask(ReceiveRequest::Keys { after });
    assert_eq!(reply, ReceiveReply::Keys);
    String::from_utf8(lines).unwrap()
}

#[test]
fn a_statement_is_logged_once_and_told_and_receipts_of_before_come_back_as_they_were() {
    let bench = Bench::new();
    let transfer = bench.delivered(&Dataset::default());
    assert_eq!(told(&bench, 0), "");
    let layout = bench.layout();
    let old = read_signing_key(&layout.signing_key()).unwrap().public();
    let folder = bench.stop();
    let line = exchange_signing_key(&layout);
    let bench = Bench::reopen(folder).unwrap();
    assert_eq!((told(&bench, 0), told(&bench, 1)), (line, String::new()));
    let entry = bench.audit().pop().unwrap();
    assert_eq!((entry.act.as_str(), entry.actor.as_str()), (KEY_ROTATED, "operator kari"));
    assert_eq!(Signed::of_entry(&entry).unwrap().unwrap().to_line(), told(&bench, 0));
    let ask = |kind| bench.ask(ReceiveRequest::Receipt { source: lab(), transfer: transfer.clone(), kind });
    let (ReceiveReply::Receipt { signature }, statement) = ask(ReceiptKind::Delivered) else { panic!("a receipt") };
    assert_eq!(sshsig::verify(&old, NAMESPACE_RECEIPT, &statement, &signature), Ok(()));
    let bench = bench.restart();
    assert_eq!(bench.acts().iter().filter(|act| *act == KEY_ROTATED).count(), 1, "once");
}

#[test]
fn what_was_begun_and_never_finished_is_neither_logged_nor_told() {
    let bench = Bench::new();
    bench.delivered(&Dataset::default());
    let layout = bench.layout();
    let folder = bench.stop();
    let (own, lost) = (read_signing_key(&layout.signing_key()).unwrap(), SigningKey::from_seed(&[9; 32]).unwrap());
    state(&layout, 1, ZoneKey::Signing, (&own, &lost));
    let bench = Bench::reopen(folder).unwrap();
    assert_eq!(told(&bench, 0), "");
    assert!(!bench.acts().contains(&KEY_ROTATED.to_owned()));
}

/// Why the next start fails.
fn refused(folder: &tempfile::TempDir) -> String {
    let started = open(folder.path(), &Arc::new(AtomicI64::new(START)));
    started.err().expect("it does not start").to_string()
}

#[test]
fn a_key_that_no_statement_leads_to_and_statements_that_were_put_back_end_the_start() {
    let bench = Bench::new();
    bench.delivered(&Dataset::default());
    let layout = bench.layout();
    let folder = bench.stop();
    exchange_signing_key(&layout);
    let good = fs::read(layout.signing_key()).unwrap();
    fs::remove_file(layout.signing_key()).unwrap();
    create_signing_key(&layout.signing_key()).unwrap();
    let error = refused(&folder);
    assert!(error.contains("no key known here introduced"), "{error}");
    fs::write(layout.signing_key(), good).unwrap();
    let folder = Bench::reopen(folder).unwrap().stop();
    let more = fs::read(layout.key_statements()).unwrap();
    let own = read_signing_key(&layout.signing_key()).unwrap();
    state(&layout, 2, ZoneKey::Reset, (&own, &own));
    let folder = Bench::reopen(folder).unwrap().stop();
    fs::write(layout.key_statements(), more).unwrap();
    let error = refused(&folder);
    assert!(error.contains("has 1 statements, the audit log has 2"), "{error}");
}

#[test]
fn a_certificate_of_an_authority_that_is_left_is_renewed_at_once() {
    let bench = Bench::empty();
    let first = enrolment::enrolled(bench.enrol_with(&enrolment::invite(&bench, "lab")));
    let refused = enrolment::renew(&bench, &first, &identity_key());
    assert!(matches!(refused, ReceiveReply::Refused(_)), "it is new: {refused:?}");
    let layout = bench.layout();
    let own = read_signing_key(&layout.signing_key()).unwrap();
    let folder = bench.stop();
    state(&layout, 1, ZoneKey::Ca, (&own, &own));
    let bench = Bench::reopen(folder).unwrap();
    let renewed = enrolment::renew(&bench, &first, &identity_key());
    assert!(matches!(renewed, ReceiveReply::Renewed { .. }), "{renewed:?}");
}

#[test]
fn receive_gets_another_certificate_for_the_key_that_it_has_and_for_no_other() {
    let bench = Bench::empty();
    let ask = |bench: &Bench, shown: Vec<u8>| bench.receive.answer(ReceiveRequest::Certify, &shown).0;
    let (now, issuer) = (Timestamp::from_unix(START), Authority::load(&bench.layout()).unwrap());
    let read = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
    let own = read(&issuer.issue_server(None, now).unwrap().1);
    let ReceiveReply::Renewed { certificate } = ask(&bench, own.clone()) else { panic!("a certificate") };
    let key = |der: &[u8]| x509_parser::parse_x509_certificate(der).unwrap().1.public_key().raw.to_vec();
    let renewed = read(&certificate);
    assert_eq!(key(&renewed), key(&own));
    assert_eq!(ask(&bench, own.clone()), ReceiveReply::Renewed { certificate }, "asked again, the same");
    assert_eq!(bench.acts(), ["receive-certified"]);
    // A source's, another zone's, none at all.
    let source = read(&enrolment::enrolled(bench.enrol_with(&enrolment::invite(&bench, "lab"))));
    let other = authority::create(&"zone".parse().unwrap(), now).unwrap();
    for shown in [source, read(&other.server_certificate), Vec::new()] {
        let refused = ask(&bench, shown);
        assert!(matches!(&refused, ReceiveReply::Refused(it) if it.code == Code::UnknownCertificate), "{refused:?}");
    }
    assert_eq!(bench.acts().iter().filter(|act| *act == "receive-certified").count(), 1);
    let (layout, folder) = (bench.layout(), bench.stop());
    let both = other.ca_certificate + &fs::read_to_string(layout.ca_certificate()).unwrap();
    fs::write(layout.ca_certificate(), both).unwrap();
    let bench = Bench::reopen(folder).unwrap();
    assert!(matches!(ask(&bench, own), ReceiveReply::Refused(it) if it.code == Code::WrongState));
    let warned = health(&bench.control).unwrap().warnings;
    assert!(warned.iter().any(|it| it.code == "old-authority"), "{warned:?}");
}

#[test]
fn the_end_of_the_authority_is_told_three_months_before() {
    let bench = Bench::empty();
    let told = || health(&bench.control).unwrap().warnings.iter().any(|it| it.code == "authority-ends");
    bench.wait((3653 - 91) * DAY);
    assert!(!told());
    bench.wait(2 * DAY);
    assert!(told());
}
