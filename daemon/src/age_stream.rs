//! The payload of age files (age-encryption.org/v1, "Payload") by aws-lc-rs: the header stays with the `age` crate.
//!
//! age seals 64 KiB at a time with ChaCha20-Poly1305, and this is where receiving, inspecting and delivering spend most of
//! their encryption; the zone's one crypto provider does it in half the time of `age`'s own. The `age` crate still makes
//! and checks every header, with its recipients and its MAC; a recipient and an identity of ours stand between to see the
//! file key go by.

use crate::gather::Output;
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret as _;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io;

/// Plain bytes that are sealed at a time; only the last are fewer.
const RECORD: usize = 64 * 1024;

/// Bytes of a record's tag.
const TAG: usize = 16;

/// Bytes of the nonce between header and payload.
const NONCE: usize = 16;

/// A file that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// Bytes that the encrypted form of `plain` bytes has at most: a header of a few recipients, and 16 bytes for each 64 KiB.
pub fn most_sealed(plain: u32) -> u64 {
    u64::from(plain) + u64::from(plain) / 4096 + 4096
}

/// Bytes that the payload of a file of `plain` bytes has, without what [`Sealer::begin`] gives.
pub fn sealed_payload(plain: u64) -> u64 {
    plain + plain.div_ceil(RECORD as u64).max(1) * TAG as u64
}

/// The header of a file to `recipient` with the payload's nonce behind it, and the payload's key.
fn header(recipient: &dyn age::Recipient) -> io::Result<(Vec<u8>, RecordKey)> {
    let recipient = Witness { inner: recipient, seen: RefCell::default() };
    let mut header = Vec::new();
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as _)).map_err(io::Error::other)?;
    // Nothing of the payload is written by this writer.
    drop(encryptor.wrap_output(&mut header)?);
    let key = recipient.seen.take().and_then(|key| RecordKey::derive(&key, header.last_chunk()?));
    Ok((header, key.ok_or_else(|| io::Error::other("age made no file key"))?))
}

/// Encrypts as an age file what somebody else writes. It is whole only after [`Sealer::finish`].
pub struct Sealer {
    key: RecordKey,
    /// Plain bytes that were not sealed yet.
    pending: Vec<u8>,
}

impl Sealer {
    /// Begins a file to `recipient`; its first bytes.
    ///
    /// # Errors
    /// When `age` refuses the recipient.
    pub fn begin(recipient: &dyn age::Recipient) -> io::Result<(Self, Vec<u8>)> {
        let (header, key) = header(recipient)?;
        Ok((Self { key, pending: Vec::with_capacity(RECORD) }, header))
    }

    /// Appends to `sealed` what the next plain bytes become.
    ///
    /// # Errors
    /// When the cipher fails.
    pub fn seal(&mut self, mut bytes: &[u8], sealed: &mut Vec<u8>) -> io::Result<()> {
        while self.pending.len() + bytes.len() > RECORD {
            let (now, later) = bytes.split_at(RECORD - self.pending.len());
            self.append(now, false, sealed)?;
            bytes = later;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends the last record.
    ///
    /// # Errors
    /// When the cipher fails.
    pub fn finish(mut self, sealed: &mut Vec<u8>) -> io::Result<()> {
        self.append(&[], true, sealed)
    }

    fn append(&mut self, now: &[u8], last: bool, sealed: &mut Vec<u8>) -> io::Result<()> {
        let start = sealed.len();
        sealed.resize(start + self.pending.len() + now.len() + TAG, 0);
        self.key.seal(&[&self.pending, now], last, &mut sealed[start..])?;
        self.pending.clear();
        Ok(())
    }
}

/// Encrypts what is written to it as an age file. It is whole only after [`Writer::finish`].
pub struct Writer {
    output: Output,
    key: RecordKey,
    /// Plain bytes that were not sealed yet: only when more come, or the end, is it known whether a record is the last.
    pending: Vec<u8>,
}

impl Writer {
    /// Writes the header of a file to `recipient`.
    ///
    /// # Errors
    /// When the output fails, or `age` refuses the recipient.
    pub fn begin(recipient: &dyn age::Recipient, mut output: Output) -> io::Result<Self> {
        let (header, key) = header(recipient)?;
        output.gather(|gather| {
            gather.space(header.len())?.copy_from_slice(&header);
            Ok(())
        })?;
        Ok(Self { output, key, pending: Vec::with_capacity(RECORD) })
    }

    /// Encrypts the next bytes.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Self { output, key, pending } = self;
        output.gather(|gather| {
            while pending.len() + bytes.len() > RECORD {
                let (now, later) = bytes.split_at(RECORD - pending.len());
                key.seal(&[pending, now], false, gather.space(RECORD + TAG)?)?;
                pending.clear();
                bytes = later;
            }
            Ok(())
        })?;
        pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Seals the last record, and gives the file and its length back.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(self) -> io::Result<(File, u64)> {
        let Self { mut output, mut key, pending } = self;
        output.gather(|gather| key.seal(&[&pending], true, gather.space(pending.len() + TAG)?))?;
        Ok(output.finish())
    }
}

/// Decrypts `sealed` into `plain`, which must have just the length of what comes out.
///
/// # Errors
/// When it was not encrypted to `identity`, was changed, or has another length.
pub fn open(sealed: &[u8], identity: &dyn age::Identity, plain: &mut [u8]) -> Result<(), Closed> {
    let identity = Holder { inner: identity, seen: RefCell::default() };
    let mut rest = sealed;
    let decryptor = Decryptor::new_buffered(&mut rest).map_err(|_| Closed)?;
    // Checks the header's MAC. What it returns would read the payload; we do that ourselves.
    drop(decryptor.decrypt(std::iter::once(&identity as _)).map_err(|_| Closed)?);
    let header = sealed.len() - rest.len();
    let nonce = sealed[..header].last_chunk().ok_or(Closed)?;
    let mut key = identity.seen.take().and_then(|key| RecordKey::derive(&key, nonce)).ok_or(Closed)?;
    let records = plain.len().div_ceil(RECORD).max(1);
    if rest.len() != plain.len() + records * TAG {
        return Err(Closed);
    }
    if plain.is_empty() {
        return key.open(rest, plain, true);
    }
    let mut opened = plain.chunks_mut(RECORD).zip(rest.chunks(RECORD + TAG)).zip(1..);
    opened.try_for_each(|((plain, sealed), number)| key.open(sealed, plain, number == records))
}

/// The key of a payload, and the number of its next record.
struct RecordKey {
    key: LessSafeKey,
    next: u64,
}

impl RecordKey {
    fn derive(file_key: &FileKey, nonce: &[u8; NONCE]) -> Option<Self> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, nonce).extract(file_key.expose_secret());
        let material = secret.expand(&[b"payload"], &CHACHA20_POLY1305).ok()?;
        Some(Self { key: LessSafeKey::new(UnboundKey::from(material)), next: 0 })
    }

    /// The next record's nonce: its number in eleven bytes, and whether it is the last. A file key seals one file, so
    /// numbers do not come twice; 2^64 records are more than any file has.
    fn nonce(&mut self, last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.next.to_be_bytes());
        nonce[11] = u8::from(last);
        self.next += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    /// Seals the parts one after another into `place`, which has their bytes and a tag's.
    fn seal(&mut self, parts: &[&[u8]], last: bool, place: &mut [u8]) -> io::Result<()> {
        let (plain, tag) = place.split_at_mut(place.len() - TAG);
        let mut start = 0;
        for part in parts {
            plain[start..][..part.len()].copy_from_slice(part);
            start += part.len();
        }
        let nonce = self.nonce(last);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), plain).map_err(io::Error::other)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    fn open(&mut self, sealed: &[u8], plain: &mut [u8], last: bool) -> Result<(), Closed> {
        let nonce = self.nonce(last);
        let (sealed, tag) = sealed.split_at_checked(plain.len()).ok_or(Closed)?;
        self.key.open_separate_gather(nonce, Aad::empty(), sealed, tag, plain).map_err(|_| Closed)
    }
}

fn copy(key: &FileKey) -> FileKey {
    FileKey::new(Box::new(*key.expose_secret()))
}

/// A recipient that sees the file key which it wraps.
struct Witness<'a> {
    inner: &'a dyn age::Recipient,
    seen: RefCell<Option<FileKey>>,
}

impl age::Recipient for Witness<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        self.seen.replace(Some(copy(file_key)));
        self.inner.wrap_file_key(file_key)
    }
}

/// An identity that sees the file key which it unwraps.
struct Holder<'a> {
    inner: &'a dyn age::Identity,
    seen: RefCell<Option<FileKey>>,
}

impl age::Identity for Holder<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        let unwrapped = self.inner.unwrap_stanza(stanza);
        if let Some(Ok(key)) = &unwrapped {
            self.seen.replace(Some(copy(key)));
        }
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::x25519::Identity;
    use std::io::Read as _;

    const LENGTHS: [usize; 8] = [0, 1, RECORD - 1, RECORD, RECORD + 1, 2 * RECORD, 2 * RECORD + 7, 5 * RECORD - 1];

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    fn seal(identity: &Identity, plain: &[u8], piece: usize) -> Vec<u8> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let output = Output::new(file.reopen().unwrap());
        let mut writer = Writer::begin(&identity.to_public(), output).unwrap();
        plain.chunks(piece).for_each(|piece| writer.write(piece).unwrap());
        let (_, length) = writer.finish().unwrap();
        let mut sealed = Vec::new();
        file.read_to_end(&mut sealed).unwrap();
        assert_eq!(sealed.len() as u64, length);
        sealed
    }

    #[test]
    fn what_is_written_here_the_age_crate_reads() {
        let identity = Identity::generate();
        for length in LENGTHS {
            for piece in [999, RECORD, 3 * RECORD] {
                let sealed = seal(&identity, &bytes(length), piece);
                assert!(sealed.len() as u64 <= most_sealed(length as u32), "{length}");
                let mut read = Vec::new();
                let decryptor = Decryptor::new_buffered(&sealed[..]).unwrap();
                decryptor.decrypt(std::iter::once(&identity as _)).unwrap().read_to_end(&mut read).unwrap();
                assert!(read == bytes(length), "{length} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_sealed_for_somebody_else_to_write_the_age_crate_reads_and_its_length_is_known_before() {
        let identity = Identity::generate();
        for length in LENGTHS {
            for piece in [999, RECORD, 3 * RECORD] {
                let (mut sealer, mut sealed) = Sealer::begin(&identity.to_public()).unwrap();
                let expected = sealed.len() as u64 + sealed_payload(length as u64);
                bytes(length).chunks(piece).for_each(|piece| sealer.seal(piece, &mut sealed).unwrap());
                sealer.finish(&mut sealed).unwrap();
                assert_eq!(sealed.len() as u64, expected, "{length} in pieces of {piece}");
                assert!(age::decrypt(&identity, &sealed).unwrap() == bytes(length), "{length} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_the_age_crate_writes_is_opened_here() {
        let identity = Identity::generate();
        for length in LENGTHS {
            let sealed = age::encrypt(&identity.to_public(), &bytes(length)).unwrap();
            let mut plain = vec![0; length];
            assert_eq!(open(&sealed, &identity, &mut plain), Ok(()), "{length}");
            assert!(plain == bytes(length), "{length}");
        }
    }

    #[test]
    fn a_file_with_one_bit_changed_a_byte_less_or_more_or_another_length_stays_closed() {
        let identity = Identity::generate();
        let plain = bytes(2 * RECORD + 5);
        let sealed = seal(&identity, &plain, RECORD);
        let opens = |sealed: &[u8], length| open(sealed, &identity, &mut vec![0; length]);
        assert_eq!(opens(&sealed, plain.len()), Ok(()));
        for at in (0..sealed.len()).step_by(97).chain(sealed.len() - 40..sealed.len()) {
            let mut changed = sealed.clone();
            changed[at] ^= 0x10;
            assert_eq!(opens(&changed, plain.len()), Err(Closed), "{at}");
        }
        let longer = [&sealed[..], &[0]].concat();
        for other in [&sealed[..sealed.len() - 1], &longer, &sealed[..sealed.len() - 5 - TAG], &sealed[..9], &[]] {
            assert_eq!(opens(other, plain.len()), Err(Closed));
        }
        for length in [0, 5, 2 * RECORD, plain.len() - 1, plain.len() + 1, plain.len() + RECORD] {
            assert_eq!(opens(&sealed, length), Err(Closed), "{length}");
        }
    }

    #[test]
    fn records_that_were_exchanged_or_a_file_cut_after_a_whole_record_stay_closed() {
        let identity = Identity::generate();
        let sealed = seal(&identity, &bytes(3 * RECORD), RECORD);
        let payload = sealed.len() - 3 * (RECORD + TAG);
        let cut = &sealed[..payload + 2 * (RECORD + TAG)];
        assert_eq!(open(cut, &identity, &mut vec![0; 2 * RECORD]), Err(Closed));
        let mut exchanged = sealed.clone();
        let (first, second) = exchanged[payload..].split_at_mut(RECORD + TAG);
        first.swap_with_slice(&mut second[..RECORD + TAG]);
        assert_eq!(open(&exchanged, &identity, &mut vec![0; 3 * RECORD]), Err(Closed));
    }

    #[test]
    fn another_identity_does_not_open_a_file() {
        let sealed = seal(&Identity::generate(), b"secret", 6);
        assert_eq!(open(&sealed, &Identity::generate(), &mut [0; 6]), Err(Closed));
    }
}
