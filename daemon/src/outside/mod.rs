//! Certificates of authorities that are not the zone's own: whether one is good, and which source it is.
//!
//! `receive` checks at the handshake and while connections are open, `control` again when it is asked whose the certificate
//! is; both read the same files. Each looks at them once a second ([`Outside::refresh`]), so that a new revocation list is in
//! force without a restart, and nobody who shows a certificate waits for a list to be read. Files that cannot be used leave
//! what was read before in force, until that runs out; a list never gives way to an older one.

mod check;
mod list;
mod subject;
mod troubles;
mod trust;

use list::List;
use rustls::pki_types::CertificateDer;
use sluse_host::config::{AuthoritySettings, Zone};
use sluse_protocol::ids::SourceName;
use sluse_protocol::time::Timestamp;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trust::Trust;
use x509_parser::time::ASN1Time;

pub use check::Denied;
pub use troubles::Trouble;

/// How often files are to be looked at.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// All of a zone's outside authorities.
#[derive(Debug)]
pub struct Outside(Vec<Authority>);

/// One of them.
#[derive(Debug)]
struct Authority {
    settings: AuthoritySettings,
    /// Its files: certificates first, then lists.
    files: Vec<PathBuf>,
    seen: Mutex<Seen>,
    in_force: Mutex<InForce>,
}

/// What was seen of its files. Held while they are read; nobody who shows a certificate waits for that.
#[derive(Debug, Default)]
struct Seen {
    stamps: Vec<Stamp>,
    /// The newest list of each issuer that there ever was.
    newest: Vec<Arc<List>>,
}

/// What counts.
#[derive(Debug, Default)]
struct InForce {
    trust: Option<Arc<Trust>>,
    /// Why the files as they are now cannot be used.
    trouble: Option<String>,
}

/// Tells a file from the one that was there before: time, inode, size; none where it cannot be looked at.
type Stamp = Option<(i64, i64, u64, u64)>;

/// A certificate that is good, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The authority's name.
    pub authority: String,
    /// The source that its subject is.
    pub source: SourceName,
}

impl Outside {
    /// The zone's outside authorities, with their files as far as they can be read.
    pub fn new(zone: &Zone) -> Self {
        let authorities = zone.settings.authorities.iter().map(|settings| {
            let all = std::iter::once(&settings.certificates).chain(&settings.revocation_lists);
            let files = all.map(|path| zone.layout.root().join(path)).collect();
            Authority { settings: settings.clone(), files, seen: Mutex::default(), in_force: Mutex::default() }
        });
        let outside = Self(authorities.collect());
        outside.refresh();
        outside
    }

    /// Looks at the files, and reads those of an authority of which any changed. Whether one did. Blocks.
    pub fn refresh(&self) -> bool {
        // Each is looked at, whatever became of the one before.
        self.0.iter().filter(|authority| authority.refresh()).count() > 0
    }

    /// The folders in which their files lie: never the zone's own, or one above it.
    pub fn folders(zone: &Zone) -> Vec<PathBuf> {
        let files = zone.settings.authorities.iter();
        let files =
            files.flat_map(|settings| std::iter::once(&settings.certificates).chain(&settings.revocation_lists));
        let mut folders: Vec<PathBuf> =
            files.filter_map(|path| Some(zone.layout.root().join(path).parent()?.to_owned())).collect();
        folders.retain(|folder| !zone.layout.root().starts_with(folder));
        folders.sort();
        folders.dedup();
        folders
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a certificate at `now`; the name of the authority that vouches for it.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn verify(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<&str, Denied> {
        self.vouching(certificate, now).map(|authority| authority.settings.name.as_str())
    }

    /// Checks a certificate at `now`, and finds the source that its subject is.
    ///
    /// # Errors
    /// Why it is not good, or that it is no source's.
    pub fn identify(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<Accepted, Denied> {
        let authority = self.vouching(certificate, now)?;
        let source = subject::source(certificate, &authority.settings.sources)?;
        Ok(Accepted { authority: authority.settings.name.clone(), source: source.clone() })
    }

    fn vouching(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<&Authority, Denied> {
        let mut denied = Denied::Issuer;
        for authority in &self.0 {
            match authority.check(certificate, now) {
                Ok(()) => return Ok(authority),
                Err(Denied::Issuer) => {}
                // Of several of the same name, the first that says something says most.
                Err(other) if denied == Denied::Issuer => denied = other,
                Err(_) => {}
            }
        }
        Err(denied)
    }

    /// What a person should know of them.
    pub fn troubles(&self, now: Timestamp) -> Vec<Trouble> {
        let of = |authority: &Authority| {
            let (trust, unusable) = {
                let in_force = lock(&authority.in_force);
                (in_force.trust.clone(), in_force.trouble.clone())
            };
            troubles::of(&authority.settings, trust.as_deref(), unusable, now)
        };
        self.0.iter().flat_map(of).collect()
    }
}

impl Authority {
    fn check(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<(), Denied> {
        // While its files cannot be read it is not known which certificates it issued.
        let trust = lock(&self.in_force).trust.clone();
        let Some(trust) = trust else { return Err(Denied::Issuer) };
        let ahead = trust.check(certificate, now)?;
        if ahead > 0 {
            tracing::warn!(authority = %self.settings.name, seconds = ahead, "the authority's clock is ahead of the zone's");
        }
        Ok(())
    }

    /// Reads its files if one of them is another than before; whether one is.
    fn refresh(&self) -> bool {
        let mut seen = lock(&self.seen);
        let stamps: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
        if stamps == seen.stamps {
            return false;
        }
        let name = &self.settings.name;
        let read = || Trust::read(&self.files[0], &self.files[1..], &seen.newest);
        // A parser that panics must not be the end of whoever looks.
        let read = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("reading the files crashed".into()));
        match read {
            Ok(trust) => {
                tracing::info!(authority = %name, lists = trust.lists().len(), "an outside authority's files were read");
                for older in trust.older() {
                    tracing::error!(authority = %name, code = troubles::OLDER, "an outside authority: {older}");
                }
                seen.newest = trust.newest(&seen.newest);
                *lock(&self.in_force) = InForce { trust: Some(Arc::new(trust)), trouble: None };
            }
            Err(trouble) => {
                tracing::error!(authority = %name, code = troubles::UNUSABLE, "an outside authority: {trouble}");
                lock(&self.in_force).trouble = Some(trouble);
            }
        }
        seen.stamps = stamps;
        true
    }
}

/// What is behind these locks is replaced in one step: a panic elsewhere leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn time(time: ASN1Time) -> Timestamp {
    Timestamp::from_unix(time.timestamp())
}

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.ino(), found.size()))
}
