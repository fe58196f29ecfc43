//! Outboxes: what is put there whole is sent by itself, with its receipts beside it.
//!
//! [`Settings`] say which outboxes there are; [`Watcher`] runs them. What happens is decided by `machine`, which is pure: what
//! an outbox holds (`scan`), how handing over ended (`judge`), what a zone says, and the time come in; actions go out, which
//! `service` does. `journal` is what outlives the process: a `record` for each content that was whole.
//!
//! Nothing is sent twice: the same files are the same record here, and the same transfer at the zone. Nothing is lost: an
//! entry is moved or deleted only when its transfer was delivered, or was refused with a reason that lies beside it; and
//! only while it is still what was sent.

mod content;
mod happening;
mod journal;
mod judge;
mod machine;
mod outbox;
mod pause;
mod place;
mod record;
mod scan;
mod service;
mod settings;

pub use content::{Content, Contents};
pub use happening::{Happening, What};
pub use judge::Failure;
pub use record::{Record, RecordId, Stage, Why};
pub use service::{Stopper, Watcher};
pub use settings::{Delivered, Outbox, Settings, Whole};
