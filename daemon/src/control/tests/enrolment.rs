//! Who is let in, once, and who is shut out.

use crate::control::testing::*;
use sluse_protocol::digest::Sha256;
use sluse_protocol::invite;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::sshsig::{NAMESPACE_ENROL, SigningKey};
use sluse_protocol::transfer::State;

pub fn invite(bench: &Bench, name: &str) -> String {
    let request = OperatorRequest::SourceInvite { name: name.parse().unwrap(), hours: 1, room: None };
    let (reply, text) = bench.ask_operator(request, &[]);
    assert!(matches!(reply, OperatorReply::Invite { .. }), "{reply:?}");
    String::from_utf8(text).unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn identify(bench: &Bench, pem: &str) -> ReceiveReply {
    bench.receive.answer(ReceiveRequest::Identify, &der(pem)).0
}

fn certificate_of(invite: &str) -> String {
    invite.parse::<toml::Table>().unwrap()["certificate"].as_str().unwrap().to_owned()
}

pub fn enrolled(reply: ReceiveReply) -> String {
    match reply {
        ReceiveReply::Enrolled { certificate, .. } => certificate,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invite_is_good_for_one_enrolment_and_its_certificate_for_nothing_else() {
    let bench = Bench::empty();
    let invite = invite(&bench, "lab");
    assert_eq!(identify(&bench, &certificate_of(&invite)), ReceiveReply::Peer { source: None });
    let certificate = enrolled(bench.enrol_with(&invite));
    assert_eq!(identify(&bench, &certificate), ReceiveReply::Peer { source: Some(lab()) });
    assert_refused(&identify(&bench, &certificate_of(&invite)), Code::InviteUsed);
    assert_refused(&bench.enrol_with(&invite), Code::InviteUsed);
}

#[test]
fn of_many_who_use_an_invite_at_once_one_is_enrolled() {
    let bench = Bench::empty();
    let invite = invite(&bench, "lab");
    let enrolled = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.enrol_with(&invite))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(enrolled.iter().filter(|reply| matches!(reply, ReceiveReply::Enrolled { .. })).count(), 1);
    assert_eq!(bench.acts().iter().filter(|act| *act == "source-enrolled").count(), 1);
}

#[test]
fn a_changed_secret_key_or_proof_is_refused_and_the_invite_stays_good() {
    let bench = Bench::empty();
    let invite = invite(&bench, "lab");
    let token = invite.parse::<toml::Table>().unwrap()["token"].as_str().unwrap().to_owned();
    assert_refused(&bench.enrol_with(&invite.replace(&token, &"0".repeat(64))), Code::BadProof);
    let enrol = |request: &str, proof: String, identity: String| {
        let certificate = sluse_protocol::digest::Sha256::of(&der(&certificate_of(&invite)));
        let request = request.to_owned();
        let invite = invite::code(&Sha256::of(token.as_bytes()), &identity, &request);
        bench.ask(ReceiveRequest::Enrol { certificate, invite, request, identity, proof }).0
    };
    let key = identity_key();
    let line = key.public().to_openssh();
    let proof = |text: &str| key.sign(sluse_protocol::sshsig::NAMESPACE_ENROL, text.as_bytes());
    assert_refused(&enrol("other", proof("one"), line.clone()), Code::BadProof);
    assert_refused(&enrol("no request", proof("no request"), line.clone()), Code::BadProof);
    assert_refused(&enrol("x", proof("x"), "ssh-rsa AAAA".into()), Code::BadProof);
    assert_refused(&enrol(&"x".repeat(9000), proof("x"), line), Code::TooLarge);
    enrolled(bench.enrol_with(&invite));
}

#[test]
fn who_only_carries_an_enrolment_cannot_put_its_own_keys_into_it() {
    let bench = Bench::empty();
    let invite = invite(&bench, "lab");
    let token = invite.parse::<toml::Table>().unwrap()["token"].as_str().unwrap().to_owned();
    let (theirs, ours) = (identity_key(), SigningKey::from_seed(&[99; 32]).unwrap());
    let request = certificate_request();
    // What `receive` sees of an honest source's request.
    let seen = invite::code(&Sha256::of(token.as_bytes()), &theirs.public().to_openssh(), &request);
    let enrol = |key: &SigningKey, request: String| {
        let certificate = Sha256::of(&der(&certificate_of(&invite)));
        let (identity, proof) = (key.public().to_openssh(), key.sign(NAMESPACE_ENROL, request.as_bytes()));
        bench.ask(ReceiveRequest::Enrol { certificate, invite: seen, request, identity, proof }).0
    };
    assert_refused(&enrol(&ours, request.clone()), Code::BadProof);
    assert_refused(&enrol(&theirs, certificate_request()), Code::BadProof);
    enrolled(enrol(&theirs, request));
}

#[test]
fn invites_and_certificates_run_out() {
    let bench = Bench::empty();
    let late = invite(&bench, "pacs");
    let certificate = enrolled(bench.enrol_with(&invite(&bench, "lab")));
    bench.wait(3601);
    assert_refused(&bench.enrol_with(&late), Code::InviteExpired);
    assert_refused(&identify(&bench, &certificate_of(&late)), Code::InviteExpired);
    bench.wait(366 * DAY);
    assert_refused(&identify(&bench, &certificate), Code::CertificateExpired);
}

/// Asks for another certificate with the one that is shown, as whoever has `key`.
pub fn renew(bench: &Bench, shown: &str, key: &sluse_protocol::sshsig::SigningKey) -> ReceiveReply {
    let tls = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&tls).unwrap().pem().unwrap();
    let proof = key.sign(sluse_protocol::sshsig::NAMESPACE_RENEW, request.as_bytes());
    let certificate = sluse_protocol::digest::Sha256::of(&der(shown));
    bench.ask(ReceiveRequest::Renew { source: lab(), certificate, request, proof }).0
}

fn renewed(reply: ReceiveReply) -> String {
    match reply {
        ReceiveReply::Renewed { certificate } => certificate,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_is_renewed_in_the_second_half_of_its_life_and_stays_good_beside_the_new_one() {
    let bench = Bench::empty();
    let first = enrolled(bench.enrol_with(&invite(&bench, "lab")));
    assert_refused(&renew(&bench, &first, &identity_key()), Code::WrongState);
    bench.wait(250 * DAY);
    let second = renewed(renew(&bench, &first, &identity_key()));
    for certificate in [&first, &second] {
        assert_eq!(identify(&bench, certificate), ReceiveReply::Peer { source: Some(lab()) });
    }
    assert_refused(&renew(&bench, &second, &identity_key()), Code::WrongState);
    bench.wait(120 * DAY);
    assert_refused(&identify(&bench, &first), Code::CertificateExpired);
    assert_refused(&renew(&bench, &first, &identity_key()), Code::CertificateExpired);
    assert_eq!(identify(&bench, &second), ReceiveReply::Peer { source: Some(lab()) });
    assert_eq!(bench.acts().iter().filter(|act| *act == "source-renewed").count(), 1);
}

#[test]
fn a_renewal_needs_the_identity_key_and_a_certificate_in_force_and_leaves_eight_at_most() {
    let bench = Bench::empty();
    let first = enrolled(bench.enrol_with(&invite(&bench, "lab")));
    bench.wait(200 * DAY);
    let other = sluse_protocol::sshsig::SigningKey::from_seed(&[9; 32]).unwrap();
    assert_refused(&renew(&bench, &first, &other), Code::BadProof);
    for _ in 0..7 {
        renewed(renew(&bench, &first, &identity_key()));
    }
    assert_refused(&renew(&bench, &first, &identity_key()), Code::WrongState);
    let replaced = enrolled(bench.enrol_with(&invite(&bench, "lab")));
    assert_refused(&renew(&bench, &first, &identity_key()), Code::UnknownCertificate);
    bench.operate(OperatorRequest::SourceRevoke { name: lab(), reason: "stolen".into() });
    bench.wait(200 * DAY);
    assert_refused(&renew(&bench, &replaced, &identity_key()), Code::RevokedSource);
}

#[test]
fn a_certificate_of_another_zone_is_unknown() {
    let (here, there) = (Bench::empty(), Bench::empty());
    let certificate = enrolled(there.enrol_with(&invite(&there, "lab")));
    assert_refused(&identify(&here, &certificate), Code::UnknownCertificate);
    assert_refused(&here.receive.answer(ReceiveRequest::Identify, b"garbage").0, Code::UnknownCertificate);
}

#[test]
fn a_later_invite_takes_the_one_before_back() {
    let bench = Bench::empty();
    let first = invite(&bench, "lab");
    let second = invite(&bench, "lab");
    assert_refused(&bench.enrol_with(&first), Code::InviteExpired);
    enrolled(bench.enrol_with(&second));
}

#[test]
fn an_enrolled_name_is_not_given_to_new_keys_before_its_certificate_runs_out() {
    let bench = Bench::new();
    bench.accepted(&Dataset::default());
    let again = OperatorRequest::SourceInvite { name: lab(), hours: 1, room: None };
    assert_operator_refused(&bench.operate(again.clone()), Code::NameTaken);
    bench.wait(340 * DAY);
    let certificate = enrolled(bench.enrol_with(&invite(&bench, "lab")));
    assert_eq!(identify(&bench, &certificate), ReceiveReply::Peer { source: Some(lab()) });
    for hours in [0, 721] {
        let request = OperatorRequest::SourceInvite { name: "new".parse().unwrap(), hours, room: None };
        assert_operator_refused(&bench.operate(request), Code::Invalid);
    }
}

#[test]
fn a_new_enrolment_replaces_the_certificate_before() {
    let bench = Bench::empty();
    let first = enrolled(bench.enrol_with(&invite(&bench, "lab")));
    let second = enrolled(bench.enrol_with(&invite(&bench, "lab")));
    assert_refused(&identify(&bench, &first), Code::UnknownCertificate);
    assert_eq!(identify(&bench, &second), ReceiveReply::Peer { source: Some(lab()) });
}

#[test]
fn a_source_that_is_shut_out_is_out_at_once_with_everything_it_was_sending() {
    let bench = Bench::new();
    let unused = invite(&bench, "lab");
    let running = bench.accepted(&Dataset::default());
    let received = bench.received(&Dataset { key: 1, ..Dataset::default() });
    let changes = std::thread::scope(|scope| {
        let poll = scope.spawn(|| bench.ask(ReceiveRequest::Changes { after: 0 }).0);
        let revoke = OperatorRequest::SourceRevoke { name: lab(), reason: "stolen".into() };
        assert_eq!(bench.operate(revoke), OperatorReply::Done);
        poll.join().unwrap()
    });
    let ReceiveReply::Changes { revoked, ended, .. } = changes else { panic!("{changes:?}") };
    assert_eq!((revoked, ended), (vec![lab()], vec![running.clone()]));
    assert_eq!(bench.state(&running), State::Cancelled);
    assert_eq!(bench.state(&received), State::Received, "a person decides on it");
    assert_refused(&bench.offer(&Dataset { key: 9, ..Dataset::default() }), Code::RevokedSource);
    assert_refused(&bench.ask(ReceiveRequest::List { source: lab(), limit: 1 }).0, Code::RevokedSource);
    assert_refused(&bench.enrol_with(&unused), Code::InviteExpired);
    let unknown = OperatorRequest::SourceRevoke { name: "nobody".parse().unwrap(), reason: "x".into() };
    assert_operator_refused(&bench.operate(unknown), Code::UnknownName);
    enrolled(bench.enrol_with(&invite(&bench, "lab")));
}

#[test]
fn the_list_of_sources_says_who_is_invited_enrolled_and_shut_out() {
    let bench = Bench::new();
    invite(&bench, "pacs");
    invite(&bench, "never");
    bench.operate(OperatorRequest::SourceRevoke { name: "never".parse().unwrap(), reason: "typo".into() });
    let OperatorReply::Sources { sources, .. } = bench.operate(OperatorRequest::SourceList { after: None }) else {
        panic!()
    };
    let listed: Vec<_> = sources.iter().map(|s| (s.name.as_str(), s.status.as_str())).collect();
    assert_eq!(listed, [("lab", "enrolled"), ("never", "revoked"), ("pacs", "invited")]);
}
