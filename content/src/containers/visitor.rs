//! Who is shown what containers hold.

use crate::Notice;

/// Is shown a file and every member of it, at every depth, as they stream by.
///
/// The members that are open form a stack: depth 0 is the file itself, and each member lies in the one before it. All
/// are shown, containers as well as what is in them: the bytes of an archive come at its depth, those of its entries one
/// deeper. Each `begin` has its `end`, inner ones first.
pub trait Visitor {
    /// A member begins.
    fn begin(&mut self, member: &Member<'_>);

    /// Its next bytes.
    fn bytes(&mut self, depth: usize, bytes: &[u8]);

    /// It has ended.
    fn end(&mut self, depth: usize, end: End);

    /// Something was noticed of the open member at `depth`; the offset counts from that member's start.
    fn notice(&mut self, depth: usize, notice: Notice);
}

/// One member.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// How many containers it lies in; 0 is the file.
    pub depth: usize,
    /// Its name and those of what it lies in, the file's first; `depth + 1` of them. They are the archives' own, at
    /// most [`MAX_NAME_CHARS`] long, and may hold anything a name can: see [`printable`]. What no archive names has a
    /// name in square brackets.
    pub chain: &'a [String],
    /// Its bytes, if that was stated. It may be a lie.
    pub size: Option<u64>,
}

/// How a member ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it was shown.
    Whole,
    /// Not all of it was shown, and a notice says why.
    Cut,
}

/// Characters of a member's name that are kept.
pub const MAX_NAME_CHARS: usize = 1024;

/// A name that cannot do anything to a terminal or to the eye: control characters and those that turn the direction of
/// writing are replaced.
pub fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || super::names::is_bidi(c) { '\u{fffd}' } else { c }).collect()
}
