//! What stands in the rooms, held against the register: each delivered bag and its receipt, and no bag that nobody recorded.
//!
//! Whether a bag's files are whole is for `sluse bag verify` to say; here its list of lists is compared, and its receipt.

use super::reconcile::{Delivered, Found};
use crate::failure::Failure;
use crate::operator::Operator;
use nix::fcntl::OFlag;
use sha2::Digest as _;
use sluse_host::config::Zone;
use sluse_host::layout::Layout;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use std::collections::HashMap;
use std::fs::{DirEntry, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Bytes of the longest file that is looked at: a receipt, or a list of the bag's own files.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Something in a room that looks like a delivered bag, and that the register did not know when it was read.
#[derive(Debug)]
pub struct Stranger {
    /// By its name.
    pub transfer: TransferId,
    /// What to say of it.
    pub what: String,
}

/// Compares the rooms of a zone with what was delivered; what stands there besides.
///
/// # Errors
/// When the zone gives no answer, or its configuration cannot be read.
pub fn compare(
    layout: &Layout,
    operator: &Operator,
    delivered: &HashMap<TransferId, Delivered>,
    found: &mut Found,
) -> Result<Vec<Stranger>, Failure> {
    let rooms = Zone::load(&layout.config())?.rooms();
    let (elsewhere, here): (Vec<_>, Vec<_>) = operator.rooms()?.into_iter().partition(|room| room.elsewhere.is_some());
    found.elsewhere = elsewhere.into_iter().map(|room| room.name).collect();
    let mut sorted: Vec<_> = delivered.values().collect();
    sorted.sort_by_key(|there| there.record.number);
    for there in sorted {
        if !found.elsewhere.contains(&there.record.room) {
            bag(&rooms.join(&there.record.route.folder), there, found);
        }
    }
    let mut strangers = Vec::new();
    for room in here {
        let folder = rooms.join(&room.folder);
        if let Err(error) = unrecorded(&folder, room.name.as_str(), delivered, &mut strangers) {
            found.unread.push(format!("room {}: {error}", room.name));
        }
    }
    Ok(strangers)
}

fn bag(room: &Path, there: &Delivered, found: &mut Found) {
    let (number, name) = (there.record.number, &there.record.room);
    let bag = room.join(&there.bag);
    let mut receipts = bag.clone().into_os_string();
    receipts.push(".receipts");
    let files = [
        (bag.join("tagmanifest-sha256.txt"), there.tagmanifest, "is not the bag that was delivered"),
        (Path::new(&receipts).join("delivered.json"), there.receipt, "is not the receipt of its delivery"),
    ];
    for (file, expected, otherwise) in files {
        let shown = file.strip_prefix(room).unwrap_or(&file).display().to_string();
        match digest(&file) {
            Ok(digest) if Some(digest) == expected => {}
            Ok(_) => found.difference(format!("record {number}: room {name}: {shown} {otherwise}")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                found.unread.push(format!("room {name}: {shown}: {error}"));
            }
            Err(error) => found.difference(format!("record {number}: room {name}: {shown}: {error}")),
        }
    }
}

/// SHA-256 of a plain file that others may have put there.
fn digest(path: &Path) -> io::Result<Sha256> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let (mut hash, mut bytes) = (sha2::Sha256::new(), Vec::new());
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    hash.update(&bytes);
    Ok(Sha256(hash.finalize().into()))
}

/// Finds every `<dataset>/<transfer>` of a room that no record is of.
fn unrecorded(
    folder: &Path,
    room: &str,
    delivered: &HashMap<TransferId, Delivered>,
    strangers: &mut Vec<Stranger>,
) -> io::Result<()> {
    let datasets = match std::fs::read_dir(folder) {
        // Nothing was delivered there yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let plain = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    for dataset in datasets {
        let dataset = dataset?;
        let name = dataset.file_name();
        // What is being written there lies in a folder with a leading dot.
        if !plain(&dataset) || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        for bag in std::fs::read_dir(dataset.path())? {
            let bag = bag?;
            let id = bag.file_name().to_str().and_then(|name| name.parse::<TransferId>().ok());
            let Some(id) = id.filter(|_| plain(&bag)) else { continue };
            let recorded = delivered.get(&id).is_some_and(|there| there.record.room.as_str() == room);
            if !recorded {
                let dataset = name.to_string_lossy();
                let what = format!("room {room}: {dataset}/{id} stands there, and no record says so");
                strangers.push(Stranger { transfer: id, what });
            }
        }
    }
    Ok(())
}
