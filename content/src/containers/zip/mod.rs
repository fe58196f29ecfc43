//! ZIP archives, as they stream by: entry behind entry by their local headers, then compared with the central
//! directory, by which most programs unpack. What only one of the two knows, or what they tell differently, is said
//! and shown: entries that only the directory points to are read again from what is held of the archive.

use super::End;
use super::limits::Held;
use super::names::{self, Seen};
use super::outlet::Outlet;
use super::stream::{Container, Step};
use super::walker::Shared;
use content::{Came, Content, Descriptor};
use header::{Entry, Parsed, Record};
use ledger::Ledger;
use sluse_protocol::finding::Class;

mod content;
pub(super) mod header;
mod ledger;
mod reread;

const BETWEEN: &str = "bytes stand between the entries of a ZIP archive";
const BEHIND: &str = "bytes follow the end of a ZIP archive";
const ANOTHER: &str = "another ZIP archive follows the end of the first: programs disagree about which one it is";
const CUT_OFF: &str = "a ZIP archive without its end: it was cut off";
const SHORT: &str = "the data of an entry ends before its stated length: bytes hide behind it";
const LONG: &str = "the data of an entry is cut off at its stated length";
const DESCRIPTOR: &str = "what is stated behind the data of an entry is not what it holds";
const FOLDER: &str = "a folder with content";
const TWICE: &str = "another member has the same name, case and Unicode's forms aside";
const OTHER_NAME: &str = "an extra field states another name than the header: programs disagree about it";
const EXTRA: &str = "the extra fields of an entry are damaged";

/// The walk through one archive.
pub(super) struct Zip {
    /// Where in the stream it begins.
    start: u64,
    state: State,
    ledger: Ledger,
    /// What was read so far, while there is room for it.
    held: Option<Held>,
    seen: Seen,
    /// It lies in a stream of another kind, which goes on behind its end.
    embedded: bool,
    ended: bool,
}

enum State {
    /// A record begins here.
    Record,
    /// An entry's content: so many bytes, if that is known.
    Content {
        content: Box<Content>,
        left: Option<u64>,
        local: usize,
    },
    /// The content's end is known, and bytes are left of its stated length: they are shown as a member of their own.
    Slack {
        left: u64,
    },
    /// What is stated behind the content.
    Descriptor {
        content: Box<Content>,
        local: usize,
    },
    /// No record: the next one is looked for. What lies before it is shown, unless it is an entry that cannot be.
    Lost {
        shown: bool,
    },
    Done,
}

impl Zip {
    /// Begins an archive at offset `start` of its stream.
    pub fn new(start: u64, shared: &Shared) -> Self {
        let held = Some(Held::new(&shared.held));
        let (state, seen) = (State::Record, Seen::default());
        Self { start, state, ledger: Ledger::new(start), held, seen, embedded: false, ended: false }
    }

    /// Begins one inside a stream of another kind.
    pub fn embedded(start: u64, shared: &Shared) -> Self {
        Self { embedded: true, ..Self::new(start, shared) }
    }

    /// Whether its end record was read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn record(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        match header::parse(input) {
            Parsed::More => Step::More,
            Parsed::Bad if self.embedded => Step::Done,
            Parsed::Bad => self.lost(at, &input[..1], out),
            Parsed::Record(record, length) => {
                if std::mem::take(&mut self.ended) && matches!(record, Record::Local(_)) {
                    out.notice(Class::BrokenArchive, at, ANOTHER);
                }
                match record {
                    Record::Local(entry) => self.local(at, length, entry, out),
                    Record::Central { entry, offset, disk } => {
                        if let Some(text) = names::check(&entry.name) {
                            out.notice(Class::Path, at, text);
                        }
                        self.ledger.central(at, &entry, offset, disk, out)
                    }
                    Record::End64(end) => self.ledger.end64(at, end),
                    Record::End(end) => {
                        self.ended = true;
                        let unresolved = self.ledger.end(at, &end, out);
                        let held = self.held.as_ref().map(Held::bytes);
                        reread::show(&unresolved, held, self.start, out);
                    }
                    Record::Other => {}
                }
                if out.shared.stopped { Step::Done } else { Step::Took(length) }
            }
        }
    }

    fn local(&mut self, at: u64, length: usize, entry: Entry, out: &mut Outlet<'_>) {
        let facts = entry.facts;
        let behind = facts.described_behind();
        // With a descriptor behind it a header may still state its sizes.
        let known = !behind || facts.packed != 0;
        let name = entry.other_name.as_ref().unwrap_or(&entry.name);
        if !out.begin(names::text(name), known.then_some(facts.unpacked)) {
            return;
        }
        check_names(&entry, &mut self.seen, out);
        if entry.damaged {
            out.member(Class::BrokenArchive, EXTRA);
        }
        if entry.name.ends_with(b"/") && facts.packed > 0 && facts.unpacked > 0 {
            out.member(Class::BrokenArchive, FOLDER);
        }
        let local = self.ledger.local(at, at + length as u64, &entry, known);
        let content = Box::new(Content::new(facts, out));
        let (left, opaque) = (known.then_some(facts.packed), content.is_opaque());
        self.state = State::Content { content, left, local };
        if left == Some(0) && !behind {
            self.nothing(out);
        } else if left.is_none() && opaque {
            self.state = State::Lost { shown: false };
        }
    }

    /// An entry without a byte: what would unpack to nothing is whole.
    fn nothing(&mut self, out: &mut Outlet<'_>) {
        if let State::Content { content, .. } = std::mem::replace(&mut self.state, State::Record)
            && !content.is_opaque()
            && content.compare(&content.facts, out)
        {
            out.end(End::Whole);
        }
        out.end(End::Cut);
    }

    fn content(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let State::Content { content, left, local } = &mut self.state else { return Step::Done };
        let Some(stated) = *left else { return self.unmeasured(at, input, out) };
        let local = *local;
        let here = usize::try_from(stated).unwrap_or(usize::MAX).min(input.len());
        let came = content.feed(&input[..here], out);
        let (taken, ended) = match came {
            Came::Ended(taken) => (taken, true),
            Came::All => (here, stated == here as u64 && content.is_stored()),
            Came::Faulty => (here, false),
            Came::Stopped => return Step::Done,
        };
        let remaining = stated - taken as u64;
        *left = Some(remaining);
        if ended || remaining == 0 {
            self.content_ends(at + taken as u64, remaining, ended, local, out);
        }
        Step::Took(taken)
    }

    /// The content of an entry that states its length has ended, or should have.
    fn content_ends(&mut self, at: u64, remaining: u64, ended: bool, local: usize, out: &mut Outlet<'_>) {
        let State::Content { content, .. } = std::mem::replace(&mut self.state, State::Record) else { return };
        let facts = content.facts;
        if !ended && !content.is_opaque() {
            out.cut(Class::BrokenArchive, LONG);
        }
        self.ledger.measured(local, at + remaining, &content.measured(), ended);
        let agrees = !ended || facts.described_behind() || content.compare(&facts, out);
        if remaining > 0 {
            out.member(Class::BrokenArchive, SHORT);
            out.end(if agrees { End::Whole } else { End::Cut });
            self.state = State::Slack { left: remaining };
            if !out.begin("[behind an entry's data]".into(), Some(remaining)) {
                self.state = State::Done;
            }
        } else if facts.described_behind() {
            self.state = State::Descriptor { content, local };
        } else {
            out.end(if ended && agrees { End::Whole } else { End::Cut });
        }
    }

    /// Content of unknown length.
    fn unmeasured(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let State::Content { content, local, .. } = &mut self.state else { return Step::Done };
        if content.is_stored() {
            return self.stored(input, out);
        }
        match content.feed(input, out) {
            Came::All => Step::Took(input.len()),
            Came::Stopped => Step::Done,
            Came::Faulty => {
                self.state = State::Lost { shown: true };
                Step::Took(0)
            }
            Came::Ended(taken) => {
                let (exact, local) = (content.ends_itself(), *local);
                self.ledger.measured(local, at + taken as u64, &content.measured(), true);
                let state = std::mem::replace(&mut self.state, State::Lost { shown: false });
                match state {
                    State::Content { content, .. } if exact => self.state = State::Descriptor { content, local },
                    _ => out.end(End::Whole),
                }
                Step::Took(taken)
            }
        }
    }

    /// Stored content of unknown length: it ends before a descriptor that agrees with it.
    fn stored(&mut self, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let State::Content { content, local, .. } = &mut self.state else { return Step::Done };
        let local = *local;
        let mark = b"PK\x07\x08";
        let found = memchr::memmem::find(input, mark);
        if found == Some(0) {
            match content.measured().descriptor(input) {
                Descriptor::More => return Step::More,
                Descriptor::Agrees(_) => {
                    let state = std::mem::replace(&mut self.state, State::Done);
                    if let State::Content { content, .. } = state {
                        self.state = State::Descriptor { content, local };
                    }
                    return Step::Took(0);
                }
                Descriptor::Differs => {}
            }
        }
        let next = match found {
            Some(0) => 4,
            Some(next) => next,
            None => input.len() - partial(input, mark),
        };
        if next == 0 {
            return Step::More;
        }
        match content.feed(&input[..next], out) {
            Came::Stopped => Step::Done,
            _ => Step::Took(next),
        }
    }

    fn slack(&mut self, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let State::Slack { left } = &mut self.state else { return Step::Done };
        let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        *left -= here as u64;
        let left = *left;
        if !out.bytes(&input[..here]) {
            return Step::Done;
        }
        if left == 0 {
            out.end(End::Whole);
            self.state = State::Record;
        }
        Step::Took(here)
    }

    fn descriptor(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let State::Descriptor { content, local } = &self.state else { return Step::Done };
        let opaque = content.is_opaque();
        let measured = if opaque { self.ledger.stated(*local) } else { content.measured() };
        match measured.descriptor(input) {
            Descriptor::More => return Step::More,
            Descriptor::Agrees(length) => {
                out.end(End::Whole);
                self.state = State::Record;
                return Step::Took(length);
            }
            // What cannot be opened cannot be measured: what stands behind it is skipped up to the next record.
            Descriptor::Differs if opaque => {}
            Descriptor::Differs => {
                out.notice(Class::BrokenArchive, at, DESCRIPTOR);
                out.end(End::Whole);
            }
        }
        self.state = State::Lost { shown: !opaque };
        Step::Took(0)
    }

    /// Shows what is no record, and from then on looks for the next one.
    fn lost(&mut self, at: u64, bytes: &[u8], out: &mut Outlet<'_>) -> Step {
        self.state = State::Lost { shown: true };
        if out.child.is_none() {
            let (text, name) = if self.ended { (BEHIND, "[behind the end]") } else { (BETWEEN, "[between entries]") };
            out.notice(Class::BrokenArchive, at, text);
            if !out.begin(name.into(), None) {
                return Step::Done;
            }
        }
        if out.bytes(bytes) { Step::Took(bytes.len()) } else { Step::Done }
    }

    /// Looks for the next record.
    fn search(&mut self, at: u64, shown: bool, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let found = memchr::memmem::find_iter(input, b"PK").find(|place| header::is_mark(&input[*place..]));
        let taken = found.unwrap_or_else(|| input.len() - partial_mark(input));
        if taken > 0 {
            return if shown { self.lost(at, &input[..taken], out) } else { Step::Took(taken) };
        }
        if found.is_none() {
            return Step::More;
        }
        out.end(End::Whole);
        self.state = State::Record;
        Step::Took(0)
    }

    fn advance(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        match &self.state {
            State::Record => self.record(at, input, out),
            State::Content { .. } => self.content(at, input, out),
            State::Slack { .. } => self.slack(input, out),
            State::Descriptor { .. } => self.descriptor(at, input, out),
            State::Lost { shown } => self.search(at, *shown, input, out),
            State::Done => Step::Done,
        }
    }
}

impl Container for Zip {
    fn step(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        let step = self.advance(at, input, out);
        if let Step::Took(taken) = step
            && let Some(held) = &mut self.held
            && !held.extend(&input[..taken])
        {
            self.held = None;
        }
        if self.ended && self.embedded && matches!(self.state, State::Record) && step != Step::Took(0) {
            // Its end record was taken: what follows is its host's.
            self.state = State::Done;
        }
        step
    }

    fn finish(&mut self, at: u64, rest: &[u8], out: &mut Outlet<'_>) {
        let shown = matches!(self.state, State::Lost { shown: true });
        if shown && !rest.is_empty() {
            self.lost(at, rest, out);
        } else if matches!(self.state, State::Content { .. }) {
            out.bytes(rest);
        }
        let clean = match &self.state {
            State::Record => rest.is_empty() && self.ended,
            State::Lost { shown: true } => self.ended,
            State::Done => true,
            _ => false,
        };
        if shown {
            out.end(End::Whole);
        }
        if !clean {
            out.notice(Class::BrokenArchive, at, CUT_OFF);
            out.end(End::Cut);
        }
    }
}

/// What an entry's names are up to.
fn check_names(entry: &Entry, seen: &mut Seen, out: &mut Outlet<'_>) {
    out.check_name(&entry.name);
    if let Some(other) = &entry.other_name {
        out.check_name(other);
        // A name outside ASCII is what the field is for.
        if entry.name.is_ascii() && *other != entry.name {
            out.member(Class::Path, OTHER_NAME);
        }
    }
    if !entry.name.ends_with(b"/") && seen.again(&entry.name) {
        out.member(Class::Path, TWICE);
    }
}

/// Bytes at the end of `input` that `mark` may begin with.
fn partial(input: &[u8], mark: &[u8]) -> usize {
    (1..mark.len()).rev().find(|length| input.ends_with(&mark[..*length])).unwrap_or(0)
}

/// Bytes at the end of `input` that a record's mark may begin with.
fn partial_mark(input: &[u8]) -> usize {
    let marks = [header::LOCAL, header::CENTRAL, header::END, header::END64];
    marks.iter().map(|mark| partial(input, mark)).max().unwrap_or(0)
}
