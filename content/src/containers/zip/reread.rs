//! Entries that the central directory places where no entry was met, or describes otherwise than they were read: they
//! are read again as the directory has it.

use super::content::{Came, Content};
use super::header;
use super::ledger::Listed;
use crate::containers::names;
use crate::containers::outlet::Outlet;
use crate::containers::visitor::End;
use sluse_protocol::finding::Class;

const MISSING: &str = "the directory places an entry where there is none: not inspected";
const NOT_HELD: &str =
    "the directory has entries of its own, and the archive is too large to look for them: not inspected";

/// Shows the entries; `held` is the archive from offset `start` on, if there was room for it.
pub(super) fn show(unresolved: &[Listed], held: Option<&[u8]>, start: u64, out: &mut Outlet<'_>) {
    for listed in unresolved {
        let Some(held) = held else { return out.notice(Class::NotInspected, listed.offset, NOT_HELD) };
        let place = listed.offset.checked_sub(start).and_then(|place| usize::try_from(place).ok());
        let bytes = place.and_then(|place| held.get(place..)).filter(|bytes| bytes.starts_with(&header::LOCAL));
        let Some((entry, length)) = bytes.and_then(header::local) else {
            out.notice(Class::NotInspected, listed.offset, MISSING);
            continue;
        };
        if !out.begin(names::text(&entry.name), Some(listed.facts.unpacked)) {
            return;
        }
        out.check_name(&entry.name);
        let data = bytes.and_then(|bytes| bytes.get(length..)).unwrap_or_default();
        let data = &data[..usize::try_from(listed.facts.packed).unwrap_or(usize::MAX).min(data.len())];
        if !one(listed, data, out) {
            return;
        }
    }
}

/// Shows one entry; says whether more are to be shown.
fn one(listed: &Listed, data: &[u8], out: &mut Outlet<'_>) -> bool {
    let mut content = Content::new(listed.facts, out);
    let came = content.feed(data, out);
    if matches!(came, Came::Stopped) {
        return false;
    }
    let whole = matches!(came, Came::Ended(_)) || content.is_stored();
    if whole && content.compare(&listed.facts, out) {
        out.end(End::Whole);
    } else if !content.is_opaque() {
        out.cut(Class::BrokenArchive, super::LONG);
    }
    true
}
