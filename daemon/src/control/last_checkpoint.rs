//! The last checkpoint, kept in a file beside the database: what shows a database that was put back to an older copy.
//!
//! The file follows the log: it is never ahead of what is committed, and behind by what was committed in the last second, unless the
//! zone was stopped in order. At start the log must contain what the file attests. Where it does not, or the file is gone, `control` refuses to
//! start; an operator who knows why moves the file away to `checkpoint.lost`, which is then written into the log.

use super::shared::Control;
use super::store::{Signer, Store, Who};
use crate::RoleError;
use serde_json::json;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::audit::{Position, checkpoint, parse_checkpoint};
use sluse_protocol::sshsig::NAMESPACE_CHECKPOINT;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of the longest file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What stands between a checkpoint's text and its signature in the file.
const SIGNATURE_BEGINS: &str = "-----BEGIN SSH SIGNATURE-----";

/// How long the log may rest before it is looked at again without a change.
const REST: Duration = Duration::from_secs(60);

/// Between two writes. Each costs two syncs, which the database's commits wait behind: with small transfers, one for every
/// other commit were a fifth of all that the zone syncs.
const PACE: Duration = Duration::from_secs(1);

/// After a failure it is tried again so much later.
const RETRY: Duration = Duration::from_secs(5);

/// The file, and what an operator made of the one before.
#[derive(Debug)]
pub struct LastCheckpoint {
    path: PathBuf,
    /// What the log must contain; `None` where nothing was ever attested, or an operator gave it up.
    kept: Option<Position>,
    lost: Option<Lost>,
    trouble: Mutex<Option<String>>,
}

/// A checkpoint that an operator moved away.
#[derive(Debug)]
struct Lost {
    path: PathBuf,
    /// What it attested, where that can still be read.
    attested: Option<Position>,
}

impl LastCheckpoint {
    /// Reads what is there, before the database is opened.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what this zone signed.
    pub fn find(layout: &Layout, signer: &Signer) -> Result<Self, RoleError> {
        let (path, lost) = (layout.checkpoint(), layout.lost_checkpoint());
        let kept = match read(&path)? {
            None => None,
            Some(text) => Some(position(&text, signer).ok_or_else(|| {
                let (path, lost) = (path.display(), lost.display());
                RoleError::Unsafe(format!(
                    "{path} is not a checkpoint that this zone signed. {}, move it to {lost} and start again",
                    "Find out who changed it; to go on without it"
                ))
            })?),
        };
        let lost = read(&lost)?.map(|text| Lost { attested: position(&text, signer), path: lost });
        Ok(Self { path, kept, lost, trouble: Mutex::new(None) })
    }

    /// What the log must contain: its name in messages, and where the log has been.
    pub fn witness(&self) -> Option<(String, Position)> {
        self.kept.map(|position| (format!("last checkpoint, {}", self.path.display()), position))
    }

    /// After the log was verified: a checkpoint that was given up is written into the log, and the file is brought up to date.
    ///
    /// # Errors
    /// When there is a log and the file is gone, or it cannot be written.
    pub fn settle(&self, store: &Store) -> Result<(), RoleError> {
        match (&self.kept, &self.lost) {
            (None, Some(lost)) => {
                let details =
                    lost.attested.map_or_else(|| json!({}), |was| json!({"size": was.size, "root": was.root}));
                store
                    .write(|write| write.record(&Who::Control, "checkpoint-lost", None, details).map(drop))
                    .map_err(|failure| RoleError::State(failure.to_string()))?;
                tracing::warn!("the last checkpoint was given up by an operator: the audit log says so");
            }
            (None, None) if store.audit_position().size > 0 => {
                return Err(RoleError::Unsafe(format!(
                    "{} is missing, and with it what shows whether the database is an older copy. Restore it; where it \
                     is lost, compare the log with receipts and checkpoints that lie elsewhere, make an empty file {} \
                     and start again",
                    self.path.display(),
                    self.path.with_extension("lost").display()
                )));
            }
            _ => {}
        }
        self.write(store).map_err(RoleError::io(self.path.display().to_string()))?;
        match &self.lost {
            Some(lost) => std::fs::remove_file(&lost.path).map_err(RoleError::io(lost.path.display().to_string())),
            None => Ok(()),
        }
    }

    /// Writes where the log ends now, durably; where.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, store: &Store) -> io::Result<Position> {
        let position = store.audit_position();
        self.write_at(&store.signer, position).map(|()| position)
    }

    /// Writes where the log ends, durably.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_at(&self, signer: &Signer, position: Position) -> io::Result<()> {
        let text = checkpoint(signer.zone.as_str(), &position);
        let signature = signer.key.sign(NAMESPACE_CHECKPOINT, text.as_bytes());
        files::replace(&self.path, format!("{text}{signature}").as_bytes(), 0o600)
    }

    /// Why the file could not be written, while that lasts.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Follows the log for as long as the process lives.
pub fn follow(control: &Control) {
    let (store, last) = (&control.store, &control.last_checkpoint);
    let mut written = None;
    loop {
        let grown = store.wake.wait_for(REST, REST, || {
            Ok::<_, Infallible>(Some(()).filter(|()| written != Some(store.audit_position())))
        });
        if grown == Ok(None) {
            continue;
        }
        match last.write(store) {
            Ok(position) => {
                written = Some(position);
                last.tell(None);
                std::thread::sleep(PACE);
            }
            Err(error) => {
                tracing::error!(%error, "the last checkpoint cannot be written");
                last.tell(Some(error.to_string()));
                std::thread::sleep(RETRY);
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, RoleError> {
    match files::read_bounded(path, MAX_FILE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RoleError::io(path.display().to_string())(error)),
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

/// What a file attests, when this zone signed it.
fn position(text: &str, signer: &Signer) -> Option<Position> {
    let (statement, signature) = text.split_at_checked(text.find(SIGNATURE_BEGINS)?)?;
    signer.verify(NAMESPACE_CHECKPOINT, statement.as_bytes(), signature).ok()?;
    let (origin, position) = parse_checkpoint(statement)?;
    (origin == signer.zone.as_str()).then_some(position)
}
