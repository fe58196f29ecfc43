//! Readers that misbehave as their file's name tells them, and the processes that they live in.

use clap::Parser as _;
use nix::unistd::{Pid, read, write};
use sluse_content::{Notice, Policy, Reader, Sink};
use sluse_protocol::finding::Class;
use sluse_protocol::frame;
use sluse_protocol::path::DataPath;
use slused::inspect::jail::{FromParser, nursery, parser};
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;

#[derive(clap::Parser)]
enum Started {
    Nursery(nursery::Args),
    Parser(parser::Args),
}

/// Whether this process was started as the nursery or a parser, and has been that.
pub fn asked_for() -> bool {
    if !std::env::args().nth(1).is_some_and(|word| ["nursery", "parser"].contains(&word.as_str())) {
        return false;
    }
    let ended = match Started::parse() {
        Started::Nursery(args) => nursery::run(args),
        Started::Parser(args) => parser::run(args, readers),
    };
    ended.unwrap();
    true
}

/// A file called `good` is read as the product does; any other name is what to do over the file.
fn readers(path: &DataPath, size: u64, policy: &Arc<Policy>) -> Vec<Box<dyn Reader>> {
    let mut readers = parser::readers(path, size, policy);
    if path.as_str() != "good" {
        readers.insert(0, Box::new(Inmate { wish: path.to_string(), size }));
    }
    readers
}

struct Inmate {
    wish: String,
    size: u64,
}

/// What no parser may do, each by the system call that does it.
pub const FORBIDDEN: &[(&str, fn())] = &[
    ("open a file", || drop(File::open("/etc/passwd"))),
    ("make a file", || drop(File::create("/tmp/inmate"))),
    ("list a folder", || drop(std::fs::read_dir("/"))),
    ("make a socket", || drop(UdpSocket::bind("127.0.0.1:0"))),
    ("make a pair of sockets", || drop(UnixStream::pair())),
    ("connect", || drop(UnixStream::connect("/run/somebody.sock"))),
    ("start a process", || drop(Command::new("/bin/true").spawn())),
    ("become another program", || assert!(nix::unistd::execv(c"/bin/true", &[c"true"]).is_err())),
    ("start a thread", || drop(std::thread::Builder::new().spawn(|| ()))),
    ("trace another process", || assert!(nix::sys::ptrace::attach(Pid::from_raw(1)).is_err())),
    ("signal another process", || assert!(nix::sys::signal::kill(Pid::from_raw(1), None).is_err())),
    ("raise its limits", || {
        assert!(nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_AS, 1, 1).is_err())
    }),
    ("be traced", || assert!(nix::sys::prctl::set_dumpable(true).is_err())),
    ("sleep for ever", || std::thread::sleep(std::time::Duration::MAX)),
    ("print for ever", || {
        loop {
            let _ = io::stdout().write_all(b"for ever\n");
        }
    }),
    ("read another descriptor", || assert!(read(io::stdout(), &mut [0]).is_err())),
];

impl Reader for Inmate {
    fn feed(&mut self, _: &[u8], sink: &mut dyn Sink) {
        if let Some((_, attempt)) = FORBIDDEN.iter().find(|(name, _)| *name == self.wish) {
            return attempt();
        }
        match self.wish.as_str() {
            "eat 10 GiB" => drop(black_box(vec![1_u8; 10 << 30])),
            "eat 10 GiB in bites" => {
                let mut eaten = Vec::new();
                (0..10 * 1024).for_each(|_| eaten.push(black_box(vec![1_u8; 1 << 20])));
            }
            "overflow the stack" => drop(black_box(deeper(0))),
            "loop for ever" => loop {
                black_box(());
            },
            "talk for ever" => loop {
                let message = "again ".repeat(100);
                say(&FromParser::Notice { class: Class::TypeMismatch, offset: None, message });
            },
            "talk through the sink" => (0..10_000).for_each(|offset| {
                sink.notice(Notice { class: Class::TypeMismatch, offset: Some(offset), message: "x".repeat(100_000) });
                if offset == 9_999 {
                    sink.notice(Notice { class: Class::Malware, offset: None, message: "at last".into() });
                }
            }),
            "send garbage" => put(&[0, 0, 0, 4, 0, 0, 0, 0, b'{', b'}', b'}', b'}']),
            "send a frame without end" => put(&[255; 8]),
            "panic" => panic!("a name: Ola Nordmann"),
            "exit" => std::process::exit(0),
            _ => {}
        }
    }

    fn finish(&mut self, _: &mut dyn Sink) {
        match self.wish.as_str() {
            "wait for ever" => wait(),
            "count fewer" => {
                say(&FromParser::Done { bytes: self.size - 1 });
                std::process::exit(0);
            }
            "count more" => {
                say(&FromParser::Done { bytes: self.size + 1 });
                std::process::exit(0);
            }
            "be done twice" => {
                let done = frame::encode(&FromParser::Done { bytes: self.size }, &[]).unwrap();
                put(&[&done[..], &done].concat());
            }
            _ => {}
        }
    }
}

/// Waits for what does not come, as a parser may: by reading its input.
fn wait() {
    while read(io::stdin(), &mut [0; 1]).is_ok() {}
}

fn say(answer: &FromParser) {
    put(&frame::encode(answer, &[]).unwrap());
}

fn put(bytes: &[u8]) {
    let _ = write(io::stdin(), bytes);
}

#[expect(unconditional_recursion, reason = "it is to overflow")]
fn deeper(depth: u64) -> u64 {
    let page = black_box([depth; 512]);
    deeper(depth + 1) + page[7]
}
