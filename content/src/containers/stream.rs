//! One stream of bytes: a file, or a member of a container, at any depth.

use super::compressed::Compressed;
use super::outlet::{Outlet, Said};
use super::plain::Plain;
use super::recognise::{HEAD_BYTES, Kind, recognise};
use super::sevenz::SevenZip;
use super::tar::Tar;
use super::visitor::Visitor;
use super::walker::Shared;
use super::zip::Zip;
use sluse_protocol::finding::Class;

/// Takes one kind of container apart.
pub(super) trait Container: Send {
    /// Looks at what lies at offset `at`. `input` begins there and is not empty; what was not taken comes again with
    /// more behind it.
    fn step(&mut self, at: u64, input: &[u8], out: &mut Outlet<'_>) -> Step;

    /// The stream has ended at `at + rest.len()`; `rest` was not taken.
    fn finish(&mut self, at: u64, rest: &[u8], out: &mut Outlet<'_>);
}

/// What a container did with its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It took so many bytes; if none, it is now in another state.
    Took(usize),
    /// It needs more than there is. What it waits for is bounded.
    More,
    /// It wants nothing any more.
    Done,
}

/// A stream that is fed.
#[derive(Default)]
pub(super) struct Stream {
    at: u64,
    /// What was not taken of the bytes so far.
    carry: Vec<u8>,
    stage: Stage,
    child: Option<Box<Stream>>,
    said: Said,
    begun: u64,
}

#[derive(Default)]
enum Stage {
    /// Too little has come to say what it is.
    #[default]
    Unknown,
    Open(Box<dyn Container>),
    Done,
}

impl Stream {
    pub fn feed(&mut self, bytes: &[u8], shared: &mut Shared, visitor: &mut dyn Visitor, depth: usize) {
        if bytes.is_empty() {
            return;
        }
        visitor.bytes(depth, bytes);
        if matches!(self.stage, Stage::Done) || shared.stopped {
            return;
        }
        if self.carry.is_empty() {
            self.run(bytes, false, shared, visitor, depth);
        } else {
            let mut joined = std::mem::take(&mut self.carry);
            joined.extend_from_slice(bytes);
            self.run(&joined, false, shared, visitor, depth);
        }
    }

    pub fn finish(&mut self, shared: &mut Shared, visitor: &mut dyn Visitor, depth: usize) {
        let rest = std::mem::take(&mut self.carry);
        if matches!(self.stage, Stage::Unknown) && !rest.is_empty() {
            self.run(&rest, true, shared, visitor, depth);
        }
        let (at, rest) = (self.at, std::mem::take(&mut self.carry));
        let (container, mut out) = self.parts(shared, visitor, depth);
        if let Some(container) = container
            && !out.shared.stopped
        {
            container.finish(at, &rest, &mut out);
        }
        out.end(super::End::Cut);
        self.stage = Stage::Done;
    }

    fn run(&mut self, mut input: &[u8], whole: bool, shared: &mut Shared, visitor: &mut dyn Visitor, depth: usize) {
        if matches!(self.stage, Stage::Unknown) {
            if input.len() < HEAD_BYTES && !whole {
                self.carry = input.to_vec();
                return;
            }
            self.open(input, shared, visitor, depth);
        }
        let mut at = self.at;
        let (container, mut out) = self.parts(shared, visitor, depth);
        let Some(container) = container else { return };
        let mut done = false;
        while !input.is_empty() && !done {
            match container.step(at, input, &mut out) {
                Step::Took(taken) => {
                    let taken = taken.min(input.len());
                    at += taken as u64;
                    input = &input[taken..];
                }
                Step::More => break,
                Step::Done => done = true,
            }
            done |= out.shared.stopped;
        }
        if done {
            out.end(super::End::Cut);
            self.stage = Stage::Done;
        } else {
            self.carry = input.to_vec();
        }
        self.at = at;
    }

    fn open(&mut self, head: &[u8], shared: &mut Shared, visitor: &mut dyn Visitor, depth: usize) {
        let kind = recognise(head);
        self.stage = Stage::Open(Box::new(Plain::default()));
        let (_, mut out) = self.parts(shared, visitor, depth);
        if kind != Kind::Plain && depth >= out.limits().depth {
            let text = "containers within each other, deeper than they are opened: not inspected";
            out.notice(Class::Bomb, 0, text);
            self.stage = Stage::Done;
            return;
        }
        self.stage = Stage::Open(match kind {
            Kind::Plain => return,
            Kind::Closed(text) => return out.notice(Class::NotInspected, 0, text),
            Kind::Zip => Box::new(Zip::new(0, out.shared)),
            Kind::Tar => Box::new(Tar::default()),
            Kind::SevenZip => Box::new(SevenZip::new(out.shared)),
            Kind::Compressed(format) => Box::new(Compressed::new(format)),
        });
    }

    fn parts<'a>(
        &'a mut self,
        shared: &'a mut Shared,
        visitor: &'a mut dyn Visitor,
        depth: usize,
    ) -> (Option<&'a mut Box<dyn Container>>, Outlet<'a>) {
        let container = match &mut self.stage {
            Stage::Open(container) => Some(container),
            Stage::Unknown | Stage::Done => None,
        };
        let (child, said, begun) = (&mut self.child, &mut self.said, &mut self.begun);
        (container, Outlet { shared, visitor, depth, child, said, begun })
    }
}
