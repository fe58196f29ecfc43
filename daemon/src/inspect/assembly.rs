//! Puts a version together from the base's bytes and what came of it: the difference.
//!
//! What came lies in `<transfer>.delta`; the version is written to `<transfer>.new`, encrypted to its own identity as if `receive` had
//! written it, and gets the transfer's name when it is whole and durable. Only then the difference goes. A crash before begins anew; after
//! it nobody sees how the version came here: every byte of it is inspected, and every file has the digest that its source signed.

use super::identities;
use crate::age_stream::Writer;
use crate::gather::Output;
use crate::quarantine::chunks::Source;
use crate::quarantine::dataset::{Dataset, Stream};
use crate::quarantine::folder::Folder;
use crate::quarantine::identity::RoleKey;
use crate::quarantine::manifest::Entries;
use crate::quarantine::{ReadError, index};
use age::x25519::{Identity, Recipient};
use sluse_host::files;
use sluse_host::layout::{CHUNK_INDEX, Layout, MANIFEST, assembly_folder, chunk_file, delta_folder, transfer_folder};
use sluse_protocol::chunk_index::Record;
use sluse_protocol::digest::{ChunkDigest, Sha256};
use sluse_protocol::document::{Header, Totals};
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::roles::Base;
use sluse_protocol::sync::Delta;
use sluse_protocol::sync::recipe::{MAX_STEPS, Recipe, Sizes, Step};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Who may read what is written: `deliver`, whose group the folder of sealed transfers passes on.
const FILE_MODE: u32 = 0o640;

/// `deliver` may pass through to names that it knows, and not list them.
const FOLDER_MODE: u32 = 0o2710;

/// The version that a difference is from, with its id.
pub struct OpenBase {
    transfer: TransferId,
    dataset: Dataset,
}

/// Opens the base that `control` named.
///
/// # Errors
/// When it is gone, is not what was sealed, or cannot be read.
pub fn open_base(layout: &Layout, quarantine: &RoleKey, base: &Base) -> Result<OpenBase, ReadError> {
    let there = layout.identity(&base.recipient).try_exists();
    if !there.map_err(|error| ReadError::fault("the identity of the version before", &error))? {
        // A zone that was restored has no bytes of before. The source sends everything then.
        return Err(ReadError::integrity("the version that this one is built on is not here any more"));
    }
    let identity = identities::open(layout, quarantine, &base.recipient)?;
    let folder = transfer_folder(&layout.sealed(), &base.transfer);
    let dataset = Dataset::open(&folder, identity, &base.transfer, base.manifest_sha256)?;
    Ok(OpenBase { transfer: base.transfer.clone(), dataset })
}

/// Puts a transfer together, unless that was done before.
///
/// # Errors
/// When the recipe is not one that makes this version of that base, or the disk fails.
pub fn assemble(
    sealed: &Path,
    transfer: &TransferId,
    identity: &Identity,
    manifest: Sha256,
    base: impl FnOnce() -> Result<OpenBase, ReadError>,
) -> Result<(), ReadError> {
    let (whole, carried) = (transfer_folder(sealed, transfer), delta_folder(sealed, transfer));
    if !whole.try_exists().map_err(|error| ReadError::fault(WHAT, &error))? {
        let making = assembly_folder(sealed, transfer);
        remove(&making)?;
        let difference = Difference::open(&carried, identity, transfer, manifest)?;
        let sizes = (difference.totals, difference.chunk_bytes);
        let mut version = Version::create(making.clone(), identity.to_public(), sizes.1)?;
        difference.apply(base()?, &mut version)?;
        version.finish(&carried)?;
        std::fs::rename(&making, &whole).map_err(|error| ReadError::fault(WHAT, &error))?;
        files::sync_folder(sealed).map_err(|error| ReadError::fault(WHAT, &error))?;
        tracing::info!(%transfer, bytes = sizes.0.bytes, "a version was put together");
    }
    remove(&carried)?;
    files::sync_folder(sealed).map_err(|error| ReadError::fault(WHAT, &error))
}

const WHAT: &str = "putting a version together";

fn remove(folder: &Path) -> Result<(), ReadError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ReadError::fault(WHAT, &error)),
        _ => Ok(()),
    }
}

/// What came: a recipe, and literals behind it.
struct Difference {
    delta: Delta,
    totals: Totals,
    chunk_bytes: u32,
    carried: Stream,
}

impl Difference {
    fn open(path: &Path, identity: &Identity, transfer: &TransferId, manifest: Sha256) -> Result<Self, ReadError> {
        let folder = Folder::open(path).map_err(|error| ReadError::of_sealed("the difference's folder", &error))?;
        let entries = Entries::open(&folder, identity, manifest)?;
        let Header::Manifest { transfer: named, chunk_bytes, chunks, chunk_list, totals, delta, .. } = entries.header()
        else {
            return Err(ReadError::integrity("the manifest is a plan"));
        };
        let (chunk_bytes, totals) = (*chunk_bytes, *totals);
        let Some(delta) = delta.clone().filter(|_| named == transfer) else {
            return Err(ReadError::integrity("the manifest is not that of this difference"));
        };
        let counts = (1..=CHUNK_BYTES).contains(&chunk_bytes)
            && u64::from(*chunks) == delta.bytes().div_ceil(u64::from(chunk_bytes));
        if !counts || !delta.is_possible(totals.bytes) {
            return Err(ReadError::integrity("the difference's chunks do not add up to its bytes"));
        }
        let index = index::read(&folder, *chunks, Some(*chunk_list))?;
        let source = Source { folder, index, identity: identity.clone(), chunk_bytes, bytes: delta.bytes() };
        Ok(Self { delta, totals, chunk_bytes, carried: Stream::start(source)? })
    }

    fn apply(mut self, base: OpenBase, version: &mut Version) -> Result<(), ReadError> {
        if base.transfer != self.delta.base {
            return Err(ReadError::integrity("the difference is from another version"));
        }
        let sizes =
            Sizes { base: base.dataset.totals().bytes, version: self.totals.bytes, literal: self.delta.literal_bytes };
        let recipe = self.recipe(sizes)?;
        let mut stream = base.dataset.stream()?;
        let mut reached = 0;
        for step in recipe.steps() {
            pass(&mut self.carried, step.literal, |bytes| version.write(bytes))?;
            if step.copy > 0 {
                pass(&mut stream, step.from - reached, |_| Ok(()))?;
                pass(&mut stream, step.copy, |bytes| version.write(bytes))?;
                reached = step.from + step.copy;
            }
        }
        self.carried.ends()
    }

    fn recipe(&mut self, sizes: Sizes) -> Result<Recipe, ReadError> {
        // At most 24 MiB: `Delta::is_possible` has looked.
        let mut bytes = Vec::with_capacity((self.delta.recipe_bytes as usize).min(MAX_STEPS * Step::BYTES));
        pass(&mut self.carried, self.delta.recipe_bytes, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Recipe::read(&bytes, sizes).map_err(|bad| ReadError::integrity(bad.to_string()))
    }
}

/// Hands the next `count` bytes of a stream on.
fn pass(
    stream: &mut Stream,
    mut count: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    while count > 0 {
        let bytes = stream.take_next(count)?;
        take(bytes)?;
        count -= bytes.len() as u64;
    }
    Ok(())
}

/// The version as it is written: chunks, their index, and the manifest that came.
struct Version {
    folder: PathBuf,
    recipient: Recipient,
    chunk_bytes: usize,
    chunk: Vec<u8>,
    index: Vec<u8>,
    count: u32,
}

impl Version {
    fn create(folder: PathBuf, recipient: Recipient, chunk_bytes: u32) -> Result<Self, ReadError> {
        std::fs::create_dir(&folder).map_err(|error| ReadError::fault(WHAT, &error))?;
        let chunk_bytes = chunk_bytes as usize;
        Ok(Self { folder, recipient, chunk_bytes, chunk: Vec::with_capacity(chunk_bytes), index: Vec::new(), count: 0 })
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), ReadError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.chunk_bytes - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == self.chunk_bytes {
                self.end_chunk().map_err(|error| ReadError::fault(WHAT, &error))?;
            }
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        let file = self.create_file(&chunk_file(self.count))?;
        let mut writer = Writer::begin(&self.recipient, Output::new(file))?;
        writer.write(&self.chunk)?;
        let (file, stored) = writer.finish()?;
        file.sync_all()?;
        let stored = u32::try_from(stored).map_err(io::Error::other)?;
        let record = Record { index: self.count, stored, digest: ChunkDigest::of(&self.chunk) };
        self.index.extend_from_slice(&record.encode());
        self.chunk.clear();
        self.count += 1;
        Ok(())
    }

    /// Everything is durable afterwards, but for the folder's own name.
    fn finish(mut self, carried: &Path) -> Result<(), ReadError> {
        let mut finish = || {
            if !self.chunk.is_empty() {
                self.end_chunk()?;
            }
            let mut index = self.create_file(CHUNK_INDEX)?;
            index.write_all(&self.index)?;
            index.sync_all()?;
            let mut manifest = self.create_file(MANIFEST)?;
            io::copy(&mut File::open(carried.join(MANIFEST))?, &mut manifest)?;
            manifest.sync_all()?;
            std::fs::set_permissions(&self.folder, Permissions::from_mode(FOLDER_MODE))?;
            files::sync_folder(&self.folder)
        };
        finish().map_err(|error| ReadError::fault(WHAT, &error))
    }

    fn create_file(&self, name: &str) -> io::Result<File> {
        let options = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).to_owned();
        let file = options.open(self.folder.join(name))?;
        // The process's umask took away what the group may.
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
