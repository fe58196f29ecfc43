//! Handshakes that begin and never end: `receive` stays small, and other transfers go on.

use quinn::crypto::rustls::QuicClientConfig;
use sluse_protocol::wire::ZONE_HOST;
use sluse_tests::data;
use sluse_tests::raw::{Raw, client_tls};
use sluse_tests::source::Source;
use sluse_tests::zone::Zone;
use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Handshakes that are begun.
const HANDSHAKES: usize = 10_000;

/// Handshakes begun at a time: what a socket's buffer holds.
const BATCH: usize = 32;

/// Addresses from which they come, 127.0.0.2 and on: one alone would soon be turned away.
const ADDRESSES: u8 = 40;

/// By so much may `receive`'s memory grow, KiB: the documented bound of its handshakes is 256 × 100 KiB, and 2 MiB of packets
/// that wait; the transfer beside it takes some 40 MiB.
const GROWTH: u64 = 96 * 1024;

/// The first packets of many handshakes, as an enrolled source would send them.
fn first_packets(source: &Source) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tls = QuicClientConfig::try_from(client_tls(&source.identity)).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(tls));
        let (mut packets, mut ids) = (Vec::new(), HashSet::new());
        while ids.len() < HANDSHAKES {
            let deaf = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = deaf.local_addr().unwrap();
            let connect = || endpoint.connect_with(config.clone(), address, ZONE_HOST).unwrap();
            let _hanging: Vec<_> = (0..BATCH).map(|_| connect()).collect();
            let (until, mut packet) = (ids.len() + BATCH, [0; 2048]);
            while ids.len() < until {
                let (length, _) = deaf.recv_from(&mut packet).await.unwrap();
                // A long header: flags, version, the length of the destination's connection ID, the ID.
                ids.insert(packet[6..6 + usize::from(packet[5])].to_vec());
                packets.push(packet[..length].to_vec());
            }
        }
        packets
    })
}

/// Sends all packets to `zone` from many addresses, at a rate that its socket can take in; none is answered.
fn flood(zone: SocketAddr, packets: &[Vec<u8>]) {
    let sockets: Vec<_> =
        (0..ADDRESSES).map(|last| UdpSocket::bind(format!("127.0.0.{}:0", 2 + last)).unwrap()).collect();
    for (number, packet) in packets.iter().enumerate() {
        // A handshake's packets come from one address.
        let id = usize::from(packet[6]) % sockets.len();
        sockets[id].send_to(packet, zone).unwrap();
        if number % 50 == 49 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The most memory that a process ever had, KiB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_half_open_handshakes_cost_little_memory_and_keep_nobody_out() {
    let zone = Zone::start();
    let (source, attacker) = (zone.source("lab"), zone.source("attacker"));
    let receive = zone.process("receive").unwrap();
    let packets = first_packets(&attacker);
    assert!(packets.len() >= HANDSHAKES);
    let before = peak(receive);
    let file = zone.folder.path().join("large.bin");
    let bytes = data::noise(5, 200_000_000);
    fs::write(&file, &bytes).unwrap();
    let child = source.sending(&file, "large", "delivered").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let rounds = AtomicUsize::new(0);
    let (output, connected) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| child.unwrap().wait_with_output().unwrap());
        let connecting = scope.spawn(|| {
            while rounds.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { drop(Raw::greet(zone.address, &source).await) });
        });
        while rounds.load(Ordering::SeqCst) == 0 || !sending.is_finished() || !connecting.is_finished() {
            flood(zone.address, &packets);
            rounds.fetch_add(1, Ordering::SeqCst);
        }
        (sending.join().unwrap(), connecting.join())
    });
    let after = peak(receive);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(connected.is_ok(), "a new connection was made in the middle of it");
    assert_eq!(zone.process("receive"), Some(receive), "it is the same process");
    eprintln!("{} rounds of {} packets; {before} KiB before, {after} after", rounds.into_inner(), packets.len());
    assert!(after < before + GROWTH, "receive grew from {before} KiB to {after}");
    let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bag = zone.room().join("large").join(sent["transfer"].as_str().unwrap());
    assert!(fs::read(bag.join("data/large.bin")).unwrap() == bytes);
}
