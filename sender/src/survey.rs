//! Reads a version's files before anything is said of them: their digests, and their pieces.
//!
//! A file that has the stamp which it had in the version before is not read: its bytes are those of then.

use crate::buffers::Pool;
use crate::error::Error;
use crate::plan::{self, Opener, Plan};
use crate::stream;
use crate::versions::{Surveyed, Version};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Kind;
use sluse_protocol::sync::pieces::{self, Cutter};
use sluse_protocol::time::Timestamp;
use std::collections::HashMap;

/// Bytes that are read at a time.
const BITE: usize = 256 * 1024;

/// Surveys the files of a plan, which was walked at `began`.
pub(crate) fn survey(plan: &Plan, began: Timestamp, before: Option<&Version>) -> Result<Version, Error> {
    let average = average(plan.totals().bytes, before);
    let known: HashMap<&str, &Surveyed> = before
        .filter(|before| before.average == average)
        .map(|before| before.entries.iter().map(|known| (known.entry.path.as_str(), known)).collect())
        .unwrap_or_default();
    let pool = Pool::new(1, BITE);
    let mut opener = Opener::default();
    let mut entries = Vec::with_capacity(plan.entries());
    for at in 0..plan.entries() {
        let mut entry = plan.entry(at, None);
        if entry.kind == Kind::Folder {
            entries.push(Surveyed { entry, stamp: None, pieces: Vec::new() });
            continue;
        }
        let stamp = plan.stamp(at);
        let same = |known: &&&Surveyed| stamp.is_some() && known.stamp == stamp && known.entry.agrees_with_plan(&entry);
        if let Some(known) = known.get(entry.path.as_str()).filter(same) {
            entries.push((*known).clone());
            continue;
        }
        let Some(mut buffer) = pool.take() else { return Err(crate::pipeline::fault("the survey's buffer is gone")) };
        let (mut hash, mut cutter) = (sha2::Sha256::new(), Cutter::new(average));
        stream::read_bytes(plan, at, &mut opener, &mut buffer, |bytes| {
            hash.update(bytes);
            cutter.push(bytes);
        })?;
        entry.sha256 = Some(Sha256(hash.finalize().into()));
        let stamp = stamp.filter(|(changed_ns, _)| plan::is_settled(*changed_ns, began));
        entries.push(Surveyed { entry, stamp, pieces: cutter.finish() });
    }
    Ok(Version { average, entries })
}

/// How large pieces are to be: as in the version before, as long as that makes neither too many nor few of them.
fn average(bytes: u64, before: Option<&Version>) -> u32 {
    let fresh = pieces::average(bytes);
    let fits = |before: &&Version| (fresh / 4..=fresh.saturating_mul(4)).contains(&before.average);
    before.filter(fits).map_or(fresh, |before| before.average)
}
