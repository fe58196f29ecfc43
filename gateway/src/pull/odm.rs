//! What an ODM document says apart from when and as which file it was made: two exports of the same data have the same digest. Pure.
//!
//! Only the root's start tag is looked at, and of it the attributes that name the document itself (CDISC ODM 1.3 section 3.1.1).

use sha2::Digest as _;
use sluse_protocol::digest::Sha256;

/// Bytes within which the root's start tag must have ended.
const MAX_HEAD: usize = 64 * 1024;

/// The root's attributes that differ in each document.
const OF_THE_DOCUMENT: [&[u8]; 4] = [b"CreationDateTime", b"AsOfDateTime", b"FileOID", b"PriorFileOID"];

/// Why a document is none of ODM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no whole document of ODM")]
pub struct NoOdm;

/// Reads a document as it comes.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What came before the root's start tag has ended.
    head: Vec<u8>,
    /// The name of the root, once that has ended.
    root: Option<Vec<u8>>,
    /// The last bytes that were no white space.
    last: Vec<u8>,
    digest: sha2::Sha256,
}

impl Snapshot {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When this is no ODM.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), NoOdm> {
        self.remember_end(bytes);
        if self.root.is_some() {
            self.digest.update(bytes);
            return Ok(());
        }
        self.head.extend(bytes);
        match start_tag(&self.head)? {
            Some((from, until)) => {
                let name = self.digest_tag(from, until)?;
                self.digest.update(&self.head[until..]);
                self.root = Some(name);
                self.head = Vec::new();
                Ok(())
            }
            None if self.head.len() > MAX_HEAD => Err(NoOdm),
            None => Ok(()),
        }
    }

    /// The document's digest.
    ///
    /// # Errors
    /// When it is cut off.
    pub fn finish(self) -> Result<Sha256, NoOdm> {
        let root = self.root.ok_or(NoOdm)?;
        let end = [b"</", &root[..]].concat();
        let last = self.last.trim_ascii_end().strip_suffix(b">").ok_or(NoOdm)?;
        let ended = last.trim_ascii_end().ends_with(&end);
        if ended { Ok(Sha256(self.digest.finalize().into())) } else { Err(NoOdm) }
    }

    /// Digests a start tag without what is the document's own; the element's name.
    fn digest_tag(&mut self, from: usize, until: usize) -> Result<Vec<u8>, NoOdm> {
        let tag = &self.head[from + 1..until - 1];
        let space = |byte: &u8| byte.is_ascii_whitespace();
        let name_ends = tag.iter().position(space).unwrap_or(tag.len());
        let (name, mut rest) = tag.split_at(name_ends);
        let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
        if local != b"ODM" {
            return Err(NoOdm);
        }
        let mut kept: Vec<(&[u8], &[u8])> = Vec::new();
        loop {
            rest = rest.trim_ascii_start();
            if rest.is_empty() {
                break;
            }
            let equals = rest.iter().position(|byte| *byte == b'=').ok_or(NoOdm)?;
            let attribute = rest[..equals].trim_ascii();
            let value = rest[equals + 1..].trim_ascii_start();
            let quote = value.first().filter(|byte| matches!(byte, b'"' | b'\'')).ok_or(NoOdm)?;
            let ends = value[1..].iter().position(|byte| byte == quote).ok_or(NoOdm)? + 1;
            if !OF_THE_DOCUMENT.contains(&attribute) {
                kept.push((attribute, &value[1..ends]));
            }
            rest = &value[ends + 1..];
        }
        // Their order says nothing.
        kept.sort_unstable();
        for part in kept.iter().flat_map(|(name, value)| [name, value]) {
            self.digest.update((part.len() as u64).to_be_bytes());
            self.digest.update(part);
        }
        Ok(name.to_vec())
    }

    fn remember_end(&mut self, bytes: &[u8]) {
        const ENOUGH: usize = 512;
        self.last.extend(&bytes[bytes.len().saturating_sub(ENOUGH)..]);
        let surplus = self.last.len().saturating_sub(ENOUGH);
        self.last.drain(..surplus);
    }
}

/// Where the root's start tag begins and ends; none where it has not come yet.
fn start_tag(head: &[u8]) -> Result<Option<(usize, usize)>, NoOdm> {
    let mut at = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    loop {
        at += head[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = &head[at..];
        let skipped = match rest {
            [] | [b'<'] => return Ok(None),
            [b'<', b'?', ..] => after(rest, b"?>"),
            [b'<', b'!', b'-', b'-', ..] => after(rest, b"-->"),
            [b'<', b'!'] | [b'<', b'!', b'-'] => None,
            // No export needs a document type, and it is how XML is made to grow.
            [b'<', b'!', ..] => return Err(NoOdm),
            [b'<', ..] => return Ok(tag_ends(rest).map(|ends| (at, at + ends))),
            _ => return Err(NoOdm),
        };
        match skipped {
            Some(skipped) => at += skipped,
            None => return Ok(None),
        }
    }
}

fn after(text: &[u8], end: &[u8]) -> Option<usize> {
    text.windows(end.len()).position(|it| it == end).map(|at| at + end.len())
}

/// Behind the `>` of a tag: one within quotes does not count.
fn tag_ends(tag: &[u8]) -> Option<usize> {
    let mut quoted = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quoted, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quoted = Some(byte),
            (Some(quote), byte) if quote == byte => quoted = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROLOG: &str = "<?xml version=\"1.0\"?>\n<!-- made > by -->\n";
    const DATA: &str = "<ClinicalData StudyOID=\"s7\"><SubjectData SubjectKey=\"NO001-001\"/></ClinicalData>";

    fn document(attributes: &str, data: &str) -> String {
        format!(
            "{PROLOG}<ODM xmlns=\"http://www.cdisc.org/ns/odm/v1.3\" {attributes} ODMVersion=\"1.3\">{data}</ODM>\n"
        )
    }

    fn digest(text: &[u8], piece: usize) -> Result<Sha256, NoOdm> {
        let mut snapshot = Snapshot::default();
        for piece in text.chunks(piece) {
            snapshot.take(piece)?;
        }
        snapshot.finish()
    }

    #[test]
    fn the_same_data_has_the_same_digest_whenever_it_was_exported() {
        let one = document("FileOID=\"f1\" CreationDateTime=\"2026-11-22T01:00:00\"", DATA);
        let two = document("CreationDateTime = '2026-11-23T01:00:00>'\n FileOID=\"f2\" AsOfDateTime=\"x\"", DATA);
        let wanted = digest(one.as_bytes(), 1000).unwrap();
        for piece in [1, 7, 1000] {
            assert_eq!(digest(two.as_bytes(), piece), Ok(wanted), "{piece}");
        }
        let other = document("FileOID=\"f1\"", &DATA.replace("NO001-001", "NO001-002"));
        let kind = document("FileOID=\"f1\" FileType=\"Transactional\"", DATA);
        for changed in [other, kind] {
            assert_ne!(digest(changed.as_bytes(), 1000), Ok(wanted));
        }
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_no_odm() {
        let good = document("FileOID=\"f1\"", DATA);
        let doctype = good.replace("<ODM ", "<!DOCTYPE ODM [<!ENTITY a \"b\">]><ODM ");
        let cases =
            ["", "<html></html>", "{\"error\":1}", &good[..good.len() - 10], &good[..60], &doctype, "<ODM a></ODM>"];
        for wrong in cases {
            assert_eq!(digest(wrong.as_bytes(), 1000), Err(NoOdm), "{wrong}");
        }
        let endless = format!("<ODM a=\"{}", "x".repeat(100_000));
        assert_eq!(digest(endless.as_bytes(), 1000), Err(NoOdm));
    }

    proptest! {
        #[test]
        fn no_document_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize) {
            let _ = digest(&bytes, piece);
            let _ = digest(&[b"<ODM ", &bytes[..], b"></ODM>"].concat(), piece);
        }
    }
}
