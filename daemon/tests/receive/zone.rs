//! A zone as far as `receive` needs one: folders, certificates, settings, and a running role with a stand-in `control`.

use crate::control::Control;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sluse_host::config::{KeyExchange, ReceiveSettings, Settings, Zone, ZoneSettings};
use sluse_host::layout::{self, Layout};
use sluse_protocol::ids::TransferId;
use sluse_protocol::roles::Role;
use sluse_protocol::wire::ZONE_HOST;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// A certificate and its key, PEM, and the certificate's DER.
pub struct Credentials {
    pub certificate: String,
    pub key: String,
    pub der: Vec<u8>,
}

pub struct TestZone {
    pub zone: Zone,
    pub address: SocketAddr,
    pub control: Arc<Control>,
    pub identity: age::x25519::Identity,
    pub authority: Issuer<'static, KeyPair>,
    pub authority_pem: String,
    role: Option<JoinHandle<Result<(), slused::RoleError>>>,
    stop: Option<oneshot::Sender<()>>,
    _folder: tempfile::TempDir,
}

pub fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

pub fn certificate(authority: &Issuer<'static, KeyPair>, name: &str, usage: ExtendedKeyUsagePurpose) -> Credentials {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Credentials { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
}

/// Another certificate of a key for `receive`, that has lived for `lived` days and has `left` before it.
pub fn certified(authority: &Issuer<'static, KeyPair>, key: &str, (lived, left): (i64, i64)) -> Credentials {
    let mut params = CertificateParams::new(vec![ZONE_HOST.to_owned()]).unwrap();
    let now = sluse_host::clock::now().unix();
    let day = |days: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(u64::try_from(now + days * 86_400).unwrap())
    };
    (params.not_before, params.not_after) = (day(-lived), day(left));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let pair = KeyPair::from_pem(key).unwrap();
    let certificate = params.signed_by(&pair, authority).unwrap();
    Credentials { certificate: certificate.pem(), key: key.to_owned(), der: certificate.der().to_vec() }
}

/// Changes the settings before the role starts.
pub type Adjust = fn(&mut ReceiveSettings);

impl TestZone {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(adjust: Adjust) -> Self {
        Self::prepare(adjust).run()
    }

    /// Everything but the running role.
    pub fn prepare(adjust: Adjust) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        for path in [layout.trust(), layout.role(Role::Receive), layout.incoming(), layout.sealed()] {
            std::fs::create_dir_all(path).unwrap();
        }
        let (authority, authority_pem) = authority();
        let server = certificate(&authority, ZONE_HOST, ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(layout.ca_certificate(), &authority_pem).unwrap();
        std::fs::write(layout.tls_certificate(), &server.certificate).unwrap();
        std::fs::write(layout.tls_key(), &server.key).unwrap();
        std::fs::set_permissions(layout.tls_key(), std::fs::Permissions::from_mode(0o600)).unwrap();
        sluse_host::keys::create_secret(&layout.reset_key()).unwrap();
        let mut receive = ReceiveSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: Vec::new(),
            key_exchange: KeyExchange::HybridRequired,
            max_connections: 64,
            max_connections_per_source: 8,
            keep_free_bytes: 1,
        };
        adjust(&mut receive);
        let settings = Settings {
            network: sluse_host::network::Network::default(),
            zone: ZoneSettings { name: "testzone".parse().unwrap(), allow_unconfined: false },
            receive,
            control: Default::default(),
            inspect: Default::default(),
            deliver: Default::default(),
            notify: None,
            authorities: Vec::new(),
            sources: Vec::new(),
            agreements: Vec::new(),
            updates: sluse_host::config::UpdateSettings::default(),
        };
        let identity = age::x25519::Identity::generate();
        let control = Arc::new(Control::new(layout.clone(), identity.to_public().to_string()));
        Self {
            zone: Zone { settings, layout },
            address: "127.0.0.1:0".parse().unwrap(),
            control,
            identity,
            authority,
            authority_pem,
            role: None,
            stop: None,
            _folder: folder,
        }
    }

    pub fn run(mut self) -> Self {
        self.start_role();
        self
    }

    /// Starts the role, on a new port.
    pub fn start_role(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        self.address = socket.local_addr().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.control.answer(ours);
        let zone = self.zone.clone();
        let (stop, stopped) = oneshot::channel();
        // A signal would stop the roles of every test in this process.
        let stopped = async move { stopped.await.map_err(|_| slused::RoleError::State("nobody stops it".into())) };
        self.role = Some(std::thread::spawn(move || slused::receive::run_until(zone, theirs, socket, stopped)));
        self.stop = Some(stop);
    }

    /// Cuts the link to `control` and waits for the role's end.
    pub fn lose_control(&mut self) -> Result<(), slused::RoleError> {
        self.control.hang_up();
        self.role.take().unwrap().join().unwrap()
    }

    /// Stops the role as SIGTERM would, and waits for its end.
    pub fn stop(&mut self) -> Result<(), slused::RoleError> {
        self.stop.take().unwrap().send(()).unwrap();
        self.role.take().unwrap().join().unwrap()
    }

    /// A source that `control` knows.
    pub fn source(&self, name: &str) -> Credentials {
        let credentials = self.stranger(name);
        self.control.enrol(&credentials.der, Some(name));
        credentials
    }

    /// A certificate of the zone's authority that `control` does not know.
    pub fn stranger(&self, name: &str) -> Credentials {
        certificate(&self.authority, name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate of the zone's authority for another use.
    pub fn certificate(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Credentials {
        certificate(&self.authority, name, usage)
    }

    /// The names in an incoming transfer's folder, sorted.
    pub fn files(&self, transfer: &TransferId) -> Vec<String> {
        let entries = std::fs::read_dir(self.incoming(transfer)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn incoming(&self, transfer: &TransferId) -> PathBuf {
        layout::transfer_folder(&self.zone.layout.incoming(), transfer)
    }

    pub fn sealed(&self, transfer: &TransferId) -> PathBuf {
        layout::transfer_folder(&self.zone.layout.sealed(), transfer)
    }

    /// Opens an age file with the transfers' identity.
    pub fn decrypt(&self, file: &Path) -> Vec<u8> {
        age::decrypt(&self.identity, &std::fs::read(file).unwrap()).unwrap()
    }
}

impl Drop for TestZone {
    fn drop(&mut self) {
        self.control.hang_up();
        if let Some(role) = self.role.take() {
            let _ = role.join();
        }
    }
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in time: {what}");
}
