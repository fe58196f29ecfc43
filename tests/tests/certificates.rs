//! Certificates that live for seconds: renewed by themselves, run out, replaced by a new invite, shut out.

use sluse_tests::command::{run, sluse};
use sluse_tests::data;
use sluse_tests::outbox::Outbox;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// A zone whose certificates live for `life`.
fn zone(life: &str) -> Zone {
    let mut zone = Zone::prepare();
    live(&zone, life);
    zone.run();
    zone
}

fn live(zone: &Zone, life: &str) {
    zone.configure(|text| {
        let text: String =
            text.lines().filter(|line| !line.contains("certificate_life")).map(|l| format!("{l}\n")).collect();
        text.replacen("[control]\n", &format!("[control]\ncertificate_life = \"{life}\"\n"), 1)
    });
}

fn audited(zone: &Zone, act: &str) -> usize {
    let log = zone.folder.path().join("log.jsonl");
    let _ = fs::remove_file(&log);
    zone.operate(&["audit", "export", text(&log)]).expect(0);
    fs::read_to_string(log).unwrap().matches(act).count()
}

#[test]
fn an_idle_watcher_renews_its_certificate_and_sends_long_after_the_first_one_ran_out() {
    let zone = zone("30s");
    let source = zone.source("lab");
    let first = fs::read_to_string(source.identity.join("tls.crt")).unwrap();
    let mut outbox = Outbox::new(zone.folder.path(), &source, "complete = \"rename\"\nafter_hours = 0");
    outbox.watch();
    std::thread::sleep(Duration::from_secs(32));
    assert!(outbox.events().iter().any(|told| told["event"] == "renewed"), "{}", outbox.log());
    assert_ne!(fs::read_to_string(source.identity.join("tls.crt")).unwrap(), first);
    outbox.put("late.csv", &data::csv(1, 1000));
    outbox.wait_for("late.csv", "put-away");
    assert!(audited(&zone, "source-renewed") >= 1);
    assert!(outbox.events().iter().all(|told| told["event"] != "refused"));
}

#[test]
fn a_host_that_was_off_while_its_certificate_ran_out_keeps_everything_and_goes_on_with_a_new_invite() {
    let mut zone = zone("12s");
    let source = zone.source("lab");
    let before = source.deliver(&write(&zone, "before.csv"), "before.csv");
    std::thread::sleep(Duration::from_secs(13));
    let mut outbox = Outbox::new(zone.folder.path(), &source, "complete = \"rename\"\nafter_hours = 0");
    outbox.put("a.csv", &data::csv(1, 1000));
    outbox.watch();
    let refused = outbox.eventually("the certificate is refused", || {
        outbox.events().into_iter().find(|told| told["why"]["code"] == "certificate-expired")
    });
    assert!(refused["rests"].is_string());
    assert!(outbox.folder.join("a.csv").exists(), "nothing is put aside");
    run(sluse(&["status", "--identity", text(&source.identity)])).expect(4);
    let offline = run(sluse(&["status", "--offline", "--json", "--identity", text(&source.identity)])).expect(0).json();
    assert_eq!((&offline[0]["transfer"], &offline[0]["state"]), (&before.as_str().into(), &"delivered".into()));
    zone.stop();
    live(&zone, "1h");
    zone.run();
    let settings = source.identity.join("identity.toml");
    let before = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{before}\n[network]\ncongestion = \"cubic\"\nmax_bytes_per_second = 5000000\n"))
        .unwrap();
    let invite = zone.invite("lab");
    run(sluse(&["enroll", text(&invite), "--identity", text(&source.identity)])).expect(0);
    let kept = fs::read_to_string(&settings).unwrap();
    for line in ["[network]", "congestion = \"cubic\"", "max_bytes_per_second = 5000000"] {
        assert!(kept.contains(line), "{kept}");
    }
    outbox.wait_for("a.csv", "put-away");
    let all = run(sluse(&["status", "--json", "--identity", text(&source.identity)])).expect(0).json();
    assert_eq!(all.as_array().unwrap().len(), 2, "the journal outlives the enrolment");
}

#[test]
fn a_source_whose_clock_is_almost_five_minutes_off_is_enrolled_and_delivers_and_both_sides_name_it() {
    for (name, shift) in [("behind", "-280s"), ("ahead", "+280s")] {
        let zone = zone("1h");
        zone.agree(name, name, |text| text).expect(0);
        let (invite, identity) = (zone.invite(name), zone.folder.path().join("identity"));
        let source = Source { identity, agreement: name.to_owned() };
        let enrolling = sluse(&["enroll", text(&invite), "--identity", text(&source.identity)]);
        run(shifted(shift, &enrolling)).expect(0);
        let sending = source.sending(&write(&zone, "a.csv"), "a", "delivered");
        let sent = run(shifted(shift, &sending)).expect(0);
        assert!(sent.stderr.contains("This host's clock is 2"), "{shift}: {}", sent.stderr);
        assert!(sent.stderr.contains(name), "{shift}: {}", sent.stderr);
        zone.eventually("the zone names it", || zone.log().contains("clocks are apart").then_some(()));
    }
}

/// A command whose clock is off; files keep their times.
fn shifted(by: &str, command: &Command) -> Command {
    let mut shifted = Command::new("faketime");
    shifted.env("NO_FAKE_STAT", "1");
    shifted.args(["--exclude-monotonic", "-f", by]).arg(command.get_program()).args(command.get_args());
    shifted
}

#[test]
fn a_source_that_is_shut_out_loses_nothing_and_is_told_why() {
    let zone = zone("1h");
    let source = zone.source("lab");
    let mut outbox = Outbox::new(zone.folder.path(), &source, "complete = \"rename\"\nafter_hours = 0");
    outbox.put("first.csv", &data::csv(1, 1000));
    outbox.watch();
    outbox.wait_for("first.csv", "put-away");
    zone.operate(&["source", "revoke", "lab", "--reason", "stolen"]).expect(0);
    outbox.put("second.csv", &data::csv(2, 1000));
    let told = outbox
        .eventually("it is told", || outbox.events().into_iter().find(|told| told["why"]["code"] == "revoked-source"));
    assert_eq!(told["rests"], "zone");
    assert!(outbox.folder.join("second.csv").exists());
    let invite = zone.invite("lab");
    run(sluse(&["enroll", text(&invite), "--identity", text(&source.identity)])).expect(0);
    outbox.wait_for("second.csv", "put-away");
}

fn write(zone: &Zone, name: &str) -> std::path::PathBuf {
    let path = zone.folder.path().join(name);
    fs::write(&path, data::csv(7, 500)).unwrap();
    path
}
