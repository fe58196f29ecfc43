//! What a parser took out of a file, on its way through the engine that looks at bytes by themselves.

use super::child::Lost;
use super::limits::{MAX_DEPTH, MAX_NOTICES};
use crate::inspect::engine::Seen;
use crate::inspect::engines::signatures::{MemberScan, SignaturesEngine};
use sluse_content::MAX_PLACE_BYTES;

/// The members of one file.
#[derive(Default)]
pub struct Members {
    /// None where that engine is not to be trusted; then its own report says so.
    signatures: Option<SignaturesEngine>,
    open: Vec<Member>,
    seen: Vec<Seen>,
}

struct Member {
    place: String,
    scan: Option<MemberScan>,
}

impl Members {
    /// None yet, to be searched by `signatures`.
    pub fn new(signatures: Option<SignaturesEngine>) -> Self {
        Self { signatures, ..Self::default() }
    }

    /// A member begins within the one that was begun last.
    ///
    /// # Errors
    /// When it lies deeper than any is opened, or its place is longer than one can be.
    pub fn begin(&mut self, place: String) -> Result<(), Lost> {
        if self.open.len() >= MAX_DEPTH || place.len() > MAX_PLACE_BYTES {
            return Err(Lost::Garbage);
        }
        let scan = self.signatures.as_ref().map(SignaturesEngine::begin_member);
        self.open.push(Member { place, scan });
        Ok(())
    }

    /// The next bytes of the open member at `depth`, counted from 1.
    ///
    /// # Errors
    /// When none is open there.
    pub fn bytes(&mut self, depth: usize, bytes: &[u8]) -> Result<(), Lost> {
        let member = depth.checked_sub(1).and_then(|place| self.open.get_mut(place)).ok_or(Lost::Garbage)?;
        if let Some(scan) = &mut member.scan {
            scan.feed(bytes);
        }
        Ok(())
    }

    /// The member that was begun last has ended.
    ///
    /// # Errors
    /// When none is open.
    pub fn end(&mut self) -> Result<(), Lost> {
        let Member { place, scan } = self.open.pop().ok_or(Lost::Garbage)?;
        for name in scan.map(MemberScan::finish).unwrap_or_default() {
            if self.seen.len() < MAX_NOTICES {
                self.seen.push(SignaturesEngine::seen_in(&place, &name));
            }
        }
        Ok(())
    }

    /// Whether no member is open.
    pub fn are_closed(&self) -> bool {
        self.open.is_empty()
    }

    /// What was seen in them.
    pub fn finish(self) -> Vec<Seen> {
        self.seen
    }
}
