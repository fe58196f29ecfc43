//! Readers in the jail, as one engine.

use super::child::{Child, Jail, Lost};
use super::limits::MAX_LOST;
use super::members::Members;
use super::messages::KEY_BYTES;
use super::reading::{Failed, Reading};
use crate::inspect::engine::{Engine, FileFacts, Sample, Scan, Seen, Verdict};
use crate::inspect::engines::signatures::SignaturesEngine;
use sluse_content::bulk::Exports;
use sluse_protocol::agreement::Content;
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;
use sluse_protocol::path::DataPath;
use std::sync::{Arc, Mutex, PoisonError};

/// The engine. Its state is one transfer's: a parser serves no other.
pub struct Jailed {
    tools: Tools,
    transfer: Arc<Transfer>,
}

/// What it works with.
#[derive(Clone)]
pub struct Tools {
    /// Where parsers come from.
    pub jail: Arc<Jail>,
    /// The zone's key for hashes of identifiers.
    pub key: [u8; KEY_BYTES],
    /// Who searches what parsers take out of archives.
    pub signatures: Option<SignaturesEngine>,
}

/// The parsers of one transfer: as many as it has files read side by side.
struct Transfer {
    bytes: u64,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    idle: Vec<Child>,
    lost: usize,
    exports: Exports,
}

impl Jailed {
    /// Readers in a jail.
    pub fn new(tools: Tools) -> Self {
        Self::of(tools, 0)
    }

    fn of(tools: Tools, bytes: u64) -> Self {
        Self { tools, transfer: Arc::new(Transfer { bytes, place: Mutex::default() }) }
    }
}

impl Engine for Jailed {
    fn name(&self) -> &'static str {
        // What it was called when it knew types only: agreements name it so.
        "file-type"
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn sample(&self) -> Sample {
        // The beginning of a Linux program for x86-64.
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.extend([0; 9]);
        bytes.extend([2, 0, 0x3e, 0, 1, 0, 0, 0]);
        Sample { bytes, class: Class::Executable }
    }

    fn for_transfer(&self, bytes: u64) -> Option<Arc<dyn Engine>> {
        Some(Arc::new(Self::of(self.tools.clone(), bytes)))
    }

    fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
        let (tools, transfer) = (self.tools.clone(), Arc::clone(&self.transfer));
        let members = Members::new(tools.signatures.clone());
        let (path, size) = (file.path.clone(), file.size);
        let mut scan = JailedScan { tools, transfer, path, size, reading: Err(String::new()) };
        scan.reading = scan.parser(&file.content).and_then(|child| scan.kept(Reading::begin(child, file, members)));
        Box::new(scan)
    }

    fn together(&self) -> Vec<(DataPath, Seen)> {
        let told = self.transfer.place().exports.judge().into_iter();
        // Its paths are those that were given.
        let seen =
            told.filter_map(|(path, notice)| Some((path.parse().ok()?, Seen::new(notice.class, notice.message))));
        seen.collect()
    }
}

/// A file in the jail, or the reason why it is not inspected.
struct JailedScan {
    tools: Tools,
    transfer: Arc<Transfer>,
    path: DataPath,
    size: u64,
    reading: Result<Reading, String>,
}

impl Scan for JailedScan {
    fn feed(&mut self, bytes: &[u8]) {
        let reading = std::mem::replace(&mut self.reading, Err(String::new()));
        self.reading = reading.and_then(|reading| self.kept(reading.feed(bytes)));
    }

    fn finish(mut self: Box<Self>, _: &Sha256) -> Verdict {
        let reading = std::mem::replace(&mut self.reading, Err(String::new()));
        let read = match reading.and_then(|reading| self.kept(reading.finish())) {
            Ok(read) => read,
            Err(reason) => return Verdict::NotInspected(reason),
        };
        if read.bytes != self.size {
            return Verdict::NotInspected(self.lost(read.child, Lost::Miscounted));
        }
        let mut place = self.transfer.place();
        if !read.child.is_spent() {
            place.idle.push(read.child);
        }
        if let Some(bulk) = read.bulk {
            place.exports.take(self.path.as_str(), bulk);
        }
        drop(place);
        Verdict::Read { bytes: read.bytes, seen: read.seen }
    }
}

impl JailedScan {
    /// A parser of the transfer's, or another where none is idle.
    fn parser(&self, content: &Content) -> Result<Child, String> {
        let mut place = self.transfer.place();
        if let Some(child) = place.idle.pop() {
            return Ok(child);
        }
        if place.lost >= MAX_LOST {
            return Err("too many parsers were lost over earlier files of this transfer".into());
        }
        drop(place);
        self.tools.jail.parser(content, &self.tools.key, self.transfer.bytes).map_err(|error| {
            tracing::error!(%error, "no parser can be started");
            "no parser could be started".into()
        })
    }

    fn kept<T>(&self, result: Result<T, Failed>) -> Result<T, String> {
        result.map_err(|failed| self.lost(failed.0, failed.1))
    }

    fn lost(&self, child: Child, lost: Lost) -> String {
        self.transfer.place().lost += 1;
        self.tools.jail.bury(child, lost)
    }
}

impl Transfer {
    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
