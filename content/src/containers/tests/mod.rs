//! Containers, the honest and the forged, and what is shown of them.

use super::*;
use crate::Notice;
use sluse_protocol::finding::Class;

mod base64;
mod bombs;
pub(crate) mod build;
mod compressed;
mod foreign;
mod properties;
mod sevenz;
mod tar;
mod zip;

/// A file that every scanner must find: assembled here, so that no source file is one.
pub fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE", "!$H+H*"].concat().into_bytes()
}

/// One member that was shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    pub depth: usize,
    /// The names, from the file's on, divided by `!`.
    pub chain: String,
    pub size: Option<u64>,
    pub bytes: Vec<u8>,
    pub end: Option<End>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { chain, size, bytes, end, .. } = self;
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        write!(out, "{chain:?} {size:?} {} bytes {start:?}, {end:?}; ", bytes.len())
    }
}

/// Keeps what is shown, and checks that members come as a stack.
#[derive(Default)]
pub struct Recorder {
    pub members: Vec<Shown>,
    open: Vec<usize>,
    /// The chain of the member, the class, and the message.
    pub notices: Vec<(String, Class, String)>,
    /// Where each of them is.
    pub places: Vec<Option<u64>>,
    /// Bytes of members that are kept; none when only counts matter.
    pub forget: bool,
}

impl Visitor for Recorder {
    fn begin(&mut self, member: &Member<'_>) {
        assert_eq!(member.depth, self.open.len(), "members form a stack");
        assert_eq!(member.chain.len(), member.depth + 1);
        self.open.push(self.members.len());
        let chain = member.chain.join("!");
        self.members.push(Shown { depth: member.depth, chain, size: member.size, bytes: Vec::new(), end: None });
    }

    fn bytes(&mut self, depth: usize, bytes: &[u8]) {
        assert!(!bytes.is_empty());
        if !self.forget {
            self.members[self.open[depth]].bytes.extend_from_slice(bytes);
        }
    }

    fn end(&mut self, depth: usize, end: End) {
        assert_eq!(depth + 1, self.open.len(), "the innermost ends first");
        let member = self.open.pop().unwrap();
        self.members[member].end = Some(end);
    }

    fn notice(&mut self, depth: usize, notice: Notice) {
        let chain = self.members[self.open[depth]].chain.clone();
        self.places.push(notice.offset);
        self.notices.push((chain, notice.class, notice.message));
    }
}

impl Recorder {
    pub fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.notices.iter().map(|(_, class, _)| *class).collect();
        classes.sort();
        classes.dedup();
        classes
    }

    /// Whether a member other than the file itself was shown with just these bytes.
    pub fn shows(&self, bytes: &[u8]) -> bool {
        self.members[1..].iter().any(|member| member.bytes == bytes)
    }

    /// Whether a notice of this class says so.
    pub fn says(&self, class: Class, part: &str) -> bool {
        self.notices.iter().any(|(_, one, message)| *one == class && message.contains(part))
    }

    pub fn member(&self, chain: &str) -> &Shown {
        let found = self.members.iter().find(|member| member.chain == chain);
        found.unwrap_or_else(|| panic!("{chain} is not among {:?}", self.chains()))
    }

    pub fn chains(&self) -> Vec<&str> {
        self.members.iter().map(|member| member.chain.as_str()).collect()
    }
}

/// Walks through a file in pieces of `step` bytes.
pub fn walk_in(name: &str, bytes: &[u8], step: usize, limits: Limits) -> (Recorder, Totals) {
    let mut recorder = Recorder::default();
    let mut walker = Walker::new(name, Some(bytes.len() as u64), limits);
    bytes.chunks(step.max(1)).for_each(|piece| walker.feed(piece, &mut recorder));
    let totals = walker.finish(&mut recorder);
    assert!(recorder.open.is_empty(), "every member ends");
    assert_eq!(totals.fed, bytes.len() as u64);
    (recorder, totals)
}

/// Walks through a file whole, and in pieces of several lengths: all must show the same.
pub fn walk(name: &str, bytes: &[u8]) -> Recorder {
    let (whole, _) = walk_in(name, bytes, usize::MAX, Limits::default());
    assert_eq!(whole.members[0].bytes, bytes, "the file itself is shown");
    for step in [1, 7, 1000] {
        if bytes.len() / step < 300_000 {
            let (cut, _) = walk_in(name, bytes, step, Limits::default());
            assert_eq!(cut.members, whole.members, "{name} in pieces of {step}");
            assert_eq!(cut.notices, whole.notices, "{name} in pieces of {step}");
            assert_eq!(cut.places, whole.places, "{name} in pieces of {step}: {:?}", whole.notices);
        }
    }
    whole
}
