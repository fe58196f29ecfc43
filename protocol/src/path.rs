//! Relative paths of files in a dataset, and what Windows desktops can hold of them.

use crate::limits::{MAX_COMPONENT_BYTES, MAX_PATH_BYTES};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Why a path cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// Nothing at all, or nothing between two slashes.
    #[error("an empty name")]
    Empty,
    /// Begins with a slash.
    #[error("an absolute path")]
    Absolute,
    /// Contains `.` or `..`.
    #[error("a '.' or '..' component")]
    Dots,
    /// Contains NUL or another control character.
    #[error("a control character")]
    Control,
    /// A name that contains a slash, or a backslash, which separates folders on Windows.
    #[error("a slash or backslash within a name")]
    Separator,
    /// Longer than the bound.
    #[error("longer than allowed")]
    TooLong,
    /// Begins with a dot, where that is not allowed.
    #[error("a leading dot")]
    Hidden,
    /// One of `:*?"<>|`.
    #[error("a character that Windows cannot hold (one of : * ? \" < > |)")]
    WindowsCharacter,
    /// `CON`, `NUL`, `COM1` and their like.
    #[error("a Windows device name")]
    WindowsDevice,
    /// Ends with a dot or a space.
    #[error("a trailing dot or space, which Windows drops")]
    WindowsTrailing,
    /// Not in Unicode normalisation form C.
    #[error("a name that is not in Unicode normalisation form C")]
    NotNfc,
}

/// A checked relative path: components divided by `/`, none of them empty, `.` or `..`, no control character and no
/// backslash, within the bounds of [`crate::limits`]. Its text is what the source's file system has (NFC or NFD).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataPath(String);

impl DataPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether `self` lies below `folder`.
    pub fn is_below(&self, folder: &DataPath) -> bool {
        self.0.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Paths order component by component, so that everything below a folder follows it at once.
impl Ord for DataPath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.components().map(str::as_bytes).cmp(other.components().map(str::as_bytes))
    }
}

impl PartialOrd for DataPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for DataPath {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::str::FromStr for DataPath {
    type Err = PathProblem;

    fn from_str(text: &str) -> Result<Self, PathProblem> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for DataPath {
    type Error = PathProblem;

    fn try_from(text: String) -> Result<Self, PathProblem> {
        if text.starts_with('/') {
            return Err(PathProblem::Absolute);
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(PathProblem::TooLong);
        }
        text.split('/').try_for_each(check_component)?;
        Ok(Self(text))
    }
}

impl From<DataPath> for String {
    fn from(path: DataPath) -> Self {
        path.0
    }
}

/// Checks one component by the rules that hold everywhere.
pub(crate) fn check_component(name: &str) -> Result<(), PathProblem> {
    match name {
        "" => return Err(PathProblem::Empty),
        "." | ".." => return Err(PathProblem::Dots),
        _ => {}
    }
    if name.len() > MAX_COMPONENT_BYTES {
        return Err(PathProblem::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(PathProblem::Control);
    }
    if name.contains(['/', '\\']) {
        return Err(PathProblem::Separator);
    }
    Ok(())
}

/// How a room takes names that a Windows desktop, or what the room is reached by, cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameRule {
    /// Refuse the offer. The default: nothing changes its name unseen.
    #[default]
    WindowsRefuse,
    /// Replace what Windows cannot hold, and list each changed name in the bag.
    WindowsMap,
    /// Any name that Linux holds.
    Posix,
    /// Refuse what TSD's file API would not keep as it is ([`crate::tsd_names`]).
    TsdRefuse,
}

/// Characters of the longest path that Windows programs can be trusted with (MAX_PATH is 260, the bag's own folders and
/// the share's prefix take their part).
pub const WINDOWS_PATH_CHARS: usize = 180;

/// Checks a path by what a Windows desktop can hold: names, devices, endings, NFC and length.
pub fn check_windows(path: &DataPath) -> Result<(), PathProblem> {
    if path.as_str().encode_utf16().count() > WINDOWS_PATH_CHARS {
        return Err(PathProblem::TooLong);
    }
    if !is_nfc(path.as_str()) {
        return Err(PathProblem::NotNfc);
    }
    path.components().try_for_each(check_windows_component)
}

/// Checks one component by what Windows can hold.
pub(crate) fn check_windows_component(name: &str) -> Result<(), PathProblem> {
    // What was mapped can be longer than what was sent: some characters are several in NFC.
    if name.len() > MAX_COMPONENT_BYTES {
        return Err(PathProblem::TooLong);
    }
    if name.contains([':', '*', '?', '"', '<', '>', '|']) {
        return Err(PathProblem::WindowsCharacter);
    }
    if name.ends_with(['.', ' ']) {
        return Err(PathProblem::WindowsTrailing);
    }
    if is_windows_device(name) {
        return Err(PathProblem::WindowsDevice);
    }
    Ok(())
}

/// The path with what Windows cannot hold replaced by `_`, in NFC; a device name gets a `_` in front. Two paths can map to
/// the same one: see [`collision_key`]. Length is not mended: check the result with [`check_windows`].
pub fn map_windows(path: &DataPath) -> DataPath {
    let mapped: Vec<String> = path.components().map(map_windows_component).collect();
    DataPath(mapped.join("/"))
}

fn map_windows_component(name: &str) -> String {
    let mut mapped: String = name.nfc().map(|c| if ":*?\"<>|".contains(c) { '_' } else { c }).collect();
    if mapped.ends_with(['.', ' ']) {
        mapped.pop();
        mapped.push('_');
    }
    if is_windows_device(&mapped) {
        mapped.insert(0, '_');
    }
    mapped
}

/// What two paths share when a Windows file system takes them for the same, or one that composes names does.
pub fn collision_key(path: &DataPath) -> String {
    // By way of the upper case, which the two small sigmas share; and composed again, since some letters are so in lower case only.
    path.as_str().nfc().map(upper).flat_map(char::to_lowercase).nfc().collect()
}

/// The upper case where it is a single character, as file systems have it.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn is_windows_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str()) {
        return true;
    }
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    numbered.is_some_and(|digit| ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "¹", "²", "³"].contains(&digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> DataPath {
        text.parse().unwrap()
    }

    #[test]
    fn escaping_and_unprintable_paths_are_refused_each_for_its_reason() {
        let cases = [
            ("", PathProblem::Empty),
            ("a//b", PathProblem::Empty),
            ("a/", PathProblem::Empty),
            ("/etc/passwd", PathProblem::Absolute),
            ("../x", PathProblem::Dots),
            ("a/./b", PathProblem::Dots),
            ("a\0b", PathProblem::Control),
            ("a\nb", PathProblem::Control),
            ("a\u{85}b", PathProblem::Control),
            ("a\\b", PathProblem::Separator),
        ];
        for (text, problem) in cases {
            assert_eq!(text.parse::<DataPath>(), Err(problem), "{text:?}");
        }
        assert_eq!("x".repeat(256).parse::<DataPath>(), Err(PathProblem::TooLong));
        assert_eq!(vec!["x".repeat(250); 9].join("/").parse::<DataPath>(), Err(PathProblem::TooLong));
    }

    #[test]
    fn everything_below_a_folder_follows_it_at_once() {
        let mut paths = [path("a-b"), path("a/z"), path("a"), path("a/b/c"), path("b")];
        paths.sort();
        assert_eq!(paths.map(String::from), ["a", "a/b/c", "a/z", "a-b", "b"]);
    }

    #[test]
    fn windows_devices_are_known_in_every_disguise() {
        for name in ["nul", "NUL.txt", "Com1", "lpt9.tar.gz", "con .x", "COM¹"] {
            assert_eq!(check_windows(&path(name)), Err(PathProblem::WindowsDevice), "{name}");
        }
        for name in ["null", "com", "com10", "console", "xnul"] {
            assert_eq!(check_windows(&path(name)), Ok(()), "{name}");
        }
    }

    #[test]
    fn decomposed_names_travel_but_are_no_windows_names() {
        let decomposed = path("bla\u{308}ser");
        assert_eq!(check_windows(&decomposed), Err(PathProblem::NotNfc));
        assert_eq!(map_windows(&decomposed).as_str(), "bläser");
        assert_eq!(collision_key(&decomposed), collision_key(&path("BLÄSER")));
    }

    #[test]
    fn names_collide_whatever_their_case_and_however_they_are_composed() {
        for (one, other) in
            [("PT\u{308}.csv", "pt\u{308}.csv"), ("PT\u{308}", "p\u{1e97}"), ("ΟΔΟΣ", "οδος"), ("οδοσ", "οδος")]
        {
            assert_eq!(collision_key(&path(one)), collision_key(&path(other)), "{one} {other}");
        }
        assert_ne!(collision_key(&path("straße")), collision_key(&path("strasse")));
    }

    #[test]
    fn a_name_that_outgrows_file_systems_when_it_is_mapped_is_too_long() {
        let sent = path(&"\u{1d160}".repeat(30));
        let mapped = map_windows(&sent);
        assert!(mapped.as_str().len() > MAX_COMPONENT_BYTES);
        assert_eq!(check_windows(&mapped), Err(PathProblem::TooLong));
    }

    proptest! {
        #[test]
        fn a_mapped_path_is_always_one_that_windows_holds(text in "[a-zA-Z0-9.:*? ø\"<>|/]{1,40}") {
            if let Ok(path) = text.parse::<DataPath>() {
                prop_assert_eq!(check_windows(&map_windows(&path)), Ok(()));
            }
        }
    }
}
