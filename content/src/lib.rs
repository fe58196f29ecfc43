//! The parsers of hostile content. Each is a [`Reader`]: bytes come in as the file streams by, in pieces of any length, and
//! what is noticed goes to a [`Sink`]. No reader knows a socket, a file, a clock or randomness, and none allocates by a length
//! that the content states before it has checked it against a bound.
//!
//! Readers hold pieces of content and so have no `Debug`: nothing of a file can be printed by accident.
//!
//! [`Policy`] is what an agreement asks of a file's content.

#![forbid(unsafe_code)]

pub mod bulk;
pub mod containers;
mod flaw;
mod formats;
pub mod identifiers;
mod inspect;
mod patterns;
mod policy;
mod reader;
#[cfg(test)]
mod testing;
mod text;
pub mod types;

pub use formats::elements;
pub use formats::{Bam, Cram, Csv, Dicom, Fastq, Hl7, Json, Parquet, Pdf, Plain, Sam, Vcf, Xml};
pub use inspect::{FileReader, MAX_PLACE_BYTES, look_at_name, readers};
pub use patterns::Patterns;
pub use policy::Policy;
pub use reader::{Notice, Reader, Sink, Unpacked};
pub use text::Text;
