//! Readers in the jail, as one engine.

use super::child::{Child, Jail, Lost};
use super::limits::MAX_LOST;
use super::reading::{Failed, Reading};
use crate::inspect::engine::{Engine, FileFacts, Sample, Scan, Verdict};
use crate::inspect::engines::file_type::FileTypeEngine;
use sluse_protocol::agreement::Content;
use sluse_protocol::digest::Sha256;
use std::sync::{Arc, Mutex, PoisonError};

/// The engine. Its state is one transfer's: a parser serves no other.
pub struct Jailed {
    jail: Arc<Jail>,
    transfer: Arc<Transfer>,
}

/// The parser of one transfer.
struct Transfer {
    bytes: u64,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    idle: Option<Child>,
    lost: usize,
}

impl Jailed {
    /// Readers in `jail`.
    pub fn new(jail: Arc<Jail>) -> Self {
        Self::of(jail, 0)
    }

    fn of(jail: Arc<Jail>, bytes: u64) -> Self {
        Self { jail, transfer: Arc::new(Transfer { bytes, place: Mutex::default() }) }
    }
}

impl Engine for Jailed {
    fn name(&self) -> &'static str {
        FileTypeEngine.name()
    }

    fn version(&self) -> String {
        FileTypeEngine.version()
    }

    fn sample(&self) -> Sample {
        FileTypeEngine.sample()
    }

    fn for_transfer(&self, bytes: u64) -> Option<Arc<dyn Engine>> {
        Some(Arc::new(Self::of(Arc::clone(&self.jail), bytes)))
    }

    fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
        let (jail, transfer) = (Arc::clone(&self.jail), Arc::clone(&self.transfer));
        let mut scan = JailedScan { jail, transfer, size: file.size, reading: Err(String::new()) };
        scan.reading = scan.parser(&file.content).and_then(|child| scan.kept(Reading::begin(child, file)));
        Box::new(scan)
    }
}

/// A file in the jail, or the reason why it is not inspected.
struct JailedScan {
    jail: Arc<Jail>,
    transfer: Arc<Transfer>,
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
        self.transfer.place().idle = Some(read.child);
        Verdict::Read { bytes: read.bytes, seen: read.seen }
    }
}

impl JailedScan {
    /// The transfer's parser, or another where there is none.
    fn parser(&self, content: &Content) -> Result<Child, String> {
        let mut place = self.transfer.place();
        if let Some(child) = place.idle.take() {
            return Ok(child);
        }
        if place.lost >= MAX_LOST {
            return Err("too many parsers were lost over earlier files of this transfer".into());
        }
        drop(place);
        self.jail.parser(content, self.transfer.bytes).map_err(|error| {
            tracing::error!(%error, "no parser can be started");
            "no parser could be started".into()
        })
    }

    fn kept<T>(&self, result: Result<T, Failed>) -> Result<T, String> {
        result.map_err(|failed| self.lost(failed.0, failed.1))
    }

    fn lost(&self, child: Child, lost: Lost) -> String {
        self.transfer.place().lost += 1;
        self.jail.bury(child, lost)
    }
}

impl Transfer {
    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
