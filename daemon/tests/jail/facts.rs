//! What holds of the jail whatever its inmates do.

use crate::inmates::FORBIDDEN;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use slused::inspect::engine::{Engine, FileFacts, Guarded, Verdict};
use slused::inspect::jail::{Jail, Jailed, KEY_BYTES, Limits, MAX_PARSERS, Outside, Settings, Tools};
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Content of a file that is as it should be.
const GOOD: &[u8] = b"a;b\n1;2\n";

/// How long a process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(60);

fn jail(limits: Limits) -> Arc<Jail> {
    Arc::new(Jail::start(Settings { limits, ..Settings::default() }).unwrap())
}

fn engine(jail: &Arc<Jail>) -> Arc<dyn Engine> {
    Jailed::new(Tools { jail: Arc::clone(jail), key: [7; KEY_BYTES], signatures: None }).for_transfer(1000).unwrap()
}

fn begin(engine: &Arc<dyn Engine>, name: &str, size: usize) -> Guarded {
    let file = FileFacts { path: name.parse().unwrap(), size: size as u64, content: Arc::default() };
    Guarded::begin(engine.as_ref(), &file)
}

fn verdict(engine: &Arc<dyn Engine>, name: &str, bytes: &[u8]) -> Verdict {
    let mut scan = begin(engine, name, bytes.len());
    bytes.chunks(4 << 20).for_each(|chunk| scan.feed(chunk));
    scan.finish(&Sha256::of(bytes))
}

/// A file whose parser does as `wish` says is not inspected, as `sentence` says, and the next one is.
fn stopped(engine: &Arc<dyn Engine>, wish: &str, bytes: &[u8], sentence: &str) {
    match verdict(engine, wish, bytes) {
        Verdict::NotInspected(reason) => assert!(reason.contains(sentence), "{wish}: {reason}"),
        read => panic!("{wish}: {read:?}"),
    }
    goes_through(engine, wish);
}

fn goes_through(engine: &Arc<dyn Engine>, after: &str) {
    let verdict = verdict(engine, "good", GOOD);
    assert!(matches!(verdict, Verdict::Read { bytes, .. } if bytes == GOOD.len() as u64), "after {after}: {verdict:?}");
}

fn stopped_by_default(wish: &str, sentence: &str) {
    stopped(&engine(&jail(Limits::default())), wish, GOOD, sentence);
}

/// The nursery connects sockets, to the path of each engine that the zone has and to no other.
pub fn engines_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine");
    let clamd_alone = Settings { clamd: Some(path.clone()), ..Settings::default() };
    let icap_alone = Settings { icap: Some(path.clone()), ..Settings::default() };
    let kinds = [(Outside::Clamd, Outside::Icap, clamd_alone), (Outside::Icap, Outside::Clamd, icap_alone)];
    for (there, absent, settings) in kinds {
        let none = Jail::start(Settings::default()).unwrap();
        assert_eq!(none.engine(there).unwrap_err().kind(), ErrorKind::PermissionDenied);
        let connected = Jail::start(settings).unwrap();
        assert_eq!(connected.engine(there).unwrap_err().kind(), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(connected.engine(absent).unwrap_err().kind(), ErrorKind::PermissionDenied);
        for said in [b"one", b"two"] {
            let mut engine = connected.engine(there).unwrap();
            engine.write_all(said).unwrap();
            drop(engine);
            let mut heard = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, said);
        }
        assert!(matches!(verdict(&engine(&Arc::new(connected)), "good", GOOD), Verdict::Read { .. }));
        fs::remove_file(&path).unwrap();
    }
}

/// Whatever is not a parser's business ends it at once.
pub fn forbidden() {
    let jail = jail(Limits::default());
    for (wish, _) in FORBIDDEN {
        stopped(&engine(&jail), wish, GOOD, "tried what no parser may do");
    }
    assert!(!std::path::Path::new("/tmp/inmate").exists());
}

/// Memory has a limit, at once and in bites.
pub fn eats_memory() {
    stopped_by_default("eat 10 GiB", "ran out of memory");
    stopped_by_default("eat 10 GiB in bites", "ran out of memory");
}

/// So has the stack.
pub fn overflows_its_stack() {
    stopped_by_default("overflow the stack", "crashed");
}

/// Processor time has a limit: here of a second.
pub fn loops() {
    let limits = Limits { cpu_base: Duration::from_secs(1), bytes_a_second: 1 << 20, ..Limits::default() };
    stopped(&engine(&jail(limits)), "loop for ever", GOOD, "took more processor time than it may");
}

/// A parser that says nothing uses no processor time: `inspect` ends its patience.
pub fn waits() {
    let limits = Limits { stall: Duration::from_secs(5), ..Limits::default() };
    let jail = jail(limits);
    stopped(&engine(&jail), "wait for ever", GOOD, "did not get on with it in time");
    eventually("none lingers", || parsers(&jail).is_empty());
}

/// A parser that does not take its file does not have it piled up in `inspect`.
pub fn takes_nothing() {
    let jail = jail(Limits { stall: Duration::from_secs(5), ..Limits::default() });
    let before = memory();
    let file = vec![b'a'; 256 << 20];
    stopped(&engine(&jail), "loop for ever", &file, "did not get on with it in time");
    let grown = memory().saturating_sub(before + file.len());
    assert!(grown < 32 << 20, "{grown} bytes more are in memory");
}

/// The most bytes of memory that this process ever had.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// What a parser may say has a limit; what is grave passes although much else was said before.
pub fn talks() {
    stopped_by_default("talk for ever", "said more than it may");
    let Verdict::Read { seen, .. } = verdict(&engine(&jail(Limits::default())), "talk through the sink", GOOD) else {
        panic!()
    };
    assert!(seen.len() < 100 && seen.iter().any(|one| one.class == Class::Malware), "{seen:?}");
}

/// An answer that is none.
pub fn nonsense() {
    let jail = jail(Limits::default());
    for wish in ["send garbage", "send a frame without end", "be done twice"] {
        stopped(&engine(&jail), wish, GOOD, "answered nonsense");
    }
}

/// Bytes are counted on both sides.
pub fn miscounts() {
    let jail = jail(Limits::default());
    for wish in ["count fewer", "count more"] {
        stopped(&engine(&jail), wish, GOOD, "another number of bytes");
    }
}

/// An end without an answer.
pub fn ends() {
    let jail = jail(Limits::default());
    for wish in ["panic", "exit"] {
        stopped(&engine(&jail), wish, GOOD, "ended without an answer");
    }
}

/// The parsers of `jail` that live.
fn parsers(_: &Jail) -> Vec<i32> {
    // A test has one jail at a time.
    children(std::process::id().cast_signed()).into_iter().flat_map(children).collect()
}

fn nursery() -> Pid {
    Pid::from_raw(children(std::process::id().cast_signed())[0])
}

fn children(of: i32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One parser for the files of one transfer, another for the next; with the transfer it ends.
pub fn one_transfer() {
    let jail = jail(Limits::default());
    let one = engine(&jail);
    goes_through(&one, "nothing");
    let first = parsers(&jail);
    goes_through(&one, "a good one");
    assert_eq!((parsers(&jail), first.len()), (first.clone(), 1));
    let other = engine(&jail);
    goes_through(&other, "nothing");
    let both = parsers(&jail);
    assert!(both.len() == 2 && both.contains(&first[0]), "{first:?} {both:?}");
    drop(one);
    eventually("the parser of a transfer that is over ends", || !parsers(&jail).contains(&first[0]));
    assert_eq!(parsers(&jail).len(), 1);
}

/// A parser that may have used up half of its processor time is not kept: the next file does not pay for the last one.
pub fn spent() {
    let base = Duration::from_secs(2);
    let jail = jail(Limits { cpu_base: base, ..Limits::default() });
    let one = engine(&jail);
    let mut scan = begin(&one, "good", GOOD.len());
    scan.feed(GOOD);
    eventually("the parser is started", || parsers(&jail).len() == 1);
    let first = parsers(&jail);
    std::thread::sleep(base);
    assert!(matches!(scan.finish(&Sha256::of(GOOD)), Verdict::Read { .. }));
    eventually("it ends with its file", || !parsers(&jail).contains(&first[0]));
    goes_through(&one, "one that was spent");
}

/// A transfer cannot keep `inspect` busy with parsers that die.
pub fn gives_up() {
    let jail = jail(Limits::default());
    let one = engine(&jail);
    let mut lost = 0;
    while let Verdict::NotInspected(reason) = verdict(&one, "panic", GOOD) {
        if reason.contains("too many parsers were lost") {
            break;
        }
        lost += 1;
        assert!(lost < 1000);
    }
    assert!(lost > 1);
    // A good file of such a transfer is not clean either; another transfer's is.
    assert!(matches!(verdict(&one, "good", GOOD), Verdict::NotInspected(_)));
    goes_through(&engine(&jail), "another transfer's inmates");
}

/// A parser that would never end by itself is gone when nobody waits for it any more.
pub fn lifeline() {
    let jail = jail(Limits::default());
    let one = engine(&jail);
    let mut scan = begin(&one, "loop for ever", 1 << 20);
    scan.feed(&vec![0; 1 << 20]);
    eventually("the parser is started", || parsers(&jail).len() == 1);
    drop(scan);
    eventually("the parser is killed", || parsers(&jail).is_empty());
    goes_through(&one, "one that was dropped");
}

/// Where as many parsers are alive as there may be, a file waits for one of them to end; it is not called uninspected.
pub fn one_more() {
    let jail = jail(Limits::default());
    let mut alive: Vec<_> = (0..MAX_PARSERS).map(|_| begin(&engine(&jail), "good", GOOD.len())).collect();
    eventually("all are started", || parsers(&jail).len() == MAX_PARSERS);
    let one_more = engine(&jail);
    let mut scan = begin(&one_more, "good", GOOD.len());
    scan.feed(GOOD);
    // The nursery hears of each thing in its turn: it has taken the request by when this one is killed.
    drop(alive.pop());
    let verdict = scan.finish(&Sha256::of(GOOD));
    assert!(matches!(verdict, Verdict::Read { bytes, .. } if bytes == GOOD.len() as u64), "{verdict:?}");
    for mut scan in alive {
        scan.feed(GOOD);
        assert!(matches!(scan.finish(&Sha256::of(GOOD)), Verdict::Read { .. }));
    }
}

/// Without a nursery nothing is called clean, and the role can tell that this is not the files' fault.
pub fn nursery_gone() {
    let jail = jail(Limits::default());
    let one = engine(&jail);
    let mut scan = begin(&one, "good", GOOD.len());
    scan.feed(GOOD);
    assert!(!jail.is_lost());
    let alive = parsers(&jail);
    kill(nursery(), Signal::SIGKILL).unwrap();
    assert!(matches!(scan.finish(&Sha256::of(GOOD)), Verdict::NotInspected(_)));
    assert!(jail.is_lost());
    eventually("its parsers end with it", || alive.iter().all(|pid| !is_alive(*pid)));
    assert!(matches!(verdict(&one, "good", GOOD), Verdict::NotInspected(_)));
    assert!(matches!(verdict(&engine(&jail), "good", GOOD), Verdict::NotInspected(_)));
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie that nobody has waited for yet is dead.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
