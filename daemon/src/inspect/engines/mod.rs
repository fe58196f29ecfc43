//! The inspectors, one folder each.

pub mod clamd;
pub mod search;
pub mod signatures;
