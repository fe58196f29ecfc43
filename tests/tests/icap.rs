//! A scanner behind ICAP as a site has it: Debian's c-icap with clamd, on TCP, through systemd's relay on a Unix socket.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use sluse_tests::data;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, eventually, text};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const MARK: &[u8] = b"a-mark-that-only-the-scanner-knows-of";

/// A process of the test's own.
struct Process(Child);

impl Process {
    fn start(program: &str, words: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(words).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{program} (tests/run installs it): {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // c-icap tidies up when it is asked to end, and has children of its own.
        let pid = Pid::from_raw(self.0.id().cast_signed());
        let _ = kill(pid, Signal::SIGTERM);
        for _ in 0..50 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// clamd, c-icap and the relay.
struct Scanner {
    _icap: Process,
    clamd: Option<Process>,
    relay: Option<Process>,
    address: SocketAddr,
    socket: PathBuf,
}

fn wait(what: &str, there: impl Fn() -> bool) {
    eventually(what, Duration::from_secs(30), String::new, || there().then_some(()));
}

impl Scanner {
    /// `settings` are more lines of c-icap's configuration.
    fn start(folder: &Path, settings: &str) -> Self {
        let folder = folder.join("scanner");
        for sub in ["signatures", "clamd", "icap"] {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let lines = format!("Test.Mark:0:*:{}\nEicar.Test:0:*:{}\n", hex(MARK), hex(&data::eicar()));
        fs::write(folder.join("signatures/test.ndb"), lines).unwrap();
        let path = |name: &str| text(&folder.join(name)).to_owned();
        let clamd = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\nTemporaryDirectory {}\n",
            path("clamd.sock"),
            path("signatures"),
            path("clamd")
        );
        fs::write(folder.join("clamd.conf"), clamd).unwrap();
        let clamd = Process::start("/usr/sbin/clamd", &["--config-file", &path("clamd.conf")]);
        wait("clamd listens", || folder.join("clamd.sock").exists());
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let modules = "/usr/lib/x86_64-linux-gnu/c_icap";
        let icap = [
            format!("Port {address}\nServerName localhost\nServerAdmin nobody\nPidFile {}\n", path("icap.pid")),
            format!("CommandsSocket {}\nTmpDir {}\nServerLog {}\n", path("icap.ctl"), path("icap"), path("icap.log")),
            format!("AccessLog {}\nModulesDir {modules}\nServicesDir {modules}\n", path("access.log")),
            "TemplateDir /usr/share/c_icap/templates/\nLoadMagicFile /etc/c-icap/c-icap.magic\n".into(),
            "StartServers 1\nMaxServers 2\nMinSpareThreads 2\nMaxSpareThreads 10\nThreadsPerChild 10\n".into(),
            format!("Module common clamd_mod.so\nclamd_mod.ClamdSocket {}\n", path("clamd.sock")),
            "Service antivirus_module virus_scan.so\nvirus_scan.DefaultEngine clamd\n".into(),
            format!("virus_scan.StartSendPercentDataAfter 1000M\n{settings}\n"),
        ];
        fs::write(folder.join("icap.conf"), icap.concat()).unwrap();
        let icap = Process::start("/usr/bin/c-icap", &["-N", "-f", &path("icap.conf")]);
        wait("c-icap listens", || TcpStream::connect(address).is_ok());
        let mut scanner =
            Self { _icap: icap, clamd: Some(clamd), relay: None, address, socket: folder.join("relay.sock") };
        scanner.start_relay();
        scanner
    }

    fn start_relay(&mut self) {
        let _ = fs::remove_file(&self.socket);
        let (socket, address) = (text(&self.socket), self.address.to_string());
        // Without SIGPIPE, as its unit has it: who has heard of a virus does not wait for the page about it.
        let proxy = "trap '' PIPE; exec systemd-socket-activate -l \"$0\" /lib/systemd/systemd-socket-proxyd \"$1\"";
        self.relay = Some(Process::start("/bin/sh", &["-c", proxy, socket, &address]));
        wait("the relay listens", || self.socket.exists());
    }
}

/// c-icap's settings by which it scans everything that it is sent.
const SCANS_ALL: &str = "virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE\nvirus_scan.MaxObjectSize 100M\nvirus_scan.PassOnError off";

/// A zone with a scanner, and an agreement that requires it.
fn zone_with(settings: &str) -> (Zone, Scanner) {
    let mut zone = Zone::prepare();
    let scanner = Scanner::start(zone.folder.path(), settings);
    let lines = format!(
        "[inspect]\nicap_socket = \"{}\"\nicap_service = \"icap://localhost/virus_scan\"\nengine_test_every = \"1s\"\n",
        text(&scanner.socket)
    );
    zone.configure(|settings| settings.replace("[inspect]\n", &lines));
    zone.run();
    zone.agree("edc", "edc", |text| text.replace("\"signatures\"]", "\"signatures\", \"icap\"]")).expect(0);
    (zone, scanner)
}

/// Sends a file that is held.
fn send_and_hold(zone: &Zone, source: &Source, name: &str, bytes: &[u8]) -> String {
    let file = zone.folder.path().join(name);
    fs::write(&file, bytes).unwrap();
    let sent = source.send(&file, &name.replace('.', "-"), "received").expect(0).json();
    let transfer = sent["transfer"].as_str().unwrap().to_owned();
    zone.wait_for_state(&transfer, "held");
    transfer
}

#[test]
fn a_scanner_behind_icap_finds_what_only_it_knows_and_is_named_in_the_receipts() {
    let (zone, mut scanner) = zone_with(SCANS_ALL);
    let there = || Some(zone.operate(&["health"]).stdout).filter(|health| health.contains("engine icap: C-ICAP/"));
    let health = zone.eventually("the scanner is there", there);
    assert!(!health.contains("no-full-malware-engine"), "{health}");
    let checked = zone.operate(&["zone", "check"]).stdout;
    assert!(!checked.contains("ICAP") && !checked.contains("malware"), "{checked}");
    let source = zone.enrol("edc");
    let good = zone.folder.path().join("good.csv");
    fs::write(&good, data::csv(1, 3_000_000)).unwrap();
    let transfer = source.deliver(&good, "good");
    let released = fs::read_to_string(source.receipts(&transfer).join("released.json")).unwrap();
    assert!(released.contains("C-ICAP") && released.contains("state CI0001"), "{released}");
    let bad = zone.folder.path().join("bad.csv");
    fs::write(&bad, [&data::csv(1, 3_000_000)[..], MARK, b"\n"].concat()).unwrap();
    let sent = source.send(&bad, "bad", "delivered").expect(7).json();
    let shown = zone.operate(&["show", sent["transfer"].as_str().unwrap()]).expect(0).stdout;
    assert!(shown.contains("Test.Mark"), "{shown}");
    // Without the relay everything is held that requires it, until it is there again.
    scanner.relay = None;
    let transfer = send_and_hold(&zone, &source, "held.csv", &data::csv(2, 1000));
    scanner.start_relay();
    zone.eventually("the scanner is back", || {
        zone.operate(&["health"]).stdout.contains("engine icap: C-ICAP").then_some(())
    });
    zone.operate(&["inspect-again", &transfer, "--reason", "the relay is back"]).expect(0);
    zone.wait_for_state(&transfer, "delivered");
    // A service that answers, but whose own engine is gone.
    scanner.clamd = None;
    send_and_hold(&zone, &source, "blind.csv", &data::csv(3, 1000));
}

#[test]
fn what_a_scanner_passes_over_is_held_and_never_clean() {
    // Its own limit is lower than ours, and pictures are not scanned: of both it says 204.
    let settings = "virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE\nvirus_scan.MaxObjectSize 2M";
    let (zone, _scanner) = zone_with(settings);
    let source = zone.enrol("edc");
    for (name, bytes) in
        [("large.csv", data::csv(1, 3_000_000)), ("picture.gif", [&b"GIF89a"[..], &[0; 5000]].concat())]
    {
        let transfer = send_and_hold(&zone, &source, name, &bytes);
        let shown = zone.operate(&["show", &transfer]).expect(0).stdout;
        assert!(shown.contains("before it had read the whole file"), "{name}: {shown}");
    }
}
