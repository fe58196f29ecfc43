//! The landing zone is away for an hour: whoever hands something to the gateway is served meanwhile, by every adapter, and what they were
//! told is stored arrives once when the zone is back.
//!
//! The zone is really away, for as long as the clients take. The hour is that of the gateway's clock, which is moved; pauses between
//! tries go by how much time has passed, and are simulated where they are decided (`sender/src/watch/machine/tests.rs`).

use sluse_tests::clock::Clock;
use sluse_tests::command::Ended;
use sluse_tests::server::{Fault, Server, TOKEN as SERVER_TOKEN};
use sluse_tests::sftp::Inbox;
use sluse_tests::uploads::{TOKEN, Uploads, delivered, header, status};
use sluse_tests::zone::{PATIENCE, Zone, eventually, text};
use sluse_tests::{data, dicom};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The gateway's clock, as it is read, in seconds from this host's. It is an hour behind before, and right in the end.
const HOUR: i64 = 3600;
const QUARTERS: i64 = 4;

const BYTES: &str = "Content-Type: application/offset+octet-stream";

/// A gateway with every adapter, and who speaks with it.
struct Place {
    zone: Zone,
    uploads: Uploads,
    inbox: Inbox,
    server: Server,
    /// What must stand in the room, by the file's name in its dataset.
    wanted: BTreeMap<String, Vec<u8>>,
}

impl Place {
    fn new() -> Self {
        let zone = Zone::start();
        let allowed = "malformed = \"allow\"\nnot-deidentified = \"allow\"\ntype-unknown";
        zone.agree("all", "all", |text| text.replace("type-unknown", allowed)).expect(0);
        let source = zone.enrol("all");
        let mut uploads = Uploads::new(&zone, &source, "2s");
        let inbox = Inbox::of(&uploads.gateway, "complete = \"rename\"", &["-t", "ed25519"]);
        let server = Server::start();
        // One export, and no other.
        server.desk().faults.insert("/fhir/Group/1/$export".into(), vec![Fault::Nothing, Fault::Away]);
        let token = uploads.gateway.folder.join("token");
        fs::write(&token, format!("{SERVER_TOKEN}\n")).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let address = server.address;
        uploads.gateway.configure(|lines| {
            format!(
                "{lines}\n[flow.exports]\nagreement = \"all\"\nquiet = \"never\"\n\n\
                 [fhir.kohort]\nexport = \"http://{address}/fhir/Group/1/$export\"\nevery = \"1d\"\nflow = \"exports\"\ntoken = \"token\"\n\n\
                 [edc.study-7]\nprofile = \"redcap\"\nurl = \"http://{address}/api/\"\nevery = \"1s\"\nflow = \"exports\"\ntoken = \"token\"\n"
            )
        });
        uploads.gateway.listens.push(inbox.address);
        uploads.gateway.clock = Some(Clock::new(&uploads.gateway.folder, -HOUR));
        Self { zone, uploads, inbox, server, wanted: BTreeMap::new() }
    }

    /// One of everything, in a quarter of the hour; whoever hands it over is told that it is stored.
    fn hand_over(&mut self, quarter: i64) {
        self.study(quarter);
        let name = format!("put-{quarter}.csv");
        let bytes = data::csv(quarter as u64, 20_000);
        self.inbox.file(&name, &bytes);
        self.inbox.sftp(&format!("put {name} {name}.part\nrename {name}.part {name}")).expect(0);
        self.wanted.insert(name, bytes);
        let (name, bytes) = (format!("uploaded-{quarter}.csv"), data::csv(100 + quarter as u64, 20_000));
        let address = self.begin(&name, bytes.len());
        assert_eq!(status(&self.bring(&address, 0, &bytes)), 204);
        self.wanted.insert(name, bytes);
    }

    fn study(&mut self, quarter: i64) {
        let study = format!("1.2.40.77.{quarter}");
        let files = dicom::study(&self.zone.folder.path().join(format!("images-{quarter}")), &study, 6, 3000);
        let paths: Vec<&Path> = files.iter().map(|file| file.as_path()).collect();
        self.uploads.gateway.storescu(&[], &paths).expect(0);
        for (number, path) in files.iter().enumerate() {
            let image = dicom::data_set(&fs::read(path).unwrap()).to_vec();
            self.wanted.insert(format!("{study}.1/{study}.1.{}.dcm", number + 1), image);
        }
    }

    /// Other rows at the data capture system; they are waited for, since only what was asked for can be fetched.
    fn rows(&mut self, quarter: i64) -> BTreeMap<String, Vec<u8>> {
        let rows = format!("record_id,visit\n1,{quarter}\n").into_bytes();
        let before = self.fetched();
        self.server.desk().bodies.insert("/api/".into(), rows.clone());
        self.uploads.gateway.eventually("they are fetched", || (self.fetched() > before + 2).then_some(()));
        BTreeMap::from([("study-7.csv".to_owned(), rows)])
    }

    fn fetched(&self) -> usize {
        self.server.count("POST", "/api/")
    }

    fn begin(&self, name: &str, length: usize) -> String {
        let metadata = format!("Upload-Metadata: filename {}", base64(name));
        let length = format!("Upload-Length: {length}");
        let begun = self.uploads.curl(&["-X", "POST", "-H", &metadata, "-H", &length], "/uploads");
        assert_eq!(status(&begun), 201, "{begun:?}");
        header(&begun, "location").unwrap()
    }

    fn bring(&self, address: &str, offset: usize, bytes: &[u8]) -> Ended {
        let piece = self.uploads.gateway.folder.join("piece");
        fs::write(&piece, bytes).unwrap();
        let (offset, body) = (format!("Upload-Offset: {offset}"), format!("@{}", text(&piece)));
        self.uploads.curl(&["-X", "PATCH", "-H", &offset, "-H", BYTES, "--data-binary", &body], address)
    }

    /// The gateway's clock is moved, and goes.
    fn move_clock(&self, seconds: i64) {
        self.uploads.gateway.clock.as_ref().unwrap().set(seconds);
        let state = self.uploads.gateway.spool().join("pulls/study-7.json");
        self.uploads.gateway.eventually("the gateway's clock is moved", || {
            let state: serde_json::Value = serde_json::from_slice(&fs::read(&state).ok()?).ok()?;
            let done: sluse_protocol::time::Timestamp = state["done"].as_str()?.parse().ok()?;
            let ahead = done.unix() - sluse_host::clock::now().unix();
            ((ahead - seconds).abs() < 600).then_some(())
        });
    }

    /// Datasets that lie in the spool, whole, to be sent.
    fn waiting(&self) -> usize {
        let boxes = ["ct", "exports"].map(|flow| self.uploads.gateway.spool().join("outbox").join(flow));
        let entries = boxes.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('_')).count()
    }

    /// As [`sluse_tests::gateway::Gateway::eventually`], and for as much longer as the longest pause between two tries.
    fn at_last<T>(&self, what: &str, check: impl FnMut() -> Option<T>) -> T {
        eventually(what, PATIENCE * 3, || self.uploads.gateway.log(), check)
    }
}

/// Base64, as tus wants names.
fn base64(text: &str) -> String {
    let words: [&dyn AsRef<std::ffi::OsStr>; 1] = [&"-w0"];
    sluse_tests::command::program("base64", &words, Path::new("/"), text.as_bytes()).expect(0).stdout
}

#[test]
fn a_zone_that_is_away_for_an_hour_costs_no_client_anything_and_all_arrives_once_when_it_is_back() {
    let mut place = Place::new();
    place.zone.crash();
    place.uploads.gateway.run();
    // Begun before, and brought in pieces all through the hour.
    let long = data::csv(9, 80_000);
    let address = place.begin("long.csv", long.len());
    let mut exports = vec![place.rows(0)];
    for quarter in 1..=QUARTERS {
        place.move_clock(-HOUR + HOUR * quarter / QUARTERS);
        exports.push(place.rows(quarter));
        place.hand_over(quarter);
        let (begins, ends) = ((quarter - 1) as usize, quarter as usize);
        let [begins, ends] = [begins, ends].map(|part| long.len() * part / QUARTERS as usize);
        assert_eq!(status(&place.bring(&address, begins, &long[begins..ends])), 204);
        if quarter == QUARTERS / 2 {
            place.uploads.gateway.kill_forward();
            place.uploads.gateway.run_forward();
        }
    }
    place.wanted.insert("long.csv".into(), long);
    // Of each quarter a study, a file that was put, one that was uploaded, and rows; rows before, the long one, the export of FHIR.
    let datasets = QUARTERS as usize * 4 + 3;
    place.at_last("all of it waits", || (place.waiting() >= datasets).then_some(()));
    assert!(place.uploads.gateway.log().contains("will try again"), "it was tried");
    assert!(delivered(&place.zone).is_empty());
    place.zone.run();
    place.at_last("all of it is delivered", || {
        let expected = place.uploads.gateway.delivered().len();
        (expected >= datasets && place.waiting() == 0).then_some(())
    });
    // Once more: nothing that is fetched again, or was left anywhere, comes after it.
    place.uploads.gateway.kill_intake();
    place.at_last("nothing has arrived that is not gathered", || {
        (fs::read_dir(place.uploads.gateway.spool().join("arrived")).unwrap().count() == 0 && place.waiting() == 0)
            .then_some(())
    });
    check(&place, exports);
}

fn check(place: &Place, mut exports: Vec<BTreeMap<String, Vec<u8>>>) {
    let mut found = BTreeMap::new();
    let (mut fetched, mut whole) = (Vec::new(), 0);
    for bag in delivered(&place.zone).into_values() {
        if bag.contains_key("study-7.csv") {
            fetched.push(bag);
        } else if bag.contains_key("manifest.json") {
            assert_eq!(bag["Patient.000.ndjson"], place.server.desk().bodies["/files/Patient.000.ndjson"]);
            whole += 1;
        } else {
            for (name, bytes) in bag {
                let bytes = if name.ends_with(".dcm") { dicom::data_set(&bytes).to_vec() } else { bytes };
                assert!(found.insert(name.clone(), bytes).is_none(), "{name} was delivered twice");
            }
        }
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), place.wanted.keys().collect::<Vec<_>>());
    assert!(found == place.wanted, "what arrived is not what was handed over");
    fetched.sort();
    exports.sort();
    assert_eq!(fetched, exports, "each state of the rows once");
    assert_eq!(whole, 1, "the export once");
    assert!(!place.uploads.gateway.log().contains(TOKEN));
}
