//! The certificate authority, and the certificate of `receive` that it signs.
//!
//! A new authority stands beside the old one: what it issues is good at once, what the old one issued stays good, and `receive` still
//! shows a certificate of the old one, which every source knows. Sources learn of the new one by a statement, pin both, and renew onto
//! it. When they have, the old one is ended: `receive` gets a certificate of the new one, and the old one's are good for nothing.

use super::Zoned;
use super::plan::{Plan, Write};
use crate::commands::audit::lines;
use crate::failure::Failure;
use crate::operator::Operator;
use sluse_host::{clock, files};
use sluse_protocol::audit::Entry;
use sluse_protocol::digest::Sha256;
use sluse_protocol::key_statement::{Change, KEY_ROTATED};
use sluse_protocol::refusal::Exit;
use sluse_protocol::time::Timestamp;
use slused::control::authority::{self, Authority};
use std::collections::BTreeMap;
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

/// Bytes of the longest file of certificates.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The authorities in force, PEM, the one that issues first. One before it was begun and never finished.
///
/// # Errors
/// When the key cannot be read, or goes with none of them.
pub fn in_force(zoned: &Zoned) -> Result<Vec<String>, Failure> {
    let layout = &zoned.zone.layout;
    let path = layout.ca_certificate();
    let failed = |error: std::io::Error| Failure::file(Exit::Configuration, "read", &path, &error);
    let bytes = files::read_bounded(&path, MAX_FILE_BYTES).map_err(failed)?;
    let mut all = authority::certificates(&String::from_utf8_lossy(&bytes));
    let issuing = authority::place_of(&key(zoned)?, &all).ok_or_else(|| {
        Failure::new(Exit::Configuration, "ca.key and trust/ca.crt do not belong together")
            .hint("`sluse zone check` says what to mend")
    })?;
    Ok(all.split_off(issuing))
}

fn key(zoned: &Zoned) -> Result<Zeroizing<String>, Failure> {
    text(zoned, zoned.zone.layout.ca_key())
}

fn text(zoned: &Zoned, file: std::path::PathBuf) -> Result<Zeroizing<String>, Failure> {
    let bytes = zoned.place(file).read()?;
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether the authority can be exchanged, or the old one ended.
///
/// # Errors
/// When there is an old one already, or none, or sources still need it.
pub fn check(zoned: &Zoned, change: Change) -> Result<(), Failure> {
    let old = in_force(zoned)?.len() > 1;
    match change {
        Change::Ended if !old => Err(Failure::new(Exit::Refused, "there is no old authority")),
        Change::Ended if zoned.anyway => Ok(()),
        Change::Ended => nobody_needs_the_old(zoned),
        _ if old => Err(two_in_force()),
        _ => Ok(()),
    }
}

/// Whether `receive` can have another certificate: not one that sources do not know yet.
///
/// # Errors
/// When two authorities are in force.
pub fn check_tls(zoned: &Zoned) -> Result<(), Failure> {
    if in_force(zoned)?.len() > 1 { Err(two_in_force()) } else { Ok(()) }
}

fn two_in_force() -> Failure {
    Failure::new(Exit::Refused, "an old authority is still in force beside the one that issues")
        .hint("end that first: sluse zone rotate ca --end-old")
}

fn nobody_needs_the_old(zoned: &Zoned) -> Result<(), Failure> {
    let needing = needing_old(&Operator::of(&zoned.zone.layout)?)?;
    if needing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = needing.iter().map(String::as_str).collect();
    let message = format!("{} have certificates of the old authority alone", names.join(", "));
    Err(Failure::new(Exit::Refused, message)
        .hint("they move at their next connection; one that does not come back: `sluse source revoke`")
        .hint("where the old authority's key was stolen: --anyway, and those sources enrol anew"))
}

/// Sources whose only certificates in force are of the authority before the one that issues, as the audit log shows.
///
/// # Errors
/// When the zone gives no answer.
pub fn needing_old(operator: &Operator) -> Result<Vec<String>, Failure> {
    let mut moved: BTreeMap<String, (bool, Timestamp)> = BTreeMap::new();
    lines::of_zone(operator, u64::MAX, |line| {
        if ![KEY_ROTATED, "source-"].iter().any(|act| line.contains(act)) {
            return Ok(());
        }
        let entry: Entry = serde_json::from_str(line)
            .map_err(|error| Failure::new(Exit::Integrity, "an audit entry cannot be read").because(&error))?;
        let detail = |name: &str| entry.details.get(name).and_then(|it| it.as_str());
        match entry.act.as_str() {
            KEY_ROTATED if (detail("key"), detail("change")) == (Some("ca"), Some("rotated")) => {
                moved.values_mut().for_each(|it| it.0 = false);
            }
            "source-enrolled" | "source-renewed" => {
                // Without an end it is a certificate of an outside authority.
                let expires = detail("expires").and_then(|text| text.parse().ok());
                if let (Some(source), Some(expires)) = (entry.actor.strip_prefix("source "), expires) {
                    moved.insert(source.to_owned(), (true, expires));
                }
            }
            "source-revoked" => {
                if let Some(source) = detail("source") {
                    moved.remove(source);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    let now = clock::now();
    Ok(moved.into_iter().filter(|(_, (moved, expires))| !moved && *expires > now).map(|(source, _)| source).collect())
}

/// A new authority beside the one that there is.
///
/// # Errors
/// When it cannot be made.
pub fn rotate(zoned: &Zoned, plan: Plan) -> Result<Plan, Failure> {
    let layout = &zoned.zone.layout;
    let new = authority::create(&zoned.zone.settings.zone.name, clock::now()).map_err(fault)?;
    let authorities: Vec<String> = std::iter::once(new.ca_certificate.clone()).chain(plan.authorities).collect();
    let key = Zeroizing::new(new.ca_key.as_bytes().to_vec());
    let writes = vec![
        Write::Public(layout.ca_certificate(), authorities.concat()),
        Write::Private(zoned.place(layout.ca_key()), key),
    ];
    Ok(Plan { public: fingerprint(&new.ca_certificate), authorities, writes, ..plan })
}

/// The authority that issues, alone. Before anybody hears of that, `receive` has a certificate of it.
///
/// # Errors
/// When that certificate cannot be made.
pub fn end(zoned: &Zoned, plan: Plan) -> Result<Plan, Failure> {
    let layout = &zoned.zone.layout;
    let authorities: Vec<String> = plan.authorities.into_iter().take(1).collect();
    let tls_key = text(zoned, layout.tls_key())?;
    let (_, certificate) =
        issuing(zoned, &authorities)?.issue_server(Some(tls_key.as_str()), clock::now()).map_err(fault)?;
    let first = vec![Write::Public(layout.tls_certificate(), certificate)];
    let writes = vec![Write::Public(layout.ca_certificate(), authorities.concat())];
    let public = authorities.first().and_then(|pem| fingerprint(pem));
    Ok(Plan { public, authorities, first, writes, ..plan })
}

/// A new TLS key and certificate. The file of certificates has both while the key is replaced: `receive` takes the one that goes with it.
///
/// # Errors
/// When they cannot be made.
pub fn rotate_tls(zoned: &Zoned, plan: Plan) -> Result<Plan, Failure> {
    let layout = &zoned.zone.layout;
    let path = layout.tls_certificate();
    let failed = |error: std::io::Error| Failure::file(Exit::Configuration, "read", &path, &error);
    let old = files::read_bounded(&path, MAX_FILE_BYTES).map_err(failed)?;
    let old = authority::certificates(&String::from_utf8_lossy(&old));
    let old_key = text(zoned, layout.tls_key())?;
    let old = authority::place_of(&old_key, &old).map_or(String::new(), |place| old[place].clone());
    let (key, certificate) = issuing(zoned, &plan.authorities)?.issue_server(None, clock::now()).map_err(fault)?;
    let key = Zeroizing::new(key.as_bytes().to_vec());
    let writes = vec![
        Write::Public(path.clone(), format!("{certificate}{old}")),
        Write::Private(zoned.place(layout.tls_key()), key),
        Write::Public(path, certificate.clone()),
    ];
    Ok(Plan { public: fingerprint(&certificate), writes, ..plan })
}

fn issuing(zoned: &Zoned, authorities: &[String]) -> Result<Authority, Failure> {
    Authority::from_pem(&key(zoned)?, authorities.concat())
        .map_err(|what| Failure::new(Exit::Configuration, format!("the certificate authority: {what}")))
}

fn fingerprint(pem: &str) -> Option<String> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    Some(format!("SHA-256 {}", Sha256::of(&pem.contents)))
}

fn fault(error: authority::AuthorityError) -> Failure {
    Failure::new(Exit::Fault, "the new key or certificate could not be made").because(&error)
}
