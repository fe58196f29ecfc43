//! Configuration errors: which line, what is wrong, what to write instead.

use sluse_host::config::{Settings, Subject, Zone};
use std::time::Duration;

const GOOD: &str = "[zone]\nname = \"sluse\"\n[receive]\nlisten = \"127.0.0.1:7443\"\nadvertise = [\"zone:7443\"]\n";

#[test]
fn the_shipped_example_loads_and_its_commented_lines_are_the_defaults() {
    let example = include_str!("../../config/sluse.toml");
    let shipped = Settings::parse(example).unwrap();
    // A comment that is a setting begins with one lower-case word and an equals sign, or is a section.
    let is_setting = |line: &str| line.split(' ').nth(1) == Some("=") || line.starts_with('[');
    let setting = |line: &str| line.strip_prefix("# ").is_some_and(is_setting);
    let uncommented: String =
        example.lines().map(|line| if setting(line) { &line[2..] } else { line }).collect::<Vec<_>>().join("\n");
    let mut spelt_out = Settings::parse(&uncommented).unwrap();
    assert_eq!(spelt_out.control.operators_group.take().as_deref(), Some("sluse-operators"));
    assert_eq!(spelt_out.control.reviewers_group.take().as_deref(), Some("sluse-reviewers"));
    assert_eq!(spelt_out.control.auditors_group.take().as_deref(), Some("sluse-auditors"));
    assert_eq!(spelt_out.control.administrators_group.take().as_deref(), Some("sluse-admins"));
    assert_eq!(spelt_out.control.monitors_group.take().as_deref(), Some("sluse-monitors"));
    assert_eq!(spelt_out.inspect.signatures_max_age.take(), Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(spelt_out.inspect.clamd_socket.take(), Some("/run/clamav/clamd.ctl".into()));
    assert_eq!(spelt_out.deliver.couriers.take(), Some("/run/sluse-courier".into()));
    let icap = spelt_out.inspect.icap.take().unwrap();
    let service = "icap://scanner.example.org:1344/avscan";
    assert_eq!((icap.service.to_string().as_str(), icap.max_bytes), (service, shipped.inspect.clamd_max_bytes));
    assert_eq!(spelt_out.network.ack_every_packets.take(), Some(10));
    assert_eq!(spelt_out.network.max_bytes_per_second.take(), Some(12_500_000));
    let notify = spelt_out.notify.take().unwrap();
    assert_eq!((notify.to[0].as_str(), notify.hello.as_str()), ("drift@sykehus.example", "localhost"));
    let authorities = std::mem::take(&mut spelt_out.authorities);
    let names: Vec<&str> = authorities.iter().map(|authority| authority.name.as_str()).collect();
    assert_eq!((names, authorities[0].revocation_lists.len()), (vec!["buypass"], 1));
    assert_eq!(authorities[0].sources[0].subject, Subject::Organisation("983974899".into()));
    let updates = std::mem::take(&mut spelt_out.updates);
    assert_eq!((updates.keys().count(), updates.clamd_databases), (1, Some("/var/lib/clamav".into())));
    let sources = std::mem::take(&mut spelt_out.sources);
    let sources: Vec<_> =
        sources.iter().map(|it| (it.name.as_str(), it.weight, it.max_open_bytes, it.hours.to_string())).collect();
    assert_eq!(sources, [("edc", 1, Some(400_000_000_000), "Mon-Fri 18:00-06:00, Sat-Sun".into())]);
    let agreements = std::mem::take(&mut spelt_out.agreements);
    let agreements: Vec<_> = agreements.iter().map(|it| (it.id.as_str(), it.weight, it.hours.to_string())).collect();
    assert_eq!(agreements, [("lab-nightly", 1, "18:00-06:00".into())]);
    assert_eq!(spelt_out, shipped);
}

#[test]
fn each_mistake_is_told_with_its_line_and_what_to_write_instead() {
    // What to add to or replace in a good configuration; then line, message, hint.
    let cases = [
        ("name = \"sluse\"", "", 1, "`zone.name` is missing", "add `name = \"sluse\"`"),
        (
            "\"sluse\"",
            "\"Sluse\"",
            2,
            "`zone.name` is not taken: a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit",
            "write for example `name = \"sluse\"`",
        ),
        ("listen", "lisen", 4, "unknown field `receive.lisen`", "did you mean `listen`?"),
        ("[receive]", "[recieve]", 3, "unknown field `recieve`", "did you mean `receive`?"),
        (
            "127.0.0.1:7443",
            "localhost",
            4,
            "`receive.listen` is not an IP address and a port",
            "write for example `listen = \"0.0.0.0:7443\"`",
        ),
        (
            "127.0.0.1:7443",
            "127.0.0.1:0",
            4,
            "`receive.listen` has port 0: sources could not find it",
            "write for example `listen = \"0.0.0.0:7443\"`",
        ),
        (
            "\"zone:7443\"",
            "",
            5,
            "`receive.advertise` is empty: sources would not find the zone",
            "write for example `advertise = [\"zone.example.org:7443\"]`",
        ),
        (
            "zone:7443",
            "zone",
            5,
            "`receive.advertise` names \"zone\", which has no port",
            "write for example `advertise = [\"zone.example.org:7443\"]`",
        ),
        (
            "zone:7443",
            "::1:7443",
            5,
            "`receive.advertise` names \"::1:7443\", which has no host name or address (IPv6 stands in brackets)",
            "write for example `advertise = [\"zone.example.org:7443\"]`",
        ),
        (
            "[\"zone:7443\"]",
            "\"zone:7443\"",
            5,
            "`receive.advertise` is text, not a list",
            "write for example `advertise = [\"zone.example.org:7443\"]`",
        ),
        (
            "@",
            "key_exchange = \"hybrid\"",
            6,
            "`receive.key_exchange` does not know \"hybrid\"",
            "one of: hybrid-required, allow-x25519",
        ),
        (
            "@",
            "max_connections = 4\nmax_connections_per_source = 5",
            7,
            "`receive.max_connections_per_source` is more than all connections together",
            "write at most 4",
        ),
        (
            "@",
            "[network]\ncongestion = \"reno\"",
            7,
            "`network.congestion` does not know \"reno\"",
            "one of: cubic, bbr, new-reno",
        ),
        (
            "@",
            "[network]\nstream_window_bytes = 3000000",
            7,
            "`network.stream_window_bytes` is not between 65536 and 2900000",
            "write for example `stream_window_bytes = 2400000`",
        ),
        (
            "@",
            "[network]\nconnection_window_bytes = 1048576",
            6,
            "`network.stream_window_bytes` is more than a connection's window",
            "write at most 1048576",
        ),
        (
            "@",
            "[control]\nreceiving_days = 0",
            7,
            "`control.receiving_days` is not between 1 and 3653",
            "write for example `receiving_days = 14`",
        ),
        (
            "@",
            "[control]\ncertificate_life = 365",
            7,
            "`control.certificate_life` is a number, not text",
            "write for example `certificate_life = \"365d\"`",
        ),
        (
            "@",
            "[inspect]\nclamd_socket = \"\"",
            7,
            "`inspect.clamd_socket` is empty",
            "write for example `clamd_socket = \"/run/clamav/clamd.ctl\"`",
        ),
        (
            "@",
            "[inspect]\nicap_socket = \"/run/x\"",
            7,
            "`inspect.icap_socket` is there without `icap_service`",
            "add `icap_service = \"icap://scanner.example.org:1344/avscan\"`",
        ),
        (
            "@",
            "[inspect]\nicap_service = \"http://a/b\"",
            7,
            "`inspect.icap_service` is not taken: it is `icap://host:port/service`",
            "write for example `icap_service = \"icap://scanner.example.org:1344/avscan\"`",
        ),
        (
            "@",
            "[inspect]\nsignatures = \"./control/lists\"",
            7,
            "`inspect.signatures` lies in control, which belongs to the zone itself",
            "write for example `signatures = \"signatures\"`",
        ),
        ("@", "[deliver]\nrooms = \"../rooms\"", 7, "`deliver.rooms` contains `..`", "write the whole path, from /"),
        (
            "@",
            "[deliver]\nrooms = rooms",
            7,
            "string values must be quoted, expected literal string",
            "a line is `name = value`; text stands in double quotes; sections begin with [name]",
        ),
        (
            "@",
            "listen = \"0.0.0.0:1\"",
            6,
            "duplicate key",
            "a line is `name = value`; text stands in double quotes; sections begin with [name]",
        ),
    ];
    for (old, new, line, message, hint) in cases {
        let text = if old == "@" { format!("{GOOD}{new}\n") } else { GOOD.replacen(old, new, 1) };
        let problems = Settings::parse(&text).unwrap_err();
        let found =
            problems.iter().find(|problem| problem.line == line).unwrap_or_else(|| panic!("{new}: {problems:?}"));
        assert_eq!((found.message.as_str(), found.hint.as_str()), (message, hint), "{new}");
    }
}

#[test]
fn addresses_are_host_and_port() {
    for good in ["zone:1", "10.0.0.1:7443", "[::1]:65535", "a-b.example.org:7443", "zone.:7443"] {
        assert_eq!(sluse_host::config::check_address(good), Ok(()), "{good}");
    }
    for bad in ["", ":1", "zone:", "zone:0", "zone:65536", "zone:+1", "[zone]:1", "a b:1", "a..b:1", "a\"b:1"] {
        assert!(sluse_host::config::check_address(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_configuration_error_begins_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluse.toml");
    std::fs::write(&file, GOOD.replace("name", "nmae")).unwrap();
    let error = Zone::load(&file).unwrap_err();
    assert_eq!(error.to_string(), format!("{}:2: unknown field `zone.nmae`", file.display()));
    assert_eq!(error.hint, "did you mean `name`?");
    std::fs::write(&file, GOOD.replace("name", "nmae").replace("listen", "lsiten")).unwrap();
    assert_eq!(Zone::load_all(&file).unwrap_err().len(), 2);
    let missing = Zone::load(&folder.path().join("other.toml")).unwrap_err();
    assert!(missing.to_string().ends_with("other.toml: No such file or directory (os error 2)"));
    std::fs::write(&file, GOOD).unwrap();
    assert_eq!(Zone::load(&file).unwrap().rooms(), folder.path().canonicalize().unwrap().join("rooms"));
}
