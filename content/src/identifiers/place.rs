//! Places by their names: which are made for national numbers, and which names may be shown.

use std::borrow::Cow;

/// Names of columns, keys and elements that hold national numbers, in lower case without accents or separators.
const NAMES: &[&str] = &[
    "fnr",
    "pnr",
    "dnr",
    "dnummer",
    "hnummer",
    "fhnummer",
    "fhnr",
    "nin",
    "nnin",
    "ssn",
    "fodselsnr",
    "fodselsnummer",
    "fodselnr",
    "fodselnummer",
    "foedselsnr",
    "foedselsnummer",
    "foedselnr",
    "foedselnummer",
    "fdselsnr",
    "fdselsnummer",
    "personnr",
    "personnummer",
    "personident",
    "personidentifikator",
    "folkeregisterident",
    "folkeregisteridentifikator",
    "hjelpenr",
    "hjelpenummer",
    "hjelpnr",
    "nationalid",
    "nationalidnumber",
    "nationalidentitynumber",
    "nationalidentifier",
    "birthnumber",
    "socialsecuritynumber",
    "patientfnr",
    "pasientfnr",
    "fnrdnr",
];

/// Characters of a name that is shown.
const SHOWN_CHARS: usize = 64;

/// Digits in a row that a shown name may have: a name that holds more may be a value.
const SHOWN_DIGITS: usize = 4;

/// Whether a column, key or element of this name holds national numbers: one of its words does, or two in a row.
pub fn meant_for_numbers(name: &[u8]) -> bool {
    let words = words(&text(name));
    let known = |word: &str| NAMES.contains(&word);
    words.iter().any(|word| known(word)) || words.windows(2).any(|two| known(&two.concat()))
}

/// The name as it may be shown, unless it may be a value: of bounded length, of letters and few digits.
pub fn printable(name: &[u8]) -> Option<String> {
    let text = text(name);
    let name = text.trim();
    let plain = |c: char| c.is_alphanumeric() || " _-./()[]%#:".contains(c);
    let digits = name.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    let good = !name.is_empty()
        && name.chars().count() <= SHOWN_CHARS
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && digits <= SHOWN_DIGITS;
    good.then(|| name.to_owned())
}

/// Text in UTF-8 or, where it is not, in Latin-1.
fn text(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(name.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// A name's words in lower case: split where a letter of a word ends and another begins, accents and digits gone.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in name.chars().take(SHOWN_CHARS * 2) {
        if !c.is_alphabetic() || (c.is_uppercase() && small) {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if let Some(word) = words.last_mut() {
            c.to_lowercase().for_each(|c| match c {
                'å' | 'ä' => word.push('a'),
                'ø' | 'ö' => word.push('o'),
                'æ' => word.push_str("ae"),
                c if c.is_ascii_alphabetic() => word.push(c),
                _ => {}
            });
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hold_national_numbers_are_known_in_the_ways_they_are_written() {
        let names = [
            "fnr",
            "FNR",
            "Fødselsnummer",
            "fodselsnr",
            "pasient_fnr",
            "PasientFnr",
            "fnr1",
            "Personnr.",
            "D-nummer",
            "dnr",
            "pat.national_id",
            "F\u{d8}DSELSNUMMER",
            "foedselsNummer",
            "person nummer",
        ];
        for name in names {
            assert!(meant_for_numbers(name.as_bytes()), "{name}");
        }
        assert!(meant_for_numbers(b"f\xf8dselsnummer"), "Latin-1");
        for name in ["", "pnrx", "refnr", "lopenr", "id", "age", "journalnr", "kontonr", "ordinanrfn"] {
            assert!(!meant_for_numbers(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_name_that_may_be_a_value_is_not_shown() {
        for name in ["02013299997", "P02013299997", "", "7", "ola@example.org", "a\u{1b}[31m", "a\u{202e}b", "12-3"] {
            assert_eq!(printable(name.as_bytes()), None, "{name}");
        }
        assert_eq!(printable(&[b'a'; 65]), None);
        assert_eq!(printable(b" lab_hb 2024 ").as_deref(), Some("lab_hb 2024"));
        assert_eq!(printable(b"f\xf8dt").as_deref(), Some("født"));
    }
}
