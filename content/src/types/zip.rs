//! Walks through a ZIP archive as it streams by: names and flags of its entries, never their content.

use super::Identified;
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";

/// Bytes of a header kept while it is incomplete: its fixed part, and the longest name.
const MAX_HEADER: usize = 46 + 65_535;

/// Bytes of the stored entry `mimetype` that are read.
const MAX_MIMETYPE: u64 = 80;

/// The walk through one archive.
#[derive(Default)]
pub struct Walk {
    at: At,
    /// Bytes of an incomplete header.
    partial: Vec<u8>,
    encrypted: bool,
    ended: bool,
    seen: Names,
    mimetype: Vec<u8>,
}

#[derive(Default)]
enum At {
    /// A header is to come.
    #[default]
    Header,
    /// An entry's content is skipped: so many bytes, of which the first are kept as a mimetype.
    Content { left: u64, mimetype: bool },
    /// The length of what comes is not known: the next header is looked for.
    Search,
    /// Behind the end record: a comment.
    Behind,
    /// Not what belongs there.
    Lost,
}

/// Names that tell what kind of archive it is.
#[derive(Default)]
struct Names {
    workbook: bool,
    document: bool,
    slides: bool,
    class: bool,
    android: bool,
    macros: bool,
    embedded: bool,
}

impl Walk {
    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Header => self.header(bytes),
                At::Content { left, mimetype } => self.content(bytes, left, mimetype),
                At::Search => self.search(bytes),
                At::Behind | At::Lost => return,
            };
        }
    }

    /// What the archive is.
    pub fn identify(&self) -> Identified {
        let mut identified = Identified::one(self.kind());
        if self.encrypted {
            identified.add(Class::Encrypted, "a ZIP archive with encrypted entries");
        }
        if self.seen.macros {
            identified.add(Class::Executable, "an Office document with macros");
        }
        if self.seen.embedded {
            identified.add(Class::ActiveContent, "an Office document with embedded objects or controls");
        }
        if !self.ended {
            let message = "a ZIP archive without its end: it was cut off, or its entries do not follow each other";
            identified.add(Class::BrokenArchive, message);
        }
        identified
    }

    fn kind(&self) -> FileType {
        let opendocument = self.mimetype.strip_prefix(b"application/vnd.oasis.opendocument.");
        match opendocument {
            Some(kind) if kind.starts_with(b"spreadsheet") => FileType::Ods,
            Some(kind) if kind.starts_with(b"text") => FileType::Odt,
            Some(kind) if kind.starts_with(b"presentation") => FileType::Odp,
            _ if self.seen.android => FileType::Installer,
            _ if self.seen.workbook => FileType::Xlsx,
            _ if self.seen.document => FileType::Docx,
            _ if self.seen.slides => FileType::Pptx,
            _ if self.seen.class => FileType::Java,
            _ => FileType::Zip,
        }
    }

    /// Completes a header with the next bytes; returns those behind it.
    fn header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let before = self.partial.len();
        let take = bytes.len().min(MAX_HEADER - before);
        let parsed = if before == 0 {
            parse(bytes)
        } else {
            self.partial.extend_from_slice(&bytes[..take]);
            parse(&self.partial)
        };
        match parsed {
            Parsed::More if before + take < MAX_HEADER => {
                if before == 0 {
                    self.partial.extend_from_slice(bytes);
                }
                &[]
            }
            Parsed::More | Parsed::Other => {
                self.at = At::Lost;
                self.partial = Vec::new();
                &[]
            }
            Parsed::Header(header) => {
                self.take(&header);
                self.partial.clear();
                &bytes[header.length.saturating_sub(before)..]
            }
        }
    }

    fn take(&mut self, header: &Header) {
        self.encrypted |= header.encrypted;
        self.seen.add(&header.name);
        let mimetype = header.name == b"mimetype" && header.stored;
        self.at = match header.content {
            _ if header.end => {
                self.ended = true;
                At::Behind
            }
            Some(0) => At::Header,
            Some(left) => At::Content { left, mimetype },
            None => At::Search,
        };
    }

    fn content<'a>(&mut self, bytes: &'a [u8], left: u64, mimetype: bool) -> &'a [u8] {
        let (here, rest) = bytes.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()));
        if mimetype && left <= MAX_MIMETYPE {
            self.mimetype.extend_from_slice(here);
        }
        let left = left - here.len() as u64;
        self.at = if left == 0 { At::Header } else { At::Content { left, mimetype } };
        rest
    }

    /// Looks for the next header behind content of unknown length. What an entry holds may look like a header: then
    /// more is taken for seen than there is, never less.
    fn search<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let before = self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(3)]);
        let border = std::mem::take(&mut self.partial);
        if let Some(found) = position(&border).filter(|found| *found < before) {
            self.partial = border[found..before].to_vec();
            self.at = At::Header;
            return bytes;
        }
        if let Some(found) = position(bytes) {
            self.at = At::Header;
            return &bytes[found..];
        }
        let end = if bytes.len() >= 3 { bytes } else { &border };
        self.partial = end[end.len().saturating_sub(3)..].to_vec();
        &[]
    }
}

/// Where a header's mark stands.
fn position(bytes: &[u8]) -> Option<usize> {
    let marks = [LOCAL, CENTRAL, END, END64];
    bytes.windows(4).position(|window| window[0] == b'P' && marks.iter().any(|mark| window == mark))
}

enum Parsed {
    More,
    Other,
    Header(Header),
}

struct Header {
    length: usize,
    name: Vec<u8>,
    encrypted: bool,
    stored: bool,
    /// Bytes that follow before the next header; none when that is not known.
    content: Option<u64>,
    end: bool,
}

fn parse(bytes: &[u8]) -> Parsed {
    let Some(mark) = bytes.first_chunk::<4>() else { return Parsed::More };
    let parsed = match *mark {
        LOCAL => local(bytes),
        CENTRAL => central(bytes),
        END64 => Some(Header::without_name(4, None)),
        END => Some(Header { end: true, ..Header::without_name(4, Some(0)) }),
        // What lies between the entries and the central directory (signatures, data descriptors) is skipped.
        [b'P', b'K', ..] => Some(Header::without_name(4, None)),
        _ => return Parsed::Other,
    };
    parsed.map_or(Parsed::More, Parsed::Header)
}

impl Header {
    fn without_name(length: usize, content: Option<u64>) -> Self {
        Self { length, name: Vec::new(), encrypted: false, stored: false, content, end: false }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn local(bytes: &[u8]) -> Option<Header> {
    let (flags, method, packed) = (u16_at(bytes, 6)?, u16_at(bytes, 8)?, u32_at(bytes, 18)?);
    let (name, extra) = (usize::from(u16_at(bytes, 26)?), u64::from(u16_at(bytes, 28)?));
    let length = 30 + name;
    let name = bytes.get(30..length)?.to_vec();
    // Bit 3: the length stands behind the content. All ones: it stands in a field of its own.
    let known = flags & 8 == 0 && packed != u32::MAX;
    let content = known.then(|| extra + u64::from(packed));
    Some(Header { length, name, encrypted: flags & 1 != 0, stored: method == 0 && extra == 0, content, end: false })
}

fn central(bytes: &[u8]) -> Option<Header> {
    let flags = u16_at(bytes, 8)?;
    let name = usize::from(u16_at(bytes, 28)?);
    let behind = u64::from(u16_at(bytes, 30)?) + u64::from(u16_at(bytes, 32)?);
    let length = 46 + name;
    let name = bytes.get(46..length)?.to_vec();
    Some(Header { length, name, encrypted: flags & 1 != 0, stored: false, content: Some(behind), end: false })
}

impl Names {
    fn add(&mut self, name: &[u8]) {
        self.workbook |= name == b"xl/workbook.xml" || name == b"xl/workbook.bin";
        self.document |= name == b"word/document.xml";
        self.slides |= name == b"ppt/presentation.xml";
        self.class |= name.ends_with(b".class");
        self.android |= name == b"AndroidManifest.xml";
        let lower = name.to_ascii_lowercase();
        let holds = |part: &[u8]| memchr::memmem::find(&lower, part).is_some();
        self.macros |= lower.ends_with(b"vbaproject.bin") || holds(b"/macrosheets/") || lower.starts_with(b"basic/");
        self.embedded |= holds(b"/activex/") || (holds(b"/embeddings/") && lower.ends_with(b".bin"));
    }
}
