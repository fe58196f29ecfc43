//! What an agreement asks of a file's content, ready for the readers.

use crate::identifiers::HashKey;
use regex::bytes::Regex;
use sluse_protocol::agreement::{BadPattern, Content};
use std::collections::HashSet;
use std::sync::Arc;

/// What the readers look for. It is made once for a transfer and shared by all its files.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The types of files that may come, by their names; none for all that are no programs.
    pub types: Arc<[String]>,
    /// The key for hashes of national numbers, where direct identifiers are forbidden; `None` where they are not looked for.
    pub identifiers: Option<HashKey>,
    /// What a whole pseudonym looks like.
    pub pseudonym: Option<Regex>,
    /// The agreement's own patterns, with their names.
    pub patterns: Vec<(String, Regex)>,
    /// The columns that tables may have; `None` for any.
    pub columns: Option<HashSet<String>>,
    /// Whether DICOM files may have private elements.
    pub private_elements: bool,
    /// Counts in cells of tables from 1 to under this are told; `None` where nobody asks.
    pub small_cells: Option<u32>,
}

impl Policy {
    /// What `content` asks; `key` is the zone's key for hashes of identifiers.
    ///
    /// # Errors
    /// A pattern that does not compile. Agreements are read so that none can have one; without it nothing may be inspected.
    pub fn new(content: &Content, key: HashKey) -> Result<Self, BadPattern> {
        let named = content.patterns.iter().map(|one| Ok((one.name.clone(), one.pattern.search()?)));
        Ok(Self {
            types: content.types.clone().into(),
            identifiers: content.forbid_identifiers.then_some(key),
            pseudonym: content.pseudonym.as_ref().map(|pattern| pattern.whole()).transpose()?,
            patterns: named.collect::<Result<_, _>>()?,
            columns: (!content.columns.is_empty()).then(|| content.columns.iter().cloned().collect()),
            private_elements: content.private_elements,
            small_cells: content.small_cells,
        })
    }

    /// Whether a whole value is a pseudonym; where the agreement says nothing of them, none can be told.
    pub fn is_pseudonym(&self, value: &[u8]) -> bool {
        self.pseudonym.as_ref().is_some_and(|pattern| pattern.is_match(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agreement_says_is_what_readers_get() {
        let mut content = Content { pseudonym: Some("P[0-9]+".parse().unwrap()), ..Content::default() };
        let policy = Policy::new(&content, HashKey::new([0; 32])).unwrap();
        assert!(policy.identifiers.is_some() && policy.columns.is_none() && !policy.private_elements);
        assert!(policy.is_pseudonym(b"P17") && !policy.is_pseudonym(b"Ola P17") && !policy.is_pseudonym(b""));
        content.forbid_identifiers = false;
        content.columns = vec!["a".into()];
        let policy = Policy::new(&content, HashKey::new([0; 32])).unwrap();
        assert!(policy.identifiers.is_none() && policy.columns.unwrap().contains("a"));
    }
}
