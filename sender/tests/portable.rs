//! Hosts that write extracts often run Windows: what a port must replace stands in one module.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail them")]

use std::fs;
use std::path::{Path, PathBuf};

/// What only Unix has. Handles (`std::os::fd`) are passed on by others, but got and used there.
const UNIX: [&str; 6] = ["nix::", "libc::", "rustix::", "std::os::unix", "std::os::linux", "PermissionsExt"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.file_name().unwrap() != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn only_one_module_of_the_sender_calls_what_only_unix_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let calls = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        UNIX.iter().any(|unix| product.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(unix)))
    };
    let (unix, _): (Vec<PathBuf>, Vec<PathBuf>) = found.into_iter().partition(calls);
    assert_eq!(unix, [root.join("os.rs")]);
}
