//! `sluse zone inventory`: each key and certificate of a zone, and the algorithms that it relies on. Private keys are not shown, and
//! not needed: what names them is their public half.

use super::rotate::{PrivateKey, authority, plan};
use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use base64::Engine as _;
use serde::Serialize;
use sluse_host::config::{KeyExchange, Zone};
use sluse_host::layout::Layout;
use sluse_host::{clock, files, keys};
use sluse_protocol::digest::Sha256;
use sluse_protocol::key_statement::{Change, ZoneKey};
use sluse_protocol::refusal::Exit;
use sluse_protocol::signers::AllowedSigner;
use sluse_protocol::sshsig::{NAMESPACE_RECEIPT, PublicKey};
use sluse_protocol::time::Timestamp;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use x509_parser::pem::parse_x509_pem;

/// Bytes of the longest key or certificate file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What ends within so many days is due.
const WARN_DAYS: i64 = 90;

const DAY: i64 = 86_400;

/// What a zone relies on besides its keys: for what, which algorithm, whether a quantum computer would break it.
const ALGORITHMS: &[(&str, &str, bool)] = &[
    ("key exchange on the wire", "X25519MLKEM768 (TLS 1.3)", false),
    ("encryption on the wire", "AES-256-GCM, ChaCha20-Poly1305 or AES-128-GCM (TLS 1.3)", false),
    ("authentication on the wire", "ECDSA P-256", true),
    ("encryption at rest", "age: X25519, ChaCha20-Poly1305", true),
    ("digests of files and documents", "SHA-256", false),
    ("digests of chunks", "BLAKE3", false),
    ("identifiers in findings", "BLAKE3, keyed", false),
    ("codes of invites, stateless resets", "HMAC-SHA-256", false),
    ("audit log", "Merkle tree of RFC 6962, SHA-256", false),
    ("receipts, checkpoints, grants, manifests, statements of keys", "Ed25519, SSHSIG with SHA-512", true),
];

/// `sluse zone inventory`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    zone: ZoneFolder,
}

/// One key or certificate.
#[derive(Debug, Serialize)]
struct Item {
    name: String,
    kind: &'static str,
    algorithm: String,
    /// What names it: SHA-256 of a certificate, an OpenSSH fingerprint, an age recipient; none for a bare secret.
    fingerprint: Option<String>,
    /// Since when there is it.
    since: Option<Timestamp>,
    age_days: Option<i64>,
    expires: Option<Timestamp>,
    /// Why an old one is still kept.
    needed: Option<String>,
    /// What to run about it, when something is due.
    due: Option<String>,
    /// What exchanges it before it ends.
    #[serde(skip)]
    renewal: Option<ZoneKey>,
    /// The files that it stands in; none for those of others.
    files: Vec<PathBuf>,
    /// Why it could not be looked at.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Algorithm {
    purpose: &'static str,
    algorithm: &'static str,
    quantum_vulnerable: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no zone, or something of it cannot be looked at.
    pub fn run(self, out: &Output) -> Ended {
        let zone = Zone::load(&self.zone.layout()?.config())?;
        let (layout, now) = (&zone.layout, clock::now());
        let mut items = own(&zone)?;
        let sources = sources(layout, &mut items);
        for item in &mut items {
            let ends_soon = item.expires.is_some_and(|end| end <= now.plus(WARN_DAYS * DAY));
            if ends_soon && item.needed.is_none() {
                item.due = item.renewal.map(|key| format!("sluse zone rotate {key}"));
            }
            item.age_days = item.since.map(|since| (now.unix() - since.unix()).max(0) / DAY);
        }
        let unread = items.iter().filter(|item| item.problem.is_some()).count();
        print(out, &items, &algorithms(zone.settings.receive.key_exchange), sources.as_ref().err());
        if unread > 0 {
            let failure = Failure::new(Exit::Configuration, format!("{unread} could not be looked at"));
            return Err(failure.hint("run it as root; `sluse zone check` says what to mend"));
        }
        Ok(Exit::Done)
    }
}

/// The zone's own, each with the old ones that are kept beside it.
fn own(zone: &Zone) -> Result<Vec<Item>, Failure> {
    let layout = &zone.layout;
    let statements = keys::read_statements(&layout.key_statements())?;
    let read = statements.iter().filter_map(|signed| signed.read().ok());
    let made: Vec<(ZoneKey, Timestamp)> = read
        .map(|read| read.statement)
        .filter(|stated| stated.change != Change::Ended)
        .map(|stated| (stated.key, stated.time))
        .collect();
    // A key's statement says when it was made; before the first one, its file does.
    let since = |key: ZoneKey, file: &Path| match made.iter().rev().find(|(of, _)| *of == key) {
        Some((_, time)) => Ok(*time),
        None => written(file),
    };
    let place = |file: PathBuf| PrivateKey::at(layout, file).kept_in();
    let mut items = authorities(layout, place(layout.ca_key()));
    items.push(Item {
        renewal: Some(ZoneKey::Tls),
        ..certificate("TLS of receive", &layout.tls_certificate(), place(layout.tls_key()))
    });
    items.extend(signing(zone, place(layout.signing_key())));
    items.push(age("quarantine", &layout.quarantine_recipient(), place(layout.quarantine_key()), |file| {
        since(ZoneKey::Quarantine, file)
    }));
    items.extend(old_quarantine(layout));
    items.push(age("deliver", &layout.deliver_recipient(), place(layout.deliver_key()), |file| {
        since(ZoneKey::Deliver, file)
    }));
    let reset = place(layout.reset_key());
    items.push(looked_at("stateless resets", "secret", vec![reset.clone()], |item| {
        (item.algorithm, item.since) = ("HMAC-SHA-256".into(), Some(since(ZoneKey::Reset, &reset)?));
        Ok(())
    }));
    Ok(items)
}

/// The authority that issues, and one before it.
fn authorities(layout: &Layout, key: PathBuf) -> Vec<Item> {
    let file = layout.ca_certificate();
    let issuing = certificate("certificate authority", &file, key);
    let mut items = vec![Item { renewal: Some(ZoneKey::Ca), ..issuing }];
    let text = files::read_bounded(&file, MAX_FILE_BYTES).unwrap_or_default();
    for pem in slused::control::authority::certificates(&String::from_utf8_lossy(&text)).iter().skip(1) {
        let mut item = looked_at("old certificate authority", "certificate", vec![file.clone()], |item| {
            describe(pem.as_bytes(), item)
        });
        let needing = Operator::of(layout).and_then(|operator| authority::needing_old(&operator));
        item.needed = Some(match &needing {
            Ok(sources) if sources.is_empty() => "needed for nothing".into(),
            Ok(sources) => format!("needed for certificates of {}", sources.join(", ")),
            Err(_) => "the zone does not run: what needs it is unknown".into(),
        });
        item.due = needing.ok().filter(Vec::is_empty).map(|_| "sluse zone rotate ca --end-old".into());
        items.push(item);
    }
    items
}

/// Quarantine keys before the one in force, as far as this user may see them.
fn old_quarantine(layout: &Layout) -> Vec<Item> {
    let place = PrivateKey::at(layout, layout.quarantine_key());
    let Ok(key) = plan::role_key(&place) else { return Vec::new() };
    let needing = if key.older.is_empty() { Ok(0) } else { plan::needing_old(layout, &key) };
    let old = |identity: &age::x25519::Identity| {
        looked_at("old quarantine", "key", vec![place.kept_in()], |item| {
            (item.algorithm, item.fingerprint) = ("X25519 (age)".into(), Some(identity.to_public().to_string()));
            let needing = needing.as_ref().map_err(|failure| io::Error::other(failure.message().to_owned()))?;
            let due = *needing == 0;
            let what = if due { "nothing".to_owned() } else { format!("{needing} identities of transfers") };
            item.needed = Some(format!("needed for {what}"));
            item.due = due.then(|| "sluse zone rotate quarantine --end-old".to_owned());
            Ok(())
        })
    };
    key.older.iter().map(old).collect()
}

/// An item as far as it can be looked at.
fn looked_at(
    name: impl Into<String>,
    kind: &'static str,
    files: Vec<PathBuf>,
    look: impl FnOnce(&mut Item) -> io::Result<()>,
) -> Item {
    let (name, algorithm) = (name.into(), String::new());
    let mut item = Item {
        name,
        kind,
        algorithm,
        fingerprint: None,
        since: None,
        age_days: None,
        expires: None,
        needed: None,
        due: None,
        renewal: None,
        files,
        problem: None,
    };
    item.problem = look(&mut item).err().map(|error| error.to_string());
    item
}

fn certificate(name: &str, file: &Path, key: PathBuf) -> Item {
    looked_at(name, "key and certificate", vec![key, file.to_owned()], |item| {
        describe(&files::read_bounded(file, MAX_FILE_BYTES)?, item)
    })
}

/// What a certificate (PEM) says.
fn describe(bytes: &[u8], item: &mut Item) -> io::Result<()> {
    let (_, pem) = parse_x509_pem(bytes).map_err(|_| io::Error::other("it is not a certificate"))?;
    let parsed = pem.parse_x509().map_err(|_| io::Error::other("it is not a certificate"))?;
    let oid = parsed.public_key().algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    let p256 = oid.is_some_and(|oid| oid.to_id_string() == "1.2.840.10045.3.1.7");
    item.algorithm = if p256 { "ECDSA P-256".into() } else { parsed.public_key().algorithm.algorithm.to_id_string() };
    item.fingerprint = Some(format!("SHA-256 {}", Sha256::of(&pem.contents)));
    item.since = Some(Timestamp::from_unix(parsed.validity().not_before.timestamp()));
    item.expires = Some(Timestamp::from_unix(parsed.validity().not_after.timestamp()));
    Ok(())
}

/// The key in force, and those before it, whose signatures count as long as anybody keeps them.
fn signing(zone: &Zone, private: PathBuf) -> Vec<Item> {
    let public = zone.layout.signer();
    let mut items = vec![looked_at("signing", "key", vec![private, public.clone()], |item| {
        name_key(&keys::read_public_key(&public).map_err(io::Error::other)?, item)?;
        item.since = Some(written(&public)?);
        Ok(())
    })];
    let file = zone.layout.allowed_signers();
    let text = files::read_bounded(&file, MAX_FILE_BYTES).unwrap_or_default();
    let name = zone.settings.zone.name.as_str();
    let signers = AllowedSigner::find(&String::from_utf8_lossy(&text), Some(name), NAMESPACE_RECEIPT);
    for old in signers.iter().filter(|signer| signer.valid_before.is_some()).rev() {
        items.push(looked_at("old signing", "public key", vec![file.clone()], |item| {
            name_key(&old.key, item)?;
            (item.since, item.expires) = (old.valid_after, old.valid_before);
            item.needed = Some("verifies what it signed; its private half is destroyed".into());
            Ok(())
        }));
    }
    items
}

fn name_key(key: &PublicKey, item: &mut Item) -> io::Result<()> {
    let line = key.to_openssh();
    let blob = line.split(' ').nth(1).unwrap_or_default();
    let blob = base64::engine::general_purpose::STANDARD.decode(blob).map_err(io::Error::other)?;
    // As `ssh-keygen -l` shows it.
    let digest = base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::of(&blob).0);
    (item.algorithm, item.fingerprint) = ("Ed25519".into(), Some(format!("SHA256:{digest}")));
    Ok(())
}

fn age(name: &str, public: &Path, private: PathBuf, since: impl FnOnce(&Path) -> io::Result<Timestamp>) -> Item {
    looked_at(name, "key", vec![private, public.to_owned()], |item| {
        let text = files::read_bounded(public, MAX_FILE_BYTES)?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let recipient: age::x25519::Recipient = text.parse().map_err(io::Error::other)?;
        (item.algorithm, item.fingerprint) = ("X25519 (age)".into(), Some(recipient.to_string()));
        item.since = Some(since(public)?);
        Ok(())
    })
}

/// When a key's file was written: keys that are no certificates bear no date.
fn written(file: &Path) -> io::Result<Timestamp> {
    Ok(Timestamp::from_unix(std::fs::metadata(file)?.mtime()))
}

/// Adds the sources' certificates, which a running zone knows.
fn sources(layout: &Layout, items: &mut Vec<Item>) -> Result<(), Failure> {
    for source in Operator::of(layout)?.sources()? {
        // The certificate of an outside authority is neither made nor kept here.
        let Some(expires) = source.expires else { continue };
        let kind = if source.status == "invited" { "invite's certificate" } else { "source's certificate" };
        items.push(looked_at(format!("{} ({})", source.name, source.status), kind, Vec::new(), |item| {
            item.algorithm = "ECDSA P-256".into();
            (item.since, item.expires) = (Some(source.since), Some(expires));
            Ok(())
        }));
    }
    Ok(())
}

fn algorithms(key_exchange: KeyExchange) -> Vec<Algorithm> {
    let classical = ("key exchange with sources that know no other", "X25519 (TLS 1.3)", true);
    let also = Some(classical).filter(|_| key_exchange == KeyExchange::AllowX25519);
    ALGORITHMS
        .iter()
        .copied()
        .chain(also)
        .map(|(purpose, algorithm, quantum_vulnerable)| Algorithm { purpose, algorithm, quantum_vulnerable })
        .collect()
}

fn print(out: &Output, items: &[Item], algorithms: &[Algorithm], no_sources: Option<&Failure>) {
    if out.is_json() {
        let sources = no_sources.is_none();
        out.object(&serde_json::json!({"items": items, "algorithms": algorithms, "sources_listed": sources}));
        return;
    }
    let day = |time: Option<Timestamp>| time.map_or("-".into(), |time| time.to_string().chars().take(10).collect());
    let row = |item: &Item| {
        let age = item.age_days.map_or("-".into(), |days| format!("{days} d"));
        let fingerprint = item.problem.as_ref().or(item.fingerprint.as_ref());
        let (name, algorithm) = (item.name.clone(), item.algorithm.clone());
        vec![name, item.kind.into(), algorithm, age, day(item.expires), fingerprint.cloned().unwrap_or("-".into())]
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    out.table(&["NAME", "KIND", "ALGORITHM", "AGE", "EXPIRES", "FINGERPRINT"], &rows);
    for item in items {
        let (needed, due) = (item.needed.as_ref(), item.due.as_ref());
        needed.iter().for_each(|needed| out.line(format!("{}: {needed}", item.name)));
        due.iter().for_each(|due| out.line(format!("{}: due: {due}", item.name)));
    }
    out.line("");
    let row = |algorithm: &Algorithm| {
        let lasting = if algorithm.quantum_vulnerable { "breakable" } else { "safe" };
        vec![algorithm.purpose.to_owned(), algorithm.algorithm.to_owned(), lasting.to_owned()]
    };
    out.table(&["FOR", "ALGORITHM", "BY A QUANTUM COMPUTER"], &algorithms.iter().map(row).collect::<Vec<_>>());
    for item in items.iter().filter(|item| !item.files.is_empty()) {
        let files: Vec<String> = item.files.iter().map(|file| file.display().to_string()).collect();
        out.note(format!("{}: {}", item.name, files.join(", ")));
    }
    if let Some(failure) = no_sources {
        out.note(format!("The certificates of sources are not listed: {}.", failure.message()));
    }
}
