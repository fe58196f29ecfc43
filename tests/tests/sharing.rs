//! What is large, or much, does not keep others waiting; and what one source may take.

use sluse_tests::command::run;
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

/// More than what is small to the zone.
const LARGE: u64 = 70 << 20;

/// An engine with clamd's protocol that says nothing of large files before it is told to.
struct Engine {
    socket: PathBuf,
    may_answer: Arc<(Mutex<bool>, Condvar)>,
}

impl Engine {
    fn start(folder: &Path) -> Self {
        let (socket, may_answer) = (folder.join("engine.sock"), Arc::default());
        let listener = UnixListener::bind(&socket).unwrap();
        let shared: Arc<(Mutex<bool>, Condvar)> = Arc::clone(&may_answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A connection that the zone gives up ends with an error.
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { socket, may_answer }
    }

    fn answer(&self) {
        *self.may_answer.0.lock().unwrap() = true;
        self.may_answer.1.notify_all();
    }
}

fn serve(mut stream: &UnixStream, may_answer: &(Mutex<bool>, Condvar)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    for number in 0.. {
        let mut command = Vec::new();
        reader.read_until(0, &mut command)?;
        match &command[..] {
            b"zVERSION\0" => stream.write_all(b"ClamAV 1.0.0/1/today\0")?,
            b"zIDSESSION\0" => {}
            b"zINSTREAM\0" => {
                let (bytes, marked) = file(&mut reader)?;
                if bytes >= LARGE {
                    let told = may_answer.0.lock().unwrap();
                    drop(may_answer.1.wait_while(told, |told| !*told).unwrap());
                }
                let verdict = if marked { "Eicar FOUND" } else { "OK" };
                stream.write_all(format!("{number}: stream: {verdict}\0").as_bytes())?;
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// One file: its length, and whether it is the test file.
fn file(reader: &mut impl std::io::Read) -> std::io::Result<(u64, bool)> {
    let (mut bytes, mut head) = (0, Vec::new());
    loop {
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let mut piece = vec![0; u32::from_be_bytes(length) as usize];
        if piece.is_empty() {
            return Ok((bytes, head.starts_with(&data::eicar())));
        }
        reader.read_exact(&mut piece)?;
        bytes += piece.len() as u64;
        // It may come in pieces of any length.
        if head.len() < 100 {
            head.extend_from_slice(&piece);
        }
    }
}

/// A file that reads as zeros.
fn hole(zone: &Zone, name: &str, bytes: u64) -> PathBuf {
    let path = zone.folder.path().join(name);
    fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    path
}

fn small(zone: &Zone, seed: u64) -> PathBuf {
    let path = zone.folder.path().join(format!("{seed}.csv"));
    fs::write(&path, data::csv(seed, 1000)).unwrap();
    path
}

#[test]
fn small_transfers_are_delivered_while_large_ones_before_them_are_inspected_and_wait() {
    let mut zone = Zone::prepare();
    let engine = Engine::start(zone.folder.path());
    let line = format!("[inspect]\nclamd_socket = \"{}\"\nengine_timeout_seconds = 3600\n", text(&engine.socket));
    zone.configure(|settings| settings.replace("[inspect]\n", &line));
    zone.run();
    let (genome, edc) = (zone.enrol("genome"), zone.enrol("edc"));
    for source in ["genome", "edc"] {
        let clamd = |text: String| text.replace("\"signatures\"]", "\"signatures\", \"clamd\"]");
        zone.agree(source, source, clamd).expect(0);
    }
    let large: Vec<String> = (0..4)
        .map(|number| {
            let sent = genome.send(&hole(&zone, &format!("{number}.bin"), LARGE + number), "genome", "received");
            sent.expect(0).json()["transfer"].as_str().unwrap().to_owned()
        })
        .collect();
    let count =
        |state: &str| large.iter().filter(|transfer| zone.show(transfer)["info"]["status"]["state"] == state).count();
    zone.eventually("the engine has three of them", || (count("inspecting") == 3).then_some(()));
    edc.deliver(&small(&zone, 1), "tick");
    genome.deliver(&small(&zone, 2), "small");
    assert_eq!((count("inspecting"), count("received")), (3, 1));
    engine.answer();
    large.iter().for_each(|transfer| zone.wait_for_state(transfer, "delivered"));
}

#[test]
fn forty_sources_that_send_at_once_are_all_served() {
    let zone = Zone::start();
    let sources: Vec<Source> = (0..40).map(|number| zone.source(&format!("source{number}"))).collect();
    let files: Vec<PathBuf> = (0..40).map(|seed| small(&zone, seed)).collect();
    std::thread::scope(|scope| {
        let all = sources.iter().zip(&files);
        let sending: Vec<_> = all.map(|(source, file)| scope.spawn(|| source.deliver(file, "tick"))).collect();
        sending.into_iter().for_each(|sent| assert!(!sent.join().unwrap().is_empty()));
    });
    assert_eq!(fs::read_dir(zone.room().join("tick")).unwrap().count(), 80, "a bag and its receipts of each");
}

#[test]
fn a_source_has_no_more_open_than_the_zone_lets_it_and_others_are_not_bound_by_that() {
    let mut zone = Zone::prepare();
    zone.configure(|settings| format!("{settings}\n[source.genome]\nweight = 2\nmax_open_bytes = 5000\n"));
    zone.run();
    let (genome, edc) = (zone.enrol("genome"), zone.enrol("edc"));
    for source in ["genome", "edc"] {
        zone.agree(source, source, |text| text.replace("\"automatic\"", "\"one-reviewer\"")).expect(0);
    }
    // Agreements of the same source share its quota.
    zone.agree("other", "genome", |text| text).expect(0);
    let held = genome.send(&hole(&zone, "first.bin", 4000), "first", "received").expect(0).json();
    let other = Source { identity: genome.identity.clone(), agreement: "other".into() };
    let mut sending = other.sending(&hole(&zone, "second.bin", 2000), "second", "received");
    sending.args(["--give-up", "1s"]);
    let refused = run(sending).expect(6);
    assert!(refused.stderr.contains("quota-exceeded"), "{}", refused.stderr);
    edc.send(&hole(&zone, "third.bin", 6000), "third", "received").expect(0);
    let held = held["transfer"].as_str().unwrap();
    zone.wait_for_state(held, "held");
    zone.operate(&["reject", held, "--reason", "not needed"]).expect(0);
    other.send(&zone.folder.path().join("second.bin"), "second", "received").expect(0);
}

#[test]
fn zone_check_says_what_is_wrong_with_a_sources_settings() {
    let zone = Zone::prepare();
    zone.configure(|settings| format!("{settings}\n[source.genome]\nweight = 0\n"));
    let told = zone.operate(&["zone", "check"]).expect(3);
    assert!(told.stdout.contains("source.genome.weight"), "{}", told.stdout);
}
