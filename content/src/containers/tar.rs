//! tar archives: ustar, pax, GNU's long names, and what came before them (POSIX.1-2017 pax; GNU tar's manual).

use super::End;
use super::names::{self, Seen};
use super::outlet::Outlet;
use super::stream::{Container, Step};
use sluse_protocol::finding::Class;

mod header;

pub(super) use header::begins;
use header::{BLOCK, Header, Pax};

/// Bytes of a long name or of pax records that are read.
const MAX_EXTENSION: u64 = 1 << 20;

const DAMAGED: &str = "a header of its entries is damaged: the rest is shown as one piece";
const CUT_OFF: &str = "a tar archive that is cut off";
const NO_END: &str = "a tar archive without its end mark: it may be cut off";
const BEHIND: &str = "bytes follow the end of the tar archive";
const TOO_LONG: &str = "the extended header of an entry is longer than it is read";
const TWO_SIZES: &str = "an entry states two sizes: programs disagree about where the next one begins";
const SPARSE: &str = "a sparse file: its holes are not filled in, so what programs unpack was not inspected";
const VOLUMES: &str = "a part of an archive of several volumes: not inspected as what it is";
const TWICE: &str = "another member has the same name, case and Unicode's forms aside";
const LINK: &str = "a link that leads out of the folder it is unpacked to";
const DEVICE: &str = "a device or a pipe, not a file";
const RECORDS: &str = "the records of an extended header are damaged";

/// The walk through one archive.
#[derive(Default)]
pub(super) struct Tar {
    state: State,
    pax: Pax,
    global: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    seen: Seen,
    zero_blocks: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    /// An entry's content, then padding to the block.
    Content {
        left: u64,
        padding: u64,
    },
    /// What tells of the next entry; it is read whole.
    Extension {
        kind: u8,
        size: u64,
    },
    /// What is passed over: of an extension that is too long, and padding.
    Skip(u64),
    /// Behind the end mark: zeros, else something else.
    Ended,
    Behind,
}

impl Tar {
    fn header(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let Some(block) = input.first_chunk::<BLOCK>() else { return Step::More };
        if block.iter().all(|byte| *byte == 0) {
            self.zero_blocks += 1;
            if self.zero_blocks == 2 {
                self.state = State::Ended;
            }
            return Step::Took(BLOCK);
        }
        let Some(header) = Header::read(block) else { return self.behind(at, DAMAGED, out) };
        // GNU tar goes on behind a single block of zeros; others end there.
        if std::mem::take(&mut self.zero_blocks) > 0 {
            out.notice(Class::BrokenArchive, at, BEHIND);
        }
        match header.kind {
            b'L' | b'K' | b'x' | b'g' => {
                self.state = State::Extension { kind: header.kind, size: header.size };
                if header.size > MAX_EXTENSION {
                    out.notice(Class::BrokenArchive, at, TOO_LONG);
                    self.state = State::Skip(header.size.saturating_add(header::padding(header.size)));
                }
                Step::Took(BLOCK)
            }
            _ => self.entry(at, &header, out),
        }
    }

    fn entry(&mut self, at: u64, header: &Header, out: &mut Outlet<'_>) -> Step {
        let pax = std::mem::take(&mut self.pax).over(&self.global);
        let (long_name, long_link) = (self.long_name.take(), self.long_link.take());
        let name = pax.path.clone().or(long_name).unwrap_or_else(|| header.name.clone());
        let link = pax.link.clone().or(long_link).unwrap_or_else(|| header.link.clone());
        let mut size = header.size;
        if let Some(stated) = pax.size {
            // Where a size does not fit the old field, writers put 0 or the largest value there.
            if header.size != 0 && header.size != stated && header.size != header::LARGEST {
                out.notice(Class::BrokenArchive, at, TWO_SIZES);
            }
            size = stated;
        }
        // Links, devices and folders have no content, whatever size they state; hard links of pax archives may have.
        let content = match header.kind {
            b'2'..=b'6' => 0,
            b'1' if pax.is_empty() => 0,
            _ => size,
        };
        if !out.begin(names::text(&name), Some(content)) {
            return Step::Done;
        }
        out.check_name(&name);
        match header.kind {
            b'1' | b'2' if names::check(&link).is_some() => out.member(Class::Path, LINK),
            b'3' | b'4' | b'6' => out.member(Class::Path, DEVICE),
            b'S' => out.member(Class::NotInspected, SPARSE),
            b'M' | b'V' => out.member(Class::NotInspected, VOLUMES),
            _ => {}
        }
        if pax.sparse {
            out.member(Class::NotInspected, SPARSE);
        }
        if header.kind != b'5' && !name.ends_with(b"/") && self.seen.again(&name) {
            out.member(Class::Path, TWICE);
        }
        // GNU's old sparse format has more blocks of its map behind the header.
        if header.kind == b'S' && header.extended {
            out.cut(Class::NotInspected, SPARSE);
            return self.behind(at + BLOCK as u64, SPARSE, out);
        }
        self.state = State::Content { left: content, padding: header::padding(content) };
        if content == 0 {
            out.end(if matches!(header.kind, b'S') { End::Cut } else { End::Whole });
            self.state = State::Header;
        }
        Step::Took(BLOCK)
    }

    fn content(&mut self, left: u64, padding: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        if !out.bytes(&input[..here]) {
            return Step::Done;
        }
        let left = left - here as u64;
        self.state = State::Content { left, padding };
        if left == 0 {
            out.end(End::Whole);
            self.state = State::Skip(padding);
        }
        Step::Took(here)
    }

    fn extension(&mut self, at: u64, kind: u8, size: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let whole = usize::try_from(size + header::padding(size)).unwrap_or(usize::MAX);
        let Some(body) = input.get(..whole).and_then(|body| body.get(..size as usize)) else { return Step::More };
        match kind {
            b'L' => self.long_name = Some(header::until_nul(body).to_vec()),
            b'K' => self.long_link = Some(header::until_nul(body).to_vec()),
            _ => match Pax::read(body) {
                Some(pax) if kind == b'g' => self.global = pax.over(&self.global),
                Some(pax) => self.pax = pax,
                None => out.notice(Class::BrokenArchive, at, RECORDS),
            },
        }
        self.state = State::Header;
        Step::Took(whole)
    }

    fn ended(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        match input.iter().position(|byte| *byte != 0) {
            None => Step::Took(input.len()),
            Some(0) => self.behind(at, BEHIND, out),
            Some(zeros) => Step::Took(zeros),
        }
    }

    /// Shows the rest as one member.
    fn behind(&mut self, at: u64, text: &'static str, out: &mut Outlet<'_>) -> Step {
        out.notice(Class::BrokenArchive, at, text);
        if !out.begin("[rest]".into(), None) {
            return Step::Done;
        }
        self.state = State::Behind;
        Step::Took(0)
    }
}

impl Container for Tar {
    fn step(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        match self.state {
            State::Header => self.header(at, input, out),
            State::Content { left, padding } => self.content(left, padding, input, out),
            State::Extension { kind, size } => self.extension(at, kind, size, input, out),
            State::Skip(0) => {
                self.state = State::Header;
                Step::Took(0)
            }
            State::Skip(left) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                self.state = State::Skip(left - here as u64);
                Step::Took(here)
            }
            State::Ended => self.ended(at, input, out),
            State::Behind if out.bytes(input) => Step::Took(input.len()),
            State::Behind => Step::Done,
        }
    }

    fn finish(&mut self, at: u64, rest: &[u8], out: &mut Outlet<'_>) {
        match self.state {
            State::Ended => {}
            State::Behind => out.end(End::Whole),
            State::Header | State::Skip(0) if rest.is_empty() => {
                if self.zero_blocks == 0 {
                    out.notice(Class::BrokenArchive, at, NO_END);
                }
            }
            _ => {
                out.notice(Class::BrokenArchive, at, CUT_OFF);
                out.end(End::Cut);
            }
        }
    }
}
