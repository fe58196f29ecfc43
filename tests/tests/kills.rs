//! Each role is killed at random moments, over and over, while transfers run.

use sluse_tests::data;
use sluse_tests::zone::Zone;
use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

const ROLES: [&str; 4] = ["control", "inspect", "deliver", "receive"];

/// Kills to survive; `SLUSE_KILLS` asks for more.
fn kills() -> u32 {
    std::env::var("SLUSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

#[test]
fn every_receipt_holds_and_every_file_arrives_once_after_two_hundred_kills() {
    let zone = Zone::start();
    let sources: Vec<_> = ["lab", "pacs"].map(|name| zone.source(name)).into_iter().collect();
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    eprintln!("seed {seed}");
    let (done, killed) = (AtomicBool::new(false), AtomicU32::new(0));
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = data::noise(seed, 1 << 16).into_iter().cycle();
            while killed.load(Ordering::SeqCst) < kills() {
                let mut next = || u64::from(dice.next().unwrap_or(0));
                let (role, pause) = (ROLES[(next() % 4) as usize], 20 + next() * 2);
                std::thread::sleep(Duration::from_millis(pause));
                killed.fetch_add(u32::from(zone.kill(role)), Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        let senders: Vec<_> = sources
            .iter()
            .map(|source| {
                let (zone, done) = (&zone, &done);
                scope.spawn(move || {
                    let mut sent = Vec::new();
                    while !done.load(Ordering::SeqCst) || sent.is_empty() {
                        let dataset = format!("{}-{}", source.agreement, sent.len());
                        let tree = zone.folder.path().join(&dataset);
                        fs::create_dir(&tree).unwrap();
                        fs::write(tree.join("small.csv"), data::csv(sent.len() as u64, 3000)).unwrap();
                        fs::write(tree.join("large.bin"), data::noise(sent.len() as u64, 13_000_000)).unwrap();
                        let mut command = source.sending(&tree, &dataset, "received");
                        let output = command.stderr(Stdio::piped()).output().unwrap();
                        let errors = String::from_utf8_lossy(&output.stderr);
                        assert_eq!(output.status.code(), Some(0), "{errors}\n{}", zone.log());
                        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                        sent.push((dataset, told["transfer"].as_str().unwrap().to_owned()));
                    }
                    sent
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(killed.load(Ordering::SeqCst) >= kills());
    zone.wait_for_roles();
    for (dataset, transfer) in &sent {
        zone.wait_for_state(transfer, "delivered");
        let folder = zone.room().join(dataset);
        let bags: BTreeSet<_> = fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".receipts"))
            .collect();
        assert_eq!(bags, BTreeSet::from([transfer.clone()]), "once, and nothing half");
        let bag = folder.join(transfer);
        assert!(data::tree(&bag.join("data")) == data::tree(&zone.folder.path().join(dataset)), "{dataset}");
        let signers = zone.signers();
        let verify = ["bag", "verify", sluse_tests::zone::text(&bag), "--signer", sluse_tests::zone::text(&signers)];
        sluse_tests::command::run(sluse_tests::command::sluse(&verify)).expect(0);
    }
    let half = zone.room().join(".sluse-incoming");
    assert!(!half.exists() || fs::read_dir(half).unwrap().next().is_none(), "no half bag is left");
    zone.operate(&["audit", "verify"]).expect(0);
    eprintln!("{} transfers, {} kills", sent.len(), killed.load(Ordering::SeqCst));
}
