//! The findings of one transfer: counted by class, the gravest kept.

use sluse_protocol::agreement::Content;
use sluse_protocol::finding::{Action, Class, Finding};
use sluse_protocol::limits::MAX_FINDINGS;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of JSON that the kept findings take: they travel in the body of one frame.
const MAX_JSON_BYTES: usize = 900 * 1024;

/// Findings by what the agreement has them lead to, gravest last.
pub struct Findings {
    content: Arc<Content>,
    kept: BTreeMap<Action, Vec<Finding>>,
    counts: BTreeMap<Class, u64>,
}

impl Findings {
    /// None yet.
    pub fn new(content: Arc<Content>) -> Self {
        Self { content, kept: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// Counts a finding, and keeps it unless there are many as grave already.
    pub fn add(&mut self, finding: Finding) {
        *self.counts.entry(finding.class).or_default() += 1;
        let action = self.content.action(finding.class);
        // That an engine was missing altogether holds whatever the agreement says of files.
        let action = if finding.file.is_none() { action.max(Action::Hold) } else { action };
        let kept = self.kept.entry(action).or_default();
        if kept.len() < MAX_FINDINGS {
            kept.push(finding);
        }
    }

    /// How many there were of each class, and those kept, gravest first, as a JSON array of bounded length.
    pub fn finish(self) -> (BTreeMap<Class, u64>, Vec<u8>) {
        let mut json = b"[".to_vec();
        for finding in self.kept.into_values().rev().flatten().take(MAX_FINDINGS) {
            // Serialising cannot fail: no maps, no fallible implementations.
            let text = serde_json::to_vec(&finding).unwrap_or_default();
            if json.len() + text.len() + 2 > MAX_JSON_BYTES {
                break;
            }
            if json.len() > 1 {
                json.push(b',');
            }
            json.extend_from_slice(&text);
        }
        json.push(b']');
        (self.counts, json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(class: Class, path_bytes: usize) -> Finding {
        let path = vec!["x".repeat(200); path_bytes.div_ceil(201)].join("/");
        let file = Some(path.parse().unwrap());
        Finding { engine: "e".into(), class, file, offset: None, message: "m".into() }
    }

    fn read(json: &[u8]) -> Vec<Finding> {
        serde_json::from_slice(json).unwrap()
    }

    #[test]
    fn the_gravest_are_kept_though_they_come_last_and_all_are_counted() {
        let mut findings = Findings::new(Arc::default());
        for _ in 0..3 * MAX_FINDINGS {
            findings.add(finding(Class::TypeMismatch, 1));
        }
        findings.add(finding(Class::NotInspected, 1));
        findings.add(finding(Class::Malware, 1));
        let (counts, json) = findings.finish();
        let kept = read(&json);
        assert_eq!((kept[0].class, kept[1].class, kept.len()), (Class::Malware, Class::NotInspected, MAX_FINDINGS));
        assert_eq!((counts[&Class::TypeMismatch], counts[&Class::Malware]), (3 * MAX_FINDINGS as u64, 1));
    }

    #[test]
    fn what_is_missing_altogether_is_kept_though_the_agreement_allows_it() {
        let actions = [(Class::NotInspected, Action::Allow)].into();
        let mut findings = Findings::new(Arc::new(Content { actions, ..Content::default() }));
        for _ in 0..3 * MAX_FINDINGS {
            findings.add(finding(Class::TypeMismatch, 1));
        }
        findings.add(Finding { file: None, ..finding(Class::NotInspected, 1) });
        assert_eq!(read(&findings.finish().1)[0].class, Class::NotInspected);
    }

    #[test]
    fn the_json_stays_within_a_frame_however_long_the_paths() {
        let mut findings = Findings::new(Arc::default());
        for _ in 0..MAX_FINDINGS {
            findings.add(finding(Class::Malware, 2000));
        }
        let (counts, json) = findings.finish();
        assert!(json.len() <= MAX_JSON_BYTES && json.len() > MAX_JSON_BYTES - 4096);
        assert!(read(&json).len() < MAX_FINDINGS);
        assert_eq!(counts[&Class::Malware], MAX_FINDINGS as u64);
        assert_eq!(read(&Findings::new(Arc::default()).finish().1), []);
    }
}
