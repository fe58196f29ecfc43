//! Lays receipts that come after the delivery beside their bag.

use super::error::DeliverError;
use super::place::Place;
use crate::zone_signers::ZoneSigners;
use sluse_protocol::receipt::ReceiptKind;
use std::io::{self, Write as _};

/// Writes statement and signature into `<bag>.receipts/`, durably; those that lie there already are replaced by the same.
///
/// # Errors
/// When the signature is not `control`'s, or the room fails.
pub fn lay_beside(
    rooms: &Place,
    room_folder: &str,
    bag: &str,
    kind: ReceiptKind,
    (statement, signature): (&[u8], &str),
    signers: &ZoneSigners,
) -> Result<(), DeliverError> {
    check(kind, (statement, signature), signers)?;
    let lay = || -> io::Result<()> {
        let room = rooms.folder(room_folder)?;
        let receipts = room.make(&format!("{bag}.receipts"), 0o755)?;
        replace(&receipts, &format!("{kind}.json.sig"), signature.as_bytes())?;
        replace(&receipts, &format!("{kind}.json"), statement)?;
        receipts.sync()?;
        match bag.rsplit_once('/') {
            Some((dataset, _)) => room.folder(dataset)?.sync(),
            None => room.sync(),
        }
    };
    lay().map_err(DeliverError::io("laying the receipt beside the bag"))
}

/// That a receipt is `control`'s.
///
/// # Errors
/// When its signature is not.
pub fn check(
    kind: ReceiptKind,
    (statement, signature): (&[u8], &str),
    signers: &ZoneSigners,
) -> Result<(), DeliverError> {
    let bad = |error| DeliverError::Fault(format!("the {kind} receipt: {error}"));
    signers.receipt(statement, signature).map(drop).map_err(bad)
}

/// A file that is there whole or not at all.
fn replace(place: &Place, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!(".{name}.new");
    place.remove_tree(&temporary)?;
    let mut file = place.create(&temporary, 0o644)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    place.replace(&temporary, name)
}
