//! Exports: agreements under which something leaves a room.

use super::{Content, Release, ReleaseRule};
use crate::toml_text::{Fields, choice, list, number};
use crate::types::{FileType, Kind};
use serde::{Deserialize, Serialize};

/// Counts from 1 to under this are small, where the agreement says nothing.
const SMALL_CELLS: u32 = 5;

/// The largest threshold.
const MAX_SMALL_CELLS: u64 = 1000;

/// What leaves a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// What kinds of results may leave, at least one.
    pub output: Vec<Output>,
}

/// A class of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Tables of sums, counts and estimates over many persons.
    AggregateTables,
    /// Figures.
    Figures,
    /// Models that were trained or fitted.
    Models,
    /// Programs in source form.
    Code,
    /// Manuscripts and reports.
    Text,
    /// Data about single persons.
    IndividualLevelData,
}

const OUTPUTS: &[(&str, Output)] = &[
    ("aggregate-tables", Output::AggregateTables),
    ("figures", Output::Figures),
    ("models", Output::Models),
    ("code", Output::Code),
    ("text", Output::Text),
    ("individual-level-data", Output::IndividualLevelData),
];

impl Output {
    /// The types of files in which it may come.
    pub fn types(self) -> Vec<FileType> {
        use FileType as T;
        match self {
            Output::AggregateTables => vec![T::Csv, T::Tsv, T::Xlsx, T::Ods],
            Output::Figures => vec![T::Png, T::Jpeg, T::Tiff, T::Svg, T::Pdf],
            Output::Models => vec![T::Json, T::Rdata, T::Hdf5, T::Mat, T::Npy],
            Output::Code => vec![T::Text, T::Json],
            Output::Text => vec![T::Text, T::Pdf, T::Docx, T::Odt],
            Output::IndividualLevelData => {
                FileType::ALL.iter().copied().filter(|one| one.kind() == Kind::Data).collect()
            }
        }
    }

    /// Its name, as in agreements.
    pub fn as_str(self) -> &'static str {
        OUTPUTS.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }
}

/// Reads the table `[export]`, and what it asks of the release and the content, whose types are those of the output unless the agreement
/// lists fewer.
pub(super) fn export(fields: &Fields<'_>, release: Option<&Release>, content: &mut Content) -> Option<Export> {
    let output: Vec<Output> = fields.need("output", "[\"aggregate-tables\", \"figures\"]", list(6, choice(OUTPUTS)))?;
    let threshold = fields.may("small_cells", "5", number(1..=MAX_SMALL_CELLS));
    if output.is_empty() {
        fields.wrong_at("output", "`export.output` is empty: nothing may leave", "name what may");
    }
    if release.is_some_and(|release| release.rule != ReleaseRule::TwoReviewers) {
        let message = "what leaves a room is released by two reviewers, and `release.rule` says something else";
        fields.wrong_at("output", message, "write `rule = \"two-reviewers\"` under `[release]`");
    }
    if !content.engines.iter().any(|engine| engine == "file-type") {
        let message = "`content.engines` lacks \"file-type\", which reads types and tables of an export";
        fields.wrong_at("output", message, "add \"file-type\" to `engines`");
    }
    let mut types: Vec<&str> = output.iter().flat_map(|one| one.types()).map(FileType::as_str).collect();
    types.sort_unstable();
    types.dedup();
    // What is in an archive must be of a type on the list as well.
    let is_archive = |one: &str| one.parse::<FileType>().is_ok_and(|one| one.kind() == Kind::Archive);
    if let Some(other) = content.types.iter().find(|one| !types.contains(&one.as_str()) && !is_archive(one)) {
        let message = format!("`content.types` has {other:?}, in which no output of `export.output` comes");
        fields.wrong_at("output", message, "leave it out, or name the output that it is");
    }
    if content.types.is_empty() {
        content.types = types.into_iter().map(str::to_owned).collect();
    }
    content.small_cells = Some(threshold.unwrap_or(SMALL_CELLS));
    Some(Export { output })
}
