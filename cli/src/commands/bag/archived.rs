//! An archived bag's own proof: the zone's signed statement in it, which names the digest of its list of lists.

use super::Problems;
use super::contents::Contents;
use super::evidence::TAG_MANIFEST;
use crate::evidence::Signers;
use sluse_protocol::archive::{SIGNATURE, STATEMENT};
use sluse_protocol::receipt::ReceiptKind;
use std::path::Path;

/// Checks the statement; whether there is one. Where the bag says that it is an archived one, there must be.
pub fn check(dir: &Path, signers: &Signers, found: &Contents, says_so: bool, problems: &mut Problems) -> bool {
    let there = [STATEMENT, SIGNATURE].map(|file| found.tags.contains_key(file));
    if !there.contains(&true) {
        if says_so {
            problems.add(format!("{STATEMENT} is missing: bag-info.txt says that this is an archived bag"));
        }
        return false;
    }
    if !says_so {
        problems.add("bag-info.txt does not say that this is an archived bag");
    }
    let stated = match signers.archive_file(&dir.join(STATEMENT)) {
        Ok(stated) => stated,
        Err(failure) => {
            problems.add(failure.sentence());
            return true;
        }
    };
    if found.tags.get(TAG_MANIFEST) != Some(&stated.tagmanifest) {
        problems
            .add(format!("{TAG_MANIFEST} is not the one that {STATEMENT} attests: the bag's own files were changed"));
    }
    let released = format!("receipts/{}.json", ReceiptKind::Released);
    if found.tags.get(&released) != Some(&stated.previous) {
        problems.add(format!("{released} is not the receipt that {STATEMENT} follows"));
    }
    true
}
