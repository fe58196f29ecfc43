//! A landing zone's configuration: `sluse.toml` in the zone's folder.

use crate::layout::Layout;
use serde::{Deserialize, Serialize};
use sluse_protocol::ids::ZoneName;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A zone's configuration and where its files lie.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The settings.
    pub settings: Settings,
    /// The paths.
    pub layout: Layout,
}

/// The settings of `sluse.toml`. Relative paths are relative to the zone's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The zone itself.
    pub zone: ZoneSettings,
    /// The role that faces the network.
    pub receive: ReceiveSettings,
    /// The role that decides.
    #[serde(default)]
    pub control: ControlSettings,
    /// The role that inspects.
    #[serde(default)]
    pub inspect: InspectSettings,
    /// The role that delivers.
    #[serde(default)]
    pub deliver: DeliverSettings,
}

/// `[zone]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSettings {
    /// The zone's name: the principal of its signatures.
    pub name: ZoneName,
    /// Run roles also where the kernel cannot confine them to their files (no Landlock). Warned about at each start.
    #[serde(default)]
    pub allow_unconfined: bool,
}

/// `[receive]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiveSettings {
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// Addresses at which sources reach the zone, `host:port`; invites carry them.
    pub advertise: Vec<String>,
    /// Which key exchanges are taken.
    #[serde(default)]
    pub key_exchange: KeyExchange,
    /// Connections in all.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// Connections of one source.
    #[serde(default = "default_max_connections_per_source")]
    pub max_connections_per_source: u32,
    /// Bytes of the quarantine's file system that stay free.
    #[serde(default = "default_keep_free_bytes")]
    pub keep_free_bytes: u64,
}

/// Which key exchanges a zone and its sources take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyExchange {
    /// X25519MLKEM768 only: what is recorded today stays closed to a quantum computer.
    #[default]
    HybridRequired,
    /// X25519 too. Warned about at each start.
    AllowX25519,
}

/// `[control]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// System group whose members are operators, besides root and the user that `control` runs as.
    pub operators_group: Option<String>,
    /// Days that a transfer may stay in `receiving` without a chunk before it expires.
    pub receiving_days: u32,
    /// Days that a source's certificate is good for.
    pub certificate_days: u32,
}

/// `[inspect]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InspectSettings {
    /// Folder of signatures: `*.sha256` lists and `*.patterns`, besides those built in.
    pub signatures: PathBuf,
    /// clamd's Unix socket, where there is a clamd.
    pub clamd_socket: Option<PathBuf>,
    /// The largest file that clamd is given, bytes: its `StreamMaxLength`.
    pub clamd_max_bytes: u64,
    /// Seconds that an engine may keep silent over one file before it counts as not inspected.
    pub engine_timeout_seconds: u32,
}

/// `[deliver]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliverSettings {
    /// Folder below which all rooms' folders lie.
    pub rooms: PathBuf,
}

fn default_max_connections() -> u32 {
    256
}

fn default_max_connections_per_source() -> u32 {
    16
}

fn default_keep_free_bytes() -> u64 {
    1_000_000_000
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self { operators_group: None, receiving_days: 14, certificate_days: 365 }
    }
}

impl Default for InspectSettings {
    fn default() -> Self {
        Self {
            signatures: "signatures".into(),
            clamd_socket: None,
            clamd_max_bytes: 100 * 1024 * 1024,
            engine_timeout_seconds: 120,
        }
    }
}

impl Default for DeliverSettings {
    fn default() -> Self {
        Self { rooms: "rooms".into() }
    }
}

/// A configuration that cannot be used: file, line, what is wrong, what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", file.display(), at(*line))]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line from 1; 0 when it is about the whole file.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

fn at(line: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

impl Zone {
    /// Reads a zone's configuration; the zone's folder is the file's.
    ///
    /// # Errors
    /// What is wrong, with file, line and hint.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let error =
            |line, message: String, hint: &str| ConfigError { file: file.to_owned(), line, message, hint: hint.into() };
        let text = std::fs::read_to_string(file).map_err(|cause| {
            error(0, cause.to_string(), "`sluse zone init DIR` makes a zone with a commented configuration")
        })?;
        let settings: Settings = toml::from_str(&text).map_err(|cause| {
            let line = cause.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            error(
                line,
                cause.message().to_owned(),
                "docs/operations.md lists every setting, config/sluse.toml shows them",
            )
        })?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.canonicalize().map_err(|cause| error(0, cause.to_string(), ""))?;
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

    /// clamd's socket, where one is configured.
    pub fn clamd_socket(&self) -> Option<PathBuf> {
        self.settings.inspect.clamd_socket.as_ref().map(|path| self.layout.root().join(path))
    }
}
