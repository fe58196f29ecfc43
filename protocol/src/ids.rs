//! Names and identifiers. A value of one of these types has been checked: it is short, safe as a file name and free of
//! control characters.

use crate::path::{self, PathProblem};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not 1 to 64 of the characters `a-z 0-9 . _ -`, beginning with a letter or digit.
    #[error("a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit")]
    Slug,
    /// Not a transfer's id.
    #[error("a transfer's id looks like 20261122-101500-7f3k9a2m")]
    Transfer,
    /// Not a dataset's name.
    #[error("a dataset's name is one path component of at most 128 bytes that Windows can hold too: {0}")]
    Dataset(PathProblem),
}

macro_rules! name_type {
    ($name:ident, $check:path, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                $check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                $check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_type!(SourceName, check_slug, "The name of an enrolled source.");
name_type!(RoomName, check_slug, "The name of a room.");
name_type!(AgreementId, check_slug, "The identifier of an agreement.");
name_type!(ZoneName, check_slug, "The name of a landing zone: the principal of its signatures.");
name_type!(DatasetName, check_dataset, "The name of a dataset: one path component.");
name_type!(
    TransferId,
    check_transfer,
    "The identifier of a transfer: the UTC time of its offer and 40 random bits, 24 ASCII characters, sortable by time."
);

/// Bytes of a transfer's id.
pub const TRANSFER_ID_BYTES: usize = 24;

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl TransferId {
    /// The id of a transfer offered at `time`; `random` makes it unique.
    pub fn new(time: Timestamp, random: [u8; 5]) -> Self {
        let bits = random.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let tail: String = (0..8).rev().map(|i| char::from(BASE32[(bits >> (5 * i) & 31) as usize])).collect();
        Self(format!("{}-{tail}", time.compact()))
    }
}

fn check_slug(text: &str) -> Result<(), InvalidName> {
    let bytes = text.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = (1..=64).contains(&bytes.len())
        && plain(&bytes[0])
        && bytes.iter().all(|byte| plain(byte) || b"._-".contains(byte));
    good.then_some(()).ok_or(InvalidName::Slug)
}

fn check_transfer(text: &str) -> Result<(), InvalidName> {
    let good = text.len() == TRANSFER_ID_BYTES
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 15 => byte == b'-',
            0..=14 => byte.is_ascii_digit(),
            _ => BASE32.contains(&byte),
        });
    good.then_some(()).ok_or(InvalidName::Transfer)
}

fn check_dataset(text: &str) -> Result<(), InvalidName> {
    path::check_component(text).map_err(InvalidName::Dataset)?;
    path::check_windows_component(text).map_err(InvalidName::Dataset)?;
    if text.len() > 128 {
        return Err(InvalidName::Dataset(PathProblem::TooLong));
    }
    if text.starts_with('.') {
        return Err(InvalidName::Dataset(PathProblem::Hidden));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_id_begins_with_its_time_and_parses_back() {
        let id = TransferId::new(Timestamp::from_unix(0), [0xff, 0, 0, 0, 1]);
        assert_eq!(id.as_str(), "19700101-000000-zw000001");
        assert_eq!(id.as_str().parse::<TransferId>(), Ok(id));
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for text in ["", ".", "..", "a/b", "A", "a b", "-a", "a\0", &"a".repeat(65)] {
            assert!(text.parse::<SourceName>().is_err(), "{text:?}");
        }
        for text in ["", ".", "..", "a/b", ".hidden", "nul", "a:b", "x ", "a\u{7}", &"a".repeat(129)] {
            assert!(text.parse::<DatasetName>().is_err(), "{text:?}");
        }
        for text in ["EPJ uttrekk 2026.csv", "blodprøver", "a"] {
            assert!(text.parse::<DatasetName>().is_ok(), "{text:?}");
        }
    }
}
