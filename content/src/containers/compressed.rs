//! Files that hold one other file, compressed: gzip, xz, bzip2, Zstandard. Several streams one behind the other are
//! one file, as their own tools take them.

use super::End;
use super::codec::{Codec, Fault, Pumped};
use super::gzip::{self, Header};
use super::names;
use super::outlet::Outlet;
use super::recognise::Format;
use super::stream::{Container, Step};
use sluse_protocol::finding::Class;

const DAMAGED: &str = "its compressed data is damaged: what follows the damage was not inspected";
const CUT_OFF: &str = "its compressed data is cut off";
const REFUSED: &str =
    "its compressed data needs more memory than there is, or an option that is not read here: not inspected";
const WINDOWS: &str = "compressed files within each other need more memory than there is: not inspected";
const CHECKSUM: &str = "the unpacked data does not have the checksum or the length that was stated";
const BEHIND: &str = "bytes follow the end of its compressed data";

/// One compressed file.
pub(super) struct Compressed {
    format: Format,
    state: State,
    codec: Option<Codec>,
    buffer: Vec<u8>,
    crc: crc32fast::Hasher,
    unpacked: u64,
    /// Where the stream began that is being read.
    start: u64,
    /// The last stream has ended, and nothing is missing.
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A stream begins here, or padding, or something else.
    Between,
    Data,
    /// gzip's checksum and length.
    Trailer,
    /// What is no stream any more is shown as a member of its own.
    Behind,
}

impl Compressed {
    pub fn new(format: Format) -> Self {
        let crc = crc32fast::Hasher::new();
        let (state, codec, buffer) = (State::Between, None, Vec::new());
        Self { format, state, codec, buffer, crc, unpacked: 0, start: 0, ended: false }
    }

    fn between(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        // Tools fill up blocks of tape, and of xz to four bytes, with zeros.
        if at > 0 && input[0] == 0 {
            return Step::Took(input.iter().take_while(|byte| **byte == 0).count());
        }
        match self.format.begins(input) {
            None => Step::More,
            Some(true) => self.start(at, input, out),
            Some(false) => {
                out.end(End::Whole);
                out.notice(Class::BrokenArchive, at, BEHIND);
                if !out.begin("[behind the end]".into(), None) {
                    return Step::Done;
                }
                self.state = State::Behind;
                Step::Took(0)
            }
        }
    }

    /// Begins a stream, and with the first one the member.
    fn start(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let mut length = 0;
        let mut stated = None;
        if self.format == Format::Gzip {
            match gzip::header(input) {
                Header::More => return Step::More,
                Header::Bad => return self.fail(at, DAMAGED, Class::BrokenArchive, out),
                Header::Read { length: read, name } => (length, stated) = (read, name),
            }
        }
        if at == 0 && !out.begin(inner_name(out.name()), None) {
            return Step::Done;
        }
        if let Some(text) = stated.and_then(names::check) {
            out.notice(Class::Path, at, text);
        }
        if !self.ready(out) {
            return self.fail(at, WINDOWS, Class::NotInspected, out);
        }
        self.crc = crc32fast::Hasher::new();
        self.unpacked = 0;
        self.start = at;
        self.ended = false;
        self.state = State::Data;
        Step::Took(length)
    }

    /// Makes a decoder for the next stream, or takes the one there is.
    fn ready(&mut self, out: &Outlet<'_>) -> bool {
        match (&mut self.codec, self.format) {
            (Some(Codec::Deflate(inflate)), _) => inflate.reset(false),
            (Some(Codec::Zstd(..)), _) => {}
            (codec, Format::Gzip) => *codec = Some(Codec::deflate()),
            (codec, Format::Bzip2) => *codec = Some(Codec::bzip2()),
            (codec, Format::Xz) => {
                *codec = None;
                *codec = out.windows().take(1).and_then(|window| Codec::xz(out.limits(), window));
            }
            (codec, Format::Zstd) => {
                *codec = out.windows().take(1).and_then(|window| Codec::zstd(out.limits(), window));
            }
        }
        self.codec.is_some()
    }

    fn data(&mut self, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let Some(codec) = &mut self.codec else { return Step::Done };
        let (crc, unpacked, gzip) = (&mut self.crc, &mut self.unpacked, self.format == Format::Gzip);
        let pumped = codec.pump(input, &mut self.buffer, |bytes| {
            if gzip {
                crc.update(bytes);
                *unpacked += bytes.len() as u64;
            }
            out.bytes(bytes)
        });
        match pumped {
            Pumped::All => Step::Took(input.len()),
            Pumped::Ended(read) => {
                self.ended = !gzip;
                self.state = if gzip { State::Trailer } else { State::Between };
                Step::Took(read)
            }
            Pumped::Faulty(Fault::Damaged) => self.fail(self.start, DAMAGED, Class::BrokenArchive, out),
            Pumped::Faulty(Fault::Refused) => self.fail(self.start, REFUSED, Class::NotInspected, out),
            Pumped::Stopped => Step::Done,
        }
    }

    fn trailer(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let Some((crc, length)) = gzip::trailer(input) else { return Step::More };
        if (self.crc.clone().finalize(), self.unpacked as u32) != (crc, length) {
            out.notice(Class::BrokenArchive, at, CHECKSUM);
        }
        self.ended = true;
        self.state = State::Between;
        Step::Took(8)
    }

    fn fail(&mut self, at: u64, text: &'static str, class: Class, out: &mut Outlet<'_>) -> Step {
        out.notice(class, at, text);
        out.end(End::Cut);
        Step::Done
    }
}

impl Container for Compressed {
    fn step(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        match self.state {
            State::Between => self.between(at, input, out),
            State::Data => self.data(input, out),
            State::Trailer => self.trailer(at, input, out),
            State::Behind if out.bytes(input) => Step::Took(input.len()),
            State::Behind => Step::Done,
        }
    }

    fn finish(&mut self, at: u64, rest: &[u8], out: &mut Outlet<'_>) {
        if self.state == State::Behind {
            return out.end(End::Whole);
        }
        if !self.ended || !rest.is_empty() {
            out.notice(Class::BrokenArchive, at, CUT_OFF);
            return out.end(End::Cut);
        }
        out.end(End::Whole);
    }
}

/// What the file within is called: the container's name without its ending.
fn inner_name(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let lower = name.to_ascii_lowercase();
    for (packed, plain) in [(".tgz", ".tar"), (".tbz2", ".tar"), (".tbz", ".tar"), (".txz", ".tar"), (".tzst", ".tar")]
    {
        if lower.ends_with(packed) {
            return format!("{}{plain}", &name[..name.len() - packed.len()]);
        }
    }
    for ending in [".gz", ".bgz", ".xz", ".bz2", ".zst", ".gzip", ".zstd"] {
        if lower.ends_with(ending) && name.len() > ending.len() {
            return name[..name.len() - ending.len()].to_owned();
        }
    }
    "[unpacked]".into()
}
