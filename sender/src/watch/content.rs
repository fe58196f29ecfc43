//! What an entry of an outbox stands for.

use super::judge::Failure;
use super::record::Why;
use super::settings::Outbox;
use crate::given::Files;
use sluse_protocol::ids::DatasetName;
use std::sync::Arc;

/// A dataset as it is sent.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its name.
    pub dataset: DatasetName,
    /// Its files.
    pub files: Files,
}

/// Says what the entry of a name in an outbox stands for, each time that it is sent.
pub type Contents = Arc<dyn Fn(&Outbox, &str) -> Result<Content, Failure> + Send + Sync>;

/// An entry is what lies there.
///
/// # Errors
/// When its name cannot be a dataset's, where it should be.
pub fn as_it_lies(outbox: &Outbox, name: &str) -> Result<Content, Failure> {
    let Some(dataset) = outbox.dataset_of(name) else {
        let why = Why::here("its name cannot be a dataset's", "Rename it, and put it back.");
        return Err(Failure::Never(why));
    };
    Ok(Content { dataset, files: Files::At(vec![outbox.folder.join(name)]) })
}
