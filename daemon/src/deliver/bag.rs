//! Writes one bag under its temporary name: the dataset, `control`'s documents, and the bag's own files. What it returns
//! stands on the disk and was read back.

use super::error::DeliverError;
use super::payload::Payload;
use super::place::Place;
use super::read_back::drop_cache;
use super::tag_file::{TagFile, Written};
use super::tags;
use crate::quarantine::dataset::Dataset;
use crate::quarantine::manifest::Plain;
use age::x25519::Recipient;
use sha2::Digest as _;
use sluse_protocol::agreement::Delivery;
use sluse_protocol::archive::{SIGNATURE, STATEMENT};
use sluse_protocol::digest::Sha256;
use sluse_protocol::grant::GrantStatement;
use sluse_protocol::limits::MAX_DOCUMENT_BYTES;
use std::io::Read as _;

/// Where the documents that go into the bag come from.
pub trait Documents {
    /// Their names.
    fn names(&self) -> &[String];

    /// The bytes of one from `offset` on; none at its end.
    ///
    /// # Errors
    /// When `control` does not give them.
    fn bytes(&self, name: &str, offset: u64) -> Result<Vec<u8>, DeliverError>;

    /// The zone's statement of an archived bag whose list of its own files has this digest, and its signature.
    ///
    /// # Errors
    /// When `control` does not give them.
    fn sign(&self, tagmanifest: &Sha256) -> Result<(String, String), DeliverError>;
}

const WHAT: &str = "writing into the room";

/// Writes the bag; returns the digest of its `tagmanifest-sha256.txt`.
///
/// # Errors
/// When digests do not agree, or the room or the disk fails.
pub fn write(
    bag: &Place,
    grant: &GrantStatement,
    dataset: Dataset,
    source_manifest: Plain,
    documents: &dyn Documents,
) -> Result<Sha256, DeliverError> {
    let mut tags = Vec::new();
    let described = tags::ro_crate(grant, documents.names());
    for (name, text) in [(tags::BAGIT.0, tags::BAGIT.1.to_owned()), described] {
        tags.push(TagFile::write_whole(bag, name, &text).map_err(DeliverError::io(WHAT))?);
    }
    tags.push(copy_manifest(bag, source_manifest)?);
    for name in documents.names().iter().filter(|name| *name != tags::SOURCE_MANIFEST) {
        tags.push(fetch(bag, name, documents)?);
    }
    let mut payload = Payload::begin(bag, grant.room_names, recipient(grant)?)?;
    dataset.walk(&mut payload)?;
    let finished = payload.finish()?;
    if finished.files != grant.totals.files {
        return Err(DeliverError::Fault("not every file was read back".into()));
    }
    let (name, text) = tags::bag_info(grant, finished.bytes);
    tags.push(TagFile::write_whole(bag, name, &text).map_err(DeliverError::io(WHAT))?);
    tags.push(finished.manifest);
    tags.extend(finished.plain);
    tags.extend(finished.renamed);
    let digest = tag_manifest(bag, &mut tags)?;
    if grant.delivery == Delivery::Archive {
        // It attests the list of all others, so that the list cannot name it.
        let (statement, signature) = documents.sign(&digest)?;
        for (name, text) in [(STATEMENT, statement), (SIGNATURE, signature)] {
            tags.push(TagFile::write_whole(bag, name, &text).map_err(DeliverError::io(WHAT))?);
        }
    }
    // Folders, times and the bag's own files; what was read back is on the disk already.
    nix::unistd::syncfs(bag).map_err(|errno| DeliverError::io("syncing the room")(errno.into()))?;
    tags.iter().try_for_each(|tag| read_back(bag, tag))?;
    Ok(digest)
}

/// To whom the dataset's files are encrypted in the room, if they are.
fn recipient(grant: &GrantStatement) -> Result<Option<Recipient>, DeliverError> {
    let read =
        |text: &String| text.parse().map_err(|_| DeliverError::Fault("the room's recipient is none of age's".into()));
    grant.room_recipient.as_ref().map(read).transpose()
}

/// The manifest as it was sealed, which every other check goes back to.
fn copy_manifest(bag: &Place, mut plain: Plain) -> Result<Written, DeliverError> {
    let mut file = TagFile::create(bag, tags::SOURCE_MANIFEST).map_err(DeliverError::io(WHAT))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = plain.read(&mut buffer)?;
        if count == 0 {
            return file.finish().map_err(DeliverError::io(WHAT));
        }
        file.write(&buffer[..count]).map_err(DeliverError::io(WHAT))?;
    }
}

fn fetch(bag: &Place, name: &str, documents: &dyn Documents) -> Result<Written, DeliverError> {
    if !is_free_name(name) {
        return Err(DeliverError::Fault("a document has a name that belongs to the bag".into()));
    }
    let mut file = TagFile::create(bag, name).map_err(DeliverError::io(WHAT))?;
    let mut offset = 0;
    loop {
        let bytes = documents.bytes(name, offset)?;
        if bytes.is_empty() {
            return file.finish().map_err(DeliverError::io(WHAT));
        }
        file.write(&bytes).map_err(DeliverError::io(WHAT))?;
        offset += bytes.len() as u64;
        if offset > MAX_DOCUMENT_BYTES {
            return Err(DeliverError::Fault("a document has no end".into()));
        }
    }
}

/// A plain relative path that is none of the bag's own.
fn is_free_name(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    name.parse::<sluse_protocol::path::DataPath>().is_ok()
        && ![
            tags::DATA,
            tags::MANIFEST,
            tags::PLAIN,
            tags::TAG_MANIFEST,
            tags::BAGIT.0,
            "bag-info.txt",
            STATEMENT,
            SIGNATURE,
        ]
        .contains(&first)
}

fn tag_manifest(bag: &Place, tags: &mut Vec<Written>) -> Result<Sha256, DeliverError> {
    tags.sort_by(|one, other| one.path.cmp(&other.path));
    let text: String = tags.iter().map(|tag| tags::manifest_line(&tag.digest, &tag.path)).collect();
    let written = TagFile::write_whole(bag, tags::TAG_MANIFEST, &text).map_err(DeliverError::io(WHAT))?;
    let digest = written.digest;
    tags.push(written);
    Ok(digest)
}

fn read_back(bag: &Place, tag: &Written) -> Result<(), DeliverError> {
    const WHAT: &str = "reading back from the room";
    let mut file = bag.file(&tag.path).map_err(DeliverError::io(WHAT))?;
    let length = file.metadata().map_err(DeliverError::io(WHAT))?.len();
    drop_cache(&file, 0, length);
    let digest = digest_of(&mut file).map_err(DeliverError::io(WHAT))?;
    if digest == tag.digest { Ok(()) } else { Err(DeliverError::Differs) }
}

/// The SHA-256 of what a file holds.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of(file: &mut std::fs::File) -> std::io::Result<Sha256> {
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Sha256(hash.finalize().into())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
