//! Names that TSD's file API keeps as they are.
//!
//! Its server takes folders from a request that stores as they stand there, percent-encoded or not, and decodes the last name alone: what must
//! be encoded stands there under its encoded name. It tells its own files from others by `.chunk`, `.part` and a UUID at the end of names,
//! and divides addresses at `/stream/`. A bag in which a file has another name than its manifest says is none; so such names are refused.
//! Source: unioslo/tsd-file-api, `tsdfileapi/api.py` (`FileRequestHandler.prepare`, `is_reserved_resource`) and `resumables.py`;
//! unioslo/tsd-api-client, issue 162.

use crate::path::DataPath;

/// What the server has in its addresses before a file's: a folder or a file of this name is taken for it.
pub const STREAM: &str = "stream";

/// Bytes of the longest name of a file: the server's own for its pieces have some 50 more, and 255 is what file systems hold.
const LONGEST_NAME: usize = 200;

/// Why the server would keep a file under another name, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// A folder's name has characters that must be percent-encoded, or a plus.
    #[error(
        "a folder's has a space, or another character than ASCII letters, digits and - . _ ~ ! $ & ' ( ) * , ; = : @"
    )]
    Encoded,
    /// [`STREAM`].
    #[error("a file or folder is called \"stream\"")]
    Stream,
    /// `.chunk` or `.part`.
    #[error("a file's has \".chunk\" or \".part\" in it")]
    Piece,
    /// A UUID at the end, or its like.
    #[error("a file's ends as a UUID does")]
    Upload,
    /// Longer than the bound.
    #[error("a file's has more than 200 bytes")]
    TooLong,
}

/// Checks the path of a file.
///
/// # Errors
/// Why the server would not keep it.
pub fn check(path: &DataPath) -> Result<(), Unkept> {
    let (folders, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    folders.split('/').try_for_each(check_folder)?;
    check_file(name)
}

/// What is unchanged in an address: `pchar` of RFC 3986, without the plus, which the server decodes to a space when it looks.
fn check_folder(name: &str) -> Result<(), Unkept> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*,;=:@".contains(c);
    match name {
        STREAM => Err(Unkept::Stream),
        name if name.chars().all(plain) => Ok(()),
        _ => Err(Unkept::Encoded),
    }
}

fn check_file(name: &str) -> Result<(), Unkept> {
    match name {
        STREAM => Err(Unkept::Stream),
        name if name.contains(".chunk") || name.contains(".part") => Err(Unkept::Piece),
        name if is_as_an_upload(name) => Err(Unkept::Upload),
        name if name.len() > LONGEST_NAME => Err(Unkept::TooLong),
        _ => Ok(()),
    }
}

/// What the server refuses: a dot and 32 to 36 of a UUID's characters at the end, or such an end before any character and `part`.
fn is_as_an_upload(name: &str) -> bool {
    let of_uuid = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c) || c == '-';
    let merged = |(_, end): (&str, &str)| (32..=36).contains(&end.len()) && end.chars().all(of_uuid);
    let unfinished = |rest: &str| {
        let mut ends = rest.chars().rev();
        ends.next().is_some() && ends.take_while(|c| of_uuid(*c)).count() >= 32
    };
    name.rsplit_once('.').is_some_and(merged) || name.strip_suffix("part").is_some_and(unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(path: &str) -> Result<(), Unkept> {
        check(&path.parse().unwrap())
    }

    #[test]
    fn names_that_the_server_would_change_or_take_for_its_own_are_refused() {
        let uuid = "96c68dad-8dc5-4076-9569-92394001d42a";
        for path in ["two words/a", "år/a", "a+b/a", "100%/a", "d/e\"/a"] {
            assert_eq!(checked(path), Err(Unkept::Encoded), "{path}");
        }
        for path in ["stream/a", "a/stream", "stream"] {
            assert_eq!(checked(path), Err(Unkept::Stream), "{path}");
        }
        for path in ["a.chunk.csv", "d/a.part1.rar"] {
            assert_eq!(checked(path), Err(Unkept::Piece), "{path}");
        }
        for path in [format!("a.{uuid}"), format!("1.2.{}", "3".repeat(34)), format!("a.{uuid}_part")] {
            assert_eq!(checked(&path), Err(Unkept::Upload), "{path}");
        }
        assert_eq!(checked(&"x".repeat(201)), Err(Unkept::TooLong));
    }

    #[test]
    fn other_names_are_kept() {
        let kept = [
            "two words.csv",
            "år.csv",
            "a+b%.csv",
            "year=2026/part-0001.parquet",
            "1.2.840.113619.2.55.dcm",
            "(a),b/c",
            "streams/a.csv",
            "apart",
            "96c68dad-8dc5-4076-9569-92394001d42a.csv",
        ];
        for path in kept {
            assert_eq!(checked(path), Ok(()), "{path}");
        }
    }
}
