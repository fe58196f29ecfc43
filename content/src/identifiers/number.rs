//! Norwegian national numbers: which eleven digits are one, and of what kind.
//!
//! Eleven digits: a date, an individual number, two check digits. Weighted sums modulo 11 tie the check digits to the rest.
//! Until 2032 both remainders are 0; from 2032 the first may be 0, 1, 2 or 3 (Skatteetaten, *Nytt fødselsnummer fra
//! 2032*). Both rules hold side by side, and the century is not told by the number from then on: so any year that has the
//! date will do.

/// Kinds of national numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Fødselsnummer: the number of a resident.
    Birth,
    /// D-nummer, for those who stay a while: 40 is added to the day.
    Temporary,
    /// H-nummer, a hospital's or register's own: 40 is added to the month.
    Hospital,
    /// Felles hjelpenummer: begins with 8 or 9, has no date.
    Shared,
    /// A synthetic number of the population register's test data (Tenor): 80 is added to the month.
    Test,
}

impl Kind {
    /// Its Norwegian name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Birth => "fødselsnummer",
            Kind::Temporary => "D-nummer",
            Kind::Hospital => "H-nummer",
            Kind::Shared => "felles hjelpenummer",
            Kind::Test => "synthetic test number",
        }
    }
}

/// What eleven digits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Its kind.
    pub kind: Kind,
    /// Whether only the rule from 2032 takes it.
    pub only_2032: bool,
}

const FIRST: [u32; 10] = [3, 7, 6, 1, 8, 9, 4, 5, 2, 1];
const SECOND: [u32; 11] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1];

/// What eleven ASCII digits are, if they are a national number.
pub fn national(ascii: &[u8; 11]) -> Option<Number> {
    let digits = ascii.map(|byte| u32::from(byte.wrapping_sub(b'0')));
    if digits.iter().any(|digit| *digit > 9) || !sum(&digits, &SECOND).is_multiple_of(11) {
        return None;
    }
    let first = sum(&digits, &FIRST) % 11;
    let only_2032 = first != 0;
    if first > 3 {
        return None;
    }
    if digits[0] >= 8 {
        return (!only_2032).then_some(Number { kind: Kind::Shared, only_2032 });
    }
    let two = |at: usize| digits[at] * 10 + digits[at + 1];
    let (day, month, year) = (two(0), two(2), two(4));
    let (day, temporary) = if day > 40 { (day - 40, true) } else { (day, false) };
    let (month, kind) = match month {
        81..=92 => (month - 80, Kind::Test),
        41..=52 => (month - 40, Kind::Hospital),
        _ if temporary => (month, Kind::Temporary),
        _ => (month, Kind::Birth),
    };
    is_date(day, month, year).then_some(Number { kind, only_2032 })
}

fn sum(digits: &[u32; 11], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn is_date(day: u32, month: u32, year: u32) -> bool {
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Fills in check digits, for tests: `None` where nine digits can have none with this first remainder.
#[cfg(test)]
pub fn complete(nine: &str, remainder: u32) -> Option<String> {
    let with = |text: String| (0..10).map(move |digit| format!("{text}{digit}"));
    let digits = |text: &str| -> Vec<u32> { text.bytes().map(|byte| u32::from(byte - b'0')).collect() };
    let rest = |text: &str, weights: &[u32]| {
        digits(text).iter().zip(weights).map(|(digit, weight)| digit * weight).sum::<u32>() % 11
    };
    let ten = with(nine.to_owned()).find(|text| rest(text, &FIRST) == remainder)?;
    with(ten).find(|text| rest(text, &SECOND) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Option<Number> {
        national(text.as_bytes().try_into().unwrap())
    }

    fn valid(nine: &str) -> Number {
        of(&complete(nine, 0).unwrap()).unwrap()
    }

    #[test]
    fn the_published_vectors_of_both_rules_are_told_apart() {
        for old in ["02013299997", "30108299920"] {
            assert_eq!(of(old), Some(Number { kind: Kind::Birth, only_2032: false }), "{old}");
        }
        for new in ["02013299903", "30108299939"] {
            assert_eq!(of(new), Some(Number { kind: Kind::Birth, only_2032: true }), "{new}");
        }
    }

    #[test]
    fn each_kind_has_its_mark() {
        let cases = [
            ("130972480", Kind::Birth),
            ("530972480", Kind::Temporary),
            ("134972480", Kind::Hospital),
            ("534972480", Kind::Hospital),
            ("812345678", Kind::Shared),
            ("138972480", Kind::Test),
            ("538972480", Kind::Test),
        ];
        for (nine, kind) in cases {
            let number = (0..10).find_map(|last| of(&complete(&format!("{}{last}", &nine[..8]), 0)?));
            assert_eq!(number.unwrap().kind, kind, "{nine}");
        }
    }

    #[test]
    fn days_that_no_calendar_has_are_no_number() {
        for nine in ["310499123", "300200123", "290201123", "000199123", "011399123", "320199123", "710499123"] {
            let all = (0..=3).filter_map(|remainder| complete(nine, remainder));
            assert!(all.map(|text| of(&text)).all(|number| number.is_none()), "{nine}");
        }
        assert_eq!(valid("290200123").kind, Kind::Birth);
    }

    #[test]
    fn remainders_from_4_on_are_no_number_by_either_rule() {
        for remainder in 0..=10 {
            let Some(text) = complete("020132999", remainder) else { continue };
            assert_eq!(of(&text).is_some(), remainder <= 3, "{text}");
            assert_eq!(of(&text).is_some_and(|number| number.only_2032), (1..=3).contains(&remainder), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_no_digit_is_no_number(bytes in proptest::array::uniform11(any::<u8>())) {
            prop_assert!(national(&bytes).is_none() || bytes.iter().all(u8::is_ascii_digit));
        }

        #[test]
        fn one_wrong_digit_is_never_the_same_kind_by_the_old_rule(
            day in 1u32..=28, month in 1u32..=12, year in 0u32..100, rest in 0u32..1000, at in 0usize..11, by in 1u8..10
        ) {
            let Some(text) = complete(&format!("{day:02}{month:02}{year:02}{rest:03}"), 0) else { return Ok(()) };
            let mut wrong = text.into_bytes();
            wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
            let number = national(&wrong.try_into().unwrap());
            prop_assert!(number.is_none_or(|number| number.only_2032));
        }
    }
}
