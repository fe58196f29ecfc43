//! The parsers of hostile content. Each is a [`Reader`]: bytes come in as the file streams by, in pieces of any length, and
//! what is noticed goes to a [`Sink`]. No reader knows a socket, a file, a clock or randomness, and none allocates by a length
//! that the content states before it has checked it against a bound.

#![forbid(unsafe_code)]

pub mod containers;
mod reader;
pub mod types;

pub use reader::{Notice, Reader, Sink};
