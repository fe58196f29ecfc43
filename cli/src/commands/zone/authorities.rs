//! Whether the files of outside authorities can be used, and by whom they may be read and written.

use super::check::Found;
use super::places::Accounts;
use sluse_host::clock;
use sluse_host::config::Zone;
use slused::outside::Outside;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Looks at all of them.
pub fn look(zone: &Zone, accounts: &Accounts, found: &mut Found) {
    for authority in &zone.settings.authorities {
        for file in std::iter::once(&authority.certificates).chain(&authority.revocation_lists) {
            permissions(&zone.layout.root().join(file), accounts, found);
        }
    }
    for trouble in Outside::new(zone).troubles(clock::now()) {
        match trouble.problem {
            true => found.problem(trouble.message, trouble.hint),
            false => found.warning(trouble.message, trouble.hint),
        }
    }
}

/// Nobody may write it who is not trusted with who gets in; the users of `receive` and `control` read it.
fn permissions(file: &Path, accounts: &Accounts, found: &mut Found) {
    // What is not there at all is a trouble of the authority.
    let Ok(metadata) = std::fs::metadata(file) else { return };
    let (mode, path) = (metadata.permissions().mode(), file.display());
    if mode & 0o022 != 0 {
        let what = format!("{path} may be written by its group or anybody (mode {:04o})", mode & 0o7777);
        found.problem(what, format!("chmod go-w {path}"));
    }
    if accounts.complete() && mode & 0o004 == 0 {
        let what = format!("{path} cannot be read by sluse-receive and sluse-control (mode {:04o})", mode & 0o7777);
        found.problem(what, format!("chmod o+r {path}: it holds no secret"));
    }
}
