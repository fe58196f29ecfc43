//! Where a container's members go.

use super::End;
use super::limits::{Limits, Pool};
use super::names;
use super::stream::Stream;
use super::visitor::{Member, Visitor};
use super::walker::Shared;
use crate::Notice;
use sluse_protocol::finding::Class;

/// What was said of one stream: each sentence once, as an archive can have a fault a hundred thousand times.
pub(super) type Said = Vec<&'static str>;

/// What a container writes to: one member at a time, or notices of itself.
pub(super) struct Outlet<'a> {
    pub shared: &'a mut Shared,
    pub visitor: &'a mut dyn Visitor,
    /// The container's own depth.
    pub depth: usize,
    pub child: &'a mut Option<Box<Stream>>,
    pub said: &'a mut Said,
    /// Members that the container has begun.
    pub begun: &'a mut u64,
}

impl Outlet<'_> {
    /// Begins a member; says no, after a notice, when no more are opened. A member that is open is ended as cut.
    pub fn begin(&mut self, name: String, size: Option<u64>) -> bool {
        self.end(End::Cut);
        self.shared.totals.entries += 1;
        if !self.goes_on() {
            return false;
        }
        *self.begun += 1;
        self.shared.chain.push(name);
        let chain = &self.shared.chain;
        self.visitor.begin(&Member { depth: self.depth + 1, chain, size });
        *self.child = Some(Box::default());
        true
    }

    /// The open member's next bytes; says no, after a notice and an end, when no more are taken.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        let Some(child) = self.child.as_deref_mut() else { return false };
        self.shared.totals.shown += bytes.len() as u64;
        child.feed(bytes, self.shared, self.visitor, self.depth + 1);
        self.goes_on()
    }

    /// Ends the open member, if there is one.
    pub fn end(&mut self, end: End) {
        if let Some(mut child) = self.child.take() {
            child.finish(self.shared, self.visitor, self.depth + 1);
            self.visitor.end(self.depth + 1, end);
            self.shared.chain.pop();
        }
    }

    /// Something of the container; said once. In archives the member that was begun last is counted in the message.
    pub fn notice(&mut self, class: Class, offset: u64, text: &'static str) {
        if !self.said.contains(&text) {
            self.said.push(text);
            let notice = Notice { class, offset: Some(offset), message: text.into() };
            self.shared.notice(self.visitor, self.depth, notice);
        }
    }

    /// Something of the open member; said once in its container.
    pub fn member(&mut self, class: Class, text: &'static str) {
        if self.child.is_some() && !self.said.contains(&text) {
            self.said.push(text);
            let message = format!("member {} of its archive: {text}", *self.begun);
            let notice = Notice { class, offset: None, message };
            self.shared.notice(self.visitor, self.depth + 1, notice);
        }
    }

    /// Ends the open member, of which not all was shown, for this reason.
    pub fn cut(&mut self, class: Class, text: &'static str) {
        self.member(class, text);
        self.end(End::Cut);
    }

    /// What the open member's name is up to, if anything.
    pub fn check_name(&mut self, raw: &[u8]) {
        if let Some(text) = names::check(raw) {
            self.member(Class::Path, text);
        }
    }

    /// How far containers are opened.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Decoders with large windows that may still be opened.
    pub fn windows(&self) -> &Pool {
        &self.shared.windows
    }

    /// The name of the container.
    pub fn name(&self) -> &str {
        self.shared.chain.last().map_or("", String::as_str)
    }

    fn goes_on(&mut self) -> bool {
        if !self.shared.stopped
            && let Some(text) = self.shared.exceeded()
        {
            self.shared.stopped = true;
            self.notice(Class::Bomb, 0, text);
        }
        if self.shared.stopped {
            self.end(End::Cut);
        }
        !self.shared.stopped
    }
}
