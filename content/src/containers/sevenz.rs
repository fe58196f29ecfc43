//! 7z archives. Their directory stands at their end and is compressed itself, so an archive is held in memory until it
//! is whole; what is larger than the room for that is not inspected.

use super::End;
use super::limits::Held;
use super::names::Seen;
use super::outlet::Outlet;
use super::stream::{Container, Step};
use super::walker::Shared;
use sevenz_rust2::{Archive, BlockDecoder, Error, Password};
use sluse_protocol::finding::Class;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

const TOO_LARGE: &str = "a 7z archive larger than is held in memory: not inspected";
const DAMAGED: &str = "a 7z archive that is damaged or cut off";
const ENCRYPTED: &str = "a 7z archive with encrypted entries: they cannot be inspected";
const METHOD: &str = "a 7z archive with a method or a window that cannot be opened here: not inspected";
const TWICE: &str = "another member has the same name, case and Unicode's forms aside";
const EMPTY: &str = "a 7z archive with data, but without entries";
const UNREACHED: &str = "a 7z archive with entries whose data is not where it should be: not inspected";
const HIDDEN: &str = "a 7z archive with data that belongs to no entry: not inspected";
const BEHIND: &str = "bytes stand behind the end of a 7z archive";

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Bytes of the signature header.
const START_BYTES: u64 = 32;

const AES: &[u8] = &[0x06, 0xf1, 0x07, 0x01];
const LZMA: &[u8] = &[0x03, 0x01, 0x01];
const PPMD: &[u8] = &[0x03, 0x04, 0x01];
const LZMA2: &[u8] = &[0x21];

/// One archive.
pub(super) struct SevenZip {
    held: Held,
}

impl SevenZip {
    pub fn new(shared: &Shared) -> Self {
        Self { held: Held::new(&shared.held) }
    }
}

impl Container for SevenZip {
    fn step(&mut self, _: u64, input: &[u8], out: &mut Outlet<'_>) -> Step {
        if self.held.extend(input) {
            return Step::Took(input.len());
        }
        out.notice(Class::NotInspected, 0, TOO_LARGE);
        Step::Done
    }

    fn finish(&mut self, _: u64, _: &[u8], out: &mut Outlet<'_>) {
        let bytes = self.held.bytes();
        let Some(_window) = out.windows().take(1) else { return out.notice(Class::NotInspected, 0, METHOD) };
        if let Some(end) = stated_end(bytes)
            && end < bytes.len() as u64
        {
            out.notice(Class::BrokenArchive, end, BEHIND);
            let behind = &bytes[end as usize..];
            if !out.begin("[behind the end]".into(), Some(behind.len() as u64)) || !out.bytes(behind) {
                return;
            }
            out.end(End::Whole);
        }
        // The library is not ours: should it fail on some archive, only that archive stays unread.
        let shown = catch_unwind(AssertUnwindSafe(|| {
            let mut source = Cursor::new(bytes);
            match Archive::read(&mut source, &Password::empty()) {
                Ok(archive) => show(&archive, &mut source, out),
                Err(error) => fault(&error, out),
            }
        }));
        if shown.is_err() {
            out.notice(Class::BrokenArchive, 0, DAMAGED);
        }
    }
}

/// Where the archive ends by its own start header.
fn stated_end(bytes: &[u8]) -> Option<u64> {
    let number = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    START_BYTES.checked_add(number(12)?)?.checked_add(number(20)?)
}

fn show(archive: &Archive, source: &mut Cursor<&[u8]>, out: &mut Outlet<'_>) {
    let mut seen = Seen::default();
    let mut buffer = vec![0; READ_BYTES];
    let password = Password::empty();
    let before = *out.begun;
    if archive.files.is_empty() && source.get_ref().len() as u64 > START_BYTES {
        out.notice(Class::BrokenArchive, 0, EMPTY);
    }
    for number in 0..archive.blocks.len() {
        if let Some((class, text)) = refuse(archive, number, out.limits().dictionary) {
            out.notice(class, 0, text);
            names_only(BlockDecoder::new(1, number, archive, &password, source).entries(), &mut seen, out);
            continue;
        }
        let block = BlockDecoder::new(1, number, archive, &password, source);
        let listed = block.entries().iter().map(|entry| entry.size()).fold(0, u64::saturating_add);
        if archive.blocks.get(number).is_some_and(|block| block.get_unpack_size() != listed) {
            out.notice(Class::NotInspected, 0, HIDDEN);
        }
        let result = block.for_each_entries(&mut |entry, reader| {
            Ok(begin(entry.name(), entry.size(), entry.is_directory(), &mut seen, out)
                && copy(reader, entry.size(), &mut buffer, out)?)
        });
        if let Err(error) = result {
            fault(&error, out);
            out.end(End::Cut);
        }
        if out.shared.stopped {
            return;
        }
    }
    for (place, entry) in archive.files.iter().enumerate() {
        if archive.stream_map.file_block_index.get(place).is_some_and(Option::is_none) {
            if !begin(entry.name(), 0, entry.is_directory(), &mut seen, out) {
                return;
            }
            out.end(End::Whole);
        }
    }
    if *out.begun - before != archive.files.len() as u64 {
        out.notice(Class::NotInspected, 0, UNREACHED);
    }
}

/// Shows that there are entries, and what they are called.
fn names_only(entries: &[sevenz_rust2::ArchiveEntry], seen: &mut Seen, out: &mut Outlet<'_>) {
    for entry in entries {
        if !begin(entry.name(), entry.size(), entry.is_directory(), seen, out) {
            return;
        }
        out.end(End::Cut);
    }
}

fn begin(name: &str, size: u64, folder: bool, seen: &mut Seen, out: &mut Outlet<'_>) -> bool {
    if !out.begin(super::names::text(name.as_bytes()), Some(size)) {
        return false;
    }
    out.check_name(name.as_bytes());
    if !folder && seen.again(name.as_bytes()) {
        out.member(Class::Path, TWICE);
    }
    true
}

/// Shows one entry's content; says whether more are to be shown.
fn copy(reader: &mut dyn Read, size: u64, buffer: &mut [u8], out: &mut Outlet<'_>) -> Result<bool, Error> {
    let mut left = size;
    loop {
        let read = reader.read(buffer)?;
        if read == 0 {
            // The library compares a checksum only with data that has its full length.
            if left == 0 {
                out.end(End::Whole);
            } else {
                out.cut(Class::BrokenArchive, DAMAGED);
            }
            return Ok(true);
        }
        left = left.saturating_sub(read as u64);
        if !out.bytes(&buffer[..read]) {
            return Ok(false);
        }
    }
}

/// Why a block is not read, if it is not: its coders' memory is bounded before they are made.
fn refuse(archive: &Archive, number: usize, dictionary: usize) -> Option<(Class, &'static str)> {
    let coders = &archive.blocks.get(number)?.coders;
    if coders.iter().any(|coder| coder.encoder_method_id() == AES) {
        return Some((Class::Encrypted, ENCRYPTED));
    }
    let memory: u64 = coders.iter().map(|coder| memory(coder.encoder_method_id(), coder.properties())).sum();
    (memory > dictionary as u64).then_some((Class::NotInspected, METHOD))
}

/// Bytes that a coder asks for.
fn memory(method: &[u8], properties: &[u8]) -> u64 {
    let number =
        || properties.get(1..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    match (method, properties) {
        (LZMA | PPMD, _) => number().into(),
        (LZMA2, [bits, ..]) => (2 | u64::from(bits & 1)) << (bits.min(&40) / 2 + 11),
        // Zstandard's window stands in its frames; 7-Zip writes at most 128 MiB.
        _ => 0,
    }
}

fn fault(error: &Error, out: &mut Outlet<'_>) {
    let (class, text) = match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => (Class::Encrypted, ENCRYPTED),
        Error::UnsupportedCompressionMethod(name) if name.contains("AES") => (Class::Encrypted, ENCRYPTED),
        Error::UnsupportedCompressionMethod(_)
        | Error::Unsupported(_)
        | Error::ExternalUnsupported
        | Error::MaxMemLimited { .. }
        | Error::UnsupportedVersion { .. } => (Class::NotInspected, METHOD),
        _ => (Class::BrokenArchive, DAMAGED),
    };
    out.notice(class, 0, text);
}
