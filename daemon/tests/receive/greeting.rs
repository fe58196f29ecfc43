//! Who is let in, and how a connection begins.

use crate::source::{Source, connect};
use crate::zone::{TestZone, authority, certificate, certified};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::CertificateDer;
use sluse_host::config::KeyExchange;
use sluse_protocol::digest::Sha256;
use sluse_protocol::frame;
use sluse_protocol::limits::MAX_HEAD_BYTES;
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{Reply, Request};
use std::time::Duration;

#[tokio::test]
async fn a_certificate_that_control_does_not_know_is_refused_after_hello() {
    let zone = TestZone::start();
    let mut stranger = Source::silent(&zone, &zone.stranger("stranger")).await;
    stranger.hello().await;
    assert_eq!(stranger.refused_and_closed().await, Code::UnknownCertificate);
}

#[tokio::test]
async fn no_certificate_or_one_of_another_authority_ends_the_handshake() {
    let zone = TestZone::start();
    let (other, _) = authority();
    let foreign = certificate(&other, "lab", ExtendedKeyUsagePurpose::ClientAuth);
    let server = zone.certificate("lab", ExtendedKeyUsagePurpose::ServerAuth);
    zone.control.enrol(&foreign.der, Some("lab"));
    zone.control.enrol(&server.der, Some("lab"));
    for credentials in [None, Some(&foreign), Some(&server)] {
        // The client's side of the handshake may end before the zone refuses.
        if let Ok((_endpoint, connection)) = connect(&zone, credentials).await {
            let ended = tokio::time::timeout(Duration::from_secs(5), connection.closed()).await.unwrap();
            assert!(matches!(ended, quinn::ConnectionError::ConnectionClosed(_)), "{ended}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_its_own_that_comes_to_its_end_is_renewed() {
    let zone = TestZone::prepare(|_| {});
    let key = std::fs::read_to_string(zone.zone.layout.tls_key()).unwrap();
    let (first, next) = (certified(&zone.authority, &key, (70, 20)), certified(&zone.authority, &key, (0, 90)));
    std::fs::write(zone.zone.layout.tls_certificate(), &first.certificate).unwrap();
    zone.control.certify(next.certificate.clone());
    let zone = zone.run();
    let lab = zone.source("lab");
    let shown = async {
        loop {
            let (_endpoint, connection) = connect(&zone, Some(&lab)).await.unwrap();
            let chain = connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
            if chain[0].as_ref() == &next.der[..] {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shown).await.expect("it shows the new certificate");
}

#[tokio::test]
async fn garbage_instead_of_a_hello_is_a_protocol_violation() {
    let zone = TestZone::start();
    let credentials = zone.source("lab");
    let list = frame::encode(&Request::List { limit: 1 }, b"").unwrap();
    let hello = Request::Hello { versions: vec![1], agent: "a".repeat(101), clock: Timestamp::from_unix(0) };
    let long_agent = frame::encode(&hello, b"").unwrap();
    let body = frame::encode(&Request::List { limit: 1 }, b"a body that does not belong here").unwrap();
    let oversized = (MAX_HEAD_BYTES + 1).to_be_bytes().repeat(2);
    let unknown = frame::encode(&serde_json::json!({"ask": "shell"}), b"").unwrap();
    let cases = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 64], list, long_agent, body, oversized, unknown];
    for bytes in cases {
        let mut source = Source::silent(&zone, &credentials).await;
        source.outgoing.write_all(&bytes).await.unwrap();
        assert_eq!(source.refused_and_closed().await, Code::ProtocolViolation, "{bytes:?}");
    }
}

#[tokio::test]
async fn who_says_nothing_is_closed_when_the_time_for_a_hello_is_over() {
    let zone = TestZone::start();
    let (_endpoint, connection) = connect(&zone, Some(&zone.source("lab"))).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(15), connection.closed()).await.unwrap();
    let quinn::ConnectionError::ApplicationClosed(closed) = ended else { panic!("{ended}") };
    assert_eq!(closed.reason, Code::ProtocolViolation.as_str().as_bytes());
}

#[tokio::test]
async fn versions_without_one_in_common_are_refused() {
    let zone = TestZone::start();
    let mut source = Source::silent(&zone, &zone.source("lab")).await;
    let hello = Request::Hello { versions: vec![7, 8], agent: "new".into(), clock: Timestamp::from_unix(0) };
    source.ask(&hello, &[]).await;
    assert_eq!(source.refused_and_closed().await, Code::ProtocolVersion);
}

#[tokio::test]
async fn an_invite_is_good_for_enrolling_and_nothing_else() {
    let zone = TestZone::start();
    let invite = zone.stranger("invite");
    zone.control.enrol(&invite.der, None);
    let enrol = |code: &str| Request::Enrol {
        invite: Sha256::of(code.as_bytes()),
        request: "a request".into(),
        identity: "a key".into(),
        proof: "a proof".into(),
    };
    let mut source = Source::welcome(&zone, &invite).await;
    source.ask(&Request::List { limit: 1 }, &[]).await;
    assert_eq!(source.refused_and_closed().await, Code::EnrolmentOnly);
    let mut source = Source::welcome(&zone, &invite).await;
    source.ask(&enrol("used"), &[]).await;
    assert_eq!(source.refused_and_closed().await, Code::InviteUsed);
    let mut source = Source::welcome(&zone, &invite).await;
    source.ask(&enrol("good"), &[]).await;
    assert!(matches!(source.reply().await.0, Reply::Enrolled { .. }));
    let mut enrolled = Source::welcome(&zone, &zone.source("lab")).await;
    enrolled.ask(&enrol("good"), &[]).await;
    assert_eq!(enrolled.refused_and_closed().await, Code::ProtocolViolation);
}

#[tokio::test]
async fn a_source_has_so_many_connections_and_no_more() {
    let zone = TestZone::start_with(|settings| settings.max_connections_per_source = 2);
    let credentials = zone.source("lab");
    let (first, _second) = (Source::welcome(&zone, &credentials).await, Source::welcome(&zone, &credentials).await);
    let mut third = Source::welcome(&zone, &credentials).await;
    assert_eq!(third.refused_and_closed().await, Code::Busy);
    let mut other = Source::welcome(&zone, &zone.source("another")).await;
    other.ask(&Request::List { limit: 1 }, &[]).await;
    assert!(matches!(other.reply().await.0, Reply::Transfers { .. }));
    first.connection.close(0u32.into(), b"");
    crate::zone::eventually("a place is free again", async || {
        let mut again = Source::welcome(&zone, &credentials).await;
        again.ask(&Request::List { limit: 1 }, &[]).await;
        matches!(again.reply().await.0, Reply::Transfers { .. })
    })
    .await;
}

#[tokio::test]
async fn a_zone_that_requires_the_hybrid_exchange_takes_no_other() {
    let zone = TestZone::start();
    let credentials = zone.source("lab");
    assert!(connect(&zone, Some(&credentials)).await.is_ok());
    let classic = crate::source::connect_by(&zone, Some(&credentials), crate::source::classic()).await;
    assert!(classic.is_err());
    let lenient = TestZone::start_with(|settings| settings.key_exchange = KeyExchange::AllowX25519);
    let credentials = lenient.source("lab");
    assert!(crate::source::connect_by(&lenient, Some(&credentials), crate::source::classic()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_handshakes_that_never_end_keep_nobody_out() {
    let mut zone = TestZone::start();
    let credentials = zone.source("lab");
    let real = zone.address;
    // What the zone answers is never read: to it, the handshakes hang.
    let deaf = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    zone.address = deaf.local_addr().unwrap();
    tokio::spawn(async move {
        let onwards = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut packet = [0; 2048];
        while let Ok((length, _)) = deaf.recv_from(&mut packet).await {
            onwards.send_to(&packet[..length], real).await.unwrap();
        }
    });
    let (endpoint, config) = crate::source::client(
        &zone,
        Some(&credentials),
        sluse_host::quic::crypto_provider(KeyExchange::HybridRequired),
    );
    let hanging: Vec<_> = (0..3000)
        .map(|_| endpoint.connect_with(config.clone(), zone.address, sluse_protocol::wire::ZONE_HOST).unwrap())
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    zone.address = real;
    let begun = std::time::Instant::now();
    let mut honest = Source::welcome(&zone, &credentials).await;
    honest.ask(&Request::List { limit: 1 }, &[]).await;
    assert!(matches!(honest.reply().await.0, Reply::Transfers { .. }));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(hanging);
}
