//! What a parser does: it reads whatever readers there are for, and it ends in every way in which it may.

use crate::trace::{self, Traces};
use clap::Parser as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluse_content::{Policy, Reader, Sink};
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use sluse_protocol::path::DataPath;
use slused::confine::allowed;
use slused::inspect::jail::{FromParser, KEY_BYTES, ToParser, parser};
use std::fs;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Parser)]
enum Started {
    Parser(parser::Args),
}

/// Whether this process was started as a parser, and has been that.
pub fn asked_for() -> bool {
    if std::env::args().nth(1).as_deref() != Some("parser") {
        return false;
    }
    let Started::Parser(args) = Started::parse();
    parser::run(args, readers).unwrap();
    true
}

/// Those of the product, and one that ends as the file's name says.
fn readers(path: &DataPath, size: u64, policy: &Arc<Policy>) -> Vec<Box<dyn Reader>> {
    let mut readers = parser::readers(path, size, policy);
    readers.insert(0, Box::new(Ends(path.to_string())));
    readers
}

struct Ends(String);

impl Reader for Ends {
    fn feed(&mut self, _: &[u8], _: &mut dyn Sink) {
        match self.0.as_str() {
            // As the readers of archives do, at most: too large to be had otherwise than by mapping it anew.
            "hold a directory of 64 MiB" => {
                let mut directory: Vec<u8> = Vec::new();
                (0..1024).for_each(|_| directory.extend_from_slice(black_box(&[1; 64 * 1024])));
            }
            "eat 10 GiB" => drop(black_box(vec![1_u8; 10 << 30])),
            "overflow the stack" => drop(black_box(deeper(0))),
            "panic" => panic!("a name: Ola Nordmann"),
            _ => {}
        }
    }

    fn finish(&mut self, _: &mut dyn Sink) {}
}

#[expect(unconditional_recursion, reason = "it is to overflow")]
fn deeper(depth: u64) -> u64 {
    let page = black_box([depth; 512]);
    deeper(depth + 1) + page[7]
}

/// Bytes of a file that are sent at once, as `inspect` does.
const PIECE: usize = 256 * 1024;

/// A traced parser.
struct Traced {
    process: Child,
    socket: UnixStream,
}

impl Traced {
    fn start(traces: &Traces) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        let mut command = traces.command(&std::env::current_exe().unwrap());
        command.args(["parser", "--cpu-seconds=600"]).stdin(Stdio::from(OwnedFd::from(theirs)));
        let parser = Self { process: command.spawn().unwrap(), socket: ours };
        parser.say(&ToParser::Content(Box::default()), &[7; KEY_BYTES]).unwrap();
        parser
    }

    fn say(&self, message: &ToParser, body: &[u8]) -> io::Result<()> {
        (&self.socket).write_all(&frame::encode(message, body).unwrap())
    }

    /// Shows it a file; whether it said that it was done with it.
    fn reads(&self, name: &str, bytes: &[u8]) -> bool {
        self.shows(name, bytes).is_ok()
    }

    fn shows(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.say(&ToParser::Begin { path: name.parse().unwrap(), size: bytes.len() as u64 }, &[])?;
        // What it says meanwhile must be heard, or both wait for each other.
        std::thread::scope(|scope| {
            let saying = scope.spawn(|| {
                bytes.chunks(PIECE).try_for_each(|piece| self.say(&ToParser::Bytes, piece))?;
                self.say(&ToParser::End, &[])
            });
            self.is_done()?;
            saying.join().unwrap()
        })
    }

    fn is_done(&self) -> io::Result<()> {
        loop {
            let mut prefix = [0; PREFIX_BYTES];
            (&self.socket).read_exact(&mut prefix)?;
            let lengths = Lengths::parse(prefix).unwrap();
            let mut said = vec![0; lengths.head + lengths.body];
            (&self.socket).read_exact(&mut said)?;
            if let FromParser::Done { .. } = frame::decode_head(&said[..lengths.head]).unwrap() {
                return Ok(());
            }
        }
    }

    fn ends(mut self) -> ExitStatus {
        drop(self.socket);
        self.process.wait().unwrap()
    }
}

/// Files that the readers are for: the seeds of the fuzzer, and DICOM files that nobody here made.
fn corpus() -> Vec<PathBuf> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let samples = std::env::var("SLUSE_SAMPLES").expect("SLUSE_SAMPLES: tests/run fetches them");
    let mut found = Vec::new();
    let mut folders = vec![seeds, PathBuf::from(samples)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// The whole life of parsers.
pub fn calls() {
    let traces = Traces::new();
    let parser = Traced::start(&traces);
    let files = corpus();
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(parser.reads(name, &fs::read(path).unwrap()), "{}", path.display());
    }
    assert!(files.len() > 100);
    assert!(parser.reads("hold a directory of 64 MiB", b"a;b\n1;2\n"));
    assert!(parser.ends().success());

    for (name, signal) in
        [("eat 10 GiB", Some(Signal::SIGABRT)), ("overflow the stack", Some(Signal::SIGABRT)), ("panic", None)]
    {
        let parser = Traced::start(&traces);
        assert!(!parser.reads(name, b"a;b\n1;2\n"));
        let ended = parser.ends();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), signal.map(|signal| signal as i32), "{name}");
    }

    // Where it is not the stack that overflowed, the handler of that signal steps back and returns.
    let parser = Traced::start(&traces);
    assert!(parser.reads("table.csv", b"a;b\n1;2\n"));
    kill(Pid::from_raw(parser.process.id().cast_signed()), Signal::SIGSEGV).unwrap();
    parser.ends();
    trace::compare(allowed::PARSER, &traces.calls());
}
