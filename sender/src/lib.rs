//! The source's half of Sluse: enrolment, and resumable sending of a dataset to a landing zone.
//!
//! [`enrol`] makes an [`Identity`] of an invite; [`send`] sends a dataset with it; [`status`] asks what became of it.
//! All three block; they run a small runtime of their own for the network. [`watch`] does all that by itself, for outboxes.
//!
//! The life of a dataset here, one stage a file:
//!
//! 1. `plan`: the paths are walked; links, devices and forbidden names are refused by name.
//! 2. `stream` and `pipeline`: threads read the files once, as one stream of chunks, with SHA-256 and BLAKE3.
//! 3. `handover`: offer, chunks (`chunks`, `ledger`), seal; the *received* receipt is verified (`receipts`).
//! 4. `follow`: the zone's state and its further receipts.
//!
//! `send` runs 3 and 4 again after every lost connection (`retry`), and `journal` is what outlives the process.
//!
//! Memory: twelve chunk buffers (48 MiB), what QUIC has under way (24 MiB), about 110 bytes and a name for each file, 33
//! bytes for each chunk. 200,000 files stay under 256 MiB for the whole process, whatever their size.

mod buffers;
mod chunks;
mod connection;
mod enrol;
mod error;
mod follow;
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
mod trust;
pub mod watch;

pub use enrol::{Enrolled, MAX_INVITE_BYTES, enrol};
pub use error::{BadEvidence, Error, Lost};
pub use follow::Wait;
pub use identity::{Identity, OwnCertificate};
pub use outcome::{End, Outcome};
pub use plan::{Problem, Unsendable};
pub use progress::Progress;
pub use renewal::{Validity, renew};
pub use send::{Again, Options, send};
pub use status::{Known, journal, status};

/// The runtime of one call: the network's own thread is the caller's.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Error::Fault { what: "starting the network's runtime".into(), error })
}
