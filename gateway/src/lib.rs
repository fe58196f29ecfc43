//! The gateway: takes data from systems that cannot speak Sluse's protocol, on their own network, and sends it to a landing
//! zone as transfers with receipts.
//!
//! Two processes. [`intake`] faces the source systems. It has only the public half of the spool's key: what it stored it cannot
//! read back. [`forward`] faces the landing zone. It gathers what arrived into datasets ([`gather`]), and sends them as
//! `sluse watch` sends what lies in outboxes. [`spool`] is what lies between them, and all that a crash leaves.
//!
//! ```text
//!  PACS ──C-STORE──▶ intake ──▶ spool: arrived/ ──▶ forward: gather ──▶ outbox/ ──▶ watch ──QUIC──▶ landing zone
//!  LIMS ──SFTP─────▶  age, public key                age, private key
//! ```
//!
//! An adapter begins a [`spool::Parcel`], writes bytes into it as they come, and stores it with a [`spool::Label`] that says
//! which file of which dataset they belong to. When [`spool::Parcel::store`] returns they are durable, and the client may be
//! told so; not before.

pub mod all;
pub mod command_line;
pub mod dicom;
pub mod error;
pub mod forward;
pub mod gather;
pub mod intake;
pub mod keys;
mod places;
pub mod pull;
pub mod settings;
pub mod sftp;
pub mod spool;
pub mod status;
mod system;
pub mod upload;

pub use error::Error;
