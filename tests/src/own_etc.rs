//! A copy of /etc that only one test sees (a mount namespace): users are made and removed there, and the machine's stay as they are.
//! Needs root.

use crate::command::run;
use crate::zone::text;
use std::process::Command;

/// Tells the test's second process from its first.
const INSIDE: &str = "SLUSE_TEST_HAS_ITS_OWN_ETC";

/// Runs `body`, which is the test called `name`, after the shell commands `setup` with an /etc of its own.
///
/// # Panics
/// When the test fails, or this is not root.
pub fn with_own_etc(name: &str, setup: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    assert!(nix::unistd::Uid::effective().is_root(), "this test makes users, and therefore needs root");
    let etc = tempfile::tempdir().expect("a temporary folder");
    let script =
        format!("set -e; cp -a /etc/. \"$1\"; chmod 755 \"$1\"; mount --bind \"$1\" /etc; shift\n{setup}\nexec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh", text(etc.path())]);
    let test = std::env::current_exe().expect("this test's program");
    command.arg(test).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let ended = run(command);
    assert!(ended.code == 0 && ended.stdout.contains("1 passed"), "{}\n{}", ended.stdout, ended.stderr);
}
