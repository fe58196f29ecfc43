//! Packets of SFTP, version 3 (draft-ietf-secsh-filexfer-02, which is what everybody speaks), with some of OpenSSH's extensions.
//! Pure: bytes come in and go out.

use super::ssh::data::{Reader, Write as _};

/// Bytes of the longest packet: OpenSSH's bound.
pub const MAX_PACKET: usize = 256 * 1024;

/// Bytes of data in one request to write.
pub const MAX_WRITE: u64 = (MAX_PACKET - 1024) as u64;

/// Flags of a request to open.
pub mod flags {
    /// For writing.
    pub const WRITE: u32 = 2;
    /// Each write goes to the end.
    pub const APPEND: u32 = 4;
    /// Make the file if it is not there.
    pub const CREATE: u32 = 8;
    /// Begin with no bytes.
    pub const TRUNCATE: u32 = 16;
    /// Only if it is not there.
    pub const EXCLUSIVE: u32 = 32;
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// Nothing more comes.
    End = 1,
    /// It is not there.
    NoSuchFile = 2,
    /// It is not allowed.
    PermissionDenied = 3,
    /// It failed.
    Failure = 4,
    /// The request cannot be read.
    BadMessage = 5,
    /// That is not done here.
    Unsupported = 8,
}

/// Why a request was refused, in words for whoever sees the client's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub Code, pub &'static str);

/// Attributes in a request: those that mean something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// How many bytes the file is to have.
    pub bytes: Option<u64>,
    /// When it was changed last, in seconds since 1970.
    pub mtime: Option<u32>,
}

/// Attributes in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// It is a folder.
    pub folder: bool,
    /// Bytes of a file.
    pub bytes: u64,
    /// When it was changed last, in seconds since 1970.
    pub mtime: u32,
}

/// A request. Paths and handles are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Which version the client speaks: the first packet, without a number.
    Init(u32),
    /// Open a file, with [`flags`].
    Open(&'a [u8], u32, Wishes),
    /// Close a handle.
    Close(&'a [u8]),
    /// Read from a file.
    Read,
    /// Write to a file, from some byte on.
    Write(&'a [u8], u64, &'a [u8]),
    /// What is known of a path; links are followed or not, of which there are none.
    Stat(&'a [u8]),
    /// What is known of an open file.
    StatOpen(&'a [u8]),
    /// Change what is known of a path.
    Set(&'a [u8], Wishes),
    /// Change what is known of an open file.
    SetOpen(&'a [u8], Wishes),
    /// Open a folder.
    OpenFolder(&'a [u8]),
    /// The next names in a folder.
    ReadFolder(&'a [u8]),
    /// Remove a file.
    Remove(&'a [u8]),
    /// Make a folder.
    MakeFolder(&'a [u8]),
    /// Remove a folder.
    RemoveFolder(&'a [u8]),
    /// What a path is called in full.
    RealPath(&'a [u8]),
    /// Rename; whether what has the name already may be replaced.
    Rename(&'a [u8], &'a [u8], bool),
    /// Make durable what was written.
    Sync(&'a [u8]),
    /// How long requests may be.
    Limits,
    /// Something else: links, other extensions.
    Other,
}

/// Reads a packet without its length: the request, and the number that its answer must have.
pub fn read(packet: &[u8]) -> Option<(u32, Request<'_>)> {
    let mut reader = Reader(packet);
    let kind = reader.byte()?;
    let number = reader.number()?;
    let request = match kind {
        1 => Request::Init(number),
        3 => Request::Open(reader.string()?, reader.number()?, wishes(&mut reader)?),
        4 => Request::Close(reader.string()?),
        5 => Request::Read,
        6 => Request::Write(reader.string()?, reader.long()?, reader.string()?),
        7 | 17 => Request::Stat(reader.string()?),
        8 => Request::StatOpen(reader.string()?),
        9 => Request::Set(reader.string()?, wishes(&mut reader)?),
        10 => Request::SetOpen(reader.string()?, wishes(&mut reader)?),
        11 => Request::OpenFolder(reader.string()?),
        12 => Request::ReadFolder(reader.string()?),
        13 => Request::Remove(reader.string()?),
        14 => Request::MakeFolder(reader.string()?),
        15 => Request::RemoveFolder(reader.string()?),
        16 => Request::RealPath(reader.string()?),
        18 => Request::Rename(reader.string()?, reader.string()?, false),
        200 => match reader.string()? {
            b"posix-rename@openssh.com" => Request::Rename(reader.string()?, reader.string()?, true),
            b"fsync@openssh.com" => Request::Sync(reader.string()?),
            b"limits@openssh.com" => Request::Limits,
            _ => Request::Other,
        },
        _ => Request::Other,
    };
    Some((number, request))
}

fn wishes(reader: &mut Reader<'_>) -> Option<Wishes> {
    let flags = reader.number()?;
    let mut wishes = Wishes::default();
    if flags & 1 != 0 {
        wishes.bytes = Some(reader.long()?);
    }
    // Who owns it, and who may what: it is nobody's here, and stays shut.
    reader.bytes(if flags & 2 != 0 { 8 } else { 0 })?;
    reader.bytes(if flags & 4 != 0 { 4 } else { 0 })?;
    if flags & 8 != 0 {
        reader.number()?;
        wishes.mtime = Some(reader.number()?);
    }
    Some(wishes)
}

/// An answer, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Which version is spoken, and which extensions.
    Version,
    /// How it ended.
    Status(Refusal),
    /// A handle.
    Handle([u8; 4]),
    /// Names with what is known of each.
    Names(Vec<(String, Attributes)>),
    /// What is known of one.
    Attributes(Attributes),
    /// How long requests may be.
    Limits {
        /// How many handles may be open.
        handles: u64,
    },
}

impl Answer {
    /// It was done.
    pub const DONE: Self = Self::Status(Refusal(Code::Ok, "done"));

    /// The answer to the request with this number.
    pub fn encode(&self, number: u32) -> Vec<u8> {
        let mut packet = vec![0; 4];
        match self {
            Self::Version => {
                packet.push(2);
                packet.put_number(3);
                for extension in ["posix-rename@openssh.com", "fsync@openssh.com", "limits@openssh.com"] {
                    packet.put_string(extension.as_bytes());
                    packet.put_string(b"1");
                }
            }
            Self::Status(Refusal(code, text)) => {
                packet.push(101);
                packet.put_number(number);
                packet.put_number(*code as u32);
                packet.put_string(text.as_bytes());
                packet.put_string(b"en");
            }
            Self::Handle(handle) => {
                packet.push(102);
                packet.put_number(number);
                packet.put_string(handle);
            }
            Self::Names(names) => {
                packet.push(104);
                packet.put_number(number);
                packet.put_number(u32::try_from(names.len()).unwrap_or(u32::MAX));
                for (name, attributes) in names {
                    packet.put_string(name.as_bytes());
                    packet.put_string(attributes.line(name).as_bytes());
                    attributes.encode(&mut packet);
                }
            }
            Self::Attributes(attributes) => {
                packet.push(105);
                packet.put_number(number);
                attributes.encode(&mut packet);
            }
            Self::Limits { handles } => {
                packet.push(201);
                packet.put_number(number);
                // A packet, what is read, what is written, handles.
                for limit in [MAX_PACKET as u64, MAX_WRITE, MAX_WRITE, *handles] {
                    packet.put_long(limit);
                }
            }
        }
        let length = u32::try_from(packet.len() - 4).unwrap_or(u32::MAX);
        packet[..4].copy_from_slice(&length.to_be_bytes());
        packet
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Status(refusal)
    }
}

impl Attributes {
    fn mode(self) -> u32 {
        if self.folder { 0o040_770 } else { 0o100_660 }
    }

    fn encode(self, packet: &mut Vec<u8>) {
        // Bytes, owner, permissions, times.
        packet.put_number(0b1111);
        packet.put_long(self.bytes);
        packet.put_long(0);
        for number in [self.mode(), self.mtime, self.mtime] {
            packet.put_number(number);
        }
    }

    /// The line that some clients show, and a few read: as `ls -l` has it.
    fn line(self, name: &str) -> String {
        let time = sluse_protocol::time::Timestamp::from_unix(i64::from(self.mtime)).to_string();
        let mode = if self.folder { "drwxrwx---" } else { "-rw-rw----" };
        format!("{mode}    1 0        0        {:>12} {} {name}", self.bytes, month_and_day(&time))
    }
}

/// `Nov 22  2026` of `2026-11-22T…`.
fn month_and_day(time: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = time.split(['-', 'T']);
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month.and_then(|month| month.parse::<usize>().ok()).and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {}  {}", month.unwrap_or(&"Jan"), day.unwrap_or("01"), year.unwrap_or("1970"))
}

/// Cuts what comes into packets.
#[derive(Debug, Default)]
pub struct Frames {
    begun: Vec<u8>,
}

impl Frames {
    /// Takes bytes, and hands out each packet that is whole, without its length.
    ///
    /// # Errors
    /// When a packet would be empty or longer than [`MAX_PACKET`], or `each` fails.
    pub fn take<E>(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E>
    where
        E: From<WrongLength>,
    {
        loop {
            let wanted = match self.begun.first_chunk::<4>() {
                None => 4,
                Some(length) => 4 + u32::from_be_bytes(*length) as usize,
            };
            if wanted > 4 + MAX_PACKET || (wanted == 4 && self.begun.len() >= 4) {
                return Err(WrongLength.into());
            }
            if self.begun.len() == wanted {
                each(&self.begun[4..])?;
                self.begun.clear();
            } else if bytes.is_empty() {
                return Ok(());
            } else {
                let count = bytes.len().min(wanted - self.begun.len());
                let (taken, rest) = bytes.split_at(count);
                self.begun.extend_from_slice(taken);
                bytes = rest;
            }
        }
    }
}

/// A packet that is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongLength;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
        packets.iter().flat_map(|packet| [&(packet.len() as u32).to_be_bytes()[..], packet].concat()).collect()
    }

    proptest! {
        #[test]
        fn packets_are_the_same_however_they_are_cut_on_their_way(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..10),
            cuts in prop::collection::vec(1usize..400, 1..50),
        ) {
            let stream = framed(&packets);
            let (mut frames, mut found, mut rest) = (Frames::default(), Vec::new(), &stream[..]);
            for cut in cuts.into_iter().cycle() {
                let (taken, left) = rest.split_at(cut.min(rest.len()));
                frames.take(taken, |packet| { found.push(packet.to_vec()); Ok::<_, WrongLength>(()) }).unwrap();
                rest = left;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(found, packets);
        }

        #[test]
        fn whatever_comes_is_a_request_or_none(packet in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..21) {
            let typed = [&[kind][..], &packet].concat();
            let extended = [&[200, 0, 0, 0, 1, 0, 0, 0, 17][..], b"fsync@openssh.com", &packet].concat();
            for bytes in [&packet, &typed, &extended] {
                if let Some((number, _)) = read(bytes) {
                    prop_assert_eq!(&number.to_be_bytes(), &bytes[1..5]);
                }
            }
        }
    }

    #[test]
    fn a_packet_of_nothing_or_too_much_is_refused_before_it_is_kept() {
        for length in [0, MAX_PACKET as u32 + 1, u32::MAX] {
            let taken = Frames::default().take(&length.to_be_bytes(), |_| Ok(()));
            assert_eq!(taken, Err(WrongLength), "{length}");
        }
        let mut frames = Frames::default();
        assert_eq!(frames.take(&(MAX_PACKET as u32).to_be_bytes(), |_| Err(WrongLength)), Ok(()));
    }

    #[test]
    fn requests_are_read_as_openssh_writes_them() {
        let mut open = vec![3, 0, 0, 0, 7];
        open.put_string(b"a.csv");
        open.put_number(flags::WRITE | flags::CREATE);
        open.put_number(0b1101);
        open.put_long(9);
        for number in [0o644, 1, 2] {
            open.put_number(number);
        }
        let wishes = Wishes { bytes: Some(9), mtime: Some(2) };
        assert_eq!(read(&open), Some((7, Request::Open(b"a.csv", flags::WRITE | flags::CREATE, wishes))));
        for cut in 0..open.len() {
            assert_eq!(read(&open[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_name_is_listed_with_its_size_and_day() {
        let attributes = Attributes { folder: false, bytes: 12, mtime: 1_795_132_800 };
        let line = attributes.line("a b.csv");
        assert_eq!(line, "-rw-rw----    1 0        0                  12 Nov 20  2026 a b.csv");
    }
}
