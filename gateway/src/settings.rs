//! The gateway's configuration: one file for both processes, of which each reads what is its own.

mod https;
mod pulls;
mod sftp;

pub use https::{Account, Https};
pub use pulls::{Format, Kind, Pull, Smart};
pub use sftp::Sftp;

use sluse_host::config::{self, ConfigError, MAX_CONFIG_BYTES};
use sluse_protocol::ids::{AgreementId, DatasetName};
use sluse_protocol::toml_text::{
    self, Fields, Problem, Read, Value, Wrong, choice, lasting, list, number, parsed, string, text,
};
use sluse_sender::watch::Delivered;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Flows, and application entities, of one gateway.
const MAX_SECTIONS: usize = 256;

/// Bounds of how long something may take or last.
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const DECADE: Duration = Duration::from_secs(3653 * 86_400);

/// The gateway's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The spool's folder.
    pub spool: PathBuf,
    /// The public half of the spool's key: all that `intake` has.
    pub public_key: PathBuf,
    /// The private half: `forward`'s alone.
    pub private_key: PathBuf,
    /// The identity folder that datasets are sent with.
    pub identity: PathBuf,
    /// Bytes that stay free on the spool's file system: less, and clients are told to come again.
    pub keep_free: u64,
    /// How many datasets are sent at the same time.
    pub parallel: usize,
    /// How long a file may stay unfinished.
    pub expire: Duration,
    /// How long it is remembered what was sent.
    pub remember: Duration,
    /// The flows.
    pub flows: Vec<Flow>,
    /// The DICOM receiver, where there is one.
    pub dicom: Option<Dicom>,
    /// The SFTP server, where there is one.
    pub sftp: Option<Sftp>,
    /// The receiver of uploads, where there is one.
    pub https: Option<Https>,
    /// What is fetched on a schedule.
    pub pulls: Vec<Pull>,
}

/// One way through the gateway, to one agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its name in the configuration.
    pub name: AgreementId,
    /// Under which agreement its datasets are sent.
    pub agreement: AgreementId,
    /// What datasets' names begin with, where the client chooses none.
    pub dataset: DatasetName,
    /// A group to which nothing was added for so long is whole; none where it is said when one is.
    pub quiet: Option<Duration>,
    /// What becomes of the spool's bytes.
    pub delivered: Delivered,
    /// How long after the delivery.
    pub after: Duration,
}

/// The DICOM receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dicom {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Associations at the same time.
    pub associations: usize,
    /// How long a peer may be silent.
    pub idle: Duration,
    /// Who may be called, by whom.
    pub entities: Vec<Entity>,
}

/// An application entity that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its title.
    pub title: String,
    /// The flow of what is sent to it.
    pub flow: AgreementId,
    /// Titles that may call it.
    pub calling: Vec<String>,
    /// Addresses that may call it.
    pub peers: Vec<Peers>,
}

/// A network: addresses with the same first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peers {
    address: IpAddr,
    bits: u32,
}

impl Peers {
    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Not an address or network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address or network is like 10.1.2.3, 10.1.0.0/16 or fd00::/8")]
pub struct NoPeers;

impl std::str::FromStr for Peers {
    type Err = NoPeers;

    fn from_str(text: &str) -> Result<Self, NoPeers> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NoPeers)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| NoPeers)?;
        if bits > most { Err(NoPeers) } else { Ok(Self { address, bits }) }
    }
}

impl Settings {
    /// Reads a configuration. Relative paths are relative to the file's folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file, line and hint.
    pub fn load(file: &Path) -> Result<Self, Vec<ConfigError>> {
        config::load(file, "docs/gateway.md shows one", Self::parse)
    }

    /// Reads a configuration's text; `folder` is where relative paths begin.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Problem>> {
        toml_text::read(text, MAX_CONFIG_BYTES, |file| {
            let need = "add `[gateway]` with `spool`, `public_key`, `private_key` and `identity` below";
            let settings = file.need_table("gateway", need, |fields| gateway(fields, folder));
            let need = "add `[flow.NAME]` with `agreement` below";
            let flows = file.need_tables("flow", need, MAX_SECTIONS, flow);
            let need = "add `[ae.NAME]` with `title`, `flow`, `calling` and `peers` below";
            let entities = file.may_tables("ae", need, MAX_SECTIONS, entity).unwrap_or_default();
            let dicom = file.may_table("dicom", dicom);
            let sftp = sftp::read(file, folder);
            let https = https::read(file, folder);
            let pulls = pulls::read(file, folder);
            let (settings, flows) = (settings?, flows?);
            check(file, &flows, dicom.as_ref(), &entities);
            let uploads = https.iter().flat_map(|https| &https.accounts);
            uploads.for_each(|account| leads_to(file, &flows, "upload", &account.name, &account.flow));
            pulls.iter().for_each(|pull| check_pull(file, &flows, &pulls, pull));
            sftp::check(file, &flows, sftp.as_ref());
            let dicom = dicom.map(|dicom| Dicom { entities, ..dicom });
            Some(Self { flows, dicom, sftp, https, pulls, ..settings })
        })
    }
}

fn gateway(fields: &Fields<'_>, folder: &Path) -> Option<Settings> {
    let spool = fields.need("spool", "\"/var/lib/sluse-gateway\"", path(folder));
    let public_key = fields.need("public_key", "\"/etc/sluse/gateway/spool.pub\"", path(folder));
    let private_key = fields.need("private_key", "\"/etc/sluse/gateway/spool.key\"", path(folder));
    let identity = fields.need("identity", "\"/etc/sluse/gateway/identity\"", path(folder));
    let keep_free = fields.may("keep_free_bytes", "10000000000", number(0..=1 << 60)).unwrap_or(10_000_000_000);
    let parallel = fields.may("parallel", "2", number(1..=16)).unwrap_or(2);
    let expire = fields.may("unfinished_for", "\"1d\"", lasting(SECOND..=DECADE)).unwrap_or(DAY);
    let remember = fields.may("remember_for", "\"400d\"", lasting(SECOND..=DECADE)).unwrap_or(DAY * 400);
    Some(Settings {
        spool: spool?,
        public_key: public_key?,
        private_key: private_key?,
        identity: identity?,
        keep_free,
        parallel,
        expire,
        remember,
        flows: Vec::new(),
        dicom: None,
        sftp: None,
        https: None,
        pulls: Vec::new(),
    })
}

fn flow(name: &str, fields: &Fields<'_>) -> Option<Flow> {
    let agreement = fields.need("agreement", "\"pacs-ct\"", parsed);
    let dataset = fields.may("dataset", "\"CT study\"", dataset);
    let quiet = fields.may("quiet", "\"60s\"", quiet).unwrap_or(Some(Duration::from_secs(60)));
    let kinds = [("delete", Delivered::Delete), ("keep", Delivered::Keep)];
    let delivered = fields.may("delivered", "\"delete\"", choice(&kinds)).unwrap_or(Delivered::Delete);
    let own: Option<AgreementId> = name.parse().ok();
    let dataset = dataset.or_else(|| name.parse().ok());
    if own.is_none() || dataset.is_none() {
        fields.wrong_at("dataset", format!("{name} is no flow's or dataset's name"), "rename the section");
    }
    Some(Flow { name: own?, agreement: agreement?, dataset: dataset?, quiet, delivered, after: Duration::ZERO })
}

fn dicom(fields: &Fields<'_>) -> Option<Dicom> {
    let listen = fields.need("listen", "\"127.0.0.1:11112\"", parsed);
    let associations = fields.may("associations", "16", number(1..=256)).unwrap_or(16);
    let idle = fields.may("idle", "\"60s\"", lasting(SECOND..=DAY)).unwrap_or(Duration::from_secs(60));
    Some(Dicom { listen: listen?, associations, idle, entities: Vec::new() })
}

fn entity(_name: &str, fields: &Fields<'_>) -> Option<Entity> {
    let title = fields.need("title", "\"SLUSE_CT\"", title);
    let flow = fields.need("flow", "\"ct\"", parsed);
    let calling = fields.need("calling", "[\"PACS\"]", list(64, self::title));
    let peers = fields.need("peers", "[\"10.1.2.3\"]", list(64, parsed));
    Some(Entity { title: title?, flow: flow?, calling: calling?, peers: peers? })
}

/// What sections say of one another.
fn check(file: &Fields<'_>, flows: &[Flow], dicom: Option<&Dicom>, entities: &[Entity]) {
    for (at, entity) in entities.iter().enumerate() {
        leads_to(file, flows, "ae", &entity.title, &entity.flow);
        if entities[..at].iter().any(|other| other.title == entity.title) {
            let message = format!("two sections `ae` have the title {}", entity.title);
            file.wrong_at("ae", message, "give each a title of its own");
        }
    }
    match (dicom, entities.is_empty()) {
        (Some(_), true) => file.wrong_at("dicom", "`dicom` has nobody who may be called", "add `[ae.NAME]`"),
        (None, false) => file.wrong_at("ae", "`ae` is there without `dicom`", "add `[dicom]` with `listen`"),
        _ => {}
    }
}

/// What a pull says of others.
fn check_pull(file: &Fields<'_>, flows: &[Flow], pulls: &[Pull], pull: &Pull) {
    let section = if matches!(pull.kind, Kind::Fhir { .. }) { "fhir" } else { "edc" };
    leads_to(file, flows, section, &pull.name, &pull.flow);
    if pulls.iter().filter(|other| other.name == pull.name).count() > 1 {
        file.wrong_at(section, format!("two pulls are called {}", pull.name), "rename one of the sections");
    }
    let closes_early = flows.iter().any(|flow| flow.name == pull.flow && flow.quiet.is_some());
    if section == "fhir" && closes_early {
        let message = format!("the flow {} may close an export while it is fetched", pull.flow);
        file.wrong_at(section, message, format!("write `quiet = \"never\"` in `[flow.{}]`", pull.flow));
    }
}

/// What a section says of a flow must be there.
fn leads_to(file: &Fields<'_>, flows: &[Flow], section: &str, name: &str, flow: &AgreementId) {
    if !flows.iter().any(|known| known.name == *flow) {
        let message = format!("`{section}` {name} sends to the flow {flow}, which is not there");
        file.wrong_at(section, message, format!("add `[flow.{flow}]`, or name another"));
    }
}

/// An application entity's title (PS3.5 section 6.2): 1 to 16 characters of ASCII, none of them a backslash.
fn title(value: &Value<'_>) -> Read<String> {
    let title = text(16)(value)?;
    let good = title.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\') && title.trim() == title;
    if good { Ok(title) } else { Err(Wrong::new(value, "is no application entity's title").into()) }
}

/// A flow's quiet time, or `never`.
fn quiet(value: &Value<'_>) -> Read<Option<Duration>> {
    if matches!(string(value), Ok("never")) { Ok(None) } else { lasting(SECOND..=DAY)(value).map(Some) }
}

/// The beginning of datasets' names: a pseudonym follows it.
fn dataset(value: &Value<'_>) -> Read<DatasetName> {
    let name: DatasetName = parsed(value)?;
    match name.as_str().len() {
        ..=100 => Ok(name),
        _ => Err(Wrong::new(value, "is longer than 100 bytes").into()),
    }
}

fn path(folder: &Path) -> impl Fn(&Value<'_>) -> Read<PathBuf> + '_ {
    |value| Ok(folder.join(text(4000)(value)?).components().collect())
}
