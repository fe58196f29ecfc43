//! Makes transfer identities: wrapped and durable before anyone is told their public halves.

use crate::quarantine::identity::{self, BadIdentity};
use age::x25519::{Identity, Recipient};
use sluse_host::files;
use sluse_host::layout::Layout;
use std::io;

/// The most identities made at once.
const MAX_COUNT: u16 = 100;

/// Makes `count` identities, wrapped to `quarantine`; returns their public halves.
///
/// # Errors
/// When they could not be made durable; those that lie there then are used by nobody.
pub fn mint(layout: &Layout, quarantine: &Recipient, count: u16) -> io::Result<Vec<String>> {
    let recipients = (0..count.min(MAX_COUNT)).map(|_| one(layout, quarantine)).collect::<io::Result<_>>()?;
    files::sync_folder(&layout.identities())?;
    Ok(recipients)
}

fn one(layout: &Layout, quarantine: &Recipient) -> io::Result<String> {
    let made = Identity::generate();
    let recipient = made.to_public().to_string();
    let wrapped = identity::wrap(&made, quarantine).map_err(|error: BadIdentity| io::Error::other(error))?;
    files::write_new(&layout.identity(&recipient), &wrapped, 0o600)?;
    Ok(recipient)
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
}
