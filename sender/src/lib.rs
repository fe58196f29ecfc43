//! The source's half of Sluse: enrolment, and resumable sending of a dataset to a landing zone.
//!
//! [`enrol`] makes an [`Identity`] of an invite; [`send`] sends a dataset with it; [`status`] asks what became of it.
//! All three block; they run a small runtime of their own for the network. [`watch`] does all that by itself, for outboxes.
//!
//! ```no_run
//! use sluse_sender::{End, Identity, Options, Wait, send};
//!
//! fn nightly() -> Result<(), Box<dyn std::error::Error>> {
//!     let identity = Identity::load("/etc/sluse/identity".as_ref())?;
//!     let options = Options::new(vec!["/srv/extract".into()], "hjerte-epic".parse()?, "nightly".parse()?);
//!     let outcome = send(&identity, &Options { wait: Wait::Delivered, ..options }, &mut |progress| eprintln!("{progress:?}"))?;
//!     assert_eq!(outcome.end, End::Reached, "{:?}", outcome.hint());
//!     Ok(())
//! }
//! ```
//!
//! `examples/` has a program for each. What can go wrong is sorted by whose fault it is: an [`Error`] is what kept the dataset from
//! the zone; an [`Outcome`] that is not [`End::Reached`] is what the zone made of it. Both have the exit code that the command line would
//! end with, and a hint. Every one of them can be rehearsed with `sluse sandbox` (docs/integrating/sandbox.md).
//!
//! The life of a dataset here, one stage a file:
//!
//! 1. `plan`: the paths are walked; links, devices and forbidden names are refused by name. Files that do not lie on disk
//!    ([`Given`]) are taken as they are listed.
//! 2. `stream` and `pipeline`: threads read the files once, as one stream of chunks, with SHA-256 and BLAKE3.
//!    Of a dataset that is kept in sync, `survey` has read them before, and `sync` says whether they travel at all, or as their
//!    difference from a version that the zone has (`versions`, `carried`).
//! 3. `handover`: offer, chunks (`chunks`, `ledger`), seal; the *received* receipt is verified (`receipts`).
//! 4. `follow`: the zone's state and its further receipts.
//!
//! `send` runs 3 and 4 again after every lost connection (`retry`), and `journal` is what outlives the process.
//!
//! Memory: twelve chunk buffers (48 MiB), what QUIC has under way (24 MiB), about 110 bytes and a name for each file, 33
//! bytes for each chunk. 200,000 files stay under 256 MiB for the whole process, whatever their size.

mod buffers;
mod carried;
mod chunks;
mod connection;
mod enrol;
mod error;
mod follow;
mod given;
mod handover;
mod identity;
mod journal;
mod ledger;
mod os;
mod outcome;
mod pipeline;
mod plan;
mod progress;
mod receipts;
mod renewal;
mod retry;
mod send;
mod status;
mod stream;
mod survey;
mod sync;
mod trust;
mod versions;
pub mod watch;

pub use enrol::{Enrolled, MAX_INVITE_BYTES, enrol};
pub use error::{BadEvidence, Error, Lost};
pub use follow::Wait;
pub use given::{Files, Given, GivenFile, Supply};
pub use identity::{Identity, OwnCertificate};
pub use outcome::{End, Outcome};
pub use plan::{Problem, Unsendable};
pub use progress::Progress;
pub use renewal::{Validity, renew};
pub use send::{Again, Options, send};
pub use status::{Known, journal, status};

use std::time::Duration;

/// How long a call that failed goes on, for its connections to say goodbye.
const GOODBYE: Duration = Duration::from_millis(50);

/// The runtime of one call: the network's own thread is the caller's.
struct Runtime(tokio::runtime::Runtime);

fn runtime() -> Result<Runtime, Error> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map(Runtime).map_err(|error| Error::Fault { what: "starting the network's runtime".into(), error })
}

impl Runtime {
    /// Does a call's work. A connection that a failure dropped is closed by the runtime, after that: without a moment more the zone
    /// would hear nothing of it, and count it among the source's until it notices the silence.
    fn block_on<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.0.block_on(async {
            let done = work.await;
            if done.is_err() {
                tokio::time::sleep(GOODBYE).await;
            }
            done
        })
    }
}
