//! Streams that are no container by their beginning: a ZIP archive may lie in them all the same, as programs find
//! those from their end. Also disc images, whose mark stands far behind their start, and files that stand in XML and JSON
//! as base64.

use super::End;
use super::base64::{self, Base64, Decoded, Run};
use super::outlet::Outlet;
use super::stream::{Container, Step};
use super::zip::Zip;
use super::zip::header::{LOCAL, LOCAL_BYTES, u16_at};
use sluse_protocol::finding::Class;

const BOTH: &str = "the file is a ZIP archive as well: programs disagree about what it is";
const CUT_OFF: &str = "a ZIP archive lies within it, and is cut off or damaged";
const ENDS: &str = "the end of a ZIP archive stands in it, of which no entry was found: not inspected";
const DEEP: &str = "a file in base64 within it lies deeper than files are opened: not inspected";
const DISC: &str = "a disc image cannot be opened here";

/// How far from a file's end programs look for a ZIP archive's end record: the record and the longest comment.
const END_ROOM: u64 = 22 + 65_535;

/// Where a disc image (ISO 9660, UDF) has its mark.
const DISC_MARK: u64 = 32_769;

/// What an Office 97 file begins with.
const COMPOUND: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// The longest name by which a header is taken for one.
const MAX_NAME: usize = 1024;

/// A look through such a stream.
#[derive(Default)]
pub(super) struct Plain {
    zip: Option<Box<Zip>>,
    /// Where the last archive's end was read.
    ended: Option<u64>,
    /// Whether it is an Office 97 file: programs put archives into those.
    compound: bool,
    /// Where an end record without an archive stands.
    lone_end: Option<u64>,
    text: Text,
}

/// What is known of files in base64.
#[derive(Default)]
enum Text {
    /// Nothing has come yet.
    #[default]
    Unknown,
    /// There are none: it is no text that has them.
    No,
    /// They are looked for.
    Search,
    /// A run that is not opened goes on.
    Pass,
    /// A run that may be one is being decoded.
    Inside(Box<Base64>),
}

impl Plain {
    fn inside(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let Some(zip) = &mut self.zip else { return Step::Took(0) };
        match zip.step(at, input, out) {
            Step::Done if out.shared.stopped => Step::Done,
            Step::Done => {
                if !zip.has_ended() {
                    out.notice(Class::BrokenArchive, at, CUT_OFF);
                }
                self.leave(at);
                Step::Took(0)
            }
            step => step,
        }
    }

    fn leave(&mut self, at: u64) {
        if self.zip.take().is_some_and(|zip| zip.has_ended()) {
            self.ended = Some(at);
        }
    }

    fn search(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let found = memchr::memmem::find_iter(input, b"PK").find(|place| {
            let rest = &input[*place..];
            rest.len() < 4 || rest.starts_with(&LOCAL) || rest.starts_with(b"PK\x05\x06")
        });
        let half = usize::from(input.ends_with(b"P"));
        let free = found.unwrap_or(input.len() - half);
        let run = if matches!(self.text, Text::Search) { base64::find(input) } else { Run::No };
        match run {
            Run::At(0) => return self.begin_base64(at, out),
            Run::At(start) | Run::Perhaps(start) if start < free => {
                return if start == 0 { Step::More } else { Step::Took(start) };
            }
            _ => {}
        }
        let Some(place) = found else {
            return if free == 0 { Step::More } else { Step::Took(free) };
        };
        if place > 0 {
            return Step::Took(place);
        }
        if input.len() < 4 {
            return Step::More;
        }
        if !input.starts_with(&LOCAL) {
            self.lone_end = Some(at);
            return Step::Took(4);
        }
        match is_header(input) {
            None => Step::More,
            Some(false) => Step::Took(4),
            Some(true) if out.depth >= out.limits().depth => {
                out.notice(
                    Class::Bomb,
                    at,
                    "a ZIP archive within it lies deeper than archives are opened: not inspected",
                );
                Step::Took(4)
            }
            Some(true) => {
                self.zip = Some(Box::new(Zip::embedded(at, out.shared)));
                Step::Took(0)
            }
        }
    }
}

impl Plain {
    fn begin_base64(&mut self, at: u64, out: &mut Outlet<'_>) -> Step {
        if out.depth >= out.limits().depth {
            out.notice(Class::Bomb, at, DEEP);
            self.text = Text::Pass;
        } else {
            self.text = Text::Inside(Box::default());
        }
        Step::Took(0)
    }

    /// A run that has begun.
    fn run(&mut self, input: &[u8], out: &mut Outlet<'_>) -> Option<Step> {
        let (taken, over) = match &mut self.text {
            Text::Pass => {
                let length = base64::length(input);
                (length, length < input.len())
            }
            Text::Inside(file) => match file.feed(input, out) {
                Decoded::Stopped => return Some(Step::Done),
                Decoded::Ended(taken) => (taken, true),
                Decoded::All => (input.len(), false),
            },
            Text::Unknown | Text::No | Text::Search => return None,
        };
        if over {
            self.text = Text::Search;
        }
        Some(Step::Took(taken))
    }
}

impl Container for Plain {
    fn step(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        if matches!(self.text, Text::Unknown) {
            self.compound = input.starts_with(COMPOUND);
            self.text = if base64::may_hold(input) { Text::Search } else { Text::No };
        }
        let end = at + input.len() as u64;
        if at <= DISC_MARK && DISC_MARK < end {
            let place = (DISC_MARK - at) as usize;
            let mark = input.get(place..place + 5);
            if mark.is_none() && place > 0 {
                return Step::Took(place);
            }
            match mark {
                None => return Step::More,
                Some(b"CD001" | b"NSR02" | b"NSR03" | b"BEA01") => out.notice(Class::NotInspected, at, DISC),
                Some(_) => {}
            }
        }
        if self.zip.is_some() {
            return self.inside(at, input, out);
        }
        self.run(input, out).unwrap_or_else(|| self.search(at, input, out))
    }

    fn finish(&mut self, at: u64, rest: &[u8], out: &mut Outlet<'_>) {
        let size = at + rest.len() as u64;
        if let Text::Inside(file) = &mut self.text {
            file.finish(End::Whole, out);
        }
        if let Some(mut zip) = self.zip.take() {
            zip.finish(at, rest, out);
            self.ended = zip.has_ended().then_some(at).or(self.ended);
        }
        // In an Office 97 file there is always something behind it: a sector's rest at least.
        let room = if self.compound { 0 } else { END_ROOM };
        if self.ended.is_some_and(|ended| size - ended <= room) {
            out.notice(Class::Polyglot, 0, BOTH);
        } else if self.lone_end.is_some_and(|place| size - place <= END_ROOM) {
            out.notice(Class::NotInspected, 0, ENDS);
        }
    }
}

/// Whether what begins like a local header can be one; none when that takes more bytes.
fn is_header(input: &[u8]) -> Option<bool> {
    if input.len() < LOCAL_BYTES {
        return None;
    }
    let (version, flags, method) = (u16_at(input, 4)?, u16_at(input, 6)?, u16_at(input, 8)?);
    let name = usize::from(u16_at(input, 26)?);
    let known = matches!(method, 0..=20 | 93..=99);
    if version & 0xff > 63 || flags & 0xc000 != 0 || !known || !(1..=MAX_NAME).contains(&name) {
        return Some(false);
    }
    Some(input.get(LOCAL_BYTES..LOCAL_BYTES + name)?.iter().all(|byte| !byte.is_ascii_control()))
}
