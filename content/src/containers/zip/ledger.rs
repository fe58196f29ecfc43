//! What the local headers and the central directory of an archive say, side by side.

use super::content::Measured;
use super::header::{End64, EndRecord, Entry, Facts};
use crate::containers::names::fingerprint;
use crate::containers::outlet::Outlet;
use sluse_protocol::finding::Class;

const HIDDEN: &str = "entries that the directory does not list: some programs do not see them";
const NAMES: &str = "the directory calls an entry otherwise than its own header";
const NUMBERS: &str = "the directory states another size, method or checksum of an entry than its own header";
const ENCRYPTION: &str = "the directory and an entry's own header disagree about whether it is encrypted";
const OVERLAP: &str = "entries share the same bytes: an archive made to unpack to more than it can hold";
const COUNT: &str = "the end record counts other entries than there are";
const PLACE: &str = "the end record places the directory elsewhere: bytes were put before the archive, or it is forged";
const LENGTH: &str = "the end record states another length of the directory";
const VOLUMES: &str = "a part of an archive of several volumes: the others were not inspected";
const TWO_ENDS: &str = "the comment holds the mark of another end: programs disagree about which one it is";
const TOO_MANY: &str = "the directory has more entries than are opened: the rest was not inspected";

/// One entry as its local header, and its content, have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    start: u64,
    /// Where its content ends; not known for all.
    end: u64,
    name: [u8; 16],
    facts: Facts,
    /// Sizes and checksum are in the header, or were measured.
    known: bool,
    listed: bool,
}

/// One entry as the directory has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub offset: u64,
    pub facts: Facts,
    name: [u8; 16],
}

/// Both lists.
pub(super) struct Ledger {
    start: u64,
    locals: Vec<Local>,
    listed: Vec<Listed>,
    /// Where the directory that is being read begins.
    directory: Option<u64>,
    end64: Option<(u64, End64)>,
}

impl Ledger {
    pub fn new(start: u64) -> Self {
        Self { start, locals: Vec::new(), listed: Vec::new(), directory: None, end64: None }
    }

    /// Takes a local header at `start`; returns its number.
    pub fn local(&mut self, start: u64, data: u64, entry: &Entry, known: bool) -> usize {
        let (name, facts) = (fingerprint(&entry.name), entry.facts);
        let end = data.saturating_add(if known { facts.packed } else { 0 });
        self.locals.push(Local { start, end, name, facts, known, listed: false });
        self.locals.len() - 1
    }

    /// What was counted of an entry up to `end`. It stands in for what a header leaves to a descriptor.
    pub fn measured(&mut self, local: usize, end: u64, measured: &Measured, whole: bool) {
        if let Some(local) = self.locals.get_mut(local) {
            local.end = end;
            if whole && local.facts.described_behind() {
                let Measured { crc, packed, unpacked } = *measured;
                local.facts = Facts { crc, packed, unpacked, ..local.facts };
                local.known = true;
            }
        }
    }

    /// What an entry states of itself.
    pub fn stated(&self, local: usize) -> Measured {
        let facts = self.locals.get(local).map(|local| local.facts);
        facts.map_or(Measured { crc: 0, packed: 0, unpacked: 0 }, |facts| Measured {
            crc: facts.crc,
            packed: facts.packed,
            unpacked: facts.unpacked,
        })
    }

    /// Takes a central header.
    pub fn central(&mut self, at: u64, entry: &Entry, offset: u64, disk: u16, out: &mut Outlet<'_>) {
        self.directory.get_or_insert(at);
        if disk != 0 && disk != u16::MAX {
            out.notice(Class::NotInspected, at, VOLUMES);
        }
        if self.listed.len() as u64 >= out.limits().entries {
            return out.notice(Class::Bomb, at, TOO_MANY);
        }
        self.listed.push(Listed { offset, facts: entry.facts, name: fingerprint(&entry.name) });
    }

    /// Takes the zip64 end record.
    pub fn end64(&mut self, at: u64, end: End64) {
        self.directory.get_or_insert(at);
        self.end64 = Some((at, end));
    }

    /// Compares both lists at the end record; returns what the directory lists and no local header told alike.
    pub fn end(&mut self, at: u64, end: &EndRecord, out: &mut Outlet<'_>) -> Vec<Listed> {
        let begin = self.directory.take().unwrap_or(at);
        let shift = self.compare_end(at, begin, end, out);
        let mut unresolved = Vec::new();
        for mut listed in std::mem::take(&mut self.listed) {
            listed.offset = listed.offset.wrapping_add(shift);
            if !self.compare(begin, &listed, out) {
                unresolved.push(listed);
            }
        }
        if self.locals.iter().any(|local| !local.listed) {
            out.notice(Class::BrokenArchive, begin, HIDDEN);
        }
        // Those of an archive behind this one are judged by its own directory.
        self.locals.iter_mut().for_each(|local| local.listed = true);
        self.overlaps(&unresolved, begin, out);
        unresolved
    }

    /// Compares the end record with what there is; returns what is to be added to the directory's offsets.
    fn compare_end(&mut self, at: u64, begin: u64, end: &EndRecord, out: &mut Outlet<'_>) -> u64 {
        if end.disk != 0 && end.disk != u16::MAX {
            out.notice(Class::NotInspected, at, VOLUMES);
        }
        if end.two_ends {
            out.notice(Class::BrokenArchive, at, TWO_ENDS);
        }
        let (mut entries, mut size, mut offset) = (end.entries, end.size, end.offset);
        let mut directory_end = at;
        let mut count = self.listed.len() as u64;
        if let Some((place, wide)) = self.end64.take() {
            (entries, size, offset) = (wide.entries, wide.size, wide.offset);
            directory_end = place;
        } else {
            // Programs that know no zip64 count beyond the field's bits; sizes and places never.
            count %= 1 << 16;
        }
        if entries != count {
            out.notice(Class::BrokenArchive, at, COUNT);
        }
        if size != directory_end.saturating_sub(begin) {
            out.notice(Class::BrokenArchive, at, LENGTH);
        }
        let shift = begin.wrapping_sub(offset);
        if shift != 0 && shift != self.start {
            out.notice(Class::BrokenArchive, at, PLACE);
        }
        shift
    }

    /// Compares one listed entry with its local header. Says whether what was shown of it is what programs unpack.
    fn compare(&mut self, begin: u64, listed: &Listed, out: &mut Outlet<'_>) -> bool {
        let Ok(place) = self.locals.binary_search_by_key(&listed.offset, |local| local.start) else { return false };
        let local = &mut self.locals[place];
        if std::mem::replace(&mut local.listed, true) {
            out.notice(Class::Bomb, begin, OVERLAP);
        }
        if local.name != listed.name {
            out.notice(Class::BrokenArchive, begin, NAMES);
        }
        let (one, other) = (&local.facts, &listed.facts);
        if one.encrypted() != other.encrypted() {
            out.notice(Class::BrokenArchive, begin, ENCRYPTION);
            return false;
        }
        let numbers = |facts: &Facts| (facts.method, facts.packed, facts.unpacked, facts.crc);
        // Where a header leaves them to a descriptor that was not found, the directory's word stands alone.
        let same = if local.known { numbers(one) == numbers(other) } else { one.method == other.method };
        if !same {
            out.notice(Class::BrokenArchive, begin, NUMBERS);
        }
        same
    }

    /// Whether entries that only the directory places lie within others.
    fn overlaps(&self, unresolved: &[Listed], begin: u64, out: &mut Outlet<'_>) {
        let inside = |listed: &Listed| {
            let before = self.locals.partition_point(|local| local.start < listed.offset);
            before > 0 && self.locals[before - 1].end > listed.offset
        };
        if unresolved.iter().any(inside) {
            out.notice(Class::Bomb, begin, OVERLAP);
        }
    }
}
