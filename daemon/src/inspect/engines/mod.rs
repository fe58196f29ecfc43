//! The inspectors, one folder each.

pub mod clamd;
pub mod file_type;
pub mod search;
pub mod signatures;
