//! Writes one bag under its temporary name: the dataset, `control`'s documents, and the bag's own files. What it returns
//! stands on the disk and was read back.

use super::attempts::Attempt;
use super::error::DeliverError;
use super::part::{Chosen, ReleasedList};
use super::payload::{Finished, Payload};
use super::place::Place;
use super::read_back::drop_cache;
use super::tag_file::{TagFile, Written};
use super::tags;
use crate::quarantine::dataset::{Dataset, Visitor};
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

/// What a bag is made of.
pub struct Contents {
    /// The dataset.
    pub dataset: Dataset,
    /// Its manifest, as it was sealed.
    pub source_manifest: Plain,
    /// The files of the version before, if there is one in the room.
    pub before: Option<Place>,
}

/// Takes the dataset's files, wherever they go.
pub trait Content: Visitor<Error = DeliverError> {
    /// Waits until all of them are there, and compared where they can be.
    ///
    /// # Errors
    /// When a file is not what it should be, or the room fails.
    fn finish(self) -> Result<Finished, DeliverError>;
}

/// The bag's own files, and of all but the list of them their digests.
pub struct Composed {
    /// Each with its digest; `tagmanifest-sha256.txt` too.
    pub tags: Vec<Written>,
    /// SHA-256 of `tagmanifest-sha256.txt`.
    pub tagmanifest: Sha256,
}

/// Writes the bag into its room. Returns the digest of its `tagmanifest-sha256.txt`.
///
/// # Errors
/// As [`compose`].
pub fn write(
    attempt: &Attempt,
    bag: &Place,
    grant: &GrantStatement,
    contents: Contents,
    documents: &dyn Documents,
) -> Result<Sha256, DeliverError> {
    let Contents { dataset, source_manifest, before } = contents;
    let payload = Payload::begin(bag, grant.room_names, recipient(grant)?, before)?;
    let payload = attempt.watch(payload);
    let Composed { tags, tagmanifest } = compose(bag, grant, dataset, source_manifest, documents, payload)?;
    // Folders, times and the bag's own files; what was read back is on the disk already.
    nix::unistd::syncfs(bag).map_err(|errno| DeliverError::io("syncing the room")(errno.into()))?;
    tags.iter().try_for_each(|tag| read_back(bag, tag))?;
    Ok(tagmanifest)
}

/// Gives the dataset to `content` and writes the bag's own files into `bag`; the source's manifest is no part of it where files were left out, since it names them.
///
/// # Errors
/// When digests do not agree, or the room or the disk fails.
pub fn compose(
    bag: &Place,
    grant: &GrantStatement,
    dataset: Dataset,
    source_manifest: Plain,
    documents: &dyn Documents,
    mut content: impl Content,
) -> Result<Composed, DeliverError> {
    let mut tags = Vec::new();
    let described = tags::ro_crate(grant, documents.names());
    for (name, text) in [(tags::BAGIT.0, tags::BAGIT.1.to_owned()), described] {
        tags.push(TagFile::write_whole(bag, name, &text).map_err(DeliverError::io(WHAT))?);
    }
    if grant.part.is_none() {
        tags.push(copy_manifest(bag, source_manifest)?);
    }
    let lists = [tags::SOURCE_MANIFEST, tags::RELEASED_MANIFEST];
    for name in documents.names().iter().filter(|name| !lists.contains(&name.as_str())) {
        tags.push(fetch(bag, name, documents)?);
    }
    match grant.part {
        None => dataset.walk(&mut content)?,
        Some(part) => {
            let mut chosen = Chosen::new(ReleasedList::begin(bag, grant, part, documents)?, &mut content);
            dataset.walk(&mut chosen)?;
            tags.push(chosen.into_list().finish()?);
        }
    }
    let finished = content.finish()?;
    if finished.files != grant.released_totals().files {
        return Err(DeliverError::Fault("not every file was read back".into()));
    }
    let (name, text) = tags::bag_info(grant, finished.bytes);
    tags.push(TagFile::write_whole(bag, name, &text).map_err(DeliverError::io(WHAT))?);
    tags.push(finished.manifest);
    tags.extend(finished.plain);
    tags.extend(finished.renamed);
    let tagmanifest = tag_manifest(bag, &mut tags)?;
    if grant.delivery == Delivery::Archive {
        // It attests the list of all others, so that the list cannot name it.
        let (statement, signature) = documents.sign(&tagmanifest)?;
        for (name, text) in [(STATEMENT, statement), (SIGNATURE, signature)] {
            tags.push(TagFile::write_whole(bag, name, &text).map_err(DeliverError::io(WHAT))?);
        }
    }
    Ok(Composed { tags, tagmanifest })
}

/// To whom the dataset's files are encrypted in the room, if they are.
///
/// # Errors
/// When the grant's recipient is none.
pub fn recipient(grant: &GrantStatement) -> Result<Option<Recipient>, DeliverError> {
    let read =
        |text: &String| text.parse().map_err(|_| DeliverError::Fault("the room's recipient is none of age's".into()));
    grant.room_recipient.as_ref().map(read).transpose()
}

/// The manifest as it was sealed, which every other check goes back to where the whole is delivered.
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
