//! The state of the zone: one SQLite database, which only `control` opens.
//!
//! Everything that is changed goes through [`Store::write`]: all of it or nothing, where each act appends its entry to the
//! audit log ([`audit`]) and each change of a transfer's state is made by [`transition`] alone, with its history, entry and
//! receipt. What is not committed leaves no trace, in the Merkle tree in memory neither.

pub mod acknowledgements;
pub mod agreements;
pub mod archives;
pub mod audit;
mod copy;
mod group;
pub mod identities;
pub mod receipts;
pub mod register;
pub mod reviews;
pub mod rooms;
mod row;
mod rows;
pub use row::to_json;
mod schema;
pub mod sources;
pub mod totals;
pub mod transfers;
pub mod transition;
pub mod updates;
pub mod versions;

use super::changes::Changes;
use super::failure::{Failure, Fault};
use super::wake::Wake;
use crate::RoleError;
use group::{Group, Queue};
use rusqlite::{Connection, Savepoint};
use sluse_protocol::audit::{Position, Tree};
use sluse_protocol::ids::{RoomName, SourceName, TransferId, ZoneName};
use sluse_protocol::key_statement::Chain;
use sluse_protocol::sshsig::{self, BadSignature, SigningKey};
use sluse_protocol::time::Timestamp;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// What tells the time; tests have one of their own.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Who signs receipts, grants and checkpoints.
#[derive(Debug)]
pub struct Signer {
    /// The zone's name.
    pub zone: ZoneName,
    /// Its key.
    pub key: SigningKey,
    /// What was stated of the zone's keys, and every key with which it has signed.
    pub chain: Chain,
}

impl Signer {
    /// Checks that this zone signed something, whichever key it had then.
    ///
    /// # Errors
    /// What is wrong with the signature.
    pub fn verify(&self, namespace: &str, message: &[u8], signature: &str) -> Result<(), BadSignature> {
        let keys = self.chain.signers().iter().map(|signer| signer.key);
        sshsig::verify_any(keys, namespace, message, signature).map(drop)
    }
}

/// The zone's state.
pub struct Store {
    inner: Mutex<Inner>,
    queue: Queue,
    /// The database's file. Open for as long as the database is: closing it would give up the locks that SQLite has on it.
    file: Mutex<File>,
    /// Who signs.
    pub signer: Signer,
    /// Woken by each commit.
    pub wake: Wake,
    /// What `receive` must hear of.
    pub changes: Changes,
    clock: Clock,
}

struct Inner {
    sql: Connection,
    /// The log as it is committed.
    tree: Tree,
    /// What is not committed yet.
    group: Option<Group>,
}

/// The store at rest.
pub struct Rest<'a>(MutexGuard<'a, Inner>);

impl Rest<'_> {
    /// Where the audit log ends.
    pub fn audit_position(&self) -> Position {
        self.0.tree.position()
    }
}

/// Who does something: how the transition table and the audit log name the actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A source, by way of `receive`.
    Source(SourceName),
    /// A person at the operators' socket.
    Operator(String),
    /// `control` itself.
    Control,
    /// `inspect`.
    Inspect,
    /// `deliver`.
    Deliver,
    /// A room, by its signature.
    Room(RoomName),
}

impl Who {
    fn actor(&self) -> sluse_protocol::transfer::Actor {
        use sluse_protocol::transfer::Actor;
        match self {
            Self::Source(_) => Actor::Source,
            Self::Operator(_) => Actor::Operator,
            Self::Control => Actor::Control,
            Self::Inspect => Actor::Inspect,
            Self::Deliver => Actor::Deliver,
            Self::Room(_) => Actor::Room,
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(name) => write!(out, "source {name}"),
            Self::Operator(name) => write!(out, "operator {name}"),
            Self::Control => out.write_str("control"),
            Self::Inspect => out.write_str("inspect"),
            Self::Deliver => out.write_str("deliver"),
            Self::Room(name) => write!(out, "room {name}"),
        }
    }
}

/// A change that is being made. Its queries see what it changed so far.
pub struct Write<'a> {
    /// The database, within the change's savepoint.
    pub sql: Savepoint<'a>,
    /// The time of everything in it.
    pub now: Timestamp,
    tree: Tree,
    signer: &'a Signer,
    folders: Vec<PathBuf>,
    announced: Vec<Announced>,
}

/// What is logged and passed on once it is committed.
enum Announced {
    Act { who: String, act: String, transfer: Option<TransferId> },
    Ended(TransferId),
    Revoked(SourceName),
}

impl Store {
    /// Opens the database, brings its schema up to date, and verifies the whole audit log, also against where something
    /// outside of the database says that it has been.
    ///
    /// # Errors
    /// When it cannot be used: locked by another process, too new, its audit log broken or not what it has been.
    pub fn open(
        path: &Path,
        signer: Signer,
        clock: Clock,
        kept: Option<(String, Position)>,
    ) -> Result<Self, RoleError> {
        let failed = |error: rusqlite::Error| RoleError::State(format!("{}: {error}", path.display()));
        let mut sql = Connection::open(path).map_err(failed)?;
        // One process has it: the Merkle tree in memory would miss what another one appends.
        sql.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(failed)?;
        sql.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        // What is committed survives a power cut: receipts leave the host right after.
        sql.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        sql.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        // No temporary files outside the role's own folder.
        sql.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
        // What is deleted is overwritten: a wrapped identity must not outlive its transfer in a free page.
        sql.pragma_update(None, "secure_delete", true).map_err(failed)?;
        schema::migrate(&mut sql)?;
        let mut told = rows::Told::default();
        let tree = audit::verify(&sql, kept, |entry| told.take(entry));
        let tree = tree.and_then(|tree| told.compare(&sql).map(|()| tree)).map_err(|failure| {
            let message = format!("{}: {failure}", path.display());
            match failure {
                // Starting again would not mend it: a person must look.
                Failure::Fault(Fault::Broken(_)) => RoleError::Unsafe(message),
                _ => RoleError::State(message),
            }
        })?;
        let file = File::open(path).map_err(RoleError::io(path.display().to_string()))?;
        let position = tree.position();
        tracing::info!(entries = position.size, root = %position.root, "the audit log is whole");
        Ok(Self {
            inner: Mutex::new(Inner { sql, tree, group: None }),
            queue: Queue::default(),
            file: Mutex::new(file),
            signer,
            wake: Wake::default(),
            changes: Changes::default(),
            clock,
        })
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Reads.
    ///
    /// # Errors
    /// Those of `query`.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        query(&self.lock().sql)
    }

    /// Where the audit log ends.
    pub fn audit_position(&self) -> Position {
        self.lock().tree.position()
    }

    /// Lets nobody read, change or sign until it is dropped.
    pub fn rest(&self) -> Rest<'_> {
        Rest(self.lock())
    }

    /// Changes, all of it or nothing; [`group`] commits what is changed at the same time together.
    ///
    /// # Errors
    /// Those of `change`, and those of the commit; nothing changed then.
    pub fn write<T>(&self, change: impl FnOnce(&mut Write<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let (done, announced) = self.commit(change)?;
        self.announce(announced);
        self.wake.bump();
        Ok(done)
    }

    fn announce(&self, announced: Vec<Announced>) {
        for what in announced {
            match what {
                Announced::Act { who, act, transfer: Some(transfer) } => {
                    tracing::info!(%transfer, by = who, "{act}");
                }
                Announced::Act { who, act, transfer: None } => tracing::info!(by = who, "{act}"),
                Announced::Ended(transfer) => self.changes.ended(transfer),
                Announced::Revoked(source) => self.changes.revoked(source),
            }
        }
    }
}

impl Write<'_> {
    /// Who signs.
    pub fn signer(&self) -> &Signer {
        self.signer
    }

    /// Has a folder's entries made durable before this is committed.
    pub fn rests_on(&mut self, folder: &Path) {
        self.folders.push(folder.to_owned());
    }

    /// Appends an entry to the audit log; it is logged when the transaction is committed. `details` holds codes, counts
    /// and digests only.
    ///
    /// # Errors
    /// When the database fails.
    pub fn record(
        &mut self,
        who: &Who,
        act: &str,
        transfer: Option<&TransferId>,
        details: serde_json::Value,
    ) -> Result<audit::Appended, Failure> {
        let appended = audit::append(self, who, act, transfer, details)?;
        self.announced.push(Announced::Act { who: who.to_string(), act: act.to_owned(), transfer: transfer.cloned() });
        Ok(appended)
    }

    /// Lets `receive` know, once committed, that a transfer no longer receives.
    fn announce_ended(&mut self, transfer: &TransferId) {
        self.announced.push(Announced::Ended(transfer.clone()));
    }

    /// Lets `receive` know, once committed, that a source was shut out.
    pub fn announce_revoked(&mut self, source: &SourceName) {
        self.announced.push(Announced::Revoked(source.clone()));
    }
}

#[cfg(test)]
mod tests;
