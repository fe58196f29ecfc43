//! Built-in signatures and those of the zone's signature folder: digests of whole files, and patterns of bytes.
//!
//! `docs/signatures.md` describes the files of the folder.

use crate::inspect::engine::{Engine, FileFacts, Sample, Scan, Seen, Verdict};
use crate::inspect::engines::search::{Matcher, Pattern, Search};
use sha2::Digest as _;
use sluse_host::config::ConfigError;
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub mod eicar;
mod folder;

/// All signatures, ready to be searched for.
pub struct Signatures {
    files: HashMap<Sha256, String>,
    matcher: Matcher,
    summary: String,
}

/// The engine.
#[derive(Clone)]
pub struct SignaturesEngine(Arc<Signatures>);

impl SignaturesEngine {
    /// The built-in signatures and those in `folder`.
    ///
    /// # Errors
    /// What is wrong in which file of the folder.
    pub fn load(folder: &Path) -> Result<Self, ConfigError> {
        let read = folder::read(folder)?;
        let of = read.newest.map(|newest| format!(", of {newest}")).unwrap_or_default();
        let summary =
            format!("built in, {} digests and {} patterns of the zone{of}", read.files.len(), read.patterns.len());
        let mut patterns = vec![Pattern::literal(eicar::NAME, &eicar::bytes())];
        patterns.extend(read.patterns);
        let error = |message| ConfigError { file: folder.to_owned(), line: 0, message, hint: HINT.into() };
        let matcher = Matcher::new(patterns).map_err(error)?;
        Ok(Self(Arc::new(Signatures { files: read.files, matcher, summary })))
    }
}

impl SignaturesEngine {
    /// Starts on a member of an archive.
    pub fn begin_member(&self) -> MemberScan {
        let scan = SignaturesScan { signatures: Arc::clone(&self.0), search: Search::default() };
        MemberScan { scan, digest: (!self.0.files.is_empty()).then(sha2::Sha256::new) }
    }

    /// What it says of a signature that was found in the member at `place`.
    pub fn seen_in(place: &str, signature: &str) -> Seen {
        let message = format!("within {place}: signature {signature}");
        Seen { by: Some(NAME), ..Seen::new(Class::Malware, message) }
    }
}

/// What agreements call it.
const NAME: &str = "signatures";

/// Where the files' forms are described.
const HINT: &str = "docs/signatures.md describes these files";

impl Engine for SignaturesEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn signatures(&self) -> String {
        self.0.summary.clone()
    }

    fn sample(&self) -> Sample {
        Sample { bytes: eicar::bytes(), class: Class::Malware }
    }

    fn begin(&self, _: &FileFacts) -> Box<dyn Scan> {
        Box::new(SignaturesScan { signatures: Arc::clone(&self.0), search: Search::default() })
    }
}

struct SignaturesScan {
    signatures: Arc<Signatures>,
    search: Search,
}

impl Scan for SignaturesScan {
    fn feed(&mut self, bytes: &[u8]) {
        self.search.feed(&self.signatures.matcher, bytes);
    }

    fn finish(self: Box<Self>, digest: &Sha256) -> Verdict {
        let named = |name: &str| format!("signature {name}");
        let mut seen = Vec::new();
        if let Some(name) = self.signatures.files.get(digest) {
            seen.push(Seen::new(Class::Malware, named(name)));
        }
        for (pattern, offset) in self.search.found() {
            let message = named(self.signatures.matcher.name(*pattern));
            seen.push(Seen { offset: Some(*offset), ..Seen::new(Class::Malware, message) });
        }
        Verdict::Read { bytes: self.search.consumed(), seen }
    }
}

/// The search in one member of an archive.
pub struct MemberScan {
    scan: SignaturesScan,
    /// Digests of members count as those of files do; they are made only where any are listed.
    digest: Option<sha2::Sha256>,
}

impl MemberScan {
    /// Takes the member's next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.scan.feed(bytes);
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
    }

    /// The names of the signatures that were found.
    pub fn finish(self) -> Vec<String> {
        let Self { scan: SignaturesScan { signatures, search }, digest } = self;
        let listed = digest.and_then(|digest| signatures.files.get(&Sha256(digest.finalize().into())).cloned());
        let found = search.found().iter().map(|(pattern, _)| signatures.matcher.name(*pattern).to_owned());
        listed.into_iter().chain(found).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::engine::Guarded;
    use crate::inspect::self_test;

    fn seen(engine: &SignaturesEngine, bytes: &[u8], step: usize) -> Vec<Seen> {
        let file = FileFacts { path: "f".parse().unwrap(), size: bytes.len() as u64, content: Arc::default() };
        let mut scan = Guarded::begin(engine, &file);
        bytes.chunks(step).for_each(|piece| scan.feed(piece));
        match scan.finish(&Sha256::of(bytes)) {
            Verdict::Read { seen, .. } => seen,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_test_file_is_found_anywhere_however_the_bytes_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let engine = SignaturesEngine::load(folder.path()).unwrap();
        assert_eq!(self_test::run(&engine), Ok(()));
        let mut bytes = vec![b'x'; 1000];
        bytes.extend(eicar::bytes());
        bytes.extend(vec![b'y'; 1000]);
        for step in [1, 3, 67, 68, 1001, 1067, 4000] {
            let found = seen(&engine, &bytes, step);
            assert_eq!((found.len(), found[0].offset, found[0].class), (1, Some(1000), Class::Malware), "{step}");
        }
        bytes[1030] ^= 1;
        assert_eq!(seen(&engine, &bytes, 64), []);
        assert_eq!(seen(&engine, b"", 1), []);
    }

    #[test]
    fn listed_digests_and_patterns_of_the_folder_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let list = format!("# known\n{}  Bad.File-1\n", Sha256::of(b"whole file"));
        std::fs::write(folder.path().join("known.sha256"), list).unwrap();
        std::fs::write(folder.path().join("own.patterns"), "Bad.Pattern = 61 ?? 63 64 65 66\n").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not read").unwrap();
        let engine = SignaturesEngine::load(folder.path()).unwrap();
        let written =
            engine.signatures().strip_prefix("built in, 1 digests and 1 patterns of the zone, of ").map(str::len);
        assert_eq!(written, Some("2026-11-22T10:00:00Z".len()), "{}", engine.signatures());
        assert_eq!(seen(&engine, b"whole file", 3)[0].message, "signature Bad.File-1");
        let found = seen(&engine, b"--aZcdef", 2);
        assert_eq!((found[0].message.as_str(), found[0].offset), ("signature Bad.Pattern", Some(2)));
    }
}
