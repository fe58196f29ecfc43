//! A parser: the process in which hostile content is read. It confines itself before it reads the first byte.

use super::limits::{MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES, MAX_NOTICES, PARSER_MEMORY, PIECE_BYTES, SAID_BYTES};
use super::messages::{FromParser, KEY_BYTES, ToParser};
use crate::RoleError;
use crate::confine::{self, ParserLimits};
use nix::sys::signal::{SigSet, Signal};
use sluse_content::bulk::{Bulk, Output};
use sluse_content::identifiers::HashKey;
use sluse_content::{FileReader, Notice, Policy, Reader, Sink, Unpacked};
use sluse_protocol::agreement::{Content, Pattern};
use sluse_protocol::finding::Class;
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use sluse_protocol::path::DataPath;
use std::collections::BTreeSet;
use std::hash::RandomState;
use std::hint::black_box;
use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;

/// What starts a parser.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Args {
    /// Processor time in its whole life, seconds
    #[arg(long)]
    pub cpu_seconds: u64,
    /// Go on where the kernel has no Landlock, as the zone's setting of that name says
    #[arg(long)]
    pub allow_unconfined: bool,
}

/// The readers for the file of this path and size, of which the agreement asks so.
pub type Readers = fn(&DataPath, u64, &Arc<Policy>) -> Vec<Box<dyn Reader>>;

/// The exit code of a parser whose reader panicked.
pub const PANICKED: u8 = 101;

/// The exit code of one that was told what cannot be.
const CONFUSED: u8 = 102;

/// Confines this process and reads what comes on standard input, until that ends.
///
/// # Errors
/// When it cannot be confined.
pub fn run(args: Args, readers: Readers) -> Result<(), RoleError> {
    let failed = |what: &str| RoleError::io(format!("a parser: {what}"));
    let name = nix::sys::prctl::set_name(c"slused-parser");
    name.map_err(|error| failed("its name")(error.into()))?;
    // As the nursery: who stops the service must not seem to have found something.
    let left_alone: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    left_alone.thread_block().map_err(|error| failed("leaving signals alone")(error.into()))?;
    // Nothing can be said, and to look where it happened would open files.
    std::panic::set_hook(Box::new(|_| {}));
    // The first pattern that a process makes asks how many processors there are, once: that opens files.
    "any".parse::<Pattern>().map_err(|error| failed("its patterns")(io::Error::other(error)))?;
    // The keys of hash tables, which cannot be made to collide, are drawn once: that takes a call that a parser has not.
    black_box(RandomState::new());
    let limits = ParserLimits { memory: PARSER_MEMORY, cpu_seconds: args.cpu_seconds };
    confine::parser(&limits, args.allow_unconfined)?;
    let served = std::panic::catch_unwind(|| serve(&StandardInput(io::stdin()), readers));
    std::process::exit(i32::from(match served {
        Ok(Ok(())) => 0,
        Ok(Err(_)) => CONFUSED,
        Err(_) => PANICKED,
    }))
}

/// The readers of the product.
pub fn readers(path: &DataPath, size: u64, policy: &Arc<Policy>) -> Vec<Box<dyn Reader>> {
    vec![Box::new(FileReader::new(path.as_str(), size, policy))]
}

/// Reads files as they come on `stream`, and answers on it, until it ends.
///
/// # Errors
/// When it fails, or what comes is not as [`ToParser`] says.
pub fn serve<S>(stream: &S, readers: Readers) -> io::Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let mut input = BufReader::with_capacity(64 * 1024, stream);
    let mut body = Vec::new();
    let mut policy = None;
    let mut open: Option<Open> = None;
    while let Some(message) = receive(&mut input, &mut body)? {
        match (message, &policy, open.as_mut()) {
            (ToParser::Content(asked), _, None) => policy = Some(policy_of(&asked, &body)?),
            (ToParser::Begin { path, size }, Some(policy), None) => {
                open = Some(Open { readers: readers(&path, size, policy), bytes: 0, said: Said::default() });
            }
            (ToParser::Bytes, _, Some(Open { readers, bytes, said })) => {
                *bytes += body.len() as u64;
                let mut answers = Answers::new(stream, said);
                readers.iter_mut().for_each(|reader| reader.feed(&body, &mut answers));
                answers.flush()?;
            }
            (ToParser::End, _, Some(Open { readers, bytes, said })) => {
                let mut answers = Answers::new(stream, said);
                readers.iter_mut().for_each(|reader| reader.finish(&mut answers));
                answers.say(&FromParser::Done { bytes: *bytes }, &[]);
                answers.flush()?;
                open = None;
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

/// What the readers are to look for.
fn policy_of(content: &Content, key: &[u8]) -> io::Result<Arc<Policy>> {
    let key = <[u8; KEY_BYTES]>::try_from(key).map_err(io::Error::other)?;
    Ok(Arc::new(Policy::new(content, HashKey::new(key)).map_err(io::Error::other)?))
}

/// The file that is being read.
struct Open {
    readers: Vec<Box<dyn Reader>>,
    bytes: u64,
    said: Said,
}

/// What was said of a file, so far as it bounds what may still be said.
#[derive(Debug, Default)]
struct Said {
    notices: usize,
    classes: BTreeSet<Class>,
}

/// What is said to `inspect`, a good deal at once.
struct Answers<'a, S> {
    stream: &'a S,
    said: &'a mut Said,
    waiting: Vec<u8>,
    failed: io::Result<()>,
}

impl<'a, S> Answers<'a, S>
where
    for<'b> &'b S: Read + Write,
{
    fn new(stream: &'a S, said: &'a mut Said) -> Self {
        Self { stream, said, waiting: Vec::new(), failed: Ok(()) }
    }

    fn say(&mut self, answer: &FromParser, body: &[u8]) {
        match frame::encode_before(answer, body.len()) {
            Ok(head) => self.waiting.extend(head),
            Err(error) => self.failed = Err(io::Error::other(error)),
        }
        self.waiting.extend_from_slice(body);
        if self.waiting.len() >= SAID_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.failed.is_ok() {
            let mut stream = self.stream;
            self.failed = stream.write_all(&self.waiting);
        }
        self.waiting.clear();
    }

    fn flush(mut self) -> io::Result<()> {
        self.write();
        self.failed
    }
}

impl<S> Sink for Answers<'_, S>
where
    for<'a> &'a S: Read + Write,
{
    fn notice(&mut self, notice: Notice) {
        let new = self.said.classes.insert(notice.class);
        if !new && self.said.notices >= MAX_NOTICES {
            return;
        }
        self.said.notices += 1;
        let Notice { class, offset, mut message } = notice;
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        self.say(&FromParser::Notice { class, offset, message }, &[]);
    }

    fn unpacked(&mut self, unpacked: Unpacked<'_>) {
        match unpacked {
            Unpacked::Begin { place } => self.say(&FromParser::MemberBegins { place: place.into() }, &[]),
            Unpacked::Bytes { depth, bytes } => {
                let pieces = bytes.chunks(PIECE_BYTES);
                pieces.for_each(|piece| self.say(&FromParser::MemberBytes { depth }, piece));
            }
            Unpacked::End => self.say(&FromParser::MemberEnds, &[]),
        }
    }

    fn bulk(&mut self, bulk: Bulk) {
        match bulk {
            Bulk::Resources(resources) => {
                let said = resources.into_iter().map(|(of, count)| FromParser::Resources { of, count });
                said.for_each(|said| self.say(&said, &[]));
            }
            Bulk::Manifest(outputs) => {
                self.say(&FromParser::Manifest, &[]);
                let said = outputs.into_iter().map(|Output { of, file, count }| FromParser::Output { of, file, count });
                said.for_each(|said| self.say(&said, &[]));
            }
        }
    }
}

/// What JSON makes of a sentence's byte at most: `\u0000`.
const _: () = assert!(6 * MAX_MESSAGE_BYTES + 256 <= MAX_ANSWER_BYTES);

/// The next message and its body; `None` when the stream ended between messages.
fn receive(input: &mut impl Read, body: &mut Vec<u8>) -> io::Result<Option<ToParser>> {
    let mut prefix = [0; PREFIX_BYTES];
    if input.read(&mut prefix[..1])? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut prefix[1..])?;
    let lengths = Lengths::parse(prefix).map_err(io::Error::other)?;
    let mut head = vec![0; lengths.head];
    input.read_exact(&mut head)?;
    body.resize(lengths.body, 0);
    input.read_exact(body)?;
    frame::decode_head(&head).map(Some).map_err(io::Error::other)
}

/// Standard input as it is: without the standard library's buffer, and in both directions.
struct StandardInput(io::Stdin);

impl Read for &StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(&self.0, buffer)?)
    }
}

impl Write for &StandardInput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(&self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
