//! How much of each upload is durable. A file for each, without names: `uploads/FILE.json`, written after the bytes and before the
//! client hears of them. After a crash in between, the client sends those bytes again, and they replace themselves.

use super::ticket::Seal;
use crate::Error;
use crate::spool::FileId;
use serde::{Deserialize, Serialize};
use sluse_host::{clock, files, random};
use sluse_protocol::digest::Sha256;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use zeroize::Zeroizing;

/// Bytes of the longest file of an upload.
const MAX_STATE: u64 = 4096;

/// How long an upload that is finished is known: so that a client that did not hear of it learns it.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// Finished uploads that are known, at most.
const MAX_FINISHED: usize = 100_000;

/// How long a request waits for another one of the same upload to end.
const TURN: Duration = Duration::from_secs(10);

/// What is known of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// How many bytes are durable.
    pub offset: u64,
    /// How many there will be.
    pub length: u64,
    /// A keyed digest of account, dataset and path.
    pub place: Sha256,
    /// A keyed digest of the account; none of one that began before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Sha256>,
    /// A keyed digest of account and dataset; none of a file that is a dataset of its own.
    pub dataset: Option<Sha256>,
    /// When bytes became durable last.
    pub touched: Timestamp,
}

impl Upload {
    /// Whether all of it is durable.
    pub fn is_finished(&self) -> bool {
        self.offset == self.length
    }
}

/// Who has the turn at an upload.
pub type Turn = OwnedMutexGuard<()>;

/// All uploads that are known.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    seal: Seal,
    most: usize,
    expire: Duration,
    known: Mutex<BTreeMap<FileId, Upload>>,
    turns: Mutex<BTreeMap<FileId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Uploads {
    /// Reads what is known from `folder`. At most `most` may be unfinished; one that got no bytes for `expire` is forgotten.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn open(folder: PathBuf, most: usize, expire: Duration) -> Result<Self, Error> {
        files::create_folder(&folder, 0o700).map_err(Error::at(&folder))?;
        let secret = folder.join("secret");
        let seal = secret_of(&secret).and_then(Seal::new).map_err(Error::at(&secret))?;
        let known = read_all(&folder).map_err(Error::at(&folder))?;
        let (known, turns) = (Mutex::new(known), Mutex::default());
        Ok(Self { folder, seal, most, expire, known, turns })
    }

    /// What seals uploads' addresses.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// What is known of an upload; none where it is over for long.
    pub fn get(&self, file: FileId) -> Option<Upload> {
        let now = clock::now();
        self.known().get(&file).copied().filter(|upload| now <= self.expires(upload))
    }

    /// Until when an upload is known.
    pub fn expires(&self, upload: &Upload) -> Timestamp {
        let lasts = if upload.is_finished() { KNOWN_FOR.min(self.expire) } else { self.expire };
        upload.touched.plus(i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX))
    }

    /// Whether another upload of an account may begin, which may have `share` that are not finished.
    pub fn has_room(&self, account: Sha256, share: usize) -> bool {
        let known = self.known();
        let unfinished = || known.values().filter(|upload| !upload.is_finished());
        let of_account = unfinished().filter(|upload| upload.account == Some(account)).count();
        known.len() < self.most + MAX_FINISHED && unfinished().count() < self.most && of_account < share
    }

    /// The upload to the same place that is not finished.
    pub fn unfinished_at(&self, place: Sha256) -> Option<FileId> {
        let known = self.known();
        known.iter().find(|(_, upload)| upload.place == place && !upload.is_finished()).map(|(file, _)| *file)
    }

    /// How many uploads to a dataset are not finished.
    pub fn unfinished_in(&self, dataset: Sha256) -> usize {
        let now = clock::now();
        let counts =
            |upload: &&Upload| upload.dataset == Some(dataset) && !upload.is_finished() && now <= self.expires(upload);
        self.known().values().filter(counts).count()
    }

    /// Remembers how an upload stands, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, file: FileId, upload: Upload) -> io::Result<()> {
        files::replace(&self.path(file), &serde_json::to_vec(&upload)?, 0o600)?;
        self.known().insert(file, upload);
        Ok(())
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn forget(&self, file: FileId) -> io::Result<()> {
        match fs::remove_file(self.path(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.known().remove(&file),
        };
        Ok(())
    }

    /// Forgets what is over for long.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn sweep(&self) -> io::Result<()> {
        let now = clock::now();
        let over: Vec<_> =
            self.known().iter().filter(|(_, upload)| self.expires(upload) < now).map(|(file, _)| *file).collect();
        over.into_iter().try_for_each(|file| self.forget(file))?;
        lock(&self.turns).retain(|_, turn| Arc::strong_count(turn) > 1);
        Ok(())
    }

    /// Waits for the turn at an upload; none where another request keeps it.
    pub async fn turn(&self, file: FileId) -> Option<Turn> {
        let turn = Arc::clone(lock(&self.turns).entry(file).or_default());
        tokio::time::timeout(TURN, turn.lock_owned()).await.ok()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<FileId, Upload>> {
        lock(&self.known)
    }

    fn path(&self, file: FileId) -> PathBuf {
        self.folder.join(format!("{file}.json"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn secret_of(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    match files::read_private(path) {
        Ok(bytes) => {
            let secret: [u8; 32] = bytes.as_slice().try_into().map_err(|_| io::ErrorKind::InvalidData)?;
            Ok(Zeroizing::new(secret))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random::bytes::<32>()?;
            files::replace(path, &secret[..], 0o600)?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

fn read_all(folder: &Path) -> io::Result<BTreeMap<FileId, Upload>> {
    let mut known = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
        let Some(Ok(file)) = name.map(str::parse) else { continue };
        // One that is damaged is as one that is not known: its client begins anew.
        let read = files::read_bounded(&path, MAX_STATE);
        match read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
            Ok(upload) => drop(known.insert(file, upload)),
            Err(error) => tracing::error!("an upload is forgotten, its state is damaged: {error}"),
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(offset: u64, touched: Timestamp) -> Upload {
        let (place, account, dataset) = (Sha256([1; 32]), Some(Sha256([3; 32])), Some(Sha256([2; 32])));
        Upload { offset, length: 10, place, account, dataset, touched }
    }

    #[test]
    fn what_is_known_of_uploads_outlives_the_process_and_not_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Uploads::open(folder.path().join("uploads"), 2, Duration::from_secs(7200)).unwrap();
        let (ids, now) = ([(); 3].map(|()| FileId::new().unwrap()), clock::now());
        let first = open();
        first.keep(ids[0], upload(5, now)).unwrap();
        first.keep(ids[1], upload(10, now)).unwrap();
        first.keep(ids[2], upload(5, now.plus(-7300))).unwrap();
        fs::write(folder.path().join("uploads/00000000000000000000000000000000.json"), "{").unwrap();
        let again = open();
        assert_eq!(ids.map(|id| again.get(id).map(|upload| upload.offset)), [Some(5), Some(10), None]);
        assert_eq!(again.unfinished_at(Sha256([1; 32])), Some(ids[0]).filter(|id| *id < ids[2]).or(Some(ids[2])));
        assert_eq!(again.unfinished_in(Sha256([2; 32])), 1);
        let has_room = |account, share| again.has_room(Sha256([account; 32]), share);
        assert!(!has_room(4, 2), "all of them are taken");
        again.sweep().unwrap();
        assert!(has_room(4, 1) && has_room(3, 2) && !has_room(3, 1), "the account has one");
        assert_eq!(again.unfinished_at(Sha256([1; 32])), Some(ids[0]));
        again.keep(ids[1], upload(10, now.plus(-3700))).unwrap();
        assert_eq!(again.get(ids[1]), None, "what is finished is known for an hour");
        assert_eq!(open().seal().keyed(&["a"]), again.seal().keyed(&["a"]));
    }
}
