//! Paths as clients name them. An inbox is all that a client ever sees: `/` is the inbox itself, and nothing leads out of it.

use super::packet::{Code, Refusal};
use sluse_protocol::path::DataPath;

/// A path within an inbox: names with slashes between them, and nothing for the inbox itself.
///
/// # Errors
/// When it has names that no dataset can hold.
pub fn resolve(bytes: &[u8]) -> Result<String, Refusal> {
    const WRONG: Refusal = Refusal(Code::Failure, "a name with control characters, a backslash, no UTF-8, or too long");
    let text = std::str::from_utf8(bytes).map_err(|_| WRONG)?;
    let mut names = Vec::new();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            // As in every root: above it is itself.
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let path = names.join("/");
    match path.is_empty() || path.parse::<DataPath>().is_ok() {
        true => Ok(path),
        false => Err(WRONG),
    }
}

/// The first name of a path: of the entry that it belongs to.
pub fn entry(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// The folder that a path lies in, and its name there.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_leads_out_of_an_inbox() {
        let cases = [
            ("", ""),
            ("/", ""),
            (".", ""),
            ("..", ""),
            ("../../etc/passwd", "etc/passwd"),
            ("/a/../../b", "b"),
            ("/a//b/./c/", "a/b/c"),
            ("a/..", ""),
            (".../x", ".../x"),
        ];
        for (path, resolved) in cases {
            assert_eq!(resolve(path.as_bytes()).as_deref(), Ok(resolved), "{path}");
        }
    }

    #[test]
    fn names_that_no_dataset_can_hold_are_refused() {
        for path in [&b"a\0b"[..], b"a\nb", b"a\\b", b"\xff", "a\u{85}".as_bytes(), &[b'a'; 256], &[b'/', 27]] {
            assert!(resolve(path).is_err(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_resolved_is_a_path_of_a_dataset_and_resolves_to_itself(path in "[a./\u{0}é\\\\]{0,40}") {
            if let Ok(resolved) = resolve(path.as_bytes()) {
                prop_assert!(resolved.is_empty() || resolved.parse::<DataPath>().is_ok());
                prop_assert_eq!(resolve(resolved.as_bytes()), Ok(resolved));
            }
        }
    }
}
