//! Somebody notices: what `health` says stands in the journal by its code, and is mailed by a process that has nothing but codes and numbers.

use sluse_tests::command::{binaries, program};
use sluse_tests::data;
use sluse_tests::zone::{PATIENCE, Zone, eventually, text};
use std::ffi::OsStr;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A relay of another maker's (aiosmtpd), which keeps each mail as a file.
struct Relay {
    process: Child,
    port: u16,
    mails: PathBuf,
}

/// `slused notify`.
struct Mailer(Child);

impl Relay {
    fn start(folder: &Path, port: u16, more: &[&str]) -> Self {
        let mails = folder.join("mails");
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}"), "-c", "aiosmtpd.handlers.Mailbox"]);
        command.arg(&mails).args(more).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().expect("aiosmtpd starts: tests/run installs python3-aiosmtpd");
        let relay = Self { process, port, mails };
        eventually("the relay listens", PATIENCE, String::new, || {
            TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        relay
    }

    fn mails(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.mails.join("new")) else { return Vec::new() };
        folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Mailer {
    fn start(zone: &Zone, log: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(binaries().join("slused"));
        command.args(["notify", "--config", text(&zone.root().join("sluse.toml"))]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Mailer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

/// A zone that mails by a relay at `port`.
fn zone(port: u16, more: &str) -> Zone {
    let mut zone = Zone::prepare();
    let section = format!(
        "\n[notify]\nrelay = \"localhost:{port}\"\nfrom = \"sluse@zone.example\"\nto = [\"drift@sykehus.example\", \
         \"vakt@sykehus.example\"]\n{more}\n"
    );
    zone.configure(|text| text + &section);
    zone.run();
    zone
}

/// A transfer that is held, with names that must not get out.
fn held(zone: &Zone) -> String {
    zone.agree("lab", "lab", |text| text.replace("rule = \"automatic\"", "rule = \"one-reviewer\"")).expect(0);
    let source = zone.enrol("lab");
    let tree = zone.folder.path().join("extract");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("ola-nordmann.csv"), data::csv(1, 100)).unwrap();
    let sent = source.send(&tree, "secret-set", "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");
    transfer
}

#[test]
fn what_is_held_is_mailed_by_its_code_with_nothing_of_what_it_is_and_again_when_it_is_over() {
    let port = free_port();
    let zone = zone(port, "tls = \"none\"");
    let folder = zone.folder.path().to_owned();
    let log = folder.join("notify.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let transfer = held(&zone);
    // The relay is away at first: nothing is lost by that.
    let _mailer = Mailer::start(&zone, &log);
    eventually("it is tried", PATIENCE, said, || said().contains("mail-not-taken").then_some(()));
    let relay = Relay::start(&folder, port, &[]);
    let about = |relay: &Relay, what: &str| relay.mails().into_iter().find(|mail| mail.contains(what));
    let mail = eventually("a mail", PATIENCE, said, || about(&relay, "warning  held"));
    assert!(mail.contains("To: drift@sykehus.example,") && mail.contains("vakt@sykehus.example"), "{mail}");
    assert!(mail.contains("Auto-Submitted: auto-generated") && mail.contains("Subject: Sluse sluse: "), "{mail}");
    for secret in [transfer.as_str(), "ola-nordmann", "secret-set", "lab"] {
        assert!(!mail.contains(secret), "{secret}: {mail}");
    }
    assert!(zone.log().contains("code=\"held\""), "the journal has it by its code: {}", zone.log());
    zone.operate(&["release", &transfer, "--reason", "seen"]).expect(0);
    eventually("that it is over", PATIENCE, said, || about(&relay, "ended    held"));
    let health = zone.operate(&["health", "--json"]).json();
    assert!(health["warnings"].as_array().unwrap().iter().all(|warning| warning["code"] != "held"));
}

#[test]
fn mails_go_by_tls_to_a_relay_whose_certificate_is_good_and_to_no_other() {
    let port = free_port();
    let zone = zone(port, "authority = \"authorities/relay.pem\"");
    let folder = zone.folder.path().to_owned();
    let log = folder.join("notify.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    held(&zone);
    let certificate = |name: &str| {
        let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1-ca.key -out $1-ca.pem \
                    -days 2 -subj /CN=$1 && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key \
                    -out $1.csr -subj /CN=localhost && echo subjectAltName=DNS:localhost > $1.ext && \
                    openssl x509 -req -in $1.csr -CA $1-ca.pem -CAkey $1-ca.key -CAcreateserial -days 2 -extfile $1.ext -out $1.pem";
        program("sh", &[&"-ec", &make, &"sh", &name as &dyn AsRef<OsStr>], &folder, b"").expect(0);
        (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")))
    };
    let ((good, key), (other, other_key)) = (certificate("good"), certificate("other"));
    fs::create_dir_all(zone.root().join("authorities")).unwrap();
    fs::copy(folder.join("good-ca.pem"), zone.root().join("authorities/relay.pem")).unwrap();
    let _mailer = Mailer::start(&zone, &log);
    let tls = |certificate: &Path, key: &Path| {
        let words = ["--tlscert", text(certificate), "--tlskey", text(key)];
        Relay::start(&folder, port, &words)
    };
    let false_one = tls(&other, &other_key);
    eventually("the false relay is refused", PATIENCE, said, || {
        said().contains("invalid peer certificate").then_some(())
    });
    assert!(false_one.mails().is_empty());
    drop(false_one);
    let relay = tls(&good, &key);
    eventually("a mail", PATIENCE, said, || relay.mails().into_iter().find(|mail| mail.contains("warning  held")));
    assert_eq!(relay.port, port);
}

#[test]
fn the_socket_gives_codes_and_numbers_to_the_user_that_mails_and_to_nobody_else() {
    let zone = Zone::start();
    let transfer = held(&zone);
    let socket = zone.root().join("run/alerts/alerts.sock");
    let read = || {
        let mut json = String::new();
        std::io::Read::read_to_string(&mut UnixStream::connect(&socket).ok()?, &mut json).ok()?;
        serde_json::from_str::<serde_json::Value>(&json).ok()
    };
    let alerts =
        zone.eventually("what is held stands there", || read().filter(|alerts| alerts.to_string().contains("held")));
    let held = alerts["alerts"].as_array().unwrap().iter().find(|alert| alert["code"] == "held").unwrap().clone();
    assert_eq!(held, serde_json::json!({"code": "held", "count": 1, "problem": false}));
    for secret in [transfer.as_str(), "ola-nordmann", "secret-set", "lab"] {
        assert!(!alerts.to_string().contains(secret), "{secret}: {alerts}");
    }
    // Another user connects, and is cut off without a word.
    program("chmod", &[&"o+x", &zone.folder.path(), &zone.root()], Path::new("/"), b"").expect(0);
    let script = "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(len(s.recv(10)))";
    let words: &[&dyn AsRef<OsStr>] = &[&"-c", &script, &socket];
    assert_eq!(program("python3", words, Path::new("/"), b"").expect(0).stdout, "0\n");
}
