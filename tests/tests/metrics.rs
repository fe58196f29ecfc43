//! What monitoring reads of a running zone: the socket as curl asks it, the textfile, and that alerts and dashboard name only what is there.

use sluse_tests::command::{program, run};
use sluse_tests::data;
use sluse_tests::own_etc::with_own_etc;
use sluse_tests::zone::{Zone, text};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitoring")
}

/// The names of all metrics of which a text speaks.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sluse_")).map(str::to_owned).collect()
}

/// curl's answer as the user `name`: its status and its body.
fn curl_as(name: &str, socket: &Path, path: &str) -> (String, String) {
    let mut curl = Command::new("setpriv");
    curl.args([&format!("--reuid={name}"), "--regid=nogroup", "--init-groups", "curl", "--silent", "--show-error"]);
    curl.args([
        "--unix-socket",
        text(socket),
        "--write-out",
        "\n%{http_code} %{content_type}",
        &format!("http://zone{path}"),
    ]);
    let ended = run(curl).expect(0);
    let (body, status) = ended.stdout.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

#[test]
fn a_scraper_and_a_textfile_have_the_zones_numbers_and_strangers_have_none() {
    let setup = "groupadd --force --system sluse-monitors
        useradd --no-create-home --user-group --groups sluse-monitors t-monitor
        useradd --no-create-home --user-group t-nils";
    with_own_etc("a_scraper_and_a_textfile_have_the_zones_numbers_and_strangers_have_none", setup, || {
        let mut zone = Zone::prepare();
        fs::set_permissions(zone.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        zone.configure(|text| text.replace("# monitors_group =", "monitors_group ="));
        zone.run();
        let source = zone.enrol("lab");
        zone.agree("lab", "lab", |text| text);
        let folder = zone.folder.path().join("extract");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.csv"), data::csv(1, 1000)).unwrap();
        source.deliver(&folder, "first");
        let socket = zone.root().join("run/metrics.sock");
        let (status, body) = curl_as("t-monitor", &socket, "/metrics");
        assert_eq!(status, "200 application/openmetrics-text; version=1.0.0; charset=utf-8");
        assert!(
            body.contains("sluse_transfers_entered_total{state=\"delivered\",source=\"lab\",agreement=\"lab\"} 1\n"),
            "{body}"
        );
        assert!(!body.contains("a.csv") && !body.contains("first"), "names of what is sent: {body}");
        assert!(curl_as("t-monitor", &socket, "/other").0.starts_with("404 "));
        let (status, body) = curl_as("t-nils", &socket, "/metrics");
        assert!(status.starts_with("403 ") && !body.contains("sluse_"), "{status}: {body}");

        let file = zone.folder.path().join("sluse.prom");
        zone.operate(&["metrics", "--textfile", text(&file)]).expect(0);
        let written = fs::read_to_string(&file).unwrap();
        assert_eq!(metrics_in(&written), metrics_in(&zone.operate(&["metrics"]).expect(0).stdout));
        let checked = program("promtool", &[&"check", &"metrics"], Path::new("/"), &fs::read(&file).unwrap());
        assert!(!checked.stderr.contains("error"), "{}", checked.stderr);

        // An alert on a metric that is not there would be silent for ever.
        let there = metrics_in(&written);
        for name in ["alerts.yml", "dashboard.json"] {
            let named = metrics_in(&fs::read_to_string(monitoring().join(name)).unwrap());
            assert!(!named.is_empty());
            assert_eq!(named.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "{name}");
        }
        assert!(zone.stop() == Some(0));
        zone.operate(&["metrics", "--textfile", text(&file)]).expect(6);
        assert_eq!(fs::read_to_string(&file).unwrap(), written, "half a file, or an old one renewed");
    });
}

#[test]
fn each_alert_says_what_it_should_when_it_should() {
    program("promtool", &[&"check", &"rules", &"alerts.yml"], &monitoring(), b"").expect(0);
    program("promtool", &[&"test", &"rules", &"alerts-tests.yml"], &monitoring(), b"").expect(0);
}
