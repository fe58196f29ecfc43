//! Hosts that write extracts often run Windows: what a port must replace stands in one module.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail them")]

use std::fs;
use std::path::{Path, PathBuf};

/// What only one system has.
const OF_ONE_SYSTEM: [&str; 8] =
    ["nix::", "libc::", "rustix::", "std::os::", "signal::unix", "sd_notify::", "UnixStream", "/proc/"];

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

/// Checks that of a crate's files none but those of its module `os`, and what is `only_linux`, call what only one system has.
#[track_caller]
fn check(crate_folder: &str, only_linux: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate_folder).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    found.retain(|path| calls(&fs::read_to_string(path).unwrap()));
    let (os, others): (Vec<PathBuf>, Vec<PathBuf>) =
        found.into_iter().partition(|path| path.starts_with(root.join("os")) || *path == root.join("os.rs"));
    let unexpected: Vec<PathBuf> =
        others.into_iter().filter(|path| !only_linux.iter().any(|it| path.starts_with(root.join(it)))).collect();
    assert_eq!(unexpected, [] as [PathBuf; 0]);
    assert!(!os.is_empty(), "what is looked for is found where it is");
}

fn calls(text: &str) -> bool {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.any(|line| OF_ONE_SYSTEM.iter().any(|it| line.contains(it)))
}

#[test]
fn one_module_of_the_sender_and_one_of_what_it_shares_call_what_only_one_system_has() {
    check("sender", &[]);
    // The zone's: its roles' journal and sockets.
    check("host", &["journal.rs", "rpc.rs"]);
}

#[test]
fn of_the_command_line_one_module_and_what_operators_do_call_what_only_one_system_has() {
    check(
        "cli",
        &[
            "commands/audit",
            "commands/demo",
            "commands/gateway.rs",
            "commands/metrics.rs",
            "commands/register",
            "commands/room.rs",
            "commands/update",
            "commands/zone",
            // What `demo` and `sandbox` run.
            "landing_zone.rs",
        ],
    );
}
