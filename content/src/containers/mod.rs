//! Opens containers as their bytes stream by, and shows every member at every depth to a [`Visitor`].
//!
//! A [`Walker`] is fed a file. Each stream of bytes, the file's own or a member's, is a [`stream::Stream`]: its first
//! bytes tell what it is ([`recognise`]), and a [`stream::Container`] takes it apart: [`compressed`] (gzip, xz, bzip2,
//! Zstandard), [`tar`], [`zip`], [`sevenz`]; what is no container is looked through for a ZIP archive inside
//! ([`plain`]), and in XML and JSON for files in base64 ([`base64`]). Members go out through an [`outlet::Outlet`], which keeps count and ends everything where a limit is
//! reached.
//!
//! What cannot be opened, or is not opened to its end, always gets a notice: no member is passed over in silence.

mod base64;
mod codec;
mod compressed;
mod gzip;
mod limits;
mod names;
mod outlet;
mod plain;
mod recognise;
mod sevenz;
mod stream;
mod tar;
mod visitor;
mod walker;
mod zip;

pub use limits::Limits;
pub use names::{TURNED, turns_writing};
pub use recognise::is_container;
pub use visitor::{End, MAX_NAME_CHARS, Member, Visitor, printable};
pub use walker::{Totals, Walker};

#[cfg(test)]
pub(crate) mod tests;
