//! What is wrong with a member's name: where it would be written, and what it would look like.

use sluse_protocol::digest::Sha256;
use sluse_protocol::path::{DataPath, PathProblem, check_windows, collision_key};
use std::collections::HashSet;

/// What is said of a name that turns the direction of writing.
pub const TURNED: &str = "its name turns the direction of writing: it looks like another";

/// Characters that turn the direction of writing: `exe.csv` and `vsc.exe` look the same with one in between.
pub(super) fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a name turns the direction of writing.
pub fn turns_writing(name: &str) -> bool {
    name.chars().any(is_bidi)
}

/// The text of a name: UTF-8, else code page 437's place of each byte is not worth telling, so lossy.
pub(super) fn text(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).chars().take(super::MAX_NAME_CHARS).collect()
}

/// What is wrong with a name, if anything. Folders end with a slash.
pub(super) fn check(raw: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(raw);
    if text.contains('\0') {
        return Some("its name holds a NUL, at which some programs end it");
    }
    if text.chars().any(char::is_control) {
        return Some("its name holds control characters");
    }
    if turns_writing(&text) {
        return Some(TURNED);
    }
    if text.starts_with(['/', '\\']) || matches!(text.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic()) {
        return Some("its name is an absolute path");
    }
    if text.split(['/', '\\']).any(|part| part == "..") {
        return Some("its name leads out of the folder it is unpacked to");
    }
    match tidy(&text).parse::<DataPath>() {
        Ok(path) => match check_windows(&path) {
            Err(PathProblem::WindowsDevice) => Some("its name is a device of Windows"),
            _ => None,
        },
        Err(PathProblem::TooLong) => Some("its name is longer than file systems hold"),
        Err(PathProblem::Separator) => Some("its name holds a backslash, which some programs take for a folder's"),
        // `.` alone is the folder it is unpacked to.
        Err(_) if tidy(&text).is_empty() => None,
        Err(_) => Some("its name is none that a file can have"),
    }
}

/// The path as file systems take it: without `.`, doubled and closing slashes.
fn tidy(text: &str) -> String {
    text.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

/// The names of an archive's files so far, as Windows would tell them apart.
#[derive(Default)]
pub(super) struct Seen(HashSet<[u8; 16]>);

impl Seen {
    /// Takes a file's name; says whether it was there already, case and Unicode's forms aside.
    pub fn again(&mut self, raw: &[u8]) -> bool {
        let tidy = tidy(&String::from_utf8_lossy(raw));
        let key = tidy.parse::<DataPath>().map_or(tidy, |path| collision_key(&path));
        !self.0.insert(fingerprint(key.as_bytes()))
    }
}

/// 128 bits that stand for some bytes: a hundred thousand names would not fit in memory, and a hash that can be forged
/// would hide one.
pub(super) fn fingerprint(bytes: &[u8]) -> [u8; 16] {
    let digest = Sha256::of(bytes).0;
    std::array::from_fn(|place| digest[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_play_tricks_are_told_from_plain_ones() {
        let tricks: [&[u8]; 16] = [
            b"../x",
            b"a/../../x",
            b"..",
            b"a\\..\\x",
            b"/etc/passwd",
            b"\\\\host\\share",
            b"C:\\x",
            b"c:x",
            b"a\0.csv",
            b"a\x1b[2J",
            b"a\nb",
            "a\u{202e}vsc.exe".as_bytes(),
            "a\u{9b}b".as_bytes(),
            b"nul.txt",
            b"x/COM1",
            b"a\\b",
        ];
        for name in tricks {
            assert!(check(name).is_some(), "{:?}", String::from_utf8_lossy(name));
        }
        let plain: [&[u8]; 8] = [
            b"a.csv",
            b"./",
            b"./a/b.csv",
            b"a//b",
            b"a/",
            "bl\u{e5}b\u{e6}r.csv".as_bytes(),
            b"bl\x86b.csv",
            b"a..b/..c",
        ];
        for name in plain {
            assert_eq!(check(name), None, "{:?}", String::from_utf8_lossy(name));
        }
        assert!(check(&b"x".repeat(300)).is_some());
    }

    #[test]
    fn two_names_are_the_same_whatever_their_case_and_form() {
        let mut seen = Seen::default();
        assert!(!seen.again("Bl\u{e5}.csv".as_bytes()));
        assert!(!seen.again(b"b.csv"));
        assert!(seen.again("./BLA\u{30a}.CSV".as_bytes()));
    }
}
