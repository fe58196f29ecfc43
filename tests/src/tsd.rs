//! A project at TSD: its file API as its public source has it, on loopback.

use crate::elsewhere::{Killed, certify};
use crate::zone::{PATIENCE, eventually, text};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/elsewhere/tsd.py");

/// The key that it takes.
const KEY: &str = "not-secret";

/// A server of the test's own with one project, which fails as it is told.
#[derive(Debug)]
pub struct Tsd {
    folder: PathBuf,
    port: u16,
    encrypted: bool,
    _process: Killed,
}

impl Tsd {
    /// Starts one.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, false)
    }

    /// The same over HTTPS; beside the authority that signed its certificate, `ca.pem`, there is `other.pem`, which did not.
    pub fn start_encrypted(folder: &Path) -> Self {
        Self::start_with(folder, true)
    }

    fn start_with(folder: &Path, encrypted: bool) -> Self {
        let folder = folder.join("tsd");
        fs::create_dir_all(&folder).expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut command = Command::new("python3");
        command.args([SERVER, &port.to_string(), text(&folder), KEY]);
        if encrypted {
            certify(&folder);
            let of = |name| text(&folder.join(name)).to_owned();
            command.env("TSD_TLS", [of("server.pem"), of("server.key")].join(":"));
        }
        let log = fs::File::create(folder.join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let process = Killed(command.spawn().expect("python3 is installed (tests/run installs it)"));
        let said = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        eventually("the server is ready", PATIENCE, said, || said().contains("ready").then_some(()));
        fs::write(folder.join("key"), format!("{KEY}\n")).expect("a file");
        fs::set_permissions(folder.join("key"), fs::Permissions::from_mode(0o600)).expect("a file");
        Self { folder, port, encrypted, _process: process }
    }

    /// Which port it has.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has it fail in a way, or no longer: see `elsewhere/tsd.py`.
    pub fn fail(&self, how: &str, fails: bool) {
        let told = self.folder.join(how);
        if fails { fs::write(told, "").expect("a file") } else { fs::remove_file(told).expect("a file") }
    }

    /// Whether it was told to fail so, and did not yet: what it does once it forgets.
    pub fn is_told(&self, how: &str) -> bool {
        self.folder.join(how).exists()
    }

    /// What was imported.
    pub fn import(&self) -> PathBuf {
        self.folder.join("import")
    }

    /// The files in it, also while it changes.
    pub fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.import()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => files.push(entry.path()),
                }
            }
        }
        files
    }

    /// The room's folder, which is there when something was stored.
    pub fn room(&self) -> PathBuf {
        self.import().join("p11-data-group/sluse")
    }

    /// Writes a courier's configuration, by which it comes to `port`.
    pub fn configuration(&self, port: u16) -> PathBuf {
        self.configuration_by(port, "ca.pem")
    }

    /// The same, where the server's certificate must be good by another authority.
    pub fn configuration_by(&self, port: u16, authority: &str) -> PathBuf {
        let (scheme, authority) = match self.encrypted {
            true => ("https", format!("authority = \"{authority}\"\n")),
            false => ("http", String::new()),
        };
        let settings = format!(
            "[tsd]\n{authority}endpoint = \"{scheme}://127.0.0.1:{port}\"\nproject = \"p11\"\ngroup = \"p11-data-group\"\n\
             folder = \"sluse\"\napi_key = \"key\"\n"
        );
        let file = self.folder.join("courier.toml");
        fs::write(&file, settings).expect("a file");
        file
    }
}
