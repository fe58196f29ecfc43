//! Norwegian national numbers in what streams by: found, told apart from chance, and reported without ever being shown.
//!
//! [`number`] knows which eleven digits are a number, [`scan`] finds digits in values, [`tally`] weighs what was found at
//! each place of a file and decides the tier, and [`place`] knows which places are made for numbers.

mod key;
mod number;
mod place;
mod scan;
mod tally;

#[cfg(test)]
pub(crate) use number::complete;

pub use key::{HashKey, KeyedHash};
pub use number::{Kind, Number, national};
pub use place::{meant_for_numbers, printable};
pub use scan::{Scanner, Token, scan_whole};
pub use tally::{MAX_PLACES, Place, Tally};
