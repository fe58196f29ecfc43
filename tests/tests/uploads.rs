//! Uploads by HTTPS: what tuspy and curl bring arrives in the room, once, whoever is killed or full meanwhile.

use sluse_tests::command::{Ended, program, run, sluse};
use sluse_tests::small_disk::SmallDisk;
use sluse_tests::source::Source;
use sluse_tests::trace::{Fault, Trace};
use sluse_tests::uploads::{OTHER_TOKEN, TOKEN, Uploads, certificate, delivered, files, header, status};
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const BYTES: &str = "Content-Type: application/offset+octet-stream";

/// `a.bin`, `a.csv` and `dataset nightly`, as tus writes them.
const A_BIN: &str = "Upload-Metadata: filename YS5iaW4=";
const A_CSV: &str = "Upload-Metadata: filename YS5jc3Y=";
const IN_NIGHTLY: &str = "Upload-Metadata: filename YS5jc3Y=,dataset bmlnaHRseQ==";

fn zone() -> (Zone, Source) {
    let zone = Zone::start();
    zone.agree("lab", "lab", |text| text).expect(0);
    let source = zone.enrol("lab");
    (zone, source)
}

/// Files with bytes that look like nothing, in a folder of its own.
fn data(zone: &Zone, sizes: &[(&str, usize)]) -> PathBuf {
    let folder = zone.folder.path().join("extract");
    let mut state = 88_172_645_463_325_252_u64;
    for (name, size) in sizes {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < *size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        bytes.truncate(*size);
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// The only dataset in the room.
fn only(zone: &Zone) -> BTreeMap<String, Vec<u8>> {
    let mut bags: Vec<_> = delivered(zone).into_values().collect();
    assert_eq!(bags.len(), 1, "one dataset");
    bags.remove(0)
}

/// Begins an upload of `length` bytes; its address.
fn begin(uploads: &Uploads, metadata: &str, length: usize) -> String {
    let length = format!("Upload-Length: {length}");
    let begun = uploads.curl(&["-X", "POST", "-H", metadata, "-H", &length], "/uploads");
    assert_eq!(status(&begun), 201, "{begun:?}");
    header(&begun, "location").unwrap()
}

/// Brings the bytes of a file, from `offset` on.
fn bring(uploads: &Uploads, address: &str, offset: usize, bytes: &[u8]) -> Ended {
    let piece = uploads.gateway.folder.join("piece");
    fs::write(&piece, bytes).unwrap();
    let (offset, body) = (format!("Upload-Offset: {offset}"), format!("@{}", text(&piece)));
    uploads.curl(&["-X", "PATCH", "-H", &offset, "-H", BYTES, "--data-binary", &body], address)
}

fn offset(uploads: &Uploads, address: &str) -> Option<String> {
    header(&uploads.curl(&["--head"], address), "upload-offset")
}

#[test]
fn what_tuspy_uploads_is_one_dataset_and_one_file_alone_another_and_neither_goes_twice() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.run();
    let sizes = [("a.bin", 3_000_000), ("b/c.bin", 70_000), ("b/empty", 0), ("b/one", 1)];
    let folder = data(&zone, &sizes);
    assert!(uploads.tuspy(&folder, Some("nightly run"), 500_000).status().unwrap().success());
    uploads.gateway.wait_for_delivered(1);
    assert_eq!(only(&zone), files(&folder));
    uploads.gateway.wait_until_empty();
    let alone = folder.join("b");
    fs::remove_file(alone.join("empty")).unwrap();
    fs::remove_file(alone.join("one")).unwrap();
    assert!(uploads.tuspy(&alone, None, 500_000).status().unwrap().success());
    uploads.gateway.wait_for_delivered(2);
    // The same again is known.
    assert!(uploads.tuspy(&alone, None, 30_000).status().unwrap().success());
    fs::write(folder.join("b/one"), "x").unwrap();
    assert!(uploads.tuspy(&folder.join("b"), Some("last"), 500_000).status().unwrap().success());
    uploads.gateway.wait_for_delivered(3);
    uploads.gateway.wait_until_empty();
    assert_eq!(delivered(&zone).len(), 3);
    let log = uploads.gateway.log();
    assert!(log.contains("was sent before: not sent again"), "{log}");
    for secret in ["nightly run", "c.bin", TOKEN] {
        assert!(!log.contains(secret), "{secret} is no matter for the log\n{log}");
    }
}

#[test]
fn an_upload_goes_on_where_it_stood_when_intake_was_killed_and_arrives_once() {
    let (mut zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.run_intake();
    let folder = data(&zone, &[("a.bin", 4_000_000), ("b.bin", 2_000_000)]);
    let mut client = uploads.tuspy(&folder, Some("nightly"), 100_000).spawn().unwrap();
    let arrived = |uploads: &Uploads| fs::read_dir(uploads.gateway.spool().join("arrived")).unwrap().count();
    for wanted in [5, 15, 30, 45] {
        uploads.gateway.eventually("more arrived", || (arrived(&uploads) >= wanted).then_some(()));
        uploads.gateway.kill_intake();
        uploads.gateway.run_intake();
    }
    assert!(client.wait().unwrap().success());
    // The zone is away; whoever sends is killed again and again.
    zone.crash();
    for milliseconds in [0, 50, 200, 400, 800, 1600] {
        uploads.gateway.run_forward();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        uploads.gateway.kill_forward();
    }
    uploads.gateway.run_forward();
    zone.run();
    uploads.gateway.wait_for_delivered(1);
    assert_eq!(only(&zone), files(&folder));
    uploads.gateway.wait_until_empty();
}

#[test]
fn at_whichever_step_of_storing_it_fails_or_is_killed_what_was_acknowledged_arrives_once() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    let folder = data(&zone, &[("a.bin", 300_000), ("b.bin", 100_000)]);
    let steps = [("fsync", 1), ("fsync", 3), ("fsync", 5), ("fsync", 6), ("fsync", 7), ("rename", 2), ("rename", 3)];
    let mut wanted = 0;
    for (call, nth) in steps {
        for fault in [Fault::Error, Fault::Death] {
            uploads.gateway.run_intake();
            let trace = Trace::attach_to(&zone, uploads.gateway.intake(), call, nth, fault);
            let name = format!("night {wanted}");
            let mut client = uploads.tuspy(&folder, Some(&name), 100_000).spawn().unwrap();
            uploads.gateway.eventually("the fault has happened", || trace.struck().then_some(()));
            trace.detach();
            uploads.gateway.kill_intake();
            uploads.gateway.run_intake();
            assert!(client.wait().unwrap().success(), "{call} {nth} {fault:?}");
            uploads.gateway.kill_intake();
            wanted += 1;
        }
    }
    uploads.gateway.run_forward();
    uploads.gateway.wait_for_delivered(wanted);
    uploads.gateway.wait_until_empty();
    let bags = delivered(&zone);
    assert_eq!(bags.len(), wanted, "each dataset once");
    assert!(bags.into_values().all(|bag| bag == files(&folder)));
}

#[test]
fn a_client_that_vanishes_in_the_middle_goes_on_behind_what_is_durable() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.run();
    let bytes = fs::read(data(&zone, &[("a.bin", 6_000_000)]).join("a.bin")).unwrap();
    let address = begin(&uploads, A_BIN, bytes.len());
    let slow = zone.folder.path().join("extract/a.bin");
    let mut command = std::process::Command::new("curl");
    command.args([
        "-sS",
        "--limit-rate",
        "1M",
        "-X",
        "PATCH",
        "-H",
        "Upload-Offset: 0",
        "-H",
        BYTES,
        "-T",
        text(&slow),
    ]);
    command.args(["-H", "Tus-Resumable: 1.0.0", "-H", &format!("Authorization: Bearer {TOKEN}")]);
    command.args(["--cacert", text(&uploads.gateway.folder.join("https.pem")), &uploads.url(&address)]);
    let mut client = command.spawn().unwrap();
    let partial = uploads.gateway.spool().join("partial");
    uploads.gateway.eventually("some came", || {
        fs::read_dir(&partial)
            .unwrap()
            .flatten()
            .any(|file| file.metadata().is_ok_and(|it| it.len() > 1_000_000))
            .then_some(())
    });
    client.kill().unwrap();
    client.wait().unwrap();
    let stands: usize = offset(&uploads, &address).unwrap().parse().unwrap();
    assert!((1_000_000..6_000_000).contains(&stands), "{stands}");
    // What is not where it stands is refused, and says where it does.
    let wrong = bring(&uploads, &address, 0, b"x");
    assert_eq!((status(&wrong), header(&wrong, "upload-offset")), (409, Some(stands.to_string())));
    assert_eq!(status(&bring(&uploads, &address, stands, &bytes[stands..])), 204);
    uploads.gateway.wait_for_delivered(1);
    assert_eq!(only(&zone), BTreeMap::from([("a.bin".to_owned(), bytes)]));
}

#[test]
fn an_upload_that_was_given_up_gives_way_to_the_next_one_of_the_same_file() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.run();
    let lost = begin(&uploads, IN_NIGHTLY, 10);
    assert_eq!(status(&bring(&uploads, &lost, 0, b"12345")), 204);
    let early = uploads.curl(&["-X", "POST"], "/datasets/nightly/complete");
    assert_eq!(status(&early), 409, "{early:?}");
    let next = begin(&uploads, IN_NIGHTLY, 3);
    assert_eq!(status(&bring(&uploads, &lost, 5, b"67890")), 404);
    assert_eq!(status(&bring(&uploads, &next, 0, b"abc")), 204);
    let withdrawn = begin(&uploads, "Upload-Metadata: filename Yg==,dataset bmlnaHRseQ==", 10);
    assert_eq!(status(&uploads.curl(&["-X", "DELETE"], &withdrawn)), 204);
    assert_eq!(offset(&uploads, &withdrawn), None);
    assert_eq!(status(&uploads.curl(&["-X", "POST"], "/datasets/nightly/complete")), 204);
    uploads.gateway.wait_for_delivered(1);
    assert_eq!(only(&zone), BTreeMap::from([("a.csv".to_owned(), b"abc".to_vec())]));
    uploads.gateway.wait_until_empty();
}

#[test]
fn bytes_that_are_not_those_of_the_checksum_do_not_count() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.run();
    let address = begin(&uploads, A_CSV, 3);
    let checked = |checksum: &str| {
        let checksum = format!("Upload-Checksum: {checksum}");
        let words = ["-X", "PATCH", "-H", "Upload-Offset: 0", "-H", BYTES, "-H", &checksum, "-d", "abc"];
        status(&uploads.curl(&words, &address))
    };
    assert_eq!(checked("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), 460);
    assert_eq!(checked("md5 kAFQmDzST7DWlj99KOF/cg=="), 400);
    assert_eq!(offset(&uploads, &address).as_deref(), Some("0"));
    assert_eq!(checked("sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0="), 204);
    uploads.gateway.wait_for_delivered(1);
    assert_eq!(only(&zone), BTreeMap::from([("a.csv".to_owned(), b"abc".to_vec())]));
}

#[test]
fn what_waits_for_a_word_or_cannot_be_read_is_told_until_somebody_saw_to_it() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    let ask = |uploads: &Uploads, words: &[&str]| {
        let config = uploads.gateway.config();
        run(sluse(&[&["gateway", "--status", "--config", text(&config)], words].concat()))
    };
    assert!(ask(&uploads, &[]).expect(6).stdout.contains("never ran"));
    uploads.gateway.run_intake();
    let address = begin(&uploads, IN_NIGHTLY, 3);
    assert_eq!(status(&bring(&uploads, &address, 0, b"abc")), 204);
    let damaged = begin(&uploads, A_BIN, 3);
    let before: Vec<_> = parcels(&uploads);
    assert_eq!(status(&bring(&uploads, &damaged, 0, b"abc")), 204);
    // As if nothing had come for two days, and a disk had failed.
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 86_400);
    for path in &before {
        fs::File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let broken = parcels(&uploads).into_iter().find(|path| !before.contains(path)).unwrap();
    let mut bytes = fs::read(&broken).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&broken, bytes).unwrap();
    uploads.gateway.run_forward();
    let problems = |uploads: &Uploads| {
        let told = ask(uploads, &["--json"]);
        (told.code != 6).then(|| (told.code, told.json()))
    };
    let (code, told) = uploads.gateway.eventually("it is told", || problems(&uploads).filter(|told| told.0 == 70));
    let (late, stays) = (&told["status"]["late"][0], &told["status"]["stay"][0]);
    assert_eq!((code, &told["runs"], &told["status"]["late_datasets"]), (70, &true.into(), &1.into()), "{told}");
    assert_eq!((&late["flow"], &late["files"], &late["bytes"]), (&"ct".into(), &1.into(), &3.into()), "{told}");
    assert_eq!((stays["parcel"].as_str(), &stays["why"]), (name(&broken), &"unreadable".into()), "{told}");
    let lines = ask(&uploads, &[]).expect(70).stdout;
    assert!(lines.contains("1 datasets wait for a word") && lines.contains("cannot be read"), "{lines}");
    assert!(!lines.contains("nightly") && !lines.contains("a.csv"), "{lines}");
    let logged = || uploads.gateway.log().contains("wait for a word that they are complete").then_some(());
    uploads.gateway.eventually("the log has it", logged);
    fs::remove_file(&broken).unwrap();
    assert_eq!(status(&uploads.curl(&["-X", "POST"], "/datasets/nightly/complete")), 204);
    uploads.gateway.wait_for_delivered(1);
    uploads.gateway.eventually("all is well", || problems(&uploads).filter(|told| told.0 == 0));
    uploads.gateway.wait_until_empty();
}

/// The parcels that arrived.
fn parcels(uploads: &Uploads) -> Vec<PathBuf> {
    fs::read_dir(uploads.gateway.spool().join("arrived")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

#[test]
fn a_full_spool_is_told_to_the_client_and_heals_when_there_is_room() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    let _small = SmallDisk::mount(uploads.gateway.spool(), 6 << 20);
    uploads.gateway.configure(|config| config.replace("keep_free_bytes = 0", "keep_free_bytes = 1000000"));
    uploads.gateway.run_intake();
    let bytes = fs::read(data(&zone, &[("a.bin", 3_000_000)]).join("a.bin")).unwrap();
    let too_large = uploads.curl(&["-X", "POST", "-H", A_BIN, "-H", "Upload-Length: 6000000"], "/uploads");
    assert_eq!((status(&too_large), header(&too_large, "retry-after").is_some()), (507, true), "{too_large:?}");
    let first = begin(&uploads, A_BIN, bytes.len());
    let second = begin(&uploads, "Upload-Metadata: filename Yg==", bytes.len());
    assert_eq!(status(&bring(&uploads, &first, 0, &bytes)), 204);
    assert_eq!(status(&bring(&uploads, &second, 0, &bytes)), 507);
    let stands: usize = offset(&uploads, &second).unwrap().parse().unwrap();
    uploads.gateway.run_forward();
    uploads.gateway.wait_for_delivered(1);
    uploads.gateway.eventually("there is room again", || {
        (status(&bring(&uploads, &second, stands, &bytes[stands..])) == 204).then_some(())
    });
    uploads.gateway.wait_for_delivered(2);
    assert_eq!(delivered(&zone).into_values().flat_map(BTreeMap::into_values).filter(|it| *it == bytes).count(), 2);
}

#[test]
fn strangers_are_turned_away_and_nobody_sees_what_is_anothers() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    certificate(&uploads.gateway.folder, "client");
    certificate(&uploads.gateway.folder, "stranger");
    let digest = "openssl x509 -in client.pem -outform der | sha256sum | cut -c-64";
    let digest = program("sh", &[&"-c", &digest], &uploads.gateway.folder, b"").expect(0).stdout;
    uploads
        .gateway
        .configure(|config| format!("{config}\n[upload.card]\nflow = \"ct\"\ncertificate = \"{}\"\n", digest.trim()));
    uploads.gateway.run_intake();
    let address = begin(&uploads, A_CSV, 3);
    for token in ["", "wrong", OTHER_TOKEN] {
        let told = uploads.curl_as(token, &["--head"], &address);
        assert_eq!(status(&told), if token == OTHER_TOKEN { 404 } else { 401 }, "{told:?}");
    }
    assert_eq!(status(&uploads.curl(&["--head"], "/uploads/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), 404);
    let with = |name: &str| {
        let [certificate, key] = ["pem", "key"].map(|kind| uploads.gateway.folder.join(format!("{name}.{kind}")));
        let words = ["--cert", text(&certificate), "--key", text(&key), "-X", "OPTIONS"];
        status(&uploads.curl_as("", &words, "/uploads"))
    };
    assert_eq!((with("client"), with("stranger")), (204, 0), "a stranger's certificate ends the handshake");
    for folder in ["uploads", "arrived", "partial"] {
        for (name, bytes) in files(&uploads.gateway.spool().join(folder)) {
            assert!(!bytes.windows(5).any(|it| it == b"a.csv"), "{folder}/{name} has a name in the clear");
        }
    }
}

#[test]
fn who_opens_connections_and_says_nothing_keeps_nobody_out() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.configure(|config| config.replace("idle = \"5s\"", "idle = \"5s\"\nconnections = 8"));
    uploads.gateway.run_intake();
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(uploads.https).unwrap()).collect();
    let address = begin(&uploads, A_CSV, 3);
    assert_eq!(status(&bring(&uploads, &address, 0, b"abc")), 204);
    let hung_up_on = || uploads.gateway.log().contains("hung up on one").then_some(());
    uploads.gateway.eventually("it is told", hung_up_on);
    drop(silent);
}

#[test]
fn requests_that_cannot_be_taken_are_told_why() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.configure(|config| config.replace("idle = \"5s\"", "idle = \"1s\"\nmax_bytes = 100\nuploads = 4"));
    uploads.gateway.run_intake();
    let post = |words: &[&str]| status(&uploads.curl(&[&["-X", "POST"], words].concat(), "/uploads"));
    let outside = "Upload-Metadata: filename Li4vYS5jc3Y=";
    let far = format!("X-Far: {}", "a".repeat(60_000));
    let cases: [(&[&str], u16); 5] = [
        (&["-H", A_CSV], 400),
        (&["-H", A_CSV, "-H", "Upload-Length: 101"], 413),
        (&["-H", outside, "-H", "Upload-Length: 1"], 400),
        (&["-H", "Upload-Length: 1"], 400),
        (&["-H", A_CSV, "-H", "Upload-Length: 1", "-H", &far, "-H", &far], 431),
    ];
    for (words, wanted) in cases {
        let told = post(words);
        // A server that hangs up on a head that is too long may cut off its own answer.
        assert!(told == wanted || (wanted == 431 && told == 0), "{told}, not {wanted}: {:?}", &words[..2]);
    }
    let old = format!(
        "curl -sS -i --cacert https.pem -H 'Authorization: Bearer {TOKEN}' -X POST {}",
        uploads.url("/uploads")
    );
    let old = program("sh", &[&"-c", &old], &uploads.gateway.folder, b"");
    assert_eq!((status(&old), header(&old, "tus-version").as_deref()), (412, Some("1.0.0")));
    let able = uploads.curl(&["-X", "OPTIONS"], "/uploads");
    assert_eq!(header(&able, "tus-max-size").as_deref(), Some("100"));
    let address = begin(&uploads, A_CSV, 10);
    assert_eq!(status(&bring(&uploads, &address, 0, b"12345678901")), 413);
    // A client that says nothing for so long is told so; what it brought counts.
    let silent = "printf 123; sleep 3";
    let curl = format!(
        "({silent}) | curl -sS -i --cacert https.pem -H 'Authorization: Bearer {TOKEN}' -H 'Tus-Resumable: 1.0.0' \
         -X PATCH -H 'Upload-Offset: 0' -H '{BYTES}' -T - {}",
        uploads.url(&address)
    );
    let told = program("sh", &[&"-c", &curl], &uploads.gateway.folder, b"");
    assert_eq!(status(&told), 408, "{told:?}");
    assert_eq!(offset(&uploads, &address).as_deref(), Some("3"));
    begin(&uploads, "Upload-Metadata: filename Yg==", 10);
    let third = ["-H", "Upload-Metadata: filename Yw==", "-H", "Upload-Length: 10"];
    assert_eq!(post(&third), 503, "half of what there is");
    let others = uploads.curl_as(OTHER_TOKEN, &[&["-X", "POST"], &third[..]].concat(), "/uploads");
    assert_eq!(status(&others), 201, "who has another account does not feel that");
    let plain = uploads.gateway.config();
    uploads.gateway.configure(|config| {
        config
            .replace("certificate = \"https.pem\"\nkey = \"https.key\"\n", "")
            .replace(&uploads.https.to_string(), "0.0.0.0:1")
    });
    let wrong =
        sluse_tests::command::run(sluse_tests::command::sluse(&["gateway", "--check", "--config", text(&plain)]));
    assert!(wrong.expect(3).stderr.contains("would be reached without encryption"));
}

/// The commands of the page that are to be run as they stand.
fn commands() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrating/upload.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("```sh\n").skip(1).filter_map(|after| after.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

#[test]
fn what_the_page_tells_to_do_with_curl_delivers_two_datasets() {
    let (zone, source) = zone();
    let mut uploads = Uploads::new(&zone, &source, "never");
    uploads.gateway.run();
    let place = zone.folder.path().join("client");
    fs::create_dir(&place).unwrap();
    fs::copy(uploads.gateway.folder.join("https.pem"), place.join("gateway.pem")).unwrap();
    let script = commands().replace("https://gateway.example.org:8443", &uploads.url(""));
    let script = format!("set -eux\nTOKEN={TOKEN}\n{}", script.replace("TOKEN=$(openssl rand -hex 32)", ""));
    program("bash", &[&"-c", &script], &place, b"").expect(0);
    uploads.gateway.wait_for_delivered(2);
    let all: Vec<_> = delivered(&zone).into_values().collect();
    let results = fs::read(place.join("results.csv")).unwrap();
    assert!(all.contains(&BTreeMap::from([("results.csv".to_owned(), results.clone())])), "{all:?}");
    let both = BTreeMap::from([("results.csv".to_owned(), results), ("2026/more.csv".to_owned(), b"more\n".to_vec())]);
    assert!(all.contains(&both), "{all:?}");
}
