use super::*;
use crate::inspect::engine::Guarded;
use crate::inspect::self_test::{self, Unfit};
use sluse_protocol::icap::{BODY_END, piece_head};
use std::io::{BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// What the fake service does with a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Honest,
    WithoutPreview,
    Blind,
    /// Has seen enough when the preview has come, as of types that it does not scan.
    PassesOver,
    DiesAtOnce,
    DiesInTheMiddle,
    Hangs,
    HangsInTheMiddle,
    Trickles,
    Nonsense,
    Full,
    Error,
    /// Says 204 when half of the file has come.
    EarlyClean,
    EarlyFound,
    Changes,
    WithoutTag,
    Twice,
    NoEnd,
    AsksForMore,
}

const BAD: [Mode; 14] = [
    Mode::PassesOver,
    Mode::DiesAtOnce,
    Mode::DiesInTheMiddle,
    Mode::Hangs,
    Mode::HangsInTheMiddle,
    Mode::Trickles,
    Mode::Nonsense,
    Mode::Full,
    Mode::Error,
    Mode::EarlyClean,
    Mode::WithoutTag,
    Mode::Twice,
    Mode::NoEnd,
    Mode::AsksForMore,
];

struct Fake {
    _folder: TempDir,
    settings: Settings,
    /// Bodies that were read to their end.
    whole: Arc<AtomicUsize>,
}

fn fake(mode: Mode) -> Fake {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("icap");
    let listener = UnixListener::bind(&socket).unwrap();
    let whole = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&whole);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || serve(stream, mode, &count));
        }
    });
    let settings = Settings {
        dial: Arc::new(move || UnixStream::connect(&socket)),
        service: "icap://scanner/avscan".parse().unwrap(),
        max_bytes: 10_000_000,
        timeout: Duration::from_secs(1),
    };
    Fake { _folder: folder, settings, whole }
}

const CLEAN: &str = "ICAP/1.0 204 Unmodified\r\nISTag: \"T-2\"\r\n\r\n";
const FOUND: &str = "ICAP/1.0 200 OK\r\nISTag: \"T-2\"\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\nEncapsulated: res-hdr=0, res-body=20\r\n\r\nHTTP/1.1 403 No\r\n\r\n0\r\n\r\n";

/// Lines up to an empty one.
fn lines(input: &mut impl io::BufRead) -> Option<String> {
    let mut lines = String::new();
    while !lines.ends_with("\r\n\r\n") {
        (input.read_line(&mut lines).ok()? > 0).then_some(())?;
    }
    Some(lines)
}

/// A piece of a body; an empty one is its end.
fn piece(input: &mut impl io::BufRead) -> Option<Vec<u8>> {
    let mut head = String::new();
    input.read_line(&mut head).ok()?;
    let mut piece = vec![0; usize::from_str_radix(head.trim(), 16).ok()? + 2];
    input.read_exact(&mut piece).ok()?;
    assert!(piece.ends_with(b"\r\n"));
    piece.truncate(piece.len() - 2);
    Some(piece)
}

fn serve(stream: UnixStream, mode: Mode, whole: &AtomicUsize) -> Option<()> {
    let mut output = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    let head = lines(&mut input)?;
    if head.starts_with("OPTIONS ") {
        let preview = if mode == Mode::WithoutPreview { "" } else { "Preview: 1024\r\n" };
        let options = "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nAllow: 204\r\nService: Fake 1\r\nISTag: \"T-1\"\r\n";
        return output.write_all(format!("{options}{preview}\r\n").as_bytes()).ok();
    }
    lines(&mut input)?;
    let size: usize = lines(&mut input)?.split_once("Content-Length: ")?.1.lines().next()?.parse().ok()?;
    if mode == Mode::DiesAtOnce {
        return None;
    }
    let mut content = Vec::new();
    if let Some((_, preview)) = head.split_once("Preview: ") {
        let preview: usize = preview.lines().next()?.parse().ok()?;
        assert!(preview < size, "a preview is never all of a file");
        loop {
            match piece(&mut input)? {
                end if end.is_empty() => break,
                more => content.extend(more),
            }
        }
        assert_eq!(content.len(), preview);
        if mode == Mode::PassesOver {
            return output.write_all(CLEAN.as_bytes()).ok();
        }
        output.write_all(b"ICAP/1.0 100 Continue\r\n\r\n").ok()?;
    }
    let mut spoken = false;
    loop {
        let half = content.len() >= size / 2 && !spoken;
        match mode {
            Mode::DiesInTheMiddle if half => return None,
            Mode::HangsInTheMiddle if half => std::thread::sleep(Duration::from_secs(5)),
            Mode::EarlyClean | Mode::EarlyFound if half => {
                spoken = true;
                let early = if mode == Mode::EarlyClean { CLEAN } else { FOUND };
                output.write_all(early.as_bytes()).ok()?;
            }
            _ => {}
        }
        match piece(&mut input)? {
            end if end.is_empty() => break,
            more => content.extend(more),
        }
    }
    whole.fetch_add(1, Ordering::SeqCst);
    let infected = content.windows(68).any(|window| window == eicar::bytes());
    let honest = if infected { FOUND } else { CLEAN };
    let answer = match mode {
        Mode::Honest | Mode::WithoutPreview => honest.to_owned(),
        Mode::Nonsense => "OK\r\n\r\n".into(),
        Mode::Full => "ICAP/1.0 503 Service overloaded\r\nISTag: \"T\"\r\n\r\n".into(),
        Mode::Error => "ICAP/1.0 500 Server error\r\nISTag: \"T\"\r\n\r\n".into(),
        Mode::Changes => {
            "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nEncapsulated: res-hdr=0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into()
        }
        Mode::WithoutTag => "ICAP/1.0 204 Unmodified\r\n\r\n".into(),
        Mode::Twice => CLEAN.repeat(2),
        Mode::NoEnd => format!("ICAP/1.0 204 OK\r\nX: {}", "x".repeat(100_000)),
        Mode::AsksForMore => "ICAP/1.0 100 Continue\r\n\r\n".into(),
        Mode::Trickles => {
            for byte in CLEAN.bytes() {
                output.write_all(&[byte]).ok()?;
                std::thread::sleep(Duration::from_millis(200));
            }
            return None;
        }
        Mode::Hangs => {
            std::thread::sleep(Duration::from_secs(5));
            return None;
        }
        _ => CLEAN.into(),
    };
    output.write_all(answer.as_bytes()).ok()
}

fn verdict(engine: &IcapEngine, bytes: &[u8]) -> Verdict {
    let file = FileFacts { path: "f".parse().unwrap(), size: bytes.len() as u64, content: Arc::default() };
    let mut scan = Guarded::begin(engine, &file);
    for piece in bytes.chunks(200_000) {
        scan.feed(piece);
        // Time for a service that speaks too early.
        std::thread::sleep(Duration::from_millis(5));
    }
    scan.finish(&Sha256::of(bytes))
}

fn clean(bytes: &[u8]) -> Verdict {
    Verdict::Read { bytes: bytes.len() as u64, seen: Vec::new() }
}

#[test]
fn clean_and_infected_files_are_told_apart_with_a_preview_and_without() {
    for mode in [Mode::Honest, Mode::WithoutPreview] {
        let fake = fake(mode);
        let engine = IcapEngine::connect(fake.settings.clone()).unwrap();
        assert_eq!((engine.version().as_str(), engine.signatures().as_str()), ("Fake 1", "state T-1"));
        assert_eq!(self_test::run(&engine), Ok(()));
        for size in [0, 1, 2, 1023, 1024, 1025, 3_000_000] {
            let bytes = vec![b'x'; size];
            assert_eq!(verdict(&engine, &bytes), clean(&bytes), "{size}");
        }
        assert_eq!(fake.whole.load(Ordering::SeqCst), 7, "{mode:?}");
        assert_eq!(engine.signatures(), "state T-2");
        let infected = [&vec![b'x'; 3_000_000][..], &eicar::bytes()].concat();
        let Verdict::Read { seen, .. } = verdict(&engine, &infected) else { panic!() };
        assert_eq!((seen[0].class, seen[0].message.as_str()), (Class::Malware, "signature Eicar"));
    }
}

#[test]
fn a_service_that_misbehaves_never_gives_a_clean_verdict() {
    for mode in BAD {
        let fake = fake(mode);
        let engine = IcapEngine::connect(fake.settings.clone()).unwrap();
        assert!(self_test::run(&engine).is_err(), "{mode:?}");
        let verdict = verdict(&engine, &vec![b'x'; 6_000_000]);
        assert!(matches!(verdict, Verdict::NotInspected(_)), "{mode:?}: {verdict:?}");
    }
}

#[test]
fn a_service_that_does_not_know_the_test_file_is_blind_and_not_away() {
    let fake = fake(Mode::Blind);
    let engine = IcapEngine::connect(fake.settings.clone()).unwrap();
    assert!(matches!(self_test::run(&engine), Err(Unfit::Blind(_))));
}

#[test]
fn what_was_found_counts_though_it_was_said_early() {
    let fake = fake(Mode::EarlyFound);
    let engine = IcapEngine::connect(fake.settings.clone()).unwrap();
    let Verdict::Read { seen, .. } = verdict(&engine, &vec![b'x'; 6_000_000]) else { panic!() };
    assert_eq!(seen[0].class, Class::Malware);
}

#[test]
fn a_file_that_a_service_would_change_is_not_clean_whoever_asks() {
    let fake = fake(Mode::Changes);
    let engine = IcapEngine::connect(fake.settings.clone()).unwrap();
    // A finding of its own: it counts where the agreement does not require the engine, too.
    let Verdict::Read { seen, .. } = verdict(&engine, b"a,b\n1,2\n") else { panic!() };
    assert_eq!(seen[0].class, Class::NotInspected);
}

#[test]
fn what_the_service_would_not_scan_whole_is_not_sent() {
    let mut fake = fake(Mode::Honest);
    fake.settings.max_bytes = 1000;
    let engine = IcapEngine::connect(fake.settings.clone()).unwrap();
    assert_eq!(verdict(&engine, &[0; 1001]), Verdict::AboveLimit(1000));
    assert_eq!(fake.whole.load(Ordering::SeqCst), 0);
    assert_eq!(verdict(&engine, &[0; 1000]), clean(&[0; 1000]));
}

#[test]
fn pieces_and_their_end_are_written_as_the_protocol_has_them() {
    let written = [piece_head(26).as_bytes(), &[b'x'; 26], b"\r\n", BODY_END].concat();
    let mut input = BufReader::new(&written[..]);
    assert_eq!(piece(&mut input), Some(vec![b'x'; 26]));
    assert_eq!(piece(&mut input), Some(Vec::new()));
}
