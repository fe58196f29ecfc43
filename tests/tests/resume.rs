//! Nothing that was acknowledged is sent again, whatever is cut, killed or moved.

use quinn::ConnectionError;
use sluse_tests::data;
use sluse_tests::proxy::Proxy;
use sluse_tests::raw::Raw;
use sluse_tests::source::Source;
use sluse_tests::zone::{PATIENCE, Zone};
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a chunk, as the protocol has it.
const CHUNK: u64 = 4 * 1024 * 1024;

/// Plain bytes that may be sent again for one cut: what eight streams carry.
const IN_FLIGHT: u64 = 10 * CHUNK;

struct Case {
    zone: Zone,
    source: Source,
    proxy: Proxy,
    file: PathBuf,
    bytes: Vec<u8>,
}

/// A source behind a relay, and a file of `size` bytes.
fn case(size: usize) -> Case {
    let zone = Zone::start();
    let source = zone.source("lab");
    let proxy = Proxy::start(zone.address).unwrap();
    let settings = source.identity.join("identity.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace(&zone.address.to_string(), &proxy.address().to_string())).unwrap();
    let file = zone.folder.path().join("big.bin");
    let bytes = data::noise(7, size);
    fs::write(&file, &bytes).unwrap();
    Case { zone, source, proxy, file, bytes }
}

impl Case {
    fn spawn(&self) -> Child {
        let mut command = self.source.sending(&self.file, "big", "delivered");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until the zone holds about `bytes` of the transfer durably.
    fn wait_for_durable(&self, bytes: u64) {
        self.zone.eventually(&format!("{bytes} bytes are durable"), || (self.durable() >= bytes).then_some(()));
    }

    /// Bytes of encrypted chunks that lie in quarantine.
    fn durable(&self) -> u64 {
        let mut sum = 0;
        for place in ["incoming", "sealed"] {
            for transfer in
                fs::read_dir(self.zone.root().join("quarantine").join(place)).into_iter().flatten().flatten()
            {
                for chunk in fs::read_dir(transfer.path()).into_iter().flatten().flatten() {
                    sum += chunk.metadata().map_or(0, |data| data.len());
                }
            }
        }
        sum
    }

    fn finish(&self, child: Child) -> serde_json::Value {
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}\n{}", self.zone.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn assert_delivered_once(&self, sent: &serde_json::Value) {
        let transfer = sent["transfer"].as_str().unwrap();
        let bags: Vec<_> = fs::read_dir(self.zone.room().join("big"))
            .unwrap()
            .flatten()
            .filter(|e| e.path().join("data").is_dir())
            .collect();
        assert_eq!(bags.len(), 1);
        assert_eq!(bags[0].file_name().to_str(), Some(transfer));
        assert!(fs::read(bags[0].path().join("data/big.bin")).unwrap() == self.bytes);
        self.zone.operate(&["audit", "verify"]).expect(0);
    }
}

#[test]
fn twenty_cuts_cost_no_more_than_what_was_in_flight() {
    let case = case(160 << 20);
    let child = case.spawn();
    for cut in 1..=20u64 {
        case.wait_for_durable(cut * 5 * 1024 * 1024);
        // A new address and silence together: the old connection is gone for good.
        case.proxy.silence(true);
        case.proxy.rebind();
        std::thread::sleep(Duration::from_millis(50));
        case.proxy.silence(false);
    }
    let sent = case.finish(child);
    case.assert_delivered_once(&sent);
    let resent = sent["sent_bytes"].as_u64().unwrap() - case.bytes.len() as u64;
    assert!(resent <= 20 * IN_FLIGHT, "{resent} bytes were sent again");
}

#[test]
fn a_source_whose_address_changes_goes_on() {
    let case = case(64 << 20);
    let child = case.spawn();
    case.wait_for_durable(8 << 20);
    case.proxy.rebind();
    let sent = case.finish(child);
    case.assert_delivered_once(&sent);
    assert_eq!(sent["sent_bytes"].as_u64().unwrap(), case.bytes.len() as u64, "nothing was sent again");
}

#[test]
fn a_killed_sender_that_is_started_again_sends_only_what_is_missing() {
    let case = case(160 << 20);
    let mut child = case.spawn();
    case.wait_for_durable(40 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    let durable = case.durable();
    let sent = case.finish(case.spawn());
    case.assert_delivered_once(&sent);
    let sent_bytes = sent["sent_bytes"].as_u64().unwrap();
    assert!(sent_bytes <= case.bytes.len() as u64 - durable + IN_FLIGHT, "{sent_bytes} after {durable} durable");
}

#[test]
fn a_killed_landing_zone_that_is_started_again_carries_on() {
    let mut case = case(160 << 20);
    let child = case.spawn();
    case.wait_for_durable(40 << 20);
    case.zone.crash();
    let durable = case.durable();
    case.zone.run();
    let sent = case.finish(child);
    case.assert_delivered_once(&sent);
    let resent = sent["sent_bytes"].as_u64().unwrap() - case.bytes.len() as u64;
    assert!(resent <= IN_FLIGHT, "{resent} sent again; {durable} were durable");
}

#[test]
fn a_source_is_told_that_its_receive_was_killed_and_does_not_wait_for_silence() {
    let case = case(160 << 20);
    let child = case.spawn();
    case.wait_for_durable(40 << 20);
    let durable = case.durable();
    assert!(case.zone.kill("receive"));
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("Trying again: no connection to the zone: the zone was restarted"), "{told}");
    assert!(!told.contains("nothing was heard"), "{told}");
    let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    case.assert_delivered_once(&sent);
    let resent = sent["sent_bytes"].as_u64().unwrap() - case.bytes.len() as u64;
    assert!(resent <= IN_FLIGHT, "{resent} sent again; {durable} were durable");
}

#[tokio::test]
async fn every_connection_of_a_receive_that_was_killed_is_reset_and_none_times_out() {
    let zone = Zone::start();
    let source = zone.source("lab");
    let mut connections = Vec::new();
    for _ in 0..16 {
        connections.push(Raw::greet(zone.address, &source).await);
    }
    assert!(zone.kill("receive"));
    for raw in &mut connections {
        // Something to say: the next keep-alive would do as well.
        raw.bytes(b"x").await;
    }
    for raw in &connections {
        assert_eq!(raw.connection.closed().await, ConnectionError::Reset);
    }
    // What comes from nowhere gets no answer: not even a reset that it could be told from.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&[0x41; 600], zone.address).unwrap();
    stranger.set_nonblocking(true).unwrap();
    Raw::greet(zone.address, &source).await;
    assert!(stranger.recv(&mut [0; 2000]).is_err());
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_noticed_and_named() {
    let case = case(160 << 20);
    let child = case.spawn();
    case.wait_for_durable(8 << 20);
    let mut changed = case.bytes.clone();
    changed[150 << 20] ^= 1;
    fs::write(&case.file, changed).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert!(errors.contains("big.bin"), "{errors}");
    assert!(!case.zone.room().join("big").exists());
}

#[test]
fn a_zone_that_is_told_to_stop_makes_what_is_in_flight_durable_and_ends_in_order() {
    let mut case = case(160 << 20);
    let child = case.spawn();
    case.wait_for_durable(20 << 20);
    let begun = Instant::now();
    assert_eq!(case.zone.stop(), Some(0));
    assert!(begun.elapsed() < PATIENCE);
    case.zone.run();
    let sent = case.finish(child);
    case.assert_delivered_once(&sent);
}
