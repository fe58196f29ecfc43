//! What a document is to a FHIR export: lines of resources with their types, or the manifest that names the files.

use super::json_path::Path;
use crate::bulk::{Bulk, MAX_FILE_BYTES, MAX_OUTPUTS, MAX_TYPE_BYTES, MAX_TYPES, Output, is_type};
use std::collections::BTreeMap;

/// Bytes of an address that are kept: its end counts, but is cut off where it is longer.
const ADDRESS_BYTES: usize = 2048;

/// The lists of a manifest that name files.
const LISTS: [&[u8]; 4] = [b"output", b"deleted", b"error", b"outcome"];

/// Listens to a document as it is read.
pub struct Listener {
    /// Whether each line is an object of its own.
    lines: bool,
    field: Option<Field>,
    value: Vec<u8>,
    /// The type of the line's resource.
    of: Option<String>,
    resources: BTreeMap<String, u64>,
    outputs: Vec<Output>,
    output: Option<Output>,
    /// Whether it has what every manifest has.
    dated: bool,
    listed: bool,
    too_many: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    ResourceType,
    Time,
    Type,
    Address,
}

impl Listener {
    /// Listens to a document, or to lines of objects.
    pub fn new(lines: bool) -> Self {
        Self {
            lines,
            field: None,
            value: Vec::new(),
            of: None,
            resources: BTreeMap::new(),
            outputs: Vec::new(),
            output: None,
            dated: false,
            listed: false,
            too_many: false,
        }
    }

    /// A string begins.
    pub fn begin(&mut self, path: &Path) {
        self.field = match path.depth() {
            1 if self.lines => (path.key() == b"resourceType").then_some(Field::ResourceType),
            1 => (path.key() == b"transactionTime").then_some(Field::Time),
            3 if !self.lines && in_list(path) => match path.key() {
                b"type" => Some(Field::Type),
                b"url" => Some(Field::Address),
                _ => None,
            },
            _ => None,
        };
        self.value.clear();
    }

    /// A piece of a string.
    pub fn piece(&mut self, bytes: &[u8]) {
        if self.field.is_some() {
            let room = ADDRESS_BYTES.saturating_sub(self.value.len()).min(bytes.len());
            self.value.extend_from_slice(&bytes[..room]);
        }
    }

    /// The string has ended.
    pub fn end(&mut self) {
        let Some(field) = self.field.take() else { return };
        let value = String::from_utf8_lossy(&self.value);
        match field {
            Field::ResourceType => self.of = Some(value.into_owned()),
            Field::Time => self.dated = true,
            Field::Type => {
                let of = value[..value.floor_char_boundary(MAX_TYPE_BYTES)].to_owned();
                self.draft().of = of;
            }
            Field::Address => {
                let path = value.split(['?', '#']).next().unwrap_or_default();
                let file = path.rsplit('/').next().unwrap_or_default();
                let file = file[..file.floor_char_boundary(MAX_FILE_BYTES)].to_owned();
                self.draft().file = file;
            }
        }
    }

    /// A number, or another word.
    pub fn word(&mut self, path: &Path, word: &[u8]) {
        if !self.lines && path.depth() == 3 && path.key() == b"count" && in_list(path) {
            let count = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
            self.draft().count = count;
        }
    }

    /// The innermost object or array is about to close.
    pub fn close(&mut self, path: &Path) {
        match path.depth() {
            1 if self.lines => self.line(),
            2 if !self.lines => self.listed |= path.key_at(0) == b"output",
            3 => {
                if let Some(output) = self.output.take() {
                    self.too_many |= self.outputs.len() == MAX_OUTPUTS;
                    if !self.too_many {
                        self.outputs.push(output);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the document names more files than are compared.
    pub fn names_too_many(&self) -> bool {
        self.too_many && self.dated
    }

    /// What the document is, if it is of an export.
    pub fn finish(&mut self) -> Option<Bulk> {
        if self.lines {
            let any = self.resources.keys().any(|of| !of.is_empty());
            return any.then(|| Bulk::Resources(std::mem::take(&mut self.resources)));
        }
        (self.dated && self.listed).then(|| Bulk::Manifest(std::mem::take(&mut self.outputs)))
    }

    fn line(&mut self) {
        // What is no type is counted with what has none.
        let mut of = self.of.take().filter(|of| is_type(of)).unwrap_or_default();
        // So are those of types beyond.
        if self.resources.len() >= MAX_TYPES && !self.resources.contains_key(&of) {
            of.clear();
        }
        *self.resources.entry(of).or_default() += 1;
    }

    fn draft(&mut self) -> &mut Output {
        self.output.get_or_insert_with(|| Output { of: String::new(), file: String::new(), count: None })
    }
}

/// Whether the object that is open stands in a list of files.
fn in_list(path: &Path) -> bool {
    LISTS.contains(&path.key_at(0))
}
