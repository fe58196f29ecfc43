//! A parser: the process in which hostile content is read. It confines itself before it reads the first byte.

use super::limits::{MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES, MAX_NOTICES, PARSER_MEMORY};
use super::messages::{FromParser, ToParser};
use crate::RoleError;
use crate::confine::{self, ParserLimits};
use crate::inspect::engine::{Engine as _, FileFacts, Scan, Seen, Verdict};
use crate::inspect::engines::file_type::FileTypeEngine;
use nix::sys::signal::{SigSet, Signal};
use sluse_content::{Notice, Reader, Sink};
use sluse_protocol::agreement::Content;
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use std::collections::BTreeSet;
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

/// The readers for one file.
pub type Readers = fn(&FileFacts) -> Vec<Box<dyn Reader>>;

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
pub fn readers(file: &FileFacts) -> Vec<Box<dyn Reader>> {
    vec![Box::new(OfEngine(Some(FileTypeEngine.begin(file))))]
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
    let mut content = Arc::new(Content::default());
    let mut open: Option<Open> = None;
    while let Some(message) = receive(&mut input, &mut body)? {
        match (message, open.as_mut()) {
            (ToParser::Content(asked), None) => content = Arc::from(asked),
            (ToParser::Begin { path, size }, None) => {
                let file = FileFacts { path, size, content: Arc::clone(&content) };
                open = Some(Open { readers: readers(&file), bytes: 0, said: Said::default() });
            }
            (ToParser::Bytes, Some(Open { readers, bytes, said })) => {
                *bytes += body.len() as u64;
                let mut answers = Answers { stream, said, failed: Ok(()) };
                readers.iter_mut().for_each(|reader| reader.feed(&body, &mut answers));
                answers.failed?;
            }
            (ToParser::End, Some(Open { readers, bytes, said })) => {
                let mut answers = Answers { stream, said, failed: Ok(()) };
                readers.iter_mut().for_each(|reader| reader.finish(&mut answers));
                answers.say(&FromParser::Done { bytes: *bytes });
                answers.failed?;
                open = None;
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
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

struct Answers<'a, S> {
    stream: &'a S,
    said: &'a mut Said,
    failed: io::Result<()>,
}

impl<S> Answers<'_, S>
where
    for<'a> &'a S: Read + Write,
{
    fn say(&mut self, answer: &FromParser) {
        if self.failed.is_ok() {
            let frame = frame::encode(answer, &[]).map_err(io::Error::other);
            self.failed = frame.and_then(|frame| {
                let mut stream = self.stream;
                stream.write_all(&frame)
            });
        }
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
        self.say(&FromParser::Notice { class, offset, message });
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

/// An engine's scan as a reader.
struct OfEngine(Option<Box<dyn Scan>>);

impl Reader for OfEngine {
    fn feed(&mut self, bytes: &[u8], _: &mut dyn Sink) {
        if let Some(scan) = &mut self.0 {
            scan.feed(bytes);
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        // No scan that is read so looks at the digest.
        let verdict = self.0.take().map_or_else(Verdict::default, |scan| scan.finish(&Sha256([0; 32])));
        let seen = match verdict {
            Verdict::Read { seen, .. } => seen,
            Verdict::NotInspected(reason) => vec![Seen::new(Class::NotInspected, reason)],
        };
        for Seen { class, offset, message } in seen {
            sink.notice(Notice { class, offset, message });
        }
    }
}
