//! A sealed transfer's chunk index.

use super::ReadError;
use super::folder::Folder;
use sluse_host::layout::CHUNK_INDEX;
use sluse_protocol::chunk_index::{ChunkIndex, Record};
use sluse_protocol::digest::{Sha256, chunk_list_digest};
use sluse_protocol::limits::MAX_CHUNKS;
use std::io::{BufReader, ErrorKind, Read as _};

/// Reads the index of a transfer of `count` chunks: complete, and with the digest `chunk_list` over all of them, where that was sealed.
///
/// # Errors
/// When it is not that index, or cannot be read.
pub fn read(folder: &Folder, count: u32, chunk_list: Option<Sha256>) -> Result<ChunkIndex, ReadError> {
    const WHAT: &str = "the chunk index";
    if count > MAX_CHUNKS {
        return Err(ReadError::integrity("more chunks than a transfer can have"));
    }
    let file = folder.file(CHUNK_INDEX).map_err(|error| ReadError::of_sealed(WHAT, &error))?;
    // A chunk that was sent again may stand there twice; what is longer than that is not read.
    let most = Record::BYTES as u64 * (4 * u64::from(count) + 1024);
    let mut records = BufReader::with_capacity(Record::BYTES * 1024, file).take(most);
    let mut index = ChunkIndex::new(count);
    let mut bytes = [0; Record::BYTES];
    loop {
        match records.read_exact(&mut bytes) {
            Ok(()) => {}
            // The end, or a torn record at the end.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(ReadError::fault(WHAT, &error)),
        }
        let Some(record) = Record::decode(&bytes).filter(|record| record.index < count) else { break };
        index.insert(record);
    }
    if !index.is_complete() {
        return Err(ReadError::integrity("the chunk index is not complete"));
    }
    if chunk_list.is_some_and(|sealed| chunk_list_digest(index.iter().map(|(_, digest)| digest)) != sealed) {
        return Err(ReadError::integrity("the chunk index is not the one that was sealed"));
    }
    Ok(index)
}
