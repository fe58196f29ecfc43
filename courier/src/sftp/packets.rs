//! The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), as a client writes and reads them. Pure; every length is bounded before
//! anything is allocated, and a server's texts are passed by: they may name files.

use super::super::target::Trouble;

/// Bytes of the longest packet that is read: OpenSSH's own bound.
pub const MAX_PACKET: usize = 256 * 1024;

/// Bytes of file that one packet carries: what every server takes.
pub const DATA: usize = 32 * 1024;

/// Bytes of the longest handle.
const MAX_HANDLE: usize = 256;

/// Names of one answer.
const MAX_NAMES: u32 = 10_000;

/// Open for reading.
pub const READ: u32 = 1;
/// Open for writing.
pub const WRITE: u32 = 2;
/// Make the file where it is not there.
pub const CREATE: u32 = 8;
/// Forget what is there.
pub const TRUNCATE: u32 = 16;

/// What a client asks; the number is the packet's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocol's own names")]
#[repr(u8)]
pub enum Ask {
    Init = 1,
    Open = 3,
    Close = 4,
    Read = 5,
    Write = 6,
    LStat = 7,
    FSetStat = 10,
    OpenDir = 11,
    ReadDir = 12,
    Remove = 13,
    MakeDir = 14,
    RemoveDir = 15,
    Stat = 17,
    Rename = 18,
    Extended = 200,
}

/// A packet that is being written: the asking of one thing.
#[derive(Debug)]
pub struct Packet(Vec<u8>);

impl Packet {
    /// Begins one; `id` is the answer's.
    pub fn new(ask: Ask, id: u32) -> Self {
        Self(vec![0, 0, 0, 0, ask as u8]).u32(id)
    }

    /// The first one, which has no id: the version.
    pub fn init() -> Self {
        Self(vec![0, 0, 0, 0, Ask::Init as u8]).u32(3)
    }

    /// Adds a number.
    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds a long number.
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds bytes with their length.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut packet = self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        packet.0.extend_from_slice(bytes);
        packet
    }

    /// Adds attributes: a mode, or none.
    pub fn mode(self, mode: Option<u32>) -> Self {
        match mode {
            Some(mode) => self.u32(4).u32(mode),
            None => self.u32(0),
        }
    }

    /// Adds attributes: a mode and a time, seconds since 1970.
    pub fn mode_and_time(self, mode: u32, time: u32) -> Self {
        self.u32(4 | 8).u32(mode).u32(time).u32(time)
    }

    /// The packet's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// What a file is, as a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Its bytes.
    pub size: Option<u64>,
    /// Its kind and mode.
    pub mode: Option<u32>,
}

impl Attributes {
    fn is(&self, kind: u32) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == kind)
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.is(0o040_000)
    }

    /// Whether it is a plain file.
    pub fn is_file(&self) -> bool {
        self.is(0o100_000)
    }
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// How it ended, by number; 0 is well.
    Status(u32),
    /// An open file or folder.
    Handle(Vec<u8>),
    /// Bytes of a file.
    Data(Vec<u8>),
    /// Names in a folder.
    Names(Vec<(Vec<u8>, Attributes)>),
    /// What a file is.
    Attributes(Attributes),
    /// What an extension answers.
    Extended(Vec<u8>),
}

/// The end of a file or a folder.
pub const END: u32 = 1;
/// Nothing has that name.
pub const NO_SUCH_FILE: u32 = 2;

/// Reads the length of the next packet.
///
/// # Errors
/// When it is over the bound.
pub fn length(prefix: [u8; 4]) -> Result<usize, Trouble> {
    let length = u32::from_be_bytes(prefix) as usize;
    if (1..=MAX_PACKET).contains(&length) { Ok(length) } else { Err(no_sftp()) }
}

/// Reads the server's first packet, without its length: the names of its extensions.
///
/// # Errors
/// When it is none, or of another version.
pub fn version(packet: &[u8]) -> Result<Vec<Vec<u8>>, Trouble> {
    let mut rest = Rest(packet);
    if rest.u8()? != 2 {
        return Err(no_sftp());
    }
    if rest.u32()? < 3 {
        return Err(Trouble::new("the server speaks an older SFTP than version 3"));
    }
    let mut extensions = Vec::new();
    while !rest.0.is_empty() && extensions.len() < 64 {
        extensions.push(rest.bytes(MAX_PACKET)?.to_vec());
        rest.bytes(MAX_PACKET)?;
    }
    Ok(extensions)
}

/// Reads any other packet, without its length: to which asking, and what.
///
/// # Errors
/// When it is none.
pub fn answer(packet: &[u8]) -> Result<(u32, Answer), Trouble> {
    let mut rest = Rest(packet);
    let kind = rest.u8()?;
    let id = rest.u32()?;
    let answer = match kind {
        101 => Answer::Status(rest.u32()?),
        102 => Answer::Handle(rest.bytes(MAX_HANDLE)?.to_vec()),
        103 => Answer::Data(rest.bytes(MAX_PACKET)?.to_vec()),
        104 => {
            let count = rest.u32()?;
            if count > MAX_NAMES {
                return Err(no_sftp());
            }
            let mut names = Vec::new();
            for _ in 0..count {
                let name = rest.bytes(MAX_PACKET)?.to_vec();
                rest.bytes(MAX_PACKET)?;
                names.push((name, rest.attributes()?));
            }
            Answer::Names(names)
        }
        105 => Answer::Attributes(rest.attributes()?),
        201 => Answer::Extended(rest.0.to_vec()),
        _ => return Err(no_sftp()),
    };
    Ok((id, answer))
}

/// The free blocks for us that an answer to `statvfs@openssh.com` tells.
pub fn free_blocks(answer: &[u8]) -> Option<u64> {
    let at = 4 * 8;
    Some(u64::from_be_bytes(answer.get(at..at + 8)?.try_into().ok()?))
}

fn no_sftp() -> Trouble {
    Trouble::new("the server does not speak SFTP as it should")
}

/// What is left of a packet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Trouble> {
        let (now, later) = self.0.split_at_checked(count).ok_or_else(no_sftp)?;
        self.0 = later;
        Ok(now)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        self.take(N)?.try_into().map_err(|_| no_sftp())
    }

    fn u8(&mut self) -> Result<u8, Trouble> {
        self.array().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Trouble> {
        self.array().map(u32::from_be_bytes)
    }

    fn bytes(&mut self, most: usize) -> Result<&'a [u8], Trouble> {
        let length = self.u32()? as usize;
        if length > most {
            return Err(no_sftp());
        }
        self.take(length)
    }

    fn attributes(&mut self) -> Result<Attributes, Trouble> {
        let flags = self.u32()?;
        let has = |flag: u32| flags & flag != 0;
        let size = if has(1) { Some(u64::from_be_bytes(self.array()?)) } else { None };
        if has(2) {
            self.take(8)?;
        }
        let mode = if has(4) { Some(self.u32()?) } else { None };
        if has(8) {
            self.take(8)?;
        }
        if has(0x8000_0000) {
            let count = self.u32()?;
            for _ in 0..count.min(64) {
                self.bytes(MAX_PACKET)?;
                self.bytes(MAX_PACKET)?;
            }
        }
        Ok(Attributes { size, mode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packet_is_as_the_protocol_writes_it() {
        let packet = Packet::new(Ask::Open, 7).bytes(b"a").u32(WRITE | CREATE).mode(Some(0o644)).finish();
        let expected: &[u8] = &[0, 0, 0, 22, 3, 0, 0, 0, 7, 0, 0, 0, 1, b'a', 0, 0, 0, 10, 0, 0, 0, 4, 0, 0, 1, 0xa4];
        assert_eq!(packet, expected);
    }

    #[test]
    fn answers_are_read_and_texts_passed_by() {
        assert_eq!(answer(&[101, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1, b'x', 0, 0, 0, 0]), Ok((9, Answer::Status(4))));
        let attributes = [105, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x81, 0xa4];
        let (_, Answer::Attributes(read)) = answer(&attributes).unwrap() else { panic!() };
        assert!(read.is_file() && !read.is_folder() && read.size == Some(9));
        let names = version(&[2, 0, 0, 0, 3, 0, 0, 0, 1, b'e', 0, 0, 0, 1, b'1']).unwrap();
        assert_eq!(names, [b"e"]);
        assert!(version(&[2, 0, 0, 0, 2]).is_err());
    }

    #[test]
    fn what_says_to_be_longer_than_it_is_or_than_may_be_is_refused() {
        assert!(length([0, 0x10, 0, 0]).is_err() && length([0; 4]).is_err());
        assert!(answer(&[103, 0, 0, 0, 1, 0, 0, 0, 9, 1]).is_err());
        assert!(answer(&[102, 0, 0, 0, 1, 0, 1, 0, 0]).is_err());
        assert!(answer(&[104, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_server_end_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 101u8..=106) {
            let mut packet = bytes;
            let _ = version(&packet);
            let _ = answer(&packet);
            if let Some(first) = packet.first_mut() {
                *first = kind;
            }
            let _ = answer(&packet);
        }
    }
}
