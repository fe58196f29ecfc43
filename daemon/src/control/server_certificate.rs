//! Certificates that `receive` gets for the key that it has, and asks for by itself when its own comes to its end.
//!
//! Only a key that the authority certified before, as the zone was made or its key exchanged, gets one: whoever breaks into `receive` has no
//! more than what it has anyway.

use super::authority::{self, Issued};
use super::enrolment;
use super::failure::{Failure, refuse};
use super::shared::Control;
use super::store::Who;
use serde_json::json;
use sluse_protocol::digest::Sha256;
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::ReceiveReply;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What was issued, by the digest of its key: asked again, the same comes back for as long as it is fresh, and the log does not grow.
#[derive(Debug, Default)]
pub struct Renewals(Mutex<HashMap<Sha256, Issued>>);

/// Gives `receive` another certificate over one that it has (DER): not of an authority that sources may not know yet.
///
/// # Errors
/// The refusal: two authorities are in force, or the certificate is not one of `receive`'s.
pub fn renew(control: &Control, shown: &[u8]) -> Result<ReceiveReply, Failure> {
    if authority::certificates(control.authority.ca_pem()).len() > 1 {
        return refuse(Code::WrongState, "an old authority is still in force: `sluse zone rotate ca --end-old`");
    }
    let key = control.authority.server_key(shown).map_err(enrolment::authority)?;
    let now = control.store.now();
    let mut renewals = control.renewals.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fresh) = renewals.get(&key.digest()).filter(|issued| !authority::is_server_due(issued, now)) {
        return Ok(ReceiveReply::Renewed { certificate: fresh.certificate_pem.clone() });
    }
    let issued = control.authority.renew_server(&key, now).map_err(enrolment::authority)?;
    control.store.write(|write| {
        let details = json!({"certificate": issued.certificate_sha256, "expires": issued.expires});
        write.record(&Who::Control, "receive-certified", None, details)
    })?;
    let certificate = issued.certificate_pem.clone();
    renewals.insert(key.digest(), issued);
    Ok(ReceiveReply::Renewed { certificate })
}
