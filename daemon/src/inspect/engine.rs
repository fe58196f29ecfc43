//! What an inspector is: an [`Engine`] starts a [`Scan`] for each file, and says nothing by default that lets a file through.
//!
//! Everything fails closed. A scan that gives no verdict, panics, or states that it read another number of bytes than the
//! file has, did not inspect it; only one that states the file's exact size is credited with the file.

use sluse_protocol::agreement::Content;
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use sluse_protocol::path::DataPath;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Characters of a message that are kept.
const MESSAGE_CHARS: usize = 400;

/// Findings of one engine in one file that are kept, besides the first of each class.
const MAX_SEEN: usize = 16;

/// One inspector.
pub trait Engine: Send + Sync {
    /// Its name, as agreements call it.
    fn name(&self) -> &'static str;

    /// Its version.
    fn version(&self) -> String;

    /// The version or date of its signatures.
    fn signatures(&self) -> String {
        String::new()
    }

    /// When its signatures were made, if they grow old.
    fn dated(&self) -> Dated {
        Dated::Not
    }

    /// What it must find in which bytes, or it is not to be trusted.
    fn sample(&self) -> Sample;

    /// Whether a file may do without it where the agreement does not ask for it: an engine of somebody else's, which may be
    /// busy or take no files of that size. What is built in has no such excuse.
    fn optional(&self) -> bool {
        false
    }

    /// The engine that reads one transfer of so many bytes, where it is not this one.
    fn for_transfer(&self, _bytes: u64) -> Option<Arc<dyn Engine>> {
        None
    }

    /// Starts to read a file.
    fn begin(&self, file: &FileFacts) -> Box<dyn Scan>;

    /// What it saw of the transfer's files together, once it has read them all: of which file, and what.
    fn together(&self) -> Vec<(DataPath, Seen)> {
        Vec::new()
    }
}

/// When an engine's signatures were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dated {
    /// They do not grow old by themselves, or cannot say.
    Not,
    /// It should say, and does not.
    Unknown,
    /// Then.
    At(Timestamp),
}

/// One engine's reading of one file.
pub trait Scan: Send {
    /// Takes the file's next bytes.
    fn feed(&mut self, bytes: &[u8]);

    /// Says what it saw, once the file has ended and its digest agreed.
    fn finish(self: Box<Self>, _digest: &Sha256) -> Verdict {
        Verdict::default()
    }
}

/// What is known of a file before its first byte.
#[derive(Debug, Clone)]
pub struct FileFacts {
    /// Where it lies in the dataset.
    pub path: DataPath,
    /// Its bytes.
    pub size: u64,
    /// What the agreement allows.
    pub content: Arc<Content>,
}

/// What one engine says of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did not read all of it, for this reason.
    NotInspected(String),
    /// It takes no file of more than so many bytes, and this is one.
    AboveLimit(u64),
    /// It read so many bytes and saw this.
    Read {
        /// Bytes.
        bytes: u64,
        /// What it saw, if anything.
        seen: Vec<Seen>,
    },
}

impl Default for Verdict {
    fn default() -> Self {
        Self::NotInspected("it gave no verdict".into())
    }
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub class: Class,
    /// Where in the file.
    pub offset: Option<u64>,
    /// A sentence with the name of the signature or type; no content.
    pub message: String,
    /// The engine that saw it, where it is another than the one that says so.
    pub by: Option<&'static str>,
}

impl Seen {
    /// Something without a place of its own.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, offset: None, message: message.into(), by: None }
    }
}

/// Bytes in which an engine must find something of a class.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What must be found.
    pub class: Class,
}

/// One engine's scan of one file, guarded against the engine's own faults.
pub struct Guarded {
    scan: Result<Box<dyn Scan>, String>,
    size: u64,
}

impl Guarded {
    /// Starts `engine` on a file.
    pub fn begin(engine: &dyn Engine, file: &FileFacts) -> Self {
        let scan = catch_unwind(AssertUnwindSafe(|| engine.begin(file))).map_err(|_| crashed());
        Self { scan, size: file.size }
    }

    /// Hands it the file's next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Ok(scan) = &mut self.scan
            && catch_unwind(AssertUnwindSafe(|| scan.feed(bytes))).is_err()
        {
            self.scan = Err(crashed());
        }
    }

    /// Its verdict, which is *not inspected* unless it read just the file's size.
    pub fn finish(self, digest: &Sha256) -> Verdict {
        let scan = match self.scan {
            Ok(scan) => scan,
            Err(reason) => return Verdict::NotInspected(reason),
        };
        match catch_unwind(AssertUnwindSafe(|| scan.finish(digest))) {
            Err(_) => Verdict::NotInspected(crashed()),
            Ok(Verdict::Read { bytes, .. }) if bytes != self.size => {
                Verdict::NotInspected("it did not read the whole file".into())
            }
            Ok(Verdict::Read { bytes, mut seen }) => {
                bound(&mut seen);
                seen.iter_mut().for_each(|one| one.message = printable(&one.message));
                Verdict::Read { bytes, seen }
            }
            Ok(Verdict::AboveLimit(most)) if self.size > most => Verdict::AboveLimit(most),
            Ok(Verdict::AboveLimit(_)) => Verdict::NotInspected("it did not take a file that is not too large".into()),
            Ok(Verdict::NotInspected(reason)) => Verdict::NotInspected(printable(&reason)),
        }
    }
}

/// Keeps the first things that were seen, and beyond those the first of each class: what is grave must not drown.
fn bound(seen: &mut Vec<Seen>) {
    let (mut classes, mut kept) = (BTreeSet::new(), 0);
    seen.retain(|one| {
        let keeps = classes.insert(one.class) || kept < MAX_SEEN;
        kept += usize::from(keeps);
        keeps
    });
}

fn crashed() -> String {
    "it crashed".into()
}

/// Text of bounded length without control characters: a message may carry what another program said.
pub fn printable(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that misbehaves as its path tells it.
    struct Bad;

    struct BadScan(String, u64);

    impl Engine for Bad {
        fn name(&self) -> &'static str {
            "bad"
        }

        fn version(&self) -> String {
            String::new()
        }

        fn sample(&self) -> Sample {
            Sample { bytes: Vec::new(), class: Class::Malware }
        }

        fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
            assert_ne!(file.path.as_str(), "begin");
            Box::new(BadScan(file.path.to_string(), 0))
        }
    }

    impl Scan for BadScan {
        fn feed(&mut self, bytes: &[u8]) {
            assert_ne!(self.0, "feed");
            self.1 += bytes.len() as u64;
        }

        fn finish(self: Box<Self>, _: &Sha256) -> Verdict {
            assert_ne!(self.0, "finish");
            match self.0.as_str() {
                "silent" => Verdict::default(),
                "short" => Verdict::Read { bytes: self.1 - 1, seen: Vec::new() },
                "large" => Verdict::AboveLimit(3),
                "small" => Verdict::AboveLimit(4),
                "long" => Verdict::Read { bytes: self.1 + 1, seen: Vec::new() },
                _ => {
                    Verdict::Read { bytes: self.1, seen: vec![Seen::new(Class::Malware, "a\n\u{1b}[31m".repeat(999))] }
                }
            }
        }
    }

    fn verdict(path: &str) -> Verdict {
        let file = FileFacts { path: path.parse().unwrap(), size: 4, content: Arc::default() };
        let mut scan = Guarded::begin(&Bad, &file);
        scan.feed(b"ab");
        scan.feed(b"cd");
        scan.finish(&Sha256::of(b"abcd"))
    }

    #[test]
    fn an_engine_that_panics_keeps_silent_or_miscounts_has_not_inspected_the_file() {
        for path in ["begin", "feed", "finish", "silent", "short", "long", "small"] {
            assert!(matches!(verdict(path), Verdict::NotInspected(_)), "{path}");
        }
    }

    #[test]
    fn a_limit_is_only_for_what_is_larger() {
        assert_eq!(verdict("large"), Verdict::AboveLimit(3));
    }

    #[test]
    fn what_is_grave_does_not_drown_in_what_is_not() {
        let mut seen = vec![Seen::new(Class::TypeMismatch, "a name"); 1000];
        seen.push(Seen::new(Class::Malware, "a signature"));
        bound(&mut seen);
        assert_eq!((seen.len(), seen[MAX_SEEN].class), (MAX_SEEN + 1, Class::Malware));
    }

    #[test]
    fn what_an_engine_says_is_bounded_and_printable() {
        let Verdict::Read { bytes: 4, seen } = verdict("good") else { panic!() };
        assert_eq!(seen[0].message.chars().count(), MESSAGE_CHARS);
        assert!(!seen[0].message.chars().any(char::is_control));
    }
}
