//! Numbers for monitoring, in the OpenMetrics text format, at a Unix socket of their own: how much moves, what waits and for how long, what
//! ends when, what is wrong. Names of sources, agreements, roles and engines stand in them; nothing of any transfer's content.

mod exposition;
mod numbers;
mod socket;

pub use socket::{accept, listen};

use super::failure::Failure;
use super::shared::Control;
use numbers::Numbers;

/// All numbers as they are now, in the OpenMetrics text format, version 1.0.0.
///
/// # Errors
/// When the database fails.
pub fn text(control: &Control) -> Result<String, Failure> {
    Ok(exposition::write(Numbers::of(control)?))
}

#[cfg(test)]
mod tests;
