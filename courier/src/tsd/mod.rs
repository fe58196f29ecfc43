//! A room in a project at TSD, the University of Oslo's service for sensitive data, by its file API: the import folder of one of the
//! project's groups. Files have their names from the beginning; the bag is whole when its declaration
//! ([`LAST_FILE`]) is there, which comes last and is no file without the others.
//!
//! Each file goes there in pieces, which the server appends one after the other. It lets nobody read what is in an import; it tells a
//! digest (MD5) of the last piece as it has it on its disk. So the next piece goes there only when that of the one before was right, and
//! the last piece of an upload that is gone on with is compared again before anything follows it. Then it is asked for the file's length
//! under its name. What cannot be told is whether it put the pieces together as it says.
//!
//! Source: unioslo/tsd-file-api (`tsdfileapi/api.py`, `resumables.py`, `doc/resumable-uploads.md`), unioslo/tsd-api-docs
//! (`integration/file-api.md`, `auth-api.md`), unioslo/tsd-api-client. [`names`] and [`answers`] are pure, [`client`] asks.

mod answers;
mod client;
mod names;

pub use names::Import;

use crate::leash::Leash;
use crate::settings::Tsd;
use crate::target::{Bag, Target, Told, Trouble};
use answers::{Held, PIECE, Progress};
use client::{Client, Stands};
use md5::{Digest as _, Md5};
use names::{File, Folder};
use sluse_protocol::courier::{FileHead, LAST_FILE, NotKept};
use sluse_protocol::path::DataPath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How long a file may take to stand under its name, once the server said that it has it.
const APPEARING: Duration = Duration::from_secs(30);

/// How long a file may wait for others that come to stand under their names.
const TURN: Duration = Duration::from_secs(240);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A file of any folder passes through one place there by its name alone: two of the same name at the same time would take each other's
/// contents. A courier is one room, so its files come to stand there one after the other.
static TURNS: Mutex<()> = Mutex::new(());

/// A bag in a project's import.
pub struct Room {
    client: Client,
    folder: Folder,
    visible: bool,
    /// Nothing of the bag stood there when it was opened.
    is_new: bool,
    /// What was begun before and not ended, of any bag.
    begun: Vec<Held>,
    writing: Option<Writing>,
    keeps_times: bool,
}

/// The file that is being written.
struct Writing {
    head: FileHead,
    file: File,
    /// Bytes that were given to us, or were passed by.
    at: u64,
    /// Bytes that are no piece yet.
    gathered: Vec<u8>,
    /// What the server calls the upload, and pieces that it has for certain.
    upload: Option<String>,
    pieces: u64,
    /// The last piece of an attempt before: it is given to us again, and compared.
    compare: Option<Held>,
    /// It stands there whole.
    whole: bool,
}

impl Room {
    /// A room at TSD, which is asked at the first request.
    ///
    /// # Errors
    /// When the credential cannot be read, or the bag's folder cannot stand there.
    pub fn connect(way: &Tsd, bag: &Bag, leash: Arc<Leash>) -> Told<Self> {
        let client = Client::new(way, leash)?;
        let folder = client.folder(&format!("{}/{}", way.folder, bag.place()))?;
        let (begun, writing) = (Vec::new(), None);
        Ok(Self { client, folder, visible: false, is_new: false, begun, writing, keeps_times: true })
    }

    fn last_file(&mut self) -> Told<Option<Stands>> {
        let path: DataPath = LAST_FILE.parse().map_err(|_| Trouble::new("the declaration's name is none"))?;
        let address = self.folder.file(&path)?.looks();
        self.client.look(address)
    }

    /// Removes all that is there of the bag.
    fn remove(&mut self) -> Told<()> {
        let (key, below) = (self.folder.key(), format!("{}/", self.folder.key()));
        let begun = self.client.uploads()?;
        for held in begun.iter().filter(|held| held.key == key || held.key.starts_with(&below)) {
            self.client.give_up(held)?;
        }
        if self.stands()? {
            self.client.remove(self.folder.looks())?;
        }
        if self.stands()? { Err(Trouble::new("TSD does not remove what an earlier attempt left")) } else { Ok(()) }
    }

    fn stands(&mut self) -> Told<bool> {
        Ok(self.client.look(self.folder.looks())?.is_some())
    }

    /// What the server has of a file in part, if that can be gone on with; all else that was begun of it is given up.
    fn take_begun(&mut self, file: &File, head: &FileHead) -> Told<Option<(Held, Progress)>> {
        let key = file.key();
        let (of_it, others) = self.begun.drain(..).partition(|held| held.name == file.name() && held.key == key);
        self.begun = others;
        let of_it: Vec<Held> = of_it;
        let mut found: Option<(Held, Progress)> = None;
        for held in of_it {
            match held.progress.clone().filter(|progress| head.resume && progress.fits(head.bytes)) {
                Some(progress) if found.as_ref().is_none_or(|(_, best)| best.ends < progress.ends) => {
                    if let Some((worse, _)) = found.replace((held, progress)) {
                        self.client.give_up(&worse)?;
                    }
                }
                _ => self.client.give_up(&held)?,
            }
        }
        Ok(found)
    }

    fn begin_at(&mut self, file: File, head: FileHead, may_stand: bool) -> Told<Writing> {
        let stands = if may_stand { self.client.look(file.looks())? } else { None };
        let whole = head.resume && stands.is_some_and(|stands| stands.bytes == head.bytes);
        if whole {
            self.keeps_times &= stands.is_some_and(|stands| is_of(stands, &head));
            let at = head.bytes;
            return Ok(Writing { head, file, at, gathered: Vec::new(), upload: None, pieces: 0, compare: None, whole });
        }
        if stands.is_some() {
            // One of the same length would be taken for the one that comes.
            self.client.remove(file.looks())?;
        }
        let (at, upload, pieces, compare) = match self.take_begun(&file, &head)? {
            Some((held, progress)) => (progress.begins, Some(held.id.clone()), progress.pieces - 1, Some(held)),
            None => (0, None, 0, None),
        };
        Ok(Writing { head, file, at, gathered: Vec::new(), upload, pieces, compare, whole })
    }

    /// Makes the file stand under its name.
    fn finish(&mut self, writing: &Writing) -> Told<()> {
        let Writing { head, file, upload, .. } = writing;
        let _turn = turn(&self.client)?;
        match upload {
            Some(upload) => self.client.finish(file, upload, head.mtime)?,
            None => self.client.store_empty(file, head.mtime)?,
        }
        let until = Instant::now() + APPEARING;
        let mut looks_left = 2;
        loop {
            match self.client.look(file.looks())? {
                Some(stands) if stands.bytes == head.bytes => {
                    // Its time is set behind its name.
                    looks_left -= 1;
                    if is_of(stands, head) || looks_left == 0 {
                        self.keeps_times &= is_of(stands, head);
                        return Ok(());
                    }
                }
                Some(_) if Instant::now() >= until => {
                    return Err(Trouble::new("TSD says that a file has another length than was sent"));
                }
                None if Instant::now() >= until => {
                    return Err(Trouble::new("TSD says that it has a file, and it does not stand there"));
                }
                _ => {}
            }
            self.client.holds()?;
            std::thread::sleep(PAUSE);
        }
    }
}

/// Whether what stands there has the file's time.
fn is_of(stands: Stands, head: &FileHead) -> bool {
    stands.mtime.is_some_and(|there| (there - head.mtime as f64).abs() < 1.0)
}

/// Waits for this file's turn.
fn turn(client: &Client) -> Told<MutexGuard<'static, ()>> {
    let until = Instant::now() + TURN;
    loop {
        match TURNS.try_lock() {
            Ok(turn) => return Ok(turn),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(Trouble::new("other deliveries to TSD take too long"));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        client.holds()?;
        std::thread::sleep(PAUSE);
    }
}

impl Writing {
    /// Gives away what was gathered, a piece, or compares it with the one that is there.
    fn piece(&mut self, client: &mut Client) -> Told<()> {
        let number = self.pieces + 1;
        let md5: String = Md5::digest(&self.gathered).iter().map(|byte| format!("{byte:02x}")).collect();
        let ours = Progress::of(self.head.bytes, number, md5);
        let held = match self.compare.take() {
            Some(held) => held,
            None => {
                let upload = client.store_piece(&self.file, self.upload.as_deref(), number, &self.gathered)?;
                let held = client.upload(&self.file, &upload)?;
                self.upload = Some(upload);
                held
            }
        };
        if held.progress.as_ref() != Some(&ours) {
            // It cannot be gone on with: the next attempt begins this file anew.
            client.give_up(&held)?;
            return Err(Trouble::new("TSD holds other bytes than were sent"));
        }
        self.pieces = number;
        self.gathered.clear();
        Ok(())
    }
}

impl Target for Room {
    fn open(&mut self, anew: bool) -> Told<bool> {
        self.visible = self.last_file()?.is_some();
        if anew && !self.visible {
            self.remove()?;
        }
        self.is_new = !self.visible && !self.stands()?;
        self.begun = self.client.uploads()?;
        Ok(self.visible)
    }

    fn begin(&mut self, head: FileHead) -> Told<u64> {
        if self.visible {
            return Err(Trouble::new("a file was begun in a bag that is visible"));
        }
        if let Some(Writing { file, upload: Some(upload), .. }) = self.writing.take() {
            let given_up = self.client.upload(&file, &upload)?;
            self.client.give_up(&given_up)?;
        }
        let file = self.folder.file(&head.path)?;
        let writing = self.begin_at(file, head, !self.is_new)?;
        Ok(self.writing.insert(writing).at)
    }

    fn put(&mut self, offset: u64, mut bytes: &[u8]) -> Told<()> {
        let Some(writing) = &mut self.writing else { return Err(Trouble::new("bytes of no file")) };
        if offset != writing.at || writing.at + bytes.len() as u64 > writing.head.bytes {
            return Err(Trouble::new("bytes that do not follow"));
        }
        writing.at += bytes.len() as u64;
        let size = usize::try_from(PIECE).unwrap_or(usize::MAX);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(size - writing.gathered.len()));
            writing.gathered.extend_from_slice(now);
            bytes = later;
            if writing.gathered.len() == size {
                writing.piece(&mut self.client)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Told<()> {
        let Some(mut writing) = self.writing.take() else { return Err(Trouble::new("the end of no file")) };
        if writing.at != writing.head.bytes {
            return Err(Trouble::new("a file ended before it had all its bytes"));
        }
        if writing.whole {
            return Ok(());
        }
        if !writing.gathered.is_empty() {
            writing.piece(&mut self.client)?;
        }
        self.finish(&writing)
    }

    fn folder(&mut self, _path: &DataPath) -> Told<()> {
        // None is made without a file; what is said of the bag says so.
        Ok(())
    }

    fn read(&mut self, _path: &DataPath, _offset: u64) -> Told<Vec<u8>> {
        Err(Trouble::new("TSD lets nobody read what was imported"))
    }

    fn publish(&mut self) -> Told<Vec<NotKept>> {
        self.visible = self.last_file()?.is_some();
        if !self.visible {
            return Err(Trouble::new("the bag's declaration is not there"));
        }
        let mut not_kept = vec![NotKept::EmptyFolders, NotKept::ExecutableBits];
        if !self.keeps_times {
            not_kept.push(NotKept::Times);
        }
        Ok(not_kept)
    }

    fn lay(&mut self, name: &DataPath, bytes: &[u8]) -> Told<()> {
        if !self.visible {
            return Err(Trouble::new("a receipt of a bag that is not there"));
        }
        let file = self.folder.beside(".receipts").file(name)?;
        let mtime = sluse_host::clock::now().unix();
        let head = FileHead { path: name.clone(), bytes: bytes.len() as u64, mtime, executable: false, resume: false };
        let mut writing = self.begin_at(file, head, true)?;
        writing.gathered = bytes.to_vec();
        writing.piece(&mut self.client)?;
        self.finish(&writing)
    }

    fn withdraw(&mut self) -> Told<bool> {
        if !self.visible {
            self.writing = None;
            self.remove()?;
        }
        Ok(self.visible)
    }
}
