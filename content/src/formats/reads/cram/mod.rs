//! CRAM, versions 2 and 3: containers of blocks, the first with the header of SAM, the last an empty one that says that it is.
//!
//! Only the blocks that have text are unpacked: the header, names of reads, tags of text. Which those are stands in the block that
//! begins each container. Bases and qualities are passed over.

mod blocks;
mod encodings;
mod rans;

use super::super::plain::Plain;
use super::header::Header;
use crate::flaw::Flaw;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use blocks::{Block, Container, ContentType, Damaged, Fields, Packing};
use sluse_protocol::finding::Class;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of the file's own head: its mark, its version, its name.
const DEFINITION: usize = 26;

/// Bytes of a container's head, most of which are the places of its slices, and of a block's.
const MAX_HEAD: usize = 64 * 1024;

/// Bytes by which a head that is not whole grows at a time.
const HEAD_STEP: usize = 256;

/// Bytes of a block that is unpacked, before and after.
const MAX_BLOCK: u64 = 64 << 20;

/// Unpacked bytes of all blocks for each byte of the file so far, and those before that counts: tags that are all the same pack by hundreds.
const RATIO: u64 = 250;
const FREE: u64 = 256 << 20;

const CUT: &str = "the file ends before its last container: it may have been cut off";
const BEHIND: &str = "bytes behind the last container";
const VERSION: &str = "a version of CRAM that is not read here";

/// Reads one file.
pub struct Cram {
    header: Header,
    names: Plain,
    weighs: bool,
    at: At,
    version: (u8, u8),
    /// A head that is not whole, or the bytes of a block that is to be unpacked.
    buffer: Vec<u8>,
    offset: u64,
    container: Container,
    containers: u64,
    /// Bytes of the container, and blocks, that are still to come.
    left: u64,
    blocks: u64,
    block: Block,
    /// Where the head that was read last began.
    start: u64,
    sum: crc32fast::Hasher,
    /// Blocks of the container that hold text.
    texts: BTreeSet<u32>,
    /// Bytes that blocks have unpacked to.
    unpacked: u64,
    unread: Flaw,
    wrong: Option<(u64, &'static str)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Definition,
    Container,
    Block,
    /// Bytes of a block's data that are still to come, and whether they are kept.
    Data(u64, bool),
    Sum,
    /// What stands behind a container's blocks.
    Padding,
    /// The last container has come.
    Over,
    /// Of another version, or broken: looked through as it is.
    Other,
}

impl Cram {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            header: Header::new(policy),
            names: Plain::of(policy, "names of reads and tags"),
            weighs: policy.identifiers.is_some(),
            at: At::Definition,
            version: (0, 0),
            buffer: Vec::new(),
            offset: 0,
            container: Container::default(),
            containers: 0,
            left: 0,
            blocks: 0,
            block: Block::default(),
            start: 0,
            unpacked: 0,
            sum: crc32fast::Hasher::new(),
            texts: BTreeSet::new(),
            unread: Flaw::default(),
            wrong: None,
        }
    }

    /// Takes what is next of `bytes`; how many of them that was.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match self.at {
            At::Definition | At::Container | At::Block | At::Sum | At::Over => self.head(bytes),
            At::Data(left, keeps) => {
                let taken = (left.min(bytes.len() as u64)) as usize;
                self.sum.update(&bytes[..taken]);
                if keeps {
                    self.buffer.extend_from_slice(&bytes[..taken]);
                }
                self.at = At::Data(left - taken as u64, keeps);
                if left == taken as u64 {
                    self.data_ends();
                }
                taken
            }
            At::Padding => {
                let taken = (self.left.min(bytes.len() as u64)) as usize;
                self.left -= taken as u64;
                if self.left == 0 {
                    self.at = At::Container;
                }
                taken
            }
            At::Other => {
                self.names.feed_at(bytes, self.offset);
                bytes.len()
            }
        }
    }

    /// Takes bytes of what is read whole.
    fn head(&mut self, bytes: &[u8]) -> usize {
        let mut held = std::mem::take(&mut self.buffer);
        let before = held.len();
        let head = if before == 0 {
            &bytes[..bytes.len().min(MAX_HEAD)]
        } else {
            held.extend_from_slice(&bytes[..bytes.len().min(HEAD_STEP)]);
            &held[..]
        };
        self.start = self.offset - before as u64;
        let mut fields = Fields::new(head);
        let read = match self.at {
            At::Definition => self.definition(&mut fields),
            At::Container => self.container_head(&mut fields),
            At::Block => self.block_head(&mut fields),
            At::Over => self.another_last(&mut fields),
            _ => self.block_sum(&mut fields),
        };
        match read {
            Ok(()) => fields.at() - before,
            Err(Damaged::More) if head.len() < MAX_HEAD => {
                let taken = head.len() - before;
                self.buffer = head.to_vec();
                taken
            }
            Err(damaged) => {
                let what = if let Damaged::Wrong(what) = damaged { what } else { "a head that is too long" };
                self.wrong.get_or_insert((self.start, what));
                self.at = At::Other;
                self.names.feed_at(&head[..before], self.start);
                0
            }
        }
    }

    fn definition(&mut self, fields: &mut Fields<'_>) -> Result<(), Damaged> {
        let definition = fields.take(DEFINITION)?;
        if !definition.starts_with(b"CRAM") {
            return Err(Damaged::Wrong("no CRAM"));
        }
        self.version = (definition[4], definition[5]);
        self.at = At::Container;
        if matches!(self.version.0, 2 | 3) { Ok(()) } else { Err(Damaged::Wrong(VERSION)) }
    }

    fn container_head(&mut self, fields: &mut Fields<'_>) -> Result<(), Damaged> {
        self.container = Container::read(fields, self.version.0)?;
        (self.left, self.blocks) = (self.container.length, self.container.blocks);
        self.containers += 1;
        self.texts.clear();
        self.next_block();
        Ok(())
    }

    /// Behind the last container may stand another one, as a program adds it that did not look.
    fn another_last(&mut self, fields: &mut Fields<'_>) -> Result<(), Damaged> {
        match self.container_head(fields) {
            Err(Damaged::More) => Err(Damaged::More),
            Ok(()) if self.container.is_last() => Ok(()),
            Ok(()) | Err(_) => Err(Damaged::Wrong(BEHIND)),
        }
    }

    fn next_block(&mut self) {
        self.sum = crc32fast::Hasher::new();
        self.at = match (self.blocks, self.left) {
            (0, _) if self.container.is_last() => At::Over,
            (0, 0) => At::Container,
            (0, _) => At::Padding,
            _ => At::Block,
        };
    }

    fn block_head(&mut self, fields: &mut Fields<'_>) -> Result<(), Damaged> {
        self.block = Block::read(fields)?;
        let sum = if self.version.0 >= 3 { 4 } else { 0 };
        let length = fields.at() as u64 + self.block.packed + sum;
        self.left = self.left.checked_sub(length).ok_or(Damaged::Wrong("a block that is longer than its container"))?;
        self.blocks -= 1;
        self.sum.update(fields.taken());
        let keeps = match self.block.content {
            ContentType::Header | ContentType::Encodings => true,
            ContentType::External => self.weighs && self.texts.contains(&self.block.id),
            ContentType::Other => false,
        };
        let small = self.block.packed.max(self.block.unpacked) <= MAX_BLOCK;
        if keeps && !small {
            self.unread.at(self.start);
        }
        self.at = At::Data(self.block.packed, keeps && small);
        if self.block.packed == 0 {
            self.data_ends();
        }
        Ok(())
    }

    fn data_ends(&mut self) {
        let data = std::mem::take(&mut self.buffer);
        if let At::Data(_, true) = self.at {
            self.block_data(&data);
        }
        self.at = At::Sum;
        if self.version.0 < 3 {
            self.next_block();
        }
    }

    fn block_sum(&mut self, fields: &mut Fields<'_>) -> Result<(), Damaged> {
        if fields.four()? != self.sum.clone().finalize() {
            return Err(Damaged::Wrong("a block whose checksum is another"));
        }
        self.next_block();
        Ok(())
    }

    /// Reads a block that holds text, or says which ones do.
    fn block_data(&mut self, data: &[u8]) {
        let start = self.start;
        self.unpacked += self.block.unpacked;
        if self.unpacked > FREE && self.unpacked / RATIO > start {
            return self.unread.at(start);
        }
        let unpacked = match self.block.unpack(data) {
            Ok(unpacked) => unpacked,
            Err(Packing::NotRead) => return self.unread.at(start),
            Err(Packing::Damaged) => {
                self.wrong.get_or_insert((start, "a block that does not unpack"));
                return;
            }
        };
        match self.block.content {
            ContentType::Header if self.containers == 1 => {
                let length = unpacked.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
                let Some(text) = unpacked.get(4..).and_then(|rest| rest.get(..length)) else {
                    self.wrong.get_or_insert((start, "a header that is longer than its block"));
                    return;
                };
                text.split_inclusive(|byte| *byte == b'\n').for_each(|line| self.header.part(line, start));
            }
            ContentType::Encodings => match encodings::texts(&unpacked) {
                Ok(texts) => self.texts = texts,
                Err(_) => {
                    self.wrong.get_or_insert((start, "the list of a container's encodings is damaged"));
                }
            },
            _ => self.names.unpacked(&unpacked, start),
        }
    }
}

impl Reader for Cram {
    fn feed(&mut self, mut bytes: &[u8], _: &mut dyn Sink) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            self.offset += taken as u64;
            bytes = &bytes[taken..];
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        // Files of version 2.0 have no last container.
        let whole = match self.at {
            At::Over => self.buffer.is_empty(),
            At::Other => true,
            At::Container => self.version == (2, 0) && self.buffer.is_empty() && self.containers > 0,
            _ => false,
        };
        if let Some((offset, what)) = self.wrong.or((!whole).then_some((self.offset, CUT))) {
            let class = if what == VERSION { Class::NotInspected } else { Class::Malformed };
            sink.notice(Notice { class, offset: Some(offset), message: what.into() });
        }
        if self.weighs {
            let message = "names of reads or tags that are packed in a way that is not read";
            self.unread.tell(Class::IdentifierReview, sink, message);
        }
        self.header.finish(sink);
        self.names.finish(sink);
    }
}

#[cfg(test)]
mod tests;
