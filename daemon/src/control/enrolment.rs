//! Who may connect: invites, enrolment, and whose a certificate is.

use super::authority::AuthorityError;
use super::failure::{Failure, refuse};
use super::shared::Control;
use super::store::{Who, rooms, sources, transfers};
use crate::outside::Accepted;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use serde_json::json;
use sluse_host::random;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{RoomName, SourceName, ZoneName};
use sluse_protocol::invite;
use sluse_protocol::key_statement;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::ReceiveReply;
use sluse_protocol::sshsig::{self, NAMESPACE_ENROL, NAMESPACE_RENEW, PublicKey};
use sluse_protocol::time::Timestamp;

/// Bytes of a certificate request; one for a P-256 key has about 400.
const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// A source may be invited anew when its certificate runs out within so many seconds.
const RENEWAL: i64 = 30 * 86_400;

/// Certificates of one source that may be in force at once: renewals whose answers were lost leave some.
const MAX_CERTIFICATES: i64 = 8;

/// Longest life of an invite, hours.
const MAX_INVITE_HOURS: u16 = 720;

/// An enrolment file: what a new source needs to reach the zone, to trust it, and to be let in once.
#[derive(Serialize)]
struct Invite<'a> {
    zone: &'a ZoneName,
    source: &'a SourceName,
    addresses: &'a [String],
    expires: Timestamp,
    token: &'a str,
    certificate: &'a str,
    key: &'a str,
    ca: &'a str,
    signer: &'a str,
}

/// The zone's signing keys, those that were in force included, as lines of an `allowed_signers` file.
fn signer_lines(control: &Control) -> String {
    let signer = &control.store.signer;
    key_statement::allowed_signers(&signer.zone, signer.chain.signers())
}

/// Makes an invite: its text, and until when it is good. A source of a room exports out of it, and does nothing else.
///
/// # Errors
/// When the source is enrolled, its room is not known or is another than it was, or no certificate can be made.
pub fn invite(
    control: &Control,
    operator: &Who,
    name: &SourceName,
    hours: u16,
    room: Option<&RoomName>,
) -> Result<(zeroize::Zeroizing<String>, Timestamp), Failure> {
    if !(1..=MAX_INVITE_HOURS).contains(&hours) {
        return refuse(Code::Invalid, format!("an invite is good for 1 to {MAX_INVITE_HOURS} hours"));
    }
    let secret = random::bytes::<32>().map_err(Failure::io("random bytes"))?;
    let token = zeroize::Zeroizing::new(Sha256(*secret).to_string());
    let now = control.store.now();
    let bootstrap = control.authority.issue_bootstrap(name, now, hours).map_err(authority)?;
    let text = toml::to_string(&Invite {
        zone: &control.store.signer.zone,
        source: name,
        addresses: &control.settings.receive.advertise,
        expires: bootstrap.expires,
        token: &token,
        certificate: &bootstrap.certificate_pem,
        key: &bootstrap.key_pem,
        ca: control.authority.ca_pem(),
        signer: &signer_lines(control),
    });
    let text = zeroize::Zeroizing::new(text.map_err(|error| Failure::broken(error.to_string()))?);
    control.store.write(|write| {
        check_invitable(&write.sql, name, write.now)?;
        check_of_room(&write.sql, name, room)?;
        let certificate = &bootstrap.certificate_sha256;
        sources::insert_invite(write, name, certificate, &Sha256::of(token.as_bytes()), bootstrap.expires, room)?;
        let details = json!({"source": name, "certificate": certificate, "expires": bootstrap.expires, "room": room});
        write.record(operator, "source-invited", None, details)
    })?;
    Ok((text, bootstrap.expires))
}

/// A name in use is not given to new keys by mistake: only when its certificate is about to run out, when it never sent
/// anything (its answer may have been lost), or after it was shut out.
fn check_invitable(sql: &rusqlite::Connection, name: &SourceName, now: Timestamp) -> Result<(), Failure> {
    let Some(source) = sources::find(sql, name)? else { return Ok(()) };
    // One without a certificate of this zone has an outside authority's, which is not renewed here.
    let renewable = sources::certified_until(sql, name)?.is_some_and(|until| until < now.plus(RENEWAL));
    if source.revoked.is_some() || renewable || transfers::latest(sql, name, 1)?.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::new(Code::NameTaken, format!("source {name} is enrolled"));
    Err(refusal.hint("To give its name to new keys, shut the old ones out first: `sluse source revoke`.").into())
}

/// The room must be known, and a source that is or was a room's stays that room's: agreements rest on it.
fn check_of_room(sql: &rusqlite::Connection, name: &SourceName, room: Option<&RoomName>) -> Result<(), Failure> {
    if let Some(room) = room
        && rooms::find(sql, room)?.is_none()
    {
        return refuse(Code::UnknownName, format!("there is no room {room}"));
    }
    match sources::find(sql, name)? {
        Some(source) if source.room.as_ref() != room => {
            let message = match source.room {
                Some(room) => format!("source {name} is of room {room}, and stays so"),
                None => format!("source {name} is of no room, and stays so"),
            };
            let refusal = Refusal::new(Code::Invalid, message);
            Err(refusal.hint("Invite it as it was, or give the new one another name.").into())
        }
        _ => Ok(()),
    }
}

/// Whose certificate this is (DER).
///
/// # Errors
/// The refusal: not known, shut out, or no longer good.
pub fn identify(control: &Control, certificate: &[u8]) -> Result<ReceiveReply, Failure> {
    let (sha256, now) = (Sha256::of(certificate), control.store.now());
    let ours = control.store.read(|sql| ours(control, sql, &sha256, now))?;
    if let Some(source) = ours {
        return Ok(ReceiveReply::Peer { source });
    }
    // Not while the store is held: others read and write meanwhile.
    let source = accepted(control, &certificate.into(), now)?.source;
    control.store.read(|sql| {
        if sources::find(sql, &source)?.is_none() {
            let refusal = Refusal::new(Code::UnknownCertificate, "the certificate's source is not enrolled yet");
            return Err(refusal
                .hint("Enrol with an invite and this certificate: `sluse enroll --certificate`.")
                .into());
        }
        sources::enrolled(sql, &source)?;
        Ok(ReceiveReply::Peer { source: Some(source.clone()) })
    })
}

/// Whose certificate it is if this zone issued it, no source's where it is an invite's; none where an outside authority may
/// know.
fn ours(
    control: &Control,
    sql: &rusqlite::Connection,
    certificate: &Sha256,
    now: Timestamp,
) -> Result<Option<Option<SourceName>>, Failure> {
    if let Some(known) = sources::certificate(sql, certificate)? {
        sources::enrolled(sql, &known.source)?;
        if known.withdrawn {
            return refuse(Code::UnknownCertificate, "a later enrolment replaced this certificate");
        }
        if known.expires < now {
            return refuse(Code::CertificateExpired, format!("the certificate was good until {}", known.expires));
        }
        return Ok(Some(Some(known.source)));
    }
    if !control.outside.is_empty() && sources::invite(sql, certificate)?.is_none() {
        return Ok(None);
    }
    good_invite(sql, certificate, now)?;
    Ok(Some(None))
}

/// A certificate (DER) of an outside authority, checked.
fn accepted(control: &Control, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<Accepted, Failure> {
    control.outside.identify(certificate, now).map_err(|denied| {
        tracing::warn!(code = denied.code(), "a certificate of an outside authority was refused: {denied}");
        denied.refusal().into()
    })
}

fn good_invite(sql: &rusqlite::Connection, certificate: &Sha256, now: Timestamp) -> Result<sources::Invite, Failure> {
    let Some(invite) = sources::invite(sql, certificate)? else {
        return refuse(Code::UnknownCertificate, "this zone did not issue the certificate");
    };
    if invite.used {
        return refuse(Code::InviteUsed, "the invite was used already");
    }
    if invite.withdrawn {
        return refuse(Code::InviteExpired, "the invite was taken back or replaced by a later one");
    }
    if invite.expires < now {
        return refuse(Code::InviteExpired, format!("the invite was good until {}", invite.expires));
    }
    Ok(invite)
}

/// What a source sends to be enrolled.
#[derive(Debug)]
pub struct Request {
    /// SHA-256 of the certificate that the invite carried.
    pub certificate: Sha256,
    /// Shows that it has the invite's secret.
    pub invite: Sha256,
    /// PKCS#10 request, PEM; or the certificate of an outside authority (PEM) that the source will show instead of one of this
    /// zone.
    pub request: String,
    /// OpenSSH public key line.
    pub identity: String,
    /// SSHSIG over `request`.
    pub proof: String,
}

/// Enrols a source, once for each invite.
///
/// # Errors
/// The refusal: a bad invite, a bad proof, or a bad certificate request.
pub fn enrol(control: &Control, asked: &Request) -> Result<ReceiveReply, Failure> {
    check_request(&asked.request)?;
    let Ok(identity) = PublicKey::from_openssh(&asked.identity) else {
        return refuse(Code::BadProof, "the identity key is not an Ed25519 key");
    };
    if let Err(bad) = sshsig::verify(&identity, NAMESPACE_ENROL, asked.request.as_bytes(), &asked.proof) {
        return refuse(Code::BadProof, format!("the proof of the identity key: {bad}"));
    }
    // Before the store is held, and only for who has a good invite: others read and write meanwhile.
    control.store.read(|sql| good_invite(sql, &asked.certificate, control.store.now()))?;
    let own = is_certificate(&asked.request).then(|| own_certificate(control, &asked.request)).transpose()?;
    let (source, certificate) = control.store.write(|write| {
        let invite = good_invite(&write.sql, &asked.certificate, write.now)?;
        if !invite::is_good(&asked.invite, &invite.token, &asked.identity, &asked.request) {
            return refuse(Code::BadProof, "the invite's secret is another, or was used for other keys");
        }
        if !sources::use_invite(write, &asked.certificate)? {
            return refuse(Code::InviteUsed, "the invite was used already");
        }
        let key = Sha256::of(identity.to_openssh().as_bytes());
        sources::enrol(write, &invite.source, &identity, invite.room.as_ref())?;
        let (certificate, mut details) = if let Some((sha256, accepted)) = own {
            if accepted.source != invite.source {
                return refuse(Code::UnknownCertificate, "the certificate's subject is configured for another source");
            }
            (asked.request.clone(), json!({"certificate": sha256, "authority": accepted.authority, "identity": key}))
        } else {
            let life = control.settings.control.certificate_life;
            let issued = control.authority.issue_source(&invite.source, &asked.request, write.now, life);
            let issued = issued.map_err(authority)?;
            sources::add_certificate(write, &invite.source, &issued.certificate_sha256, issued.expires)?;
            let details = json!({"certificate": issued.certificate_sha256, "expires": issued.expires, "identity": key});
            (issued.certificate_pem, details)
        };
        if let Some(room) = &invite.room {
            details["room"] = json!(room);
        }
        write.record(&Who::Source(invite.source.clone()), "source-enrolled", None, details)?;
        Ok((invite.source, certificate))
    })?;
    Ok(ReceiveReply::Enrolled { source, certificate, signer: signer_lines(control) })
}

fn is_certificate(request: &str) -> bool {
    request.starts_with("-----BEGIN CERTIFICATE-----")
}

/// Checks the certificate (PEM) of an outside authority that an invited source will show: its digest, and whose it is. It is not
/// kept: whether it is good, and whose it is, is asked of the authority's files at every connection.
fn own_certificate(control: &Control, pem: &str) -> Result<(Sha256, Accepted), Failure> {
    let Ok(certificate) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
        return refuse(Code::BadProof, "the certificate cannot be read");
    };
    Ok((Sha256::of(&certificate), accepted(control, &certificate, control.store.now())?))
}

/// What a source sends to have its certificate renewed.
#[derive(Debug)]
pub struct Renewal {
    /// Who.
    pub source: SourceName,
    /// SHA-256 of the certificate that it showed.
    pub certificate: Sha256,
    /// PKCS#10 request, PEM.
    pub request: String,
    /// SSHSIG over `request`.
    pub proof: String,
}

/// Gives a source another certificate over the one in force. That one stays good until it runs out: the answer may be lost.
///
/// # Errors
/// The refusal: the certificate is not good any more, or has more than half of its life before it; a bad proof or request.
pub fn renew(control: &Control, asked: &Renewal) -> Result<ReceiveReply, Failure> {
    check_request(&asked.request)?;
    let life = control.settings.control.certificate_life;
    let issued = control.store.write(|write| {
        let source = sources::enrolled(&write.sql, &asked.source)?;
        let shown = sources::certificate(&write.sql, &asked.certificate)?;
        let Some(shown) = shown.filter(|shown| shown.source == asked.source && !shown.withdrawn) else {
            return refuse(Code::UnknownCertificate, "the certificate is not this source's, or was replaced");
        };
        if shown.expires < write.now {
            return refuse(Code::CertificateExpired, format!("the certificate was good until {}", shown.expires));
        }
        let half = i64::try_from(life.as_secs() / 2).unwrap_or(i64::MAX);
        // One of an authority that is being left is exchanged at once; in the same second either may have issued it.
        let issued = shown.expires.plus(-i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
        let left = control.store.signer.chain.authority_since().is_some_and(|since| issued <= since);
        if shown.expires > write.now.plus(half) && !left {
            let until = shown.expires;
            return refuse(Code::WrongState, format!("the certificate is good until {until}: it is renewed later"));
        }
        if sources::certificates_in_force(&write.sql, &asked.source, write.now)? >= MAX_CERTIFICATES {
            return refuse(
                Code::WrongState,
                format!("the source has {MAX_CERTIFICATES} certificates in force already"),
            );
        }
        if let Err(bad) = sshsig::verify(&source.identity, NAMESPACE_RENEW, asked.request.as_bytes(), &asked.proof) {
            return refuse(Code::BadProof, format!("the proof of the identity key: {bad}"));
        }
        let issued = control.authority.issue_source(&asked.source, &asked.request, write.now, life);
        let issued = issued.map_err(authority)?;
        sources::add_certificate(write, &asked.source, &issued.certificate_sha256, issued.expires)?;
        let details =
            json!({"certificate": issued.certificate_sha256, "expires": issued.expires, "shown": asked.certificate});
        write.record(&Who::Source(asked.source.clone()), "source-renewed", None, details)?;
        Ok(issued)
    })?;
    Ok(ReceiveReply::Renewed { certificate: issued.certificate_pem })
}

fn check_request(request: &str) -> Result<(), Failure> {
    if request.len() > MAX_REQUEST_BYTES {
        return refuse(Code::TooLarge, format!("a certificate request has at most {MAX_REQUEST_BYTES} bytes"));
    }
    Ok(())
}

/// What is told of a certificate that was not issued.
pub fn authority(error: AuthorityError) -> Failure {
    match error {
        AuthorityError::Shown(_) => Failure::Refused(Refusal::new(Code::UnknownCertificate, error.to_string())),
        AuthorityError::Request(what) => {
            Failure::Refused(Refusal::new(Code::BadProof, format!("the certificate request: {what}")))
        }
        other => Failure::broken(other.to_string()),
    }
}
