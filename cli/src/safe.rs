//! Text that is safe to show on a terminal: what could move the cursor, change colours or reorder letters is written out.
//!
//! File names, reasons and findings come from strangers; they reach the terminal only through here.

use std::fmt::Write as _;

/// Whether a character could make a terminal show something other than what stands there.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Marks, embeddings, overrides and isolates of the bidirectional algorithm.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators; what has no width at all.
            | '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            // Tags, which no font shows.
            | '\u{e0000}'..='\u{e007f}')
}

/// The text with every deceptive character written as `\u{…}`.
pub fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// JSON text with every deceptive character within its strings in JSON's own escape; line feeds between values stay.
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_deceptive(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_could_deceive_is_written_out_and_norwegian_is_not() {
        let name = "blodprøver\u{202e}gpj.exe\u{1b}[2J\n";
        assert_eq!(super::text(name), "blodprøver\\u{202e}gpj.exe\\u{1b}[2J\\u{a}");
        let json = super::json(&serde_json::to_string_pretty(&[name, "\u{7f}\u{e0041}"]).unwrap());
        assert!(json.is_ascii() || !json.chars().any(|c| c != '\n' && super::is_deceptive(c)));
        assert_eq!(serde_json::from_str::<[String; 2]>(&json).unwrap(), [name, "\u{7f}\u{e0041}"]);
    }
}
