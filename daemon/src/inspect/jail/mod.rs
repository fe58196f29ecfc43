//! The jail: parsers of hostile content read in processes of their own, which have nothing but the bytes that they are given.
//!
//! ```text
//!  inspect ──request, two sockets──► nursery ──starts──► parser
//!     │  └───────────── life ───────────┘                  │
//!     └──────────────────────── data ──────────────────────┘
//! ```
//!
//! `inspect` can start no process once it is confined, so it starts the [`nursery`] before. The nursery sees no content: for
//! each request it starts a [`parser`] and hands it the data socket. The life socket is the parser's lifeline: the nursery
//! kills the parser when `inspect` shuts it, and says on it how the parser ended.
//!
//! On the data socket [`messages`] go to and fro. [`child`] is `inspect`'s end of both sockets, [`heard`] what a parser may say, [`reading`]
//! one file on its way through, [`members`] what was taken out of it, [`engine`] makes an inspector of it. Every bound is in [`limits`]. A parser reads the files of one transfer
//! only; one that is lost takes the clean verdict of the file that it was reading along, and the next file gets a fresh one.

mod child;
mod engine;
mod heard;
mod limits;
mod members;
mod messages;
pub mod nursery;
pub mod parser;
mod reading;
#[cfg(test)]
pub mod testing;

pub use child::{Jail, Settings};
pub use engine::{Jailed, Tools};
pub use limits::{Limits, MAX_PARSERS};
pub use messages::{FromParser, KEY_BYTES, ToParser};
pub use nursery::Outside;
