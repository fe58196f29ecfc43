//! The heads of CRAM's containers and blocks, and what blocks unpack to.

use super::rans;
use liblzma::read::XzDecoder;
use liblzma::stream::Stream as Xz;
use std::io::Read as _;

/// Memory for what `xz -9` packs.
const XZ_MEMORY: u64 = 80 << 20;

/// Where the file's last container says that it starts.
const LAST_START: u32 = 0x0045_4f46;

/// Why something cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    /// There is too little of it.
    More,
    /// It is wrong.
    Wrong(&'static str),
}

/// Why a block is not unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// In a way that is not read here.
    NotRead,
    /// It is damaged.
    Damaged,
}

/// Bytes that are read one after the other.
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Begins at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What was read.
    pub fn taken(&self) -> &'a [u8] {
        &self.bytes[..self.at]
    }

    /// The next bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..count)).ok_or(Damaged::More)?;
        self.at += count;
        Ok(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    /// A number of four bytes.
    pub fn four(&mut self) -> Result<u32, Damaged> {
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| Damaged::More)
    }

    /// A number of one to five bytes (ITF8): the first byte's leading ones say how many follow.
    pub fn number(&mut self) -> Result<u32, Damaged> {
        let first = self.byte()?;
        let more = first.leading_ones().min(4);
        let mut number = u32::from(first & (0x7f_u8 >> more).max(0x0f));
        for place in 0..more {
            let byte = u32::from(self.byte()?);
            // Of the fifth byte only half counts.
            number = if place == 3 { number << 4 | byte & 15 } else { number << 8 | byte };
        }
        Ok(number)
    }

    /// A number of one to nine bytes (LTF8).
    pub fn long(&mut self) -> Result<u64, Damaged> {
        let first = self.byte()?;
        let more = first.leading_ones();
        let mut number = u64::from(first) & (0x7f >> more);
        for _ in 0..more {
            number = number << 8 | u64::from(self.byte()?);
        }
        Ok(number)
    }

    /// A length, which is not negative.
    pub fn length(&mut self) -> Result<u64, Damaged> {
        let number = self.number()?;
        if number > i32::MAX as u32 { Err(Damaged::Wrong("a length that cannot be")) } else { Ok(number.into()) }
    }
}

/// A container's head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Container {
    /// Bytes of its blocks.
    pub length: u64,
    /// Blocks in it.
    pub blocks: u64,
    last: bool,
}

impl Container {
    /// Reads one of a file of this version.
    pub fn read(fields: &mut Fields<'_>, version: u8) -> Result<Self, Damaged> {
        let length = fields.four()?;
        let (reference, start, _span, records) =
            (fields.number()?, fields.number()?, fields.number()?, fields.number()?);
        let _counter = if version >= 3 { fields.long()? } else { fields.number()?.into() };
        let _bases = fields.long()?;
        let blocks = fields.length()?;
        for _ in 0..fields.length()? {
            fields.number()?;
        }
        if version >= 3 {
            let sum = crc32fast::hash(fields.taken());
            if fields.four()? != sum {
                return Err(Damaged::Wrong("a container whose checksum is another"));
            }
        }
        if length > i32::MAX as u32 {
            return Err(Damaged::Wrong("a container's length that cannot be"));
        }
        let last = reference == u32::MAX && start == LAST_START && records == 0;
        Ok(Self { length: length.into(), blocks, last })
    }

    /// Whether it says that it is the file's last.
    pub fn is_last(&self) -> bool {
        self.last
    }
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentType {
    /// The header of SAM.
    Header,
    /// How the container's data is encoded.
    Encodings,
    /// Data of one kind, by its number.
    External,
    /// Heads of slices, and bits.
    #[default]
    Other,
}

/// A block's head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Block {
    method: u8,
    /// What it holds.
    pub content: ContentType,
    /// Its number.
    pub id: u32,
    /// Its bytes.
    pub packed: u64,
    /// Its bytes, unpacked.
    pub unpacked: u64,
}

impl Block {
    /// Reads one.
    pub fn read(fields: &mut Fields<'_>) -> Result<Self, Damaged> {
        let (method, content) = (fields.byte()?, fields.byte()?);
        let content = match content {
            0 => ContentType::Header,
            1 => ContentType::Encodings,
            4 => ContentType::External,
            _ => ContentType::Other,
        };
        Ok(Self { method, content, id: fields.number()?, packed: fields.length()?, unpacked: fields.length()? })
    }

    /// What its data unpacks to.
    ///
    /// # Errors
    /// When it does not, or in a way that is not read here.
    pub fn unpack(&self, data: &[u8]) -> Result<Vec<u8>, Packing> {
        let length = usize::try_from(self.unpacked).map_err(|_| Packing::Damaged)?;
        let mut unpacked = Vec::new();
        // One byte more than is stated is enough to tell that it is wrong.
        let most = self.unpacked + 1;
        let read = match self.method {
            0 => {
                unpacked.extend_from_slice(data);
                Ok(0)
            }
            1 => flate2::read::MultiGzDecoder::new(data).take(most).read_to_end(&mut unpacked),
            2 => bzip2::read::BzDecoder::new(data).take(most).read_to_end(&mut unpacked),
            3 => {
                let xz = Xz::new_stream_decoder(XZ_MEMORY, 0).map_err(|_| Packing::NotRead)?;
                XzDecoder::new_stream(data, xz).take(most).read_to_end(&mut unpacked)
            }
            4 => {
                unpacked = rans::decode(data, length).ok_or(Packing::Damaged)?;
                Ok(0)
            }
            // Those of version 3.1.
            _ => return Err(Packing::NotRead),
        };
        if read.is_err() || unpacked.len() != length { Err(Packing::Damaged) } else { Ok(unpacked) }
    }
}
