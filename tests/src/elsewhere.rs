//! A room that is elsewhere: an OpenSSH server on loopback, and the courier that goes there.

use crate::command::{Ended, binaries, program, run};
use crate::zone::{PATIENCE, Zone, eventually, text};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A process that is killed at the end.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An OpenSSH server of the test's own, with one key that it takes.
#[derive(Debug)]
pub struct SftpServer {
    /// Where its files lie: keys, configuration, and the room's folder `room`.
    pub folder: PathBuf,
    port: u16,
    process: Option<Killed>,
}

impl SftpServer {
    /// Starts one, with `subsystem` as what speaks SFTP.
    pub fn start(folder: &Path, subsystem: &str) -> Self {
        let folder = folder.join("sftp-server");
        fs::create_dir_all(folder.join("room")).expect("a folder");
        for name in ["host_key", "client_key", "other_key"] {
            let file = folder.join(name);
            let words: &[&dyn AsRef<std::ffi::OsStr>] =
                &[&"-q", &"-t", &"ed25519", &"-N", &"", &"-C", &"", &"-f", &file];
            program("ssh-keygen", words, &folder, b"").expect(0);
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut server = Self { folder, port, process: None };
        server.take_key("");
        let line = |name: &str| format!("{name} {}\n", text(&server.folder.join(name.to_lowercase())));
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp {subsystem}\n",
            line("host_key").split_once(' ').expect("two words").1.trim(),
            line("authorized_keys").split_once(' ').expect("two words").1.trim(),
        );
        fs::write(server.folder.join("sshd_config"), settings).expect("a configuration");
        // Where OpenSSH's server wants an empty folder of root's.
        fs::create_dir_all("/run/sshd").expect("this test runs OpenSSH's server and therefore needs root");
        server.run();
        server
    }

    /// Starts it again.
    pub fn run(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", text(&self.folder.join("sshd_config"))]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(Killed(command.spawn().expect("openssh-server is installed (tests/run installs it)")));
        eventually("the server listens", PATIENCE, || self.log(), || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Which port it has.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The room's folder.
    pub fn room(&self) -> PathBuf {
        self.folder.join("room")
    }

    /// Takes the courier's key, with options before it.
    pub fn take_key(&self, options: &str) {
        let key = fs::read_to_string(self.folder.join("client_key.pub")).expect("a key");
        fs::write(self.folder.join("authorized_keys"), format!("{options} {key}").trim_start()).expect("a file");
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Writes a courier's configuration, by which it comes to `port` and expects the host key of that name.
    pub fn configuration(&self, port: u16, host_key: &str, more: &str) -> PathBuf {
        let key = fs::read_to_string(self.folder.join(format!("{host_key}.pub"))).expect("a key");
        fs::write(self.folder.join("known_hosts"), format!("[127.0.0.1]:{port} {key}")).expect("a file");
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("a user").expect("a user").name;
        let settings = format!(
            "{more}[sftp]\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\nfolder = \"{}\"\nkey = \"client_key\"\n\
             known_hosts = \"known_hosts\"\n",
            text(&self.room())
        );
        let file = self.folder.join("courier.toml");
        fs::write(&file, settings).expect("a file");
        file
    }
}

/// A running courier.
#[derive(Debug)]
pub struct Courier {
    process: Killed,
}

impl Courier {
    /// Starts the courier of `room` for a zone.
    pub fn start(zone: &Zone, room: &str, configuration: &Path) -> Self {
        let socket = zone.root().join("couriers").join(format!("{room}.sock"));
        fs::create_dir_all(socket.parent().expect("a folder")).expect("a folder");
        let log = zone.folder.path().join("courier.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut command = Command::new(binaries().join("sluse-courier"));
        command.args(["serve", "--config", text(configuration), "--listen", text(&socket)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let process = Killed(command.spawn().expect("sluse-courier starts"));
        let said = || fs::read_to_string(&log).unwrap_or_default();
        eventually("the courier listens", PATIENCE, said, || std::os::unix::net::UnixStream::connect(&socket).ok());
        Self { process }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.0.kill().expect("the courier runs");
        self.process.0.wait().expect("the courier ends");
    }

    /// Checks the target.
    pub fn check(configuration: &Path) -> Ended {
        let mut command = Command::new(binaries().join("sluse-courier"));
        command.args(["check", "--config", text(configuration)]);
        run(command)
    }
}

/// A way over TCP that can be cut.
#[derive(Debug)]
pub struct Way {
    /// Its near end.
    pub port: u16,
    left: Arc<AtomicU64>,
    /// Bytes that went to the far end in all.
    pub carried: Arc<AtomicU64>,
    cut: Arc<AtomicBool>,
}

impl Way {
    /// A way to a port of this host that is cut for good after so many bytes; until [`Self::mend`].
    pub fn to(port: u16, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = listener.local_addr().expect("a port").port();
        let way = Self { port: near, left: Arc::new(bytes.into()), carried: Arc::default(), cut: Arc::default() };
        let (left, carried, cut) = (Arc::clone(&way.left), Arc::clone(&way.carried), Arc::clone(&way.cut));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(near), false) = (stream, cut.load(Ordering::SeqCst)) else { continue };
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (left, carried, cut) = (Arc::clone(&left), Arc::clone(&carried), Arc::clone(&cut));
                let (mut back, mut there) = (far.try_clone().expect("a socket"), near.try_clone().expect("a socket"));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut there);
                    let _ = there.shutdown(Shutdown::Both);
                });
                std::thread::spawn(move || forth(near, far, &left, &carried, &cut));
            }
        });
        way
    }

    /// Whether it was cut.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.left.store(u64::MAX, Ordering::SeqCst);
        self.cut.store(false, Ordering::SeqCst);
    }
}

fn forth(mut near: TcpStream, mut far: TcpStream, left: &AtomicU64, carried: &AtomicU64, cut: &AtomicBool) {
    let mut step = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = near.read(&mut step) {
        if left.load(Ordering::SeqCst) < count as u64 {
            cut.store(true, Ordering::SeqCst);
            break;
        }
        left.fetch_sub(count as u64, Ordering::SeqCst);
        carried.fetch_add(count as u64, Ordering::SeqCst);
        if far.write_all(&step[..count]).is_err() {
            break;
        }
    }
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
}

/// An S3-compatible store of the test's own, which checks each request's signature, and fails as it is told.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    port: u16,
    encrypted: bool,
    _process: Killed,
}

const STORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/elsewhere/store.py");

impl Store {
    /// Starts one, with an empty bucket.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, false)
    }

    /// The same over HTTPS; beside the authority that signed its certificate, `ca.pem`, there is `other.pem`, which did not.
    pub fn start_encrypted(folder: &Path) -> Self {
        Self::start_with(folder, true)
    }

    fn start_with(folder: &Path, encrypted: bool) -> Self {
        let folder = folder.join("store");
        fs::create_dir_all(&folder).expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut command = Command::new(python());
        command.args([STORE, &port.to_string(), text(&folder), "sluse-key", "not-secret", "deliveries"]);
        if encrypted {
            certify(&folder);
            let of = |name| text(&folder.join(name)).to_owned();
            command.env("STORE_TLS", [of("server.pem"), of("server.key"), of("ca.pem")].join(":"));
        }
        let log = fs::File::create(folder.join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let process = Killed(command.spawn().expect("a Python with moto (tests/run makes one)"));
        let said = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        eventually("the store is ready", PATIENCE, said, || said().contains("ready").then_some(()));
        fs::write(folder.join("secret"), "not-secret\n").expect("a file");
        fs::set_permissions(folder.join("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("a file");
        Self { folder, port, encrypted, _process: process }
    }

    /// Which port it has.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has it fail in a way, or no longer: `deny`, `full`, `lie`.
    pub fn fail(&self, how: &str, fails: bool) {
        let told = self.folder.join(how);
        if fails { fs::write(told, "").expect("a file") } else { fs::remove_file(told).expect("a file") }
    }

    /// Writes a courier's configuration, by which it comes to `port`.
    pub fn configuration(&self, port: u16) -> PathBuf {
        self.configuration_by(port, "ca.pem")
    }

    /// The same, where the store's certificate must be good by another authority.
    pub fn configuration_by(&self, port: u16, authority: &str) -> PathBuf {
        let (scheme, authority) = match self.encrypted {
            true => ("https", format!("authority = \"{authority}\"\n")),
            false => ("http", String::new()),
        };
        let settings = format!(
            "[s3]\n{authority}endpoint = \"{scheme}://127.0.0.1:{port}\"\nbucket = \"deliveries\"\nprefix = \"hunt\"\naccess_key = \"sluse-key\"\n\
             secret_key = \"secret\"\n"
        );
        let file = self.folder.join("courier.toml");
        fs::write(&file, settings).expect("a file");
        file
    }

    /// All that is in it, fetched by another client into a folder that is made anew.
    pub fn fetch(&self) -> PathBuf {
        let out = self.folder.join("fetched");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).expect("a folder");
        let port = self.port.to_string();
        let words: &[&dyn AsRef<std::ffi::OsStr>] =
            &[&STORE, &"fetch", &port, &"sluse-key", &"not-secret", &"deliveries", &out];
        program(&python(), words, &self.folder, b"").expect(0);
        out
    }
}

/// Makes two authorities, and a certificate of the first one's for this host.
pub(crate) fn certify(folder: &Path) {
    fs::write(folder.join("names"), "subjectAltName = IP:127.0.0.1\n").expect("a file");
    let openssl = |words: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as _).collect();
        program("openssl", &words, folder, b"").expect(0);
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30";
    for name in ["ca", "other"] {
        openssl(&format!("req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name}"));
    }
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=store"));
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile names",
    );
}

fn python() -> String {
    std::env::var("SLUSE_PYTHON").expect("tests/run makes a Python with moto, and names it")
}
