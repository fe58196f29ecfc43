//! The appliance's next version: its own program, which only its image has, knows where the places for versions are.

use super::bundle::{failed, malformed};
use sluse_protocol::refusal::{Code, Refusal};
use std::path::Path;
use std::process::{Command, Stdio};

/// That program; `image/README.md` describes it.
const INSTALLER: &str = "/usr/lib/sluse/install-version";

/// How it ends when what it is given is no version of the appliance, or not a newer one.
const MALFORMED: i32 = 3;
const OLDER: i32 = 4;

/// Whether a folder holds a newer version than the one that runs, which may be put into the other place.
///
/// # Errors
/// When it does not, or this host is no appliance.
pub fn check(folder: &Path) -> Result<(), Refusal> {
    run("check", folder)
}

/// Writes it to the other place, to be tried at the next start.
///
/// # Errors
/// When that fails; then the version that runs starts again.
pub fn install(folder: &Path) -> Result<(), Refusal> {
    run("install", folder)
}

fn run(what: &str, folder: &Path) -> Result<(), Refusal> {
    if !Path::new(INSTALLER).exists() {
        return Err(Refusal::new(Code::UpdateNoPlace, "this host is no appliance"));
    }
    let mut command = Command::new(INSTALLER);
    let ended = command.arg(what).arg(folder).stdin(Stdio::null()).output().map_err(failed("run the installer"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim().lines().last().unwrap_or("the installer failed").to_owned();
    match ended.status.code() {
        Some(0) => Ok(()),
        Some(OLDER) => Err(Refusal::new(Code::UpdateOlder, said)),
        Some(MALFORMED) => Err(malformed(said)),
        _ => Err(Refusal::new(Code::UpdateFailed, said)),
    }
}
