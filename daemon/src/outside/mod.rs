//! Certificates of authorities that are not the zone's own: whether one is good, and which source it is.
//!
//! `receive` checks at the handshake, `control` again when it is asked whose the certificate is; both read the same files.
//! They are looked at again when a certificate is shown, at most once a second, so that a new revocation list is in force
//! without a restart. Files that cannot be used leave what was read before in force, until that runs out.

mod check;
mod subject;
mod troubles;
mod trust;

use rustls::pki_types::CertificateDer;
use sluse_host::config::{AuthoritySettings, Zone};
use sluse_protocol::ids::SourceName;
use sluse_protocol::time::Timestamp;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trust::Trust;

pub use check::Denied;
pub use troubles::Trouble;

/// How long files are taken to be as they were.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// All of a zone's outside authorities.
#[derive(Debug)]
pub struct Outside(Vec<Authority>);

/// One of them.
#[derive(Debug)]
struct Authority {
    settings: AuthoritySettings,
    /// Its files: certificates first, then lists.
    files: Vec<PathBuf>,
    read: Mutex<Read>,
}

/// What was read of its files.
#[derive(Debug, Default)]
struct Read {
    looked: Option<Instant>,
    stamps: Vec<Stamp>,
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
            Authority { settings: settings.clone(), files, read: Mutex::default() }
        });
        let outside = Self(authorities.collect());
        outside.0.iter().for_each(|authority| drop(authority.trust()));
        outside
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
            let trust = authority.trust();
            let unusable = authority.lock().trouble.clone();
            troubles::of(&authority.settings, trust.as_deref(), unusable, now)
        };
        self.0.iter().flat_map(of).collect()
    }
}

impl Authority {
    fn check(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> Result<(), Denied> {
        // While its files cannot be read it is not known which certificates it issued.
        let Some(trust) = self.trust() else { return Err(Denied::Issuer) };
        let ahead = trust.check(certificate, now)?;
        if ahead > 0 {
            tracing::warn!(authority = %self.settings.name, seconds = ahead, "the authority's clock is ahead of the zone's");
        }
        Ok(())
    }

    /// What is in force of its files.
    fn trust(&self) -> Option<Arc<Trust>> {
        let mut read = self.lock();
        if read.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return read.trust.clone();
        }
        read.looked = Some(Instant::now());
        let stamps: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
        if stamps != read.stamps {
            let name = &self.settings.name;
            match Trust::read(&self.files[0], &self.files[1..]) {
                Ok(trust) => {
                    tracing::info!(authority = %name, lists = trust.lists().len(), "an outside authority's files were read");
                    (read.trust, read.trouble) = (Some(Arc::new(trust)), None);
                }
                Err(trouble) => {
                    tracing::error!(authority = %name, code = troubles::UNUSABLE, "an outside authority: {trouble}");
                    read.trouble = Some(trouble);
                }
            }
            read.stamps = stamps;
        }
        read.trust.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.ino(), found.size()))
}
