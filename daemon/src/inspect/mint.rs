//! Makes transfer identities: wrapped and durable before anyone is told their public halves.

use super::identities;
use crate::quarantine::identity::{self, BadIdentity, RoleKey};
use age::x25519::{Identity, Recipient};
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::roles::Role;
use std::io;
use std::path::{Path, PathBuf};

/// The most identities made at once.
const MAX_COUNT: u16 = 100;

/// Bytes of the note of identities that `control` was not told of: a hundred lines.
const MAX_NOTE_BYTES: u64 = 64 * 1024;

/// Makes `count` identities, wrapped to `quarantine`; returns their public halves. Until [`told`], a note names them, so that
/// what a crash leaves untold is found again.
///
/// # Errors
/// When they could not be made durable; the note says what lies there.
pub fn mint(layout: &Layout, quarantine: &Recipient, count: u16) -> io::Result<Vec<String>> {
    let made: Vec<Identity> = (0..count.min(MAX_COUNT)).map(|_| Identity::generate()).collect();
    let recipients: Vec<String> = made.iter().map(|made| made.to_public().to_string()).collect();
    if note(layout).exists() {
        // Of an attempt that failed: nobody was told, so nobody uses them.
        for recipient in read_note(layout)? {
            remove(&layout.identity(&recipient))?;
        }
    }
    files::replace(&note(layout), (recipients.join("\n") + "\n").as_bytes(), 0o600)?;
    made.iter().zip(&recipients).try_for_each(|(made, recipient)| write(layout, quarantine, made, recipient))?;
    files::sync_folder(&layout.identities())?;
    Ok(recipients)
}

fn write(layout: &Layout, quarantine: &Recipient, made: &Identity, recipient: &str) -> io::Result<()> {
    let wrapped = identity::wrap(made, quarantine).map_err(|error: BadIdentity| io::Error::other(error))?;
    files::write_new(&layout.identity(recipient), &wrapped, 0o600)
}

/// `control` knows of what was made last.
///
/// # Errors
/// When the note cannot be removed.
pub fn told(layout: &Layout) -> io::Result<()> {
    remove(&note(layout))
}

/// Identities that lie there and that `control` may not have been told of, since the process that made them ended; `None`
/// when there is no note of any. To tell of them once more changes nothing. Those that are not whole are removed.
///
/// # Errors
/// When the note or a file cannot be read or removed.
pub fn untold(layout: &Layout, quarantine: &RoleKey) -> io::Result<Option<Vec<String>>> {
    if !note(layout).exists() {
        return Ok(None);
    }
    let (whole, torn): (Vec<_>, Vec<_>) =
        read_note(layout)?.into_iter().partition(|recipient| identities::open(layout, quarantine, recipient).is_ok());
    torn.iter().try_for_each(|recipient| remove(&layout.identity(recipient)))?;
    files::sync_folder(&layout.identities())?;
    tracing::info!(whole = whole.len(), torn = torn.len(), "identities from before are told of once more");
    Ok(Some(whole))
}

fn note(layout: &Layout) -> PathBuf {
    layout.role(Role::Inspect).join("minted")
}

/// The note's public halves; a line that is none is not one.
fn read_note(layout: &Layout) -> io::Result<Vec<String>> {
    let text = files::read_bounded(&note(layout), MAX_NOTE_BYTES)?;
    let lines = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect::<Vec<_>>();
    Ok(lines.into_iter().filter(|line| identities::check_name(line).is_ok()).collect())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::testing::TestZone;

    #[test]
    fn minted_identities_open_with_the_quarantine_key_alone() {
        let zone = TestZone::new();
        let recipients = mint(zone.layout(), &zone.quarantine.to_public(), 3).unwrap();
        assert_eq!(recipients.len(), 3);
        for recipient in &recipients {
            let wrapped = std::fs::read(zone.layout().identity(recipient)).unwrap();
            assert!(identity::unwrap(&wrapped, &zone.quarantine, recipient).is_ok());
            assert!(identity::unwrap(&wrapped, &zone.deliver, recipient).is_err());
        }
    }

    #[test]
    fn what_a_crash_left_untold_is_found_again_and_what_is_torn_is_removed() {
        let zone = TestZone::new();
        let (layout, public) = (zone.layout(), zone.quarantine.to_public());
        assert_eq!(untold(layout, &zone.key()).unwrap(), None);
        let mut made = mint(layout, &public, 3).unwrap();
        std::fs::write(layout.identity(&made[1]), b"torn").unwrap();
        let torn = made.remove(1);
        assert_eq!(untold(layout, &zone.key()).unwrap(), Some(made.clone()));
        assert!(!layout.identity(&torn).exists() && layout.identity(&made[0]).exists());
        told(layout).unwrap();
        assert_eq!(untold(layout, &zone.key()).unwrap(), None);
    }

    #[test]
    fn a_batch_that_was_never_told_is_replaced_by_the_next() {
        let zone = TestZone::new();
        let (layout, public) = (zone.layout(), zone.quarantine.to_public());
        let first = mint(layout, &public, 2).unwrap();
        let second = mint(layout, &public, 2).unwrap();
        assert!(first.iter().all(|recipient| !layout.identity(recipient).exists()));
        assert_eq!(untold(layout, &zone.key()).unwrap(), Some(second));
    }
}
