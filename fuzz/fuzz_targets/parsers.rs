//! Gives what libFuzzer makes up to the target that `FUZZ_TARGET` names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

#[path = "../src/content.rs"]
mod content;
#[path = "../src/protocol.rs"]
mod protocol;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(init: {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let mut known = content::TARGETS.iter().chain(protocol::TARGETS);
    let found = known.find(|(one, _)| *one == name).map(|(_, target)| *target);
    TARGET.get_or_init(|| found.expect("FUZZ_TARGET names no target of fuzz/src"));
}, |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(bytes);
    }
});
