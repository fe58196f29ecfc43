//! Tests an engine on its sample, through the same code that guards it on real files.

use super::engine::{Engine, FileFacts, Guarded, Verdict};
use sluse_protocol::digest::Sha256;
use sluse_protocol::path::DataPath;
use std::sync::Arc;

/// Whether `engine` finds in its sample what it must.
///
/// # Errors
/// Why it is not to be trusted, in a sentence.
pub fn run(engine: &dyn Engine) -> Result<(), String> {
    let sample = engine.sample();
    let own = engine.for_transfer(sample.bytes.len() as u64);
    let engine = own.as_deref().unwrap_or(engine);
    // A name that every engine takes: it must judge by content.
    let Ok(path) = "self-test".parse::<DataPath>() else { return Err("no name for the test file".into()) };
    let file = FileFacts { path, size: sample.bytes.len() as u64, content: Arc::default() };
    let mut scan = Guarded::begin(engine, &file);
    let (first, second) = sample.bytes.split_at(sample.bytes.len() / 2);
    scan.feed(first);
    scan.feed(second);
    match scan.finish(&Sha256::of(&sample.bytes)) {
        Verdict::NotInspected(reason) => Err(reason),
        Verdict::Read { seen, .. } if seen.iter().any(|one| one.class == sample.class) => Ok(()),
        Verdict::Read { .. } => Err(format!("it did not find {} in its test file", sample.class)),
    }
}
