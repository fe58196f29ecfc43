//! The inspectors, one folder each.

pub mod clamd;
pub mod icap;
pub mod search;
pub mod signatures;
