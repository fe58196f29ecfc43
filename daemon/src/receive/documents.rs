//! Plans and manifests on their way to `control`: how many bytes of them one source may have announced at a time.

use super::bounds;
use super::pool::lock;
use sluse_protocol::ids::SourceName;
use sluse_protocol::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Bytes that were announced and have not arrived yet, by source.
#[derive(Debug, Default)]
pub struct Documents(Mutex<HashMap<SourceName, u64>>);

/// A document on its way; it counts until this is dropped.
#[derive(Debug)]
pub struct Announced {
    documents: Arc<Documents>,
    source: SourceName,
    bytes: u64,
}

impl Documents {
    /// Counts a document of `bytes` bytes.
    ///
    /// # Errors
    /// When the source has more under way than one may.
    pub fn announce(self: &Arc<Self>, source: &SourceName, bytes: u64) -> Result<Announced, Refusal> {
        let mut all = lock(&self.0);
        let announced = all.get(source).copied().unwrap_or(0).saturating_add(bytes);
        if announced > bounds::DOCUMENTS_BYTES {
            return Err(Refusal::new(Code::Busy, "this source has too many plans and manifests under way"));
        }
        all.insert(source.clone(), announced);
        Ok(Announced { documents: Arc::clone(self), source: source.clone(), bytes })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut all = lock(&self.documents.0);
        let left = all.get(&self.source).copied().unwrap_or(0).saturating_sub(self.bytes);
        if left == 0 {
            all.remove(&self.source);
        } else {
            all.insert(self.source.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::limits::MAX_DOCUMENT_BYTES;

    #[test]
    fn one_source_cannot_have_more_under_way_than_its_part_and_gets_it_back() {
        let documents = Arc::new(Documents::default());
        let [greedy, other] = ["greedy", "other"].map(|name| name.parse::<SourceName>().unwrap());
        let under_way: Vec<_> = (0..16).filter_map(|_| documents.announce(&greedy, MAX_DOCUMENT_BYTES).ok()).collect();
        assert_eq!(under_way.len() as u64, bounds::DOCUMENTS_BYTES / MAX_DOCUMENT_BYTES);
        assert_eq!(documents.announce(&greedy, 1).unwrap_err().code, Code::Busy);
        let others = documents.announce(&other, MAX_DOCUMENT_BYTES).unwrap();
        drop((under_way, others));
        assert!(lock(&documents.0).is_empty());
        documents.announce(&greedy, MAX_DOCUMENT_BYTES).unwrap();
    }
}
