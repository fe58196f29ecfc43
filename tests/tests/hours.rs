//! When a source or an agreement may send.

use sluse_protocol::time::Timestamp;
use sluse_tests::data;
use sluse_tests::outbox::Outbox;
use sluse_tests::zone::Zone;
use std::fs;
use std::time::{Duration, SystemTime};

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_unix(i64::try_from(now.as_secs()).unwrap())
}

/// A day that is neither today nor tomorrow nor yesterday.
fn another_day() -> &'static str {
    let today = now().unix().div_euclid(86_400) + 3;
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][usize::try_from((today + 3).rem_euclid(7)).unwrap()]
}

/// Runs the zone with these sections at the end of its configuration, in place of those before.
fn run_with(zone: &mut Zone, sections: &str) {
    zone.stop();
    zone.configure(|text| format!("{}# Sections of the test.\n{sections}\n", text.split("# Sections").next().unwrap()));
    zone.run();
}

#[test]
fn outside_its_hours_nothing_is_taken_and_a_watcher_waits_without_a_failure() {
    let mut zone = Zone::start();
    let source = zone.source("lab");
    let day = another_day();
    for section in ["source", "agreement"] {
        run_with(&mut zone, &format!("[{section}.lab]\nhours = [\"{day} 10:00-11:00\"]"));
        let file = zone.folder.path().join("a.csv");
        fs::write(&file, data::csv(1, 1000)).unwrap();
        let refused = source.send(&file, "a", "received").expect(6);
        let next = refused.stderr.split("next from ").nth(1).unwrap_or_else(|| panic!("{}", refused.stderr));
        assert!(refused.stderr.contains("(outside-hours)"), "{}", refused.stderr);
        let next: Timestamp = next[..20].parse().unwrap();
        assert!(next > now().plus(86_400) && next < now().plus(7 * 86_400), "{next}");
    }

    let mut outbox = Outbox::new(zone.folder.path(), &source, "complete = \"rename\"\nafter_hours = 0");
    for number in 0..6 {
        outbox.put(&format!("{number}.csv"), &data::csv(number, 1000));
    }
    outbox.watch();
    let told = outbox.eventually("it is told", || outbox.events().into_iter().find(|told| told["event"] == "waiting"));
    let until: Timestamp = told["until"].as_str().unwrap().parse().unwrap();
    assert!(until > now().plus(86_400) && told["why"]["code"] == "outside-hours", "{told}");
    assert_eq!(outbox.stop(), Some(0));
    assert_eq!(outbox.events().iter().filter(|told| told["event"] == "waiting").count(), 1);
    assert!(outbox.events().iter().all(|told| told["event"] != "failed" && told["event"] != "refused"));
    assert!(!outbox.folder.join("_PROBLEM.txt").exists() && outbox.folder.join("0.csv").exists());

    run_with(&mut zone, "[agreement.lab]\nhours = [\"Mon-Sun 00:00-24:00\"]");
    outbox.watch();
    outbox.wait_for_all(&zone, 6);
}

#[test]
fn what_is_under_way_when_hours_end_is_interrupted_and_goes_on_in_the_next() {
    // More than goes in the longest time that there is, at this rate; in the shortest, more than the chunks that are under way at once.
    const BYTES: u64 = 300_000_000;
    const RATE: &str = "max_bytes_per_second = 3000000\n";
    let mut zone = Zone::start();
    let source = zone.source("lab");
    let file = zone.folder.path().join("genome.bin");
    fs::File::create(&file).unwrap().set_len(BYTES).unwrap();
    zone.configure(|text| text.replace("[network]\n", &format!("[network]\n{RATE}")));
    // Hours end with a minute. Where that is over before any of it is durable, the next minute will do.
    let durable = loop {
        let ends = now().unix() + 75;
        let (hour, minute) = (ends.rem_euclid(86_400) / 3600, ends.rem_euclid(3600) / 60);
        let begins = (hour + 1) % 24;
        run_with(&mut zone, &format!("[source.lab]\nhours = [\"{begins:02}:{minute:02}-{hour:02}:{minute:02}\"]"));
        let interrupted = source.send(&file, "genome", "received").expect(6);
        assert!(interrupted.stderr.contains("(outside-hours)"), "{}", interrupted.stderr);
        // What is durable is told a moment later than the refusal.
        std::thread::sleep(Duration::from_secs(2));
        let shown = zone.operate(&["transfers", "--json"]).expect(0).json();
        if let Some(durable) = shown[0]["durable_bytes"].as_u64().filter(|durable| *durable > 0) {
            assert_eq!(shown[0]["status"]["state"], "receiving");
            break durable;
        }
    };
    assert!(durable < BYTES);
    zone.configure(|text| text.replace(RATE, ""));
    run_with(&mut zone, "");
    let sent = source.send(&file, "genome", "delivered").expect(0).json();
    assert!(sent["sent_bytes"].as_u64().unwrap() <= BYTES - durable, "what was durable is not sent again: {sent}");
}
