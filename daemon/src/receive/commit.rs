//! Durability in batches: one thread takes every chunk that is whole, of whatever transfer, and makes them durable together.
//!
//! Chunk bytes → folder → index record → acknowledgement, each durable before the next begins. While one batch is on its
//! way to the disk the next one gathers; a chunk that comes alone is a batch of its own and waits for no timer. A batch is
//! bounded, and sources take turns in it by weight: a chunk waits for the batch under way and those of other sources in its own.

use super::pool::lock;
use super::refusals::storage;
use super::share::{Queue, Share};
use super::stored::Whole;
use super::transfer::{Slot, Transfer};
use super::{bounds, folder};
use sluse_protocol::chunk_index::Record;
use sluse_protocol::refusal::{Code, Refusal};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A whole chunk on its way to durability.
#[derive(Debug)]
struct Waiting {
    whole: Whole,
    record: Record,
    durable: oneshot::Sender<Result<Slot, Refusal>>,
}

/// The thread that makes chunks durable, and the chunks that wait for it: at most those in flight, in which sources take turns.
#[derive(Debug, Default)]
pub struct Committer {
    waiting: Mutex<Queue<Waiting>>,
    more: Condvar,
}

impl Committer {
    /// Starts the thread, which lives as long as the process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> io::Result<Arc<Self>> {
        let committer = Arc::new(Self::default());
        let thread = Arc::clone(&committer);
        std::thread::Builder::new().name("commit".into()).spawn(move || {
            loop {
                let batch = thread.next();
                commit(batch);
            }
        })?;
        Ok(committer)
    }

    /// Makes a chunk durable. The receiver gets its slot back then.
    pub fn submit(&self, share: &Share, whole: Whole, record: Record) -> oneshot::Receiver<Result<Slot, Refusal>> {
        let (durable, result) = oneshot::channel();
        let bytes = whole.stored;
        lock(&self.waiting).push(&share.flow, share.weights, bytes, Waiting { whole, record, durable });
        self.more.notify_one();
        result
    }

    fn next(&self) -> Vec<Waiting> {
        let mut waiting = lock(&self.waiting);
        while waiting.is_empty() {
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < bounds::BATCH_BYTES
            && let Some(chunk) = waiting.pop()
        {
            bytes += chunk.whole.stored;
            batch.push(chunk);
        }
        batch
    }
}

fn commit(batch: Vec<Waiting>) {
    for chunk in &batch {
        // All of them on their way before the first is waited for; what cannot begin here is done by the sync.
        let _ = crate::sys::start_writeback(&chunk.whole.file);
    }
    let written: Vec<Waiting> = batch.into_iter().filter_map(sync_chunk).collect();
    let groups: Vec<Group> = group(written).into_iter().filter_map(sync_folder).filter_map(append).collect();
    for group in groups {
        sync_index(group);
    }
}

fn sync_chunk(chunk: Waiting) -> Option<Waiting> {
    match chunk.whole.file.sync_data() {
        Ok(()) => Some(chunk),
        Err(error) => {
            let refusal = storage("make a chunk durable", &error);
            give_up(vec![chunk], &refusal);
            None
        }
    }
}

/// The chunks of one transfer in a batch.
struct Group {
    transfer: Arc<Transfer>,
    chunks: Vec<Waiting>,
}

fn group(chunks: Vec<Waiting>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for chunk in chunks {
        let transfer = Arc::clone(chunk.whole.slot.transfer());
        match groups.iter_mut().find(|group| Arc::ptr_eq(&group.transfer, &transfer)) {
            Some(group) => group.chunks.push(chunk),
            None => groups.push(Group { transfer, chunks: vec![chunk] }),
        }
    }
    groups
}

fn sync_folder(group: Group) -> Option<Group> {
    let synced = group.transfer.folder().sync();
    keep(group, "make a transfer's folder durable", synced)
}

fn append(group: Group) -> Option<Group> {
    let records: Vec<u8> = group.chunks.iter().flat_map(|chunk| chunk.record.encode()).collect();
    let appended = match lock(group.transfer.index()).as_mut() {
        Some(index) => index.append(&records),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    keep(group, "append to a chunk index", appended)
}

fn sync_index(group: Group) {
    let bytes = (group.chunks.len() * Record::BYTES) as u64;
    let synced = match lock(group.transfer.index()).as_mut() {
        Some(index) => index.sync(bytes),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    let Some(group) = keep(group, "make a chunk index durable", synced) else { return };
    let records: Vec<Record> = group.chunks.iter().map(|chunk| chunk.record).collect();
    group.transfer.note(&records);
    for chunk in group.chunks {
        // The connection may have ended: the chunk is durable all the same, and its source told so when it comes back.
        let _ = chunk.durable.send(Ok(chunk.whole.slot));
    }
}

fn keep(group: Group, attempted: &'static str, result: io::Result<()>) -> Option<Group> {
    match result {
        Ok(()) => Some(group),
        Err(error) => {
            give_up(group.chunks, &storage(attempted, &error));
            None
        }
    }
}

/// These chunks are not durable, and their files of no use.
fn give_up(chunks: Vec<Waiting>, refusal: &Refusal) {
    for chunk in chunks {
        folder::remove(&chunk.whole.path);
        // As above: nobody may be there any more.
        let _ = chunk.durable.send(Err(refusal.clone()));
    }
}

/// The committer ended before the chunk was durable, or took too long.
pub fn not_durable() -> Refusal {
    tracing::error!("a chunk did not become durable in time");
    Refusal::new(Code::Unavailable, "the zone's disk does not keep up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::folder::{Folder, IndexFile};
    use crate::receive::transfer::Admission;
    use sluse_protocol::digest::ChunkDigest;
    use sluse_protocol::wire::ChunkHeader;
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    /// A descriptor that cannot be synced.
    fn unsyncable() -> File {
        let (_, writer) = std::io::pipe().unwrap();
        File::from(OwnedFd::from(writer))
    }

    struct Setting {
        transfer: Arc<Transfer>,
        folder: tempfile::TempDir,
    }

    impl Setting {
        fn new(handle: impl FnOnce(&Path) -> File, index: impl FnOnce(&Path) -> File) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let index = IndexFile::written_to(index(&folder.path().join("chunks.index")));
            let handle = Folder::synced_by(folder.path().to_owned(), handle(folder.path()));
            Self { transfer: Transfer::on(handle, index), folder }
        }

        /// A whole chunk, written to `file`, which is committed: what its source hears.
        fn commit(&self, index: u32, file: impl FnOnce(&Path) -> File) -> Result<Slot, Refusal> {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let path = self.folder.path().join(format!("{index}.age"));
            File::create(&path).unwrap();
            let digest = ChunkDigest([7; 32]);
            let length = sluse_protocol::limits::CHUNK_BYTES;
            let header = ChunkHeader { transfer: self.transfer.id().clone(), index, length, digest };
            let Ok(Admission::Fresh(slot)) = runtime.block_on(self.transfer.admit(&header)) else { panic!("no slot") };
            let (durable, result) = oneshot::channel();
            let whole = Whole { file: file(&path), path, stored: 9, slot };
            commit(vec![Waiting { whole, record: Record { index, stored: 9, digest }, durable }]);
            runtime.block_on(result).unwrap()
        }

        /// Nothing was promised: no record, no acknowledgement, and the chunk may come again.
        fn assert_nothing_promised(&self) {
            assert_eq!(self.transfer.progress(), (0, 2));
            assert!(!self.folder.path().join("0.age").exists(), "the file is of no use");
            let index = self.folder.path().join("chunks.index");
            assert_eq!(index.metadata().map_or(0, |metadata| metadata.len()), 0);
        }
    }

    fn opened(path: &Path) -> File {
        File::open(path).unwrap()
    }

    fn created(path: &Path) -> File {
        File::create(path).unwrap()
    }

    #[test]
    fn a_chunk_is_recorded_once_its_bytes_and_its_folder_are_durable() {
        let setting = Setting::new(opened, created);
        setting.commit(0, opened).unwrap();
        setting.commit(1, opened).unwrap();
        assert_eq!(setting.transfer.progress(), (2, 2));
        let bytes = std::fs::read(setting.folder.path().join("chunks.index")).unwrap();
        let (index, good) = sluse_protocol::chunk_index::ChunkIndex::read(2, &bytes);
        assert_eq!((index.is_complete(), good, bytes.len()), (true, 88, 88));
    }

    #[test]
    fn a_chunk_whose_bytes_do_not_reach_the_disk_gets_no_record() {
        let setting = Setting::new(opened, created);
        setting.commit(0, |_| unsyncable()).unwrap_err();
        setting.assert_nothing_promised();
        setting.commit(0, opened).unwrap();
    }

    #[test]
    fn a_chunk_whose_folder_does_not_reach_the_disk_gets_no_record() {
        let setting = Setting::new(|_| unsyncable(), created);
        setting.commit(0, opened).unwrap_err();
        setting.assert_nothing_promised();
    }

    #[test]
    fn a_chunk_whose_record_cannot_be_written_is_not_acknowledged_and_a_full_disk_is_temporary() {
        let full = |_: &Path| File::options().write(true).open("/dev/full").unwrap();
        let setting = Setting::new(opened, full);
        assert_eq!(setting.commit(0, opened).unwrap_err().code, Code::NoSpace);
        setting.assert_nothing_promised();
    }

    #[test]
    fn a_chunk_whose_record_does_not_reach_the_disk_is_not_acknowledged() {
        let setting = Setting::new(opened, |_| File::options().write(true).open("/dev/null").unwrap());
        assert_eq!(setting.commit(0, opened).unwrap_err().code, Code::Internal);
        setting.assert_nothing_promised();
    }

    #[test]
    fn a_record_that_failed_to_reach_the_disk_is_cut_off_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let mut index = IndexFile::written_to(created(&path));
        index.append(&[1; 44]).unwrap();
        index.sync(44).unwrap();
        // Written, not synced, and cut: as after a sync that failed.
        index.append(&[2; 44]).unwrap();
        index.cut();
        assert_eq!(std::fs::read(&path).unwrap(), [1; 44]);
        index.append(&[3; 44]).unwrap();
        index.sync(44).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[44..], [3; 44]);
    }
}
