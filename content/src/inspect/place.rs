//! Where a member lies, for a person: bounded, escaped, and without numbers of persons.

use super::has_number;

/// Characters of one name that are shown.
const NAME_CHARS: usize = 48;

/// Names that are shown: the last ones.
const NAMES: usize = 3;

/// Bytes of a place.
pub const MAX_PLACE_BYTES: usize = 256;

/// The place of a member that lies in these names, the outermost first; nothing for the file itself.
pub fn of(names: &[String]) -> String {
    let hidden = names.len().saturating_sub(NAMES);
    let mut place = if hidden > 0 { "…".to_owned() } else { String::new() };
    for name in names.iter().skip(hidden) {
        let arrow = if place.is_empty() { "" } else { " > " };
        place = format!("{place}{arrow}\"{}\"", shown(name));
    }
    place.truncate(place.floor_char_boundary(MAX_PLACE_BYTES));
    place
}

/// A name: its beginning and its end if it is long, what could deceive the eye or a terminal escaped.
fn shown(name: &str) -> String {
    let safe: String = if has_number(name) { name.replace(|c: char| c.is_ascii_digit(), "#") } else { name.to_owned() };
    let count = safe.chars().count();
    let half = NAME_CHARS / 2;
    let short = match count {
        0..=NAME_CHARS => safe,
        _ => [safe.chars().take(half).collect(), "…".to_owned(), safe.chars().skip(count - half).collect()].concat(),
    };
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::resident;

    fn place(names: &[&str]) -> String {
        of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_place_is_short_and_does_nothing_to_eye_or_terminal() {
        assert_eq!(place(&[]), "");
        assert_eq!(place(&["inner.zip", "blåbær/a.csv"]), r#""inner.zip" > "blåbær/a.csv""#);
        assert_eq!(place(&["a\u{1b}[2J", "x\u{202e}vsc.exe\""]), r#""a\u{1b}[2J" > "x\u{202e}vsc.exe\"""#);
        assert_eq!(place(&["1", "2", "3", "4"]), r#"… > "2" > "3" > "4""#);
        let long = "\u{202e}".repeat(5000);
        assert!(place(&[&long, &long, &long]).len() <= MAX_PLACE_BYTES);
        assert!(place(&[&("a".repeat(500) + ".csv")]).ends_with("a.csv\""));
    }

    #[test]
    fn digits_of_a_name_with_a_number_are_not_shown() {
        let number = resident(0);
        let shown = place(&[&format!("pas_{number}.csv")]);
        assert_eq!(shown, r##""pas_###########.csv""##);
        let spaced = format!("{} {}", &number[..6], &number[6..]);
        assert!(!place(&[&spaced]).contains(&number[6..]));
    }
}
