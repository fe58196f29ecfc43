//! A landing zone's configuration: `sluse.toml` in the zone's folder.

use crate::layout::Layout;
use crate::network::Network;
use serde::Serialize;
use sluse_protocol::hours::Hours;
use sluse_protocol::icap::Service;
use sluse_protocol::ids::{AgreementId, SourceName, ZoneName};
use sluse_protocol::powers::Power;
use sluse_protocol::sharing::Weights;
use sluse_protocol::toml_text::Problem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod authorities;
mod file;
mod notify;
mod read;
mod sources;
mod updates;
pub use authorities::{AuthoritySettings, Mapping, Subject};
pub use file::{ConfigError, MAX_CONFIG_BYTES, load};
pub use notify::{NotifySettings, RelayTls};
pub use read::check_address;
pub use sources::{AgreementSettings, SourceSettings};
pub use updates::UpdateSettings;

/// A zone's configuration and where its files lie.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The settings.
    pub settings: Settings,
    /// The paths.
    pub layout: Layout,
}

/// The settings of `sluse.toml`. Relative paths are relative to the zone's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The zone itself.
    pub zone: ZoneSettings,
    /// The role that faces the network.
    pub receive: ReceiveSettings,
    /// How it uses the network.
    pub network: Network,
    /// The role that decides.
    pub control: ControlSettings,
    /// The role that inspects.
    pub inspect: InspectSettings,
    /// The role that delivers.
    pub deliver: DeliverSettings,
    /// Who is mailed when something should be noticed.
    pub notify: Option<NotifySettings>,
    /// Certificate authorities that are not the zone's own.
    pub authorities: Vec<AuthoritySettings>,
    /// What single sources may take.
    pub sources: Vec<SourceSettings>,
    /// What may be taken under single agreements.
    pub agreements: Vec<AgreementSettings>,
    /// Whose updates are taken.
    pub updates: UpdateSettings,
}

/// `[zone]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ZoneSettings {
    /// The zone's name: the principal of its signatures.
    pub name: ZoneName,
    /// Run roles also where the kernel cannot confine them to their files (no Landlock). Warned about at each start.
    pub allow_unconfined: bool,
}

/// `[receive]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiveSettings {
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// Addresses at which sources reach the zone, `host:port`; invites carry them.
    pub advertise: Vec<String>,
    /// Which key exchanges are taken.
    pub key_exchange: KeyExchange,
    /// Connections in all.
    pub max_connections: u32,
    /// Connections of one source.
    pub max_connections_per_source: u32,
    /// Bytes of the quarantine's file system that stay free.
    pub keep_free_bytes: u64,
}

/// Which key exchanges a zone and its sources take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyExchange {
    /// X25519MLKEM768 only: what is recorded today stays closed to a quantum computer.
    #[default]
    HybridRequired,
    /// X25519 too. Warned about at each start.
    AllowX25519,
}

/// `[control]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlSettings {
    /// System group whose members are operators. Where none of the three below is named, its members, root and the user that
    /// `control` runs as have every power.
    pub operators_group: Option<String>,
    /// System group whose members decide of what is held.
    pub reviewers_group: Option<String>,
    /// System group whose members read.
    pub auditors_group: Option<String>,
    /// System group whose members are administrators, besides root and the user that `control` runs as.
    pub administrators_group: Option<String>,
    /// System group whose members may read the numbers for monitoring, and nothing else.
    pub monitors_group: Option<String>,
    /// Days that a transfer may stay in `receiving` without a chunk before it expires.
    pub receiving_days: u32,
    /// How long a source's certificate is good for.
    pub certificate_life: Duration,
}

/// `[inspect]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectSettings {
    /// Folder of signatures: `*.sha256` lists and `*.patterns`, besides those built in.
    pub signatures: PathBuf,
    /// clamd's Unix socket, where there is a clamd.
    pub clamd_socket: Option<PathBuf>,
    /// The largest file that clamd is given, bytes: its `StreamMaxLength`.
    pub clamd_max_bytes: u64,
    /// The service of the site's own scanner, where there is one.
    pub icap: Option<IcapSettings>,
    /// Seconds that an engine may keep silent over one file before it counts as not inspected.
    pub engine_timeout_seconds: u32,
    /// How often engines are tested when all are well.
    pub engine_test_every: Duration,
    /// How old signatures may be that others make for an engine; beyond that everything is held. Without it, any age.
    pub signatures_max_age: Option<Duration>,
}

/// A scanner behind an ICAP service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IcapSettings {
    /// The Unix socket of the relay that reaches it.
    pub socket: PathBuf,
    /// The service, as the scanner knows it.
    pub service: Service,
    /// The largest file that it is given, bytes: no more than what it scans whole.
    pub max_bytes: u64,
}

/// `[deliver]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliverSettings {
    /// Folder below which all rooms' folders lie.
    pub rooms: PathBuf,
    /// Folder of the sockets of the couriers of rooms elsewhere, `<room>.sock`; without it there are no such rooms, and `deliver`
    /// connects to nothing.
    pub couriers: Option<PathBuf>,
    /// How long after its delivery, or after it was read the last time, an archived bag is read again.
    pub archive_check: Duration,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            operators_group: None,
            reviewers_group: None,
            auditors_group: None,
            administrators_group: None,
            monitors_group: None,
            receiving_days: 14,
            certificate_life: Duration::from_secs(365 * 86_400),
        }
    }
}

impl ControlSettings {
    /// The groups that are named, each with its members' power.
    pub fn groups(&self) -> Vec<(Power, &str)> {
        let named = [
            (Power::Administrator, &self.administrators_group),
            (Power::Operator, &self.operators_group),
            (Power::Reviewer, &self.reviewers_group),
            (Power::Auditor, &self.auditors_group),
        ];
        named.into_iter().filter_map(|(power, group)| Some((power, group.as_deref()?))).collect()
    }

    /// Whether powers are separated: persons have those of their groups, and nobody has all.
    pub fn separated(&self) -> bool {
        self.groups().iter().any(|(power, _)| *power != Power::Operator)
    }
}

impl Default for InspectSettings {
    fn default() -> Self {
        Self {
            signatures: "signatures".into(),
            clamd_socket: None,
            clamd_max_bytes: 100 * 1024 * 1024,
            icap: None,
            engine_timeout_seconds: 120,
            engine_test_every: Duration::from_secs(600),
            signatures_max_age: None,
        }
    }
}

impl Default for DeliverSettings {
    fn default() -> Self {
        Self { rooms: "rooms".into(), couriers: None, archive_check: Duration::from_secs(90 * 86_400) }
    }
}

impl Settings {
    /// Reads and checks a configuration's text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        read::settings(text)
    }

    /// The settings of one source, where it has any.
    pub fn source(&self, name: &SourceName) -> Option<&SourceSettings> {
        self.sources.iter().find(|source| source.name == *name)
    }

    /// How much a source gets beside others, and of that an agreement of its: 1 where nothing is set.
    pub fn weights(&self, name: &SourceName, id: Option<&AgreementId>) -> Weights {
        let agreement = self.agreements.iter().find(|agreement| Some(&agreement.id) == id);
        Weights {
            group: self.source(name).map_or(1, |source| source.weight),
            own: agreement.map_or(1, |agreement| agreement.weight),
        }
    }

    /// The hours in which a source may send under an agreement: all of them at once.
    pub fn hours(&self, name: &SourceName, id: &AgreementId) -> Vec<&Hours> {
        let agreements =
            self.agreements.iter().filter(|agreement| agreement.id == *id).map(|agreement| &agreement.hours);
        self.source(name).map(|source| &source.hours).into_iter().chain(agreements).collect()
    }
}

impl Zone {
    /// Reads a zone's configuration; the zone's folder is the file's.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and hint.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_all(file).map_err(|mut errors| errors.swap_remove(0))
    }

    /// Reads a zone's configuration; the zone's folder is the file's.
    ///
    /// # Errors
    /// Everything that is wrong, at least one thing.
    pub fn load_all(file: &Path) -> Result<Self, Vec<ConfigError>> {
        let hint = "`sluse zone init DIR` makes a zone with a commented configuration";
        let parse = |text: &str, folder: &Path| Settings::parse(text).map(|settings| (settings, folder.to_owned()));
        let (settings, folder) = load(file, hint, parse)?;
        let folder = folder.canonicalize().map_err(|cause| vec![ConfigError::whole(file, &cause, hint)])?;
        Ok(Self { settings, layout: Layout::new(folder) })
    }

    /// The folder below which the rooms lie.
    pub fn rooms(&self) -> PathBuf {
        self.layout.root().join(&self.settings.deliver.rooms)
    }

    /// The folder of signatures.
    pub fn signatures(&self) -> PathBuf {
        self.layout.root().join(&self.settings.inspect.signatures)
    }

    /// The certificates by which the mail relay's own must be good, where it is encrypted to.
    pub fn notify_authority(&self) -> Option<PathBuf> {
        self.settings.notify.as_ref()?.authority.as_ref().map(|path| self.layout.root().join(path))
    }

    /// Folder of the couriers' sockets, where there are rooms elsewhere.
    pub fn couriers(&self) -> Option<PathBuf> {
        self.settings.deliver.couriers.as_ref().map(|folder| self.layout.root().join(folder))
    }

    /// clamd's socket, where one is configured.
    pub fn clamd_socket(&self) -> Option<PathBuf> {
        self.settings.inspect.clamd_socket.as_ref().map(|path| self.layout.root().join(path))
    }

    /// The folder of clamd's databases, where updates may write to it.
    pub fn clamd_databases(&self) -> Option<PathBuf> {
        self.settings.updates.clamd_databases.as_ref().map(|path| self.layout.root().join(path))
    }

    /// The socket of the relay to the site's own scanner, where one is configured.
    pub fn icap_socket(&self) -> Option<PathBuf> {
        self.settings.inspect.icap.as_ref().map(|icap| self.layout.root().join(&icap.socket))
    }
}
