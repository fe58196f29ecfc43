//! Exports that the gateway fetches: they arrive in the room, once, whatever breaks off and whoever is killed meanwhile.

use sluse_tests::gateway::Gateway;
use sluse_tests::server::{Fault, Server, TOKEN};
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::trace;
use sluse_tests::uploads::{delivered, files};
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn zone() -> (Zone, Source) {
    let zone = Zone::start();
    zone.agree("exports", "exports", |text| text).expect(0);
    let source = zone.enrol("exports");
    (zone, source)
}

/// A gateway that pulls what `section` says.
fn gateway(zone: &Zone, source: &Source, server: &Server, section: &str) -> Gateway {
    let gateway = Gateway::new(zone, source, "never");
    let token = gateway.folder.join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let section = section.replace("SERVER", &format!("http://{}", server.address));
    gateway.configure(|lines| format!("{lines}\n{section}\nflow = \"ct\"\ntoken = \"token\"\n"));
    gateway
}

const FHIR: &str = "[fhir.kohort]\nexport = \"SERVER/fhir/Group/1/$export\"\nevery = \"1d\"";
const REDCAP: &str = "[edc.study-7]\nprofile = \"redcap\"\nurl = \"SERVER/api/\"\nevery = \"1s\"";
const ODM: &str = "[edc.study-7]\nprofile = \"odm\"\nurl = \"SERVER/odm?study=7\"\nevery = \"1s\"";

/// Datasets in the room, in the order of their transfers.
fn bags(zone: &Zone) -> Vec<BTreeMap<String, Vec<u8>>> {
    delivered(zone).into_values().collect()
}

/// Whether a dataset is the sample export, whole.
#[track_caller]
fn assert_is_export(bag: &BTreeMap<String, Vec<u8>>, server: &Server) {
    let desk = server.desk();
    for (path, there) in [
        ("Patient.000.ndjson", "/files/Patient.000.ndjson"),
        ("Observation.000.ndjson", "/files/Observation.000.ndjson"),
        ("deleted/Bundle.000.ndjson", "/files/gone"),
        ("error/OperationOutcome.000.ndjson", "/files/wrong"),
    ] {
        assert!(bag.get(path) == Some(&desk.bodies[there]), "{path}");
    }
    let manifest: serde_json::Value = serde_json::from_slice(&bag["manifest.json"]).unwrap();
    assert_eq!(manifest["output"][0]["url"], "Patient.000.ndjson");
    assert_eq!(bag.len(), 5);
}

#[test]
fn an_export_is_one_dataset_and_the_next_one_asks_for_what_changed_since() {
    let (zone, source) = zone();
    let server = Server::start();
    server.desk().faults = BTreeMap::from([
        // Two exports, and no third one.
        ("/fhir/Group/1/$export".to_owned(), vec![Fault::Status(503), Fault::Nothing, Fault::Nothing, Fault::Away]),
        ("/jobs/7".to_owned(), vec![Fault::Status(202), Fault::Status(429), Fault::Status(202)]),
        ("/files/Patient.000.ndjson".to_owned(), vec![Fault::Cut, Fault::Status(502)]),
    ]);
    let mut gateway = gateway(&zone, &source, &server, &FHIR.replace("1d", "4s"));
    gateway.run();
    gateway.wait_for_delivered(1);
    assert_is_export(&bags(&zone)[0], &server);
    assert_eq!(server.count("DELETE", "/jobs/7"), 1, "the server may clean up");
    server.desk().time = "2026-11-23T01:00:00Z".into();
    gateway.wait_for_delivered(2);
    gateway.kill_intake();
    gateway.wait_until_empty();
    let asked = server.desk().asked.clone();
    let kicked: Vec<_> = asked.iter().filter(|(_, target, _)| target.contains("$export")).map(|it| &it.1).collect();
    assert!(!kicked[1].contains("_since") && kicked[2].ends_with("?_since=2026-11-22T01%3A00%3A00Z"), "{kicked:?}");
    let state = fs::read_to_string(gateway.spool().join("pulls/kohort.json")).unwrap();
    assert!(!state.contains(TOKEN) && !gateway.log().contains(TOKEN));
}

#[test]
fn a_pull_that_was_killed_goes_on_and_arrives_once() {
    let (mut zone, source) = zone();
    let server = Server::start();
    server.desk().faults.insert("/files/Observation.000.ndjson".into(), vec![Fault::Stall, Fault::Stall]);
    let mut gateway = gateway(&zone, &source, &server, FHIR);
    for asked in [1, 2] {
        gateway.run_intake();
        let stalls = || (server.count("GET", "/files/Observation.000.ndjson") == asked).then_some(());
        gateway.eventually("the file is being fetched", stalls);
        gateway.kill_intake();
    }
    zone.crash();
    gateway.run();
    gateway.eventually("all of it was fetched", || (server.count("DELETE", "/jobs/7") == 1).then_some(()));
    for milliseconds in [0, 100, 300, 900] {
        gateway.kill_forward();
        gateway.run_forward();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    }
    zone.run();
    gateway.wait_for_delivered(1);
    gateway.wait_until_empty();
    assert_is_export(&bags(&zone)[0], &server);
    assert_eq!(bags(&zone).len(), 1);
    assert_eq!(server.count("GET", "/fhir/Group/1/$export"), 1, "the same job");
    assert_eq!(server.count("GET", "/files/Patient.000.ndjson"), 1, "what was stored is not fetched again");
}

#[test]
fn an_export_that_the_server_forgot_is_taken_back_and_begun_anew() {
    let (zone, source) = zone();
    let server = Server::start();
    server.desk().faults.insert("/files/Observation.000.ndjson".into(), vec![Fault::Stall]);
    let twice = vec![Fault::Nothing, Fault::Nothing, Fault::Away];
    server.desk().faults.insert("/fhir/Group/1/$export".into(), twice);
    let mut gateway = gateway(&zone, &source, &server, &FHIR.replace("1d", "1s"));
    gateway.run_intake();
    let stalls = || (server.count("GET", "/files/Observation.000.ndjson") == 1).then_some(());
    gateway.eventually("the file is being fetched", stalls);
    gateway.kill_intake();
    server.desk().faults.insert("/jobs/7".into(), vec![Fault::Status(404)]);
    gateway.run_intake();
    gateway.eventually("it is done", || (server.count("DELETE", "/jobs/7") == 1).then_some(()));
    gateway.run_forward();
    gateway.wait_for_delivered(1);
    gateway.wait_until_empty();
    assert_eq!(bags(&zone).len(), 1);
    assert_is_export(&bags(&zone)[0], &server);
}

#[test]
fn at_whichever_step_of_fetching_it_fails_or_is_killed_each_export_arrives_once() {
    let (zone, source) = zone();
    let server = Server::start();
    let mut gateway = gateway(&zone, &source, &server, FHIR);
    // The job's state; a file's bytes, name, folder and state; the state after the manifest.
    let steps = [("fsync", 1), ("fsync", 5), ("rename", 3), ("fsync", 6), ("rename", 4), ("fsync", 29)];
    let mut done = 0;
    for (call, nth) in steps {
        for fault in [trace::Fault::Error, trace::Fault::Death] {
            server.desk().time = format!("2026-11-22T01:00:{done:02}Z");
            server.desk().waits = true;
            gateway.run_intake();
            let trace = trace::Trace::attach_to(&zone, gateway.intake(), call, nth, fault);
            server.desk().waits = false;
            gateway.eventually("the fault has happened", || trace.struck().then_some(()));
            trace.detach();
            gateway.kill_intake();
            gateway.run_intake();
            done += 1;
            gateway.eventually("it is done", || (server.count("DELETE", "/jobs/7") == done).then_some(()));
            gateway.kill_intake();
            // As if its day was over.
            fs::remove_file(gateway.spool().join("pulls/kohort.json")).unwrap();
        }
    }
    gateway.run_forward();
    gateway.wait_for_delivered(done);
    gateway.wait_until_empty();
    let bags = bags(&zone);
    assert_eq!(bags.len(), done, "each export once");
    bags.iter().for_each(|bag| assert_is_export(bag, &server));
}

#[test]
fn a_file_that_is_not_what_the_manifest_says_is_no_export_and_leaves_nothing() {
    let (zone, source) = zone();
    let server = Server::start();
    let mut gateway = gateway(&zone, &source, &server, FHIR);
    let good = server.desk().bodies["/files/wrong"].clone();
    server.desk().bodies.insert("/files/wrong".into(), good[..good.len() - 5].to_vec());
    gateway.run();
    gateway.eventually("it is told", || gateway.log().contains("is not whole").then_some(()));
    gateway.wait_until_empty();
    assert_eq!((bags(&zone).len(), server.count("DELETE", "/jobs/7")), (0, 0));
}

#[test]
fn rows_of_redcap_are_a_dataset_whenever_they_changed_and_back_again() {
    let (zone, source) = zone();
    let server = Server::start();
    let mut gateway = gateway(&zone, &source, &server, REDCAP);
    let rows = |last: &str| format!("record_id,visit\n1,1\n2,{last}\n").into_bytes();
    let mut wanted = Vec::new();
    for (count, last) in ["1", "2", "1"].into_iter().enumerate() {
        server.desk().bodies.insert("/api/".into(), rows(last));
        if count == 0 {
            gateway.run();
        }
        gateway.wait_for_delivered(count + 1);
        wanted.push(BTreeMap::from([("study-7.csv".to_owned(), rows(last))]));
        let asked = server.count("POST", "/api/");
        gateway.eventually("it is asked again", || (server.count("POST", "/api/") > asked + 2).then_some(()));
    }
    // A page that asks to log in is no export.
    server.desk().bodies.insert("/api/".into(), b"<html>Log in</html>\n".to_vec());
    gateway.eventually("it is told", || gateway.log().contains("is not whole, or no CSV").then_some(()));
    gateway.kill_intake();
    gateway.wait_until_empty();
    let mut found = bags(&zone);
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    assert!(!gateway.log().contains(TOKEN));
    let form = &server.desk().asked[0].2;
    assert_eq!(*form, format!("content=record&type=flat&returnFormat=json&format=csv&token={TOKEN}"));
}

#[test]
fn a_document_of_odm_that_differs_in_its_own_time_alone_is_not_sent_again() {
    let (zone, source) = zone();
    let server = Server::start();
    let mut gateway = gateway(&zone, &source, &server, ODM);
    let document = |time: &str, key: &str| {
        let root = "<ODM xmlns=\"http://www.cdisc.org/ns/odm/v1.3\" FileType=\"Snapshot\" ODMVersion=\"1.3\"";
        let data = format!(
            "<ClinicalData StudyOID=\"s7\" MetaDataVersionOID=\"1\"><SubjectData SubjectKey=\"{key}\"/></ClinicalData>"
        );
        format!("<?xml version=\"1.0\"?>\n{root} FileOID=\"{time}\" CreationDateTime=\"{time}\">{data}</ODM>\n")
            .into_bytes()
    };
    let first = document("2026-11-22T01:00:00", "NO001-001");
    server.desk().bodies.insert("/odm".into(), first.clone());
    gateway.run();
    gateway.wait_for_delivered(1);
    server.desk().bodies.insert("/odm".into(), document("2026-11-22T02:00:00", "NO001-001"));
    let asked = server.count("GET", "/odm");
    gateway.eventually("it is asked again", || (server.count("GET", "/odm") > asked + 2).then_some(()));
    let third = document("2026-11-22T03:00:00", "NO001-002");
    server.desk().bodies.insert("/odm".into(), third.clone());
    gateway.wait_for_delivered(2);
    gateway.kill_intake();
    gateway.wait_until_empty();
    let mut found: Vec<_> = bags(&zone).into_iter().map(|mut bag| bag.remove("study-7.xml").unwrap()).collect();
    found.sort();
    let mut wanted = vec![first, third];
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn a_spool_that_is_full_lets_a_pull_wait_and_nothing_of_it_is_in_the_clear() {
    let (zone, source) = zone();
    let server = Server::start();
    let big = format!("record_id,note\n1,{}\n", "canary ".repeat(400_000)).into_bytes();
    server.desk().bodies.insert("/api/".into(), big.clone());
    let mut gateway = gateway(&zone, &source, &server, REDCAP);
    let small = SmallDisk::mount(gateway.spool(), 8 << 20);
    let ballast = small.path().join("ballast");
    fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    gateway.run_intake();
    gateway.eventually("it is told", || gateway.log().contains("too little space in the spool").then_some(()));
    fs::remove_file(&ballast).unwrap();
    let arrived = gateway.spool().join("arrived");
    gateway.eventually("it is fetched", || fs::read_dir(&arrived).unwrap().next().is_some().then_some(()));
    gateway.kill_intake();
    for (name, bytes) in files(&gateway.spool()) {
        assert!(!bytes.windows(7).any(|it| it == b"canary "), "{name}");
    }
    gateway.run_forward();
    gateway.wait_for_delivered(1);
    assert!(bags(&zone)[0]["study-7.csv"] == big);
    gateway.wait_until_empty();
}

#[test]
fn at_whichever_step_of_storing_an_export_of_a_data_capture_system_it_fails_or_is_killed_each_arrives_once() {
    let (zone, source) = zone();
    let server = Server::start();
    let mut gateway = gateway(&zone, &source, &server, REDCAP);
    // The parcel's bytes, name and folder; the state's bytes, name and folder.
    let steps = [("fsync", 1), ("rename", 1), ("fsync", 2), ("fsync", 3), ("rename", 2), ("fsync", 4)];
    let mut wanted = Vec::new();
    for (call, nth) in steps {
        for fault in [trace::Fault::Error, trace::Fault::Death] {
            let rows = format!("record_id,visit\n1,{}\n", wanted.len()).into_bytes();
            server.desk().bodies.insert("/api/".into(), rows.clone());
            wanted.push(BTreeMap::from([("study-7.csv".to_owned(), rows)]));
            server.desk().waits = true;
            gateway.run_intake();
            let trace = trace::Trace::attach_to(&zone, gateway.intake(), call, nth, fault);
            server.desk().waits = false;
            gateway.eventually("the fault has happened", || trace.struck().then_some(()));
            trace.detach();
            gateway.kill_intake();
            let asked = server.count("POST", "/api/");
            gateway.run_intake();
            // One that was still asked for by who was killed may be counted late; the next but one begins when the last one is stored.
            gateway.eventually("it is fetched", || (server.count("POST", "/api/") > asked + 2).then_some(()));
            gateway.kill_intake();
        }
    }
    gateway.run_forward();
    gateway.wait_for_delivered(wanted.len());
    gateway.wait_until_empty();
    let mut found = bags(&zone);
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "each state of the rows once");
}

#[test]
fn an_export_of_fhir_that_does_not_fit_waits_and_arrives_once_when_there_is_room() {
    // With room for what must be said that is kept free, and with none at all.
    for keep_free in [1_500_000, 0] {
        let (zone, source) = zone();
        let server = Server::start();
        let patient = |number| format!("{{\"resourceType\":\"Patient\",\"id\":\"p{number:050}\"}}\n");
        server
            .desk()
            .bodies
            .insert("/files/Patient.000.ndjson".into(), (0..36_000).map(patient).collect::<String>().into());
        // Each export is the same again, so that it is no matter how many there are.
        let section = format!("{}\nincremental = false", FHIR.replace("1d", "1s"));
        let mut gateway = gateway(&zone, &source, &server, &section);
        gateway.configure(|lines| lines.replace("keep_free_bytes = 0", &format!("keep_free_bytes = {keep_free}")));
        let small = SmallDisk::mount(gateway.spool(), 8 << 20);
        let ballast = small.path().join("ballast");
        fs::write(&ballast, vec![0; 6 << 20]).unwrap();
        gateway.run();
        let full = || gateway.log().matches("too little space in the spool").count();
        gateway.eventually("it is told, again and again", || (full() > 2).then_some(()));
        assert_eq!(bags(&zone).len(), 0, "nothing of it is a dataset");
        fs::remove_file(&ballast).unwrap();
        gateway.wait_for_delivered(1);
        let export = "/fhir/Group/1/$export";
        server.desk().faults.insert(export.into(), vec![Fault::Away; 9]);
        gateway.eventually("no other is begun", || (server.desk().faults[export].len() < 9).then_some(()));
        gateway.kill_intake();
        gateway.wait_until_empty();
        let bags = bags(&zone);
        assert_eq!(bags.len(), 1);
        assert_is_export(&bags[0], &server);
    }
}

#[test]
fn a_token_is_asked_for_with_a_signed_assertion_and_again_when_it_ended() {
    let (zone, source) = zone();
    let server = Server::start();
    server.desk().faults.insert("/jobs/7".into(), vec![Fault::Status(202); 3]);
    let mut gateway = gateway(&zone, &source, &server, FHIR);
    let key = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out client.pem && chmod 600 client.pem";
    sluse_tests::command::program("sh", &[&"-c", &key], &gateway.folder, b"").expect(0);
    let smart = format!(
        "token_endpoint = \"http://{}/token\"\nclient = \"sluse\"\nclient_key = \"client.pem\"\nclient_key_id = \"k1\"\n",
        server.address
    );
    gateway.configure(|lines| lines.replace("token = \"token\"\n", &smart));
    server.desk().slow = true;
    gateway.run();
    gateway.wait_for_delivered(1);
    assert_is_export(&bags(&zone)[0], &server);
    assert!(server.count("POST", "/token") > 1, "a token ends");
}

#[test]
fn a_pull_that_cannot_be_is_told_at_the_start() {
    let (zone, source) = zone();
    let server = Server::start();
    let gateway = gateway(&zone, &source, &server, FHIR);
    let check = || {
        sluse_tests::command::run(sluse_tests::command::sluse(&[
            "gateway",
            "--check",
            "--config",
            text(&gateway.config()),
        ]))
    };
    check().expect(0);
    gateway.configure(|lines| lines.replace("quiet = \"never\"", "quiet = \"60s\""));
    assert!(check().expect(3).stderr.contains("may close an export while it is fetched"));
    gateway.configure(|lines| lines.replace("http://127.0.0.1", "http://10.0.0.1"));
    assert!(check().expect(3).stderr.contains("is no address of HTTPS"));
}
