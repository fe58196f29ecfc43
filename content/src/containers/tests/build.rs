//! Builds ZIP archives, honest ones and ones with any value forged.

use flate2::{Compress, Compression, FlushCompress};

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() + 1000);
    let mut compress = Compress::new(Compression::best(), false);
    compress.compress_vec(bytes, &mut packed, FlushCompress::Finish).unwrap();
    packed
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    packed.extend(deflate(bytes));
    packed.extend(crc32fast::hash(bytes).to_le_bytes());
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

/// One entry, as local and central header are to have it.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub central_name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u32,
    pub unpacked: u32,
    pub central_packed: u32,
    pub local_extra: Vec<u8>,
    pub data: Vec<u8>,
    /// What stands behind the data.
    pub behind: Vec<u8>,
    /// Leaves it out of the directory.
    pub hidden: bool,
    /// What the directory says of its place, if not the truth.
    pub offset: Option<u32>,
}

impl Entry {
    pub fn new(name: &str, content: &[u8], method: u16, data: Vec<u8>) -> Self {
        let packed = data.len() as u32;
        Self {
            name: name.as_bytes().to_vec(),
            central_name: name.as_bytes().to_vec(),
            flags: 0,
            method,
            crc: crc32fast::hash(content),
            packed,
            unpacked: content.len() as u32,
            central_packed: packed,
            local_extra: Vec::new(),
            data,
            behind: Vec::new(),
            hidden: false,
            offset: None,
        }
    }

    pub fn stored(name: &str, content: &[u8]) -> Self {
        Self::new(name, content, 0, content.to_vec())
    }

    pub fn deflated(name: &str, content: &[u8]) -> Self {
        Self::new(name, content, 8, deflate(content))
    }

    /// Its size and checksum are stated behind its data.
    pub fn described_behind(mut self) -> Self {
        self.flags |= 8;
        let sizes = [self.crc, self.packed, self.unpacked].map(u32::to_le_bytes).concat();
        self.behind = [b"PK\x07\x08".to_vec(), sizes].concat();
        self
    }

    /// The local header.
    pub fn local(&self) -> Vec<u8> {
        let behind = self.flags & 8 != 0;
        let sizes = if behind { [0; 3] } else { [self.crc, self.packed, self.unpacked] };
        let mut bytes = b"PK\x03\x04\x14\0".to_vec();
        bytes.extend([self.flags, self.method, 0, 0].map(u16::to_le_bytes).concat());
        bytes.extend(sizes.map(u32::to_le_bytes).concat());
        bytes.extend([self.name.len() as u16, self.local_extra.len() as u16].map(u16::to_le_bytes).concat());
        bytes.extend(&self.name);
        bytes.extend(&self.local_extra);
        bytes
    }

    fn central(&self, offset: u32) -> Vec<u8> {
        let mut bytes = b"PK\x01\x02\x14\0\x14\0".to_vec();
        bytes.extend([self.flags, self.method, 0, 0].map(u16::to_le_bytes).concat());
        bytes.extend([self.crc, self.central_packed, self.unpacked].map(u32::to_le_bytes).concat());
        bytes.extend((self.central_name.len() as u16).to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(offset.to_le_bytes());
        bytes.extend(&self.central_name);
        bytes
    }
}

/// The archive, and where each entry begins.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, mut directory, mut count) = (Vec::new(), Vec::new(), 0u16);
    for entry in entries {
        let place = bytes.len() as u32;
        bytes.extend(entry.local());
        bytes.extend(&entry.data);
        bytes.extend(&entry.behind);
        if !entry.hidden {
            directory.extend(entry.central(entry.offset.unwrap_or(place)));
            count = count.wrapping_add(1);
        }
    }
    finish(bytes, &directory, count)
}

/// Puts a directory and the end record behind some entries.
pub fn finish(mut bytes: Vec<u8>, directory: &[u8], count: u16) -> Vec<u8> {
    let place = bytes.len() as u32;
    bytes.extend(directory);
    bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count.to_le_bytes(), &count.to_le_bytes()].concat());
    bytes.extend([directory.len() as u32, place].map(u32::to_le_bytes).concat());
    bytes.extend([0, 0]);
    bytes
}

/// Several directory entries that place the same `target`, and further ones inside it: Fifield's overlapping files.
/// Each is a header quoted in a stored block of the deflated data of the one before.
pub fn overlapping(kernel: &[u8], files: usize) -> Vec<u8> {
    let mut last = Entry::deflated("0", kernel);
    let mut chain = vec![last.clone()];
    let mut content = kernel.to_vec();
    let mut tail: Vec<u8> = [last.local(), last.data.clone()].concat();
    for number in 1..files {
        let header = last.local();
        // A stored block of deflate that is not the last: it quotes the header that follows.
        let length = header.len() as u16;
        let block = [&[0u8][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &header].concat();
        content = [header, content].concat();
        let data = [block, last.data.clone()].concat();
        last = Entry::new(&number.to_string(), &content, 8, data);
        tail = [last.local(), last.data.clone()].concat();
        chain.push(last.clone());
    }
    // The outermost holds all the others, one in the next.
    let mut directory = Vec::new();
    let mut offset = 0;
    for entry in chain.iter().rev() {
        directory.extend(entry.central(offset));
        offset += entry.local().len() as u32 + 5;
    }
    finish(tail, &directory, files as u16)
}
