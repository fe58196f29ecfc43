//! The parser of the product, `slused parser`, over a real socket.

use sluse_protocol::finding::Class;
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use slused::inspect::jail::{FromParser, KEY_BYTES, ToParser};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn start() -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_slused"));
    let command = command.args(["parser", "--cpu-seconds=60"]).stdin(Stdio::from(OwnedFd::from(theirs)));
    (command.spawn().unwrap(), ours)
}

fn say(mut parser: &UnixStream, message: &ToParser, body: &[u8]) {
    parser.write_all(&frame::encode(message, body).unwrap()).unwrap();
}

fn hear(mut parser: &UnixStream) -> FromParser {
    let mut prefix = [0; PREFIX_BYTES];
    parser.read_exact(&mut prefix).unwrap();
    let lengths = Lengths::parse(prefix).unwrap();
    let mut head = vec![0; lengths.head];
    parser.read_exact(&mut head).unwrap();
    frame::decode_head(&head).unwrap()
}

/// It reads files with the product's readers, has nothing open but its input, and ends when it is told what cannot be.
pub fn parser() {
    let (process, parser) = start();
    let program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0";
    say(&parser, &ToParser::Content(Box::default()), &[7; KEY_BYTES]);
    say(&parser, &ToParser::Begin { path: "table.csv".parse().unwrap(), size: program.len() as u64 }, &[]);
    say(&parser, &ToParser::Bytes, program);
    say(&parser, &ToParser::End, &[]);
    let mut classes = Vec::new();
    let bytes = loop {
        match hear(&parser) {
            FromParser::Notice { class, .. } => classes.push(class),
            FromParser::Done { bytes } => break bytes,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((bytes, classes.contains(&Class::Executable)), (program.len() as u64, true));

    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:"), field("Threads:")), ("1".into(), "2".into(), "1".into()));
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    if nix::unistd::Uid::effective().is_root() {
        let open = fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
        assert_eq!(open.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["0"]);
    }
    ends(process, &parser, &frame::encode(&ToParser::Bytes, b"of no file").unwrap());
    for nonsense in [&[255; 8][..], b"\0\0\0\x02\0\0\0\0{}", &[0; 8]] {
        let (process, parser) = start();
        ends(process, &parser, nonsense);
    }
}

fn ends(mut process: Child, mut parser: &UnixStream, nonsense: &[u8]) {
    parser.write_all(nonsense).unwrap();
    assert_eq!(parser.read(&mut [0]).unwrap(), 0);
    assert_eq!(process.wait().unwrap().code(), Some(102), "{nonsense:?}");
}
