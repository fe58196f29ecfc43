//! National numbers that are kept as numbers. Ten digits are eleven of which the first was a zero.

/// Numbers that have eleven digits, or ten.
const ELEVEN: std::ops::Range<u64> = 1_000_000_000..100_000_000_000;

/// A whole number that has as many digits.
pub fn whole(number: u64) -> Option<u64> {
    Some(number).filter(|number| ELEVEN.contains(number))
}

/// A floating number that is whole and has as many digits.
pub fn floating(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && number > 0.0 && number < 1e12).then_some(number as u64).and_then(whole)
}

/// The digits of such a number.
pub fn digits(mut number: u64) -> [u8; 11] {
    let mut digits = [b'0'; 11];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}
