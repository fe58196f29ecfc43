//! Opens the transfers' identities, which lie wrapped to the quarantine key.

use crate::quarantine::identity::RoleKey;
use crate::quarantine::{ReadError, identity};
use age::x25519::Identity;
use sluse_host::files;
use sluse_host::layout::Layout;
use std::io;

/// Bytes of a wrapped identity's file.
const MAX_BYTES: u64 = 4096;

/// Opens the identity whose public half is `recipient`.
///
/// # Errors
/// When there is none, or it does not open.
pub fn open(layout: &Layout, quarantine: &RoleKey, recipient: &str) -> Result<Identity, ReadError> {
    // What names a file must be what it says before it does.
    check_name(recipient)?;
    let wrapped = files::read_bounded(&layout.identity(recipient), MAX_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Fault { reason: "the transfer's identity is not there".into() },
        _ => ReadError::fault("the transfer's identity", &error),
    })?;
    quarantine
        .unwrap(&wrapped, recipient)
        .map_err(|error| ReadError::Fault { reason: format!("the transfer's identity: {error}") })
}

/// Checks that `recipient` is the public half of an identity, in its one spelling.
///
/// # Errors
/// When it is not.
pub fn check_name(recipient: &str) -> Result<(), ReadError> {
    let good = identity::recipient(recipient).is_ok_and(|parsed| parsed.to_string() == recipient);
    good.then_some(()).ok_or_else(|| ReadError::Fault { reason: "the identity's name is no age recipient".into() })
}
