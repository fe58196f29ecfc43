use super::*;
use crate::inspect::engine::Guarded;
use crate::inspect::self_test;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use tempfile::TempDir;

/// What the fake clamd does with a file.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Honest,
    /// In the middle of the file.
    Dies,
    DiesAtTheEnd,
    Hangs,
    Nonsense,
    Error,
    /// Says in the middle of the file that it takes no more.
    Full,
    Early,
    WrongNumber,
    NoEnd,
}

struct Fake {
    _folder: TempDir,
    settings: Settings,
}

fn dial(socket: PathBuf) -> Dial {
    Arc::new(move || UnixStream::connect(&socket))
}

fn fake(mode: Mode) -> Fake {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("clamd");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, mode));
        }
    });
    let timeout = Duration::from_millis(300);
    Fake { _folder: folder, settings: Settings { dial: dial(socket), max_bytes: 1_000_000, timeout } }
}

fn command(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut command = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).ok()? == 1 {
        if byte == [0] {
            return Some(command);
        }
        command.push(byte[0]);
    }
    None
}

fn serve(mut stream: UnixStream, mode: Mode) -> Option<()> {
    let mut number = 0;
    loop {
        match command(&mut stream)?.as_slice() {
            b"zVERSION" => stream.write_all(b"ClamAV 1.4.2/27500/Sat Jan  4 09:44:31 2025\0").ok()?,
            b"zIDSESSION" => {}
            b"zINSTREAM" => {
                number += 1;
                file(&mut stream, mode, number)?;
            }
            _ => return None,
        }
    }
}

fn file(stream: &mut UnixStream, mode: Mode, number: u64) -> Option<()> {
    if mode == Mode::Early {
        stream.write_all(format!("{number}: stream: OK\0").as_bytes()).ok()?;
    }
    let mut content = Vec::new();
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        if length == [0; 4] {
            break;
        }
        if mode == Mode::Dies {
            return None;
        }
        if mode == Mode::Full {
            stream.write_all(format!("{number}: INSTREAM size limit exceeded. ERROR\0").as_bytes()).ok()?;
            return None;
        }
        let mut piece = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut piece).ok()?;
        content.extend(piece);
    }
    let infected = content.windows(68).any(|window| window == eicar::bytes());
    let honest = if infected { "Win.Test.EICAR_HDB-1 FOUND" } else { "OK" };
    let answer = match mode {
        Mode::Honest | Mode::Early => format!("{number}: stream: {honest}\0"),
        Mode::WrongNumber => format!("{}: stream: OK\0", number + 1),
        Mode::Nonsense => "OK\0".into(),
        Mode::Error => format!("{number}: INSTREAM size limit exceeded. ERROR\0"),
        Mode::NoEnd => "x".repeat(5000),
        Mode::DiesAtTheEnd => return None,
        Mode::Hangs | Mode::Dies | Mode::Full => {
            std::thread::sleep(Duration::from_secs(5));
            String::new()
        }
    };
    stream.write_all(answer.as_bytes()).ok()
}

fn verdict(engine: &ClamdEngine, bytes: &[u8]) -> Verdict {
    let file = FileFacts { path: "f".parse().unwrap(), size: bytes.len() as u64, content: Arc::default() };
    let mut scan = Guarded::begin(engine, &file);
    for piece in bytes.chunks(50_000) {
        scan.feed(piece);
        // Time for a clamd that speaks too early.
        std::thread::sleep(Duration::from_millis(5));
    }
    scan.finish(&Sha256::of(bytes))
}

#[test]
fn clean_and_infected_files_are_told_apart_on_one_session() {
    let fake = fake(Mode::Honest);
    let engine = ClamdEngine::connect(fake.settings.clone()).unwrap();
    assert_eq!((engine.version(), engine.has_official_signatures()), ("ClamAV 1.4.2".into(), true));
    assert_eq!(engine.dated(), Dated::At("2025-01-04T09:44:31Z".parse().unwrap()));
    assert_eq!(self_test::run(&engine), Ok(()));
    for _ in 0..3 {
        assert_eq!(verdict(&engine, &[b'x'; 100_000]), Verdict::Read { bytes: 100_000, seen: Vec::new() });
        assert_eq!(verdict(&engine, b""), Verdict::Read { bytes: 0, seen: Vec::new() });
        let Verdict::Read { seen, .. } = verdict(&engine, &eicar::bytes()) else { panic!() };
        assert_eq!((seen[0].class, seen[0].message.as_str()), (Class::Malware, "signature Win.Test.EICAR_HDB-1"));
    }
}

#[test]
fn a_clamd_that_misbehaves_never_gives_a_clean_verdict() {
    let modes = [
        Mode::Dies,
        Mode::DiesAtTheEnd,
        Mode::Hangs,
        Mode::Nonsense,
        Mode::Error,
        Mode::Full,
        Mode::Early,
        Mode::WrongNumber,
        Mode::NoEnd,
    ];
    for (number, mode) in modes.into_iter().enumerate() {
        let fake = fake(mode);
        let engine = ClamdEngine::connect(fake.settings.clone()).unwrap();
        assert!(self_test::run(&engine).is_err(), "{number}");
        for _ in 0..2 {
            let verdict = verdict(&engine, &[b'x'; 200_000]);
            assert!(matches!(verdict, Verdict::NotInspected(_)), "{number}: {verdict:?}");
        }
    }
}

#[test]
fn what_clamd_would_not_read_whole_is_not_inspected() {
    let mut fake = fake(Mode::Honest);
    fake.settings.max_bytes = 1000;
    let engine = ClamdEngine::connect(fake.settings.clone()).unwrap();
    assert_eq!(verdict(&engine, &[0; 1001]), Verdict::AboveLimit(1000));
    assert!(matches!(verdict(&engine, &[0; 1000]), Verdict::Read { bytes: 1000, .. }));
}

#[test]
fn a_clamd_that_is_not_there_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none");
    let settings = Settings { dial: dial(socket), max_bytes: 1, timeout: Duration::from_secs(1) };
    assert!(ClamdEngine::connect(settings).is_err());
}
