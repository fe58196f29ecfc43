//! What the fuzzer began with, and what it found: each is read again, by the same functions that the fuzzer calls.

#[path = "../../fuzz/src/protocol.rs"]
mod targets;

#[test]
fn every_seed_of_every_target_keeps_to_the_rules() {
    for (name, target) in targets::TARGETS {
        let folder = format!("{}/../fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut seeds = 0;
        for entry in std::fs::read_dir(&folder).expect(&folder) {
            let path = entry.expect(&folder).path();
            let bytes = std::fs::read(&path).expect(&folder);
            // A target that panics says what is wrong, and this says with which seed.
            let kept = std::panic::catch_unwind(|| target(&bytes));
            assert!(kept.is_ok(), "{}", path.display());
            seeds += 1;
        }
        assert!(seeds > 0, "{folder} has no seeds");
    }
}
