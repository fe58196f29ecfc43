//! The bag's lists of the dataset's files, as they are written: where each stands, by which name, and with which digests.

use super::payload::Finished;
use super::place::Place;
use super::tag_file::TagFile;
use super::tags;
use sluse_protocol::digest::Sha256;
use sluse_protocol::path::{self, DataPath, NameRule};
use std::io;

/// The lists of one bag.
pub struct Lists<'a> {
    bag: &'a Place,
    names: NameRule,
    manifest: TagFile,
    /// Digests of what comes out, where files are encrypted.
    plain: Option<TagFile>,
    renamed: Option<TagFile>,
}

impl<'a> Lists<'a> {
    /// Begins the lists in `bag`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin(bag: &'a Place, names: NameRule, encrypted: bool) -> io::Result<Self> {
        let manifest = TagFile::create(bag, tags::MANIFEST)?;
        let plain = encrypted.then(|| TagFile::create(bag, tags::PLAIN)).transpose()?;
        Ok(Self { bag, names, manifest, plain, renamed: None })
    }

    /// The name in the room, which is noted when it is another.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn place(&mut self, sent: &DataPath) -> io::Result<DataPath> {
        if self.names != NameRule::WindowsMap {
            return Ok(sent.clone());
        }
        let delivered = path::map_windows(sent);
        if delivered != *sent {
            let list = match &mut self.renamed {
                Some(list) => list,
                None => {
                    let mut list = TagFile::create(self.bag, tags::RENAMED)?;
                    list.write(b"delivered\tsent\n")?;
                    self.renamed.insert(list)
                }
            };
            list.write(format!("{delivered}\t{sent}\n").as_bytes())?;
        }
        Ok(delivered)
    }

    /// Lists a file by the digest that it has in the room and, where that is another, by the one of what comes out.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&mut self, path: &str, plain: Option<Sha256>, stored: Option<Sha256>) -> io::Result<()> {
        let line = |digest: Sha256| tags::manifest_line(&digest, &format!("{}/{path}", tags::DATA));
        if let Some(stored) = stored {
            self.manifest.write(line(stored).as_bytes())?;
        }
        match (&mut self.plain, plain) {
            (Some(list), Some(plain)) => list.write(line(plain).as_bytes()),
            _ => Ok(()),
        }
    }

    /// Ends the lists, of so many files and bytes as they stand in the room.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(self, files: u64, bytes: u64) -> io::Result<Finished> {
        Ok(Finished {
            files,
            bytes,
            manifest: self.manifest.finish()?,
            plain: self.plain.map(TagFile::finish).transpose()?,
            renamed: self.renamed.map(TagFile::finish).transpose()?,
        })
    }
}
