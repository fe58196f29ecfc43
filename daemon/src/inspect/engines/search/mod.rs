//! Searching a stream for many patterns of bytes at once.

mod matcher;
mod pattern;

pub use matcher::{Matcher, Search};
pub use pattern::Pattern;
