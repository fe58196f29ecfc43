//! What the attempts are made on: a zone's folders, sockets, and another process.

use nix::unistd::Pid;
use sluse_host::config::{
    ControlSettings, DeliverSettings, IcapSettings, InspectSettings, KeyExchange, ReceiveSettings, Settings, Zone,
    ZoneSettings,
};
use sluse_host::layout::Layout;
use sluse_protocol::roles::Role;
use slused::inspect::jail::Outside;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// A zone, and what else there is to reach. What it opened stays open as long as it lives.
pub struct Scene {
    /// Its folder.
    pub folder: tempfile::TempDir,
    /// A process of the same user.
    pub sibling: Child,
    /// A TCP port that somebody listens on.
    pub tcp: TcpListener,
    /// A UDP socket.
    pub udp: UdpSocket,
    _sockets: [UnixListener; 2],
}

impl Scene {
    /// Sets it up.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let zone = zone(folder.path(), None);
        let layout = &zone.layout;
        let folders = [layout.trust(), layout.incoming().join("one"), layout.incoming().join("two"), layout.run()];
        let folders = folders.into_iter().chain(Role::ALL.iter().map(|&role| layout.role(role)));
        let more = [
            layout.sealed().join("three"),
            layout.identities(),
            layout.documents(),
            layout.pending(),
            zone.signatures(),
        ];
        let rooms = [zone.rooms().join("room"), zone.rooms().join("other")];
        folders.chain(more).chain(rooms).for_each(|folder| fs::create_dir_all(folder).unwrap());
        for file in files(&zone) {
            fs::write(file, "secret").unwrap();
        }
        let sibling = Command::new("sleep").arg("1000").spawn().unwrap();
        let abstract_name = SocketAddr::from_abstract_name(abstract_name(folder.path())).unwrap();
        Self {
            _sockets: [
                UnixListener::bind(unix_socket(folder.path())).unwrap(),
                UnixListener::bind_addr(&abstract_name).unwrap(),
            ],
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            sibling,
            folder,
        }
    }

    /// The other process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.sibling.id()).unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.sibling.kill().unwrap();
        self.sibling.wait().unwrap();
    }
}

/// Files with a secret in them.
fn files(zone: &Zone) -> Vec<PathBuf> {
    let layout = &zone.layout;
    vec![
        layout.config(),
        layout.database(),
        layout.ca_key(),
        layout.signing_key(),
        layout.tls_key(),
        layout.reset_key(),
        layout.quarantine_key(),
        layout.identity("age1x"),
        layout.deliver_key(),
        layout.signer(),
        layout.incoming().join("one/0000000.age"),
        layout.sealed().join("three/0000000.age"),
        zone.rooms().join("room/data"),
        zone.signatures().join("list.sha256"),
    ]
}

/// The zone in `folder`, with this engine.
pub fn zone(folder: &Path, outside: Option<Outside>) -> Zone {
    let mut inspect = InspectSettings::default();
    let socket = unix_socket(folder);
    match outside {
        Some(Outside::Clamd) => inspect.clamd_socket = Some(socket),
        Some(Outside::Icap) => {
            let service = "icap://scanner/avscan".parse().unwrap();
            inspect.icap = Some(IcapSettings { socket, service, max_bytes: 1 });
        }
        None => {}
    }
    let receive = ReceiveSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: vec![],
        key_exchange: KeyExchange::HybridRequired,
        max_connections: 1,
        max_connections_per_source: 1,
        keep_free_bytes: 0,
    };
    let settings = Settings {
        network: sluse_host::network::Network::default(),
        zone: ZoneSettings { name: "test".parse().unwrap(), allow_unconfined: false },
        receive,
        control: ControlSettings::default(),
        inspect,
        deliver: DeliverSettings::default(),
        notify: None,
        authorities: Vec::new(),
        sources: Vec::new(),
        agreements: Vec::new(),
        updates: sluse_host::config::UpdateSettings::default(),
    };
    Zone { settings, layout: Layout::new(folder) }
}

/// A Unix socket that somebody listens on.
pub fn unix_socket(folder: &Path) -> PathBuf {
    folder.join("somebody.sock")
}

/// The same without a file.
pub fn abstract_name(folder: &Path) -> String {
    folder.display().to_string()
}
