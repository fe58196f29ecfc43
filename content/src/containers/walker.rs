//! The walk through one file.

use super::limits::{Limits, Pool};
use super::stream::Stream;
use super::visitor::{End, MAX_NAME_CHARS, Member, Visitor};
use crate::Notice;
use sluse_protocol::finding::Class;
use std::collections::BTreeSet;

/// Opens the containers in one file, and shows a [`Visitor`] the file and all that is in it.
///
/// What it reports does not depend on where the file was cut into pieces, except in how many pieces members' bytes
/// come.
pub struct Walker {
    shared: Shared,
    root: Stream,
    size: Option<u64>,
    begun: bool,
}

/// What was shown of a file, once it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Bytes of the file.
    pub fed: u64,
    /// Bytes of its members at all depths.
    pub shown: u64,
    /// Members at all depths.
    pub entries: u64,
}

/// What all containers within one file share.
pub(super) struct Shared {
    pub limits: Limits,
    pub totals: Totals,
    /// The names of what is open, the file's first.
    pub chain: Vec<String>,
    /// A limit was reached: nothing is opened any more.
    pub stopped: bool,
    pub held: Pool,
    pub windows: Pool,
    notices: usize,
    classes: BTreeSet<Class>,
}

impl Walker {
    /// Starts on a file of this name and, if it is known, size.
    pub fn new(name: &str, size: Option<u64>, limits: Limits) -> Self {
        let shared = Shared {
            totals: Totals::default(),
            chain: vec![name.chars().take(MAX_NAME_CHARS).collect()],
            stopped: false,
            held: Pool::new(limits.held),
            windows: Pool::new(limits.windows),
            notices: 0,
            classes: BTreeSet::new(),
            limits,
        };
        Self { shared, root: Stream::default(), size, begun: false }
    }

    /// Takes the file's next bytes.
    pub fn feed(&mut self, bytes: &[u8], visitor: &mut dyn Visitor) {
        self.begin(visitor);
        self.shared.totals.fed += bytes.len() as u64;
        self.root.feed(bytes, &mut self.shared, visitor, 0);
    }

    /// The file has ended.
    pub fn finish(mut self, visitor: &mut dyn Visitor) -> Totals {
        self.begin(visitor);
        self.root.finish(&mut self.shared, visitor, 0);
        visitor.end(0, End::Whole);
        self.shared.totals
    }

    fn begin(&mut self, visitor: &mut dyn Visitor) {
        if !std::mem::replace(&mut self.begun, true) {
            visitor.begin(&Member { depth: 0, chain: &self.shared.chain, size: self.size });
        }
    }
}

impl Shared {
    /// Passes a notice on, unless there were too many that say nothing new.
    pub fn notice(&mut self, visitor: &mut dyn Visitor, depth: usize, notice: Notice) {
        if self.classes.insert(notice.class) || self.notices < self.limits.notices {
            self.notices += 1;
            visitor.notice(depth, notice);
        }
    }

    /// The limit that was passed, if one was.
    pub fn exceeded(&self) -> Option<&'static str> {
        let Totals { fed, shown, entries } = self.totals;
        if entries > self.limits.entries {
            Some("more members than are opened: the rest was not inspected")
        } else if shown > self.limits.bytes {
            Some("more unpacked bytes than are looked at: the rest was not inspected")
        } else if shown > self.limits.free && shown / self.limits.ratio.max(1) > fed {
            Some("it unpacks to so many times its size that it was made to do so: the rest was not inspected")
        } else {
            None
        }
    }
}
