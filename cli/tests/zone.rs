//! `sluse zone init` and `zone check`, through the real binary.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn sluse(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluse")).args(words).env_remove("SLUSE_ZONE").output().expect("sluse runs")
}

fn init(dir: &Path) -> Output {
    sluse(&["zone", "init", text(dir), "--name", "test", "--listen", "127.0.0.1:7443"])
}

fn check(dir: &Path) -> (i32, serde_json::Value) {
    let ended = sluse(&["zone", "check", "--json", "--zone", text(dir)]);
    (ended.status.code().expect("no signal"), serde_json::from_slice(&ended.stdout).expect("JSON"))
}

fn error(ended: &Output) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is UTF-8")
}

#[test]
fn a_new_zone_is_closed_to_others_and_has_nothing_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("zone");
    let made = init(&dir);
    assert_eq!((made.status.code(), made.stdout), (Some(0), format!("{}\n", dir.display()).into_bytes()));
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o7777;
    for role in ["receive", "control", "inspect", "deliver"] {
        assert_eq!(mode(role), 0o700, "{role}");
    }
    let receives = ["receive/tls.key", "receive/reset.key"];
    let controls = ["control/ca.key", "control/signing.key"];
    let ages = ["inspect/quarantine.key", "deliver/deliver.key"];
    for key in [receives, controls, ages].concat() {
        assert_eq!(mode(key), 0o600, "{key}");
    }
    assert_eq!((mode("quarantine/incoming"), mode("quarantine/sealed")), (0o2770, 0o2750));
    assert_eq!((mode("trust"), mode("trust/ca.crt")), (0o755, 0o644));
    let (code, found) = check(&dir);
    assert_eq!((code, found["problems"].as_array().unwrap().len()), (0, 0), "{found}");
}

#[test]
fn a_key_that_is_encrypted_for_the_host_is_not_missed_and_may_not_lie_beside_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("zone");
    init(&dir);
    let (key, away) = (dir.join("inspect/quarantine.key"), folder.path().join("away"));
    fs::create_dir(dir.join("credentials")).unwrap();
    fs::write(dir.join("credentials/quarantine.key"), "encrypted").unwrap();
    let (code, found) = check(&dir);
    assert_eq!((code, found["problems"].as_array().unwrap().len()), (3, 1), "{found}");
    assert!(found["problems"][0]["what"].as_str().unwrap().contains("in the clear"), "{found}");
    fs::rename(&key, &away).unwrap();
    let (code, found) = check(&dir);
    assert_eq!((code, found["problems"].as_array().unwrap().len()), (0, 0), "{found}");
    fs::remove_file(dir.join("credentials/quarantine.key")).unwrap();
    assert_eq!(check(&dir).0, 3);
}

#[test]
fn a_folder_with_something_in_it_and_a_path_too_long_for_sockets_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine"), "precious").unwrap();
    let refused = init(folder.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(error(&refused).contains("is not empty\nHint:"), "{}", error(&refused));
    let long = folder.path().join("x".repeat(100));
    let refused = init(&long);
    assert!(error(&refused).contains("too long a path"), "{}", error(&refused));
    assert!(!long.exists());
    let listen = sluse(&["zone", "init", "new", "--advertise", "no port"]);
    assert_eq!(listen.status.code(), Some(2));
    assert!(error(&listen).contains("which has no port"), "{}", error(&listen));
    assert!(!Path::new("new").exists());
}

#[test]
fn what_is_wrong_with_a_zone_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("zone");
    init(&dir);
    let problem = |harm: &dyn Fn(), mend: &dyn Fn(), expected: &str| {
        harm();
        let (code, found) = check(&dir);
        assert_eq!(code, 3);
        let told = found["problems"].as_array().unwrap().iter().any(|one| {
            assert_ne!(one["mend"], "");
            one["what"].as_str().unwrap().contains(expected)
        });
        assert!(told, "{expected}: {found}");
        mend();
        assert_eq!(check(&dir).0, 0, "{expected}");
    };
    let chmod = |path: &str, mode| fs::set_permissions(dir.join(path), fs::Permissions::from_mode(mode)).unwrap();
    problem(&|| chmod("control", 0o755), &|| chmod("control", 0o700), "control has mode 0755, not 0700");
    problem(&|| chmod("trust", 0o777), &|| chmod("trust", 0o755), "may be written by anybody");
    let swap = |one: &str, other: &str| {
        let (first, second) = (fs::read(dir.join(one)).unwrap(), fs::read(dir.join(other)).unwrap());
        fs::write(dir.join(one), second).unwrap();
        fs::write(dir.join(other), first).unwrap();
    };
    let keys = || swap("inspect/quarantine.key", "deliver/deliver.key");
    problem(&keys, &keys, "quarantine.pub do not belong together");
    let tls = || swap("receive/tls.key", "control/ca.key");
    problem(&tls, &tls, "TLS certificate: key and certificate do not belong together");
    let away = |from: &str, to: &str| fs::rename(dir.join(from), dir.join(to)).unwrap();
    let (reset, one) = (dir.join("receive/reset.key"), "receive/reset.key");
    let mended = || {
        let (_, found) = check(&dir);
        let mend = found["problems"][0]["mend"].as_str().unwrap().to_owned();
        assert!(Command::new("sh").args(["-c", &mend]).status().unwrap().success(), "{mend}");
    };
    problem(&|| fs::remove_file(&reset).unwrap(), &mended, "reset.key: No such file");
    let again = || {
        fs::remove_file(&reset).unwrap();
        mended();
    };
    problem(&|| fs::write(&reset, "short").unwrap(), &again, &format!("{one}: not a key of the expected kind"));
    problem(&|| away("rooms", "gone"), &|| away("gone", "rooms"), "rooms: No such file");
    let config = fs::read_to_string(dir.join("sluse.toml")).unwrap();
    let write = |text: &str| fs::write(dir.join("sluse.toml"), text).unwrap();
    let renamed = config.replace("name = \"test\"", "name = \"other\"");
    problem(&|| write(&renamed), &|| write(&config), "allowed_signers does not let other sign");
    let clamd = config.replace("# clamd_socket = \"/run", "clamd_socket = \"/nowhere");
    problem(&|| write(&clamd), &|| write(&config), "clamd does not answer at /nowhere");
    let misspelt = config.replace("listen =", "lisen =");
    problem(&|| write(&misspelt), &|| write(&config), "sluse.toml:12: unknown field `receive.lisen`");
}

#[test]
fn stock_age_reads_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("zone");
    init(&dir);
    for (key, public) in [("inspect/quarantine.key", "quarantine.pub"), ("deliver/deliver.key", "deliver.pub")] {
        let text = fs::read_to_string(dir.join(key)).unwrap();
        let recipient = fs::read_to_string(dir.join("trust").join(public)).unwrap();
        // The three lines of age-keygen(1).
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("# created: 2") && lines[2].starts_with("AGE-SECRET-KEY-1"));
        assert_eq!(lines[1], format!("# public key: {}", recipient.trim()));
    }
}

#[test]
fn the_inventory_names_each_key_as_other_programs_do_with_its_age_and_end_and_says_what_it_cannot_see() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("zone");
    init(&dir);
    let inventory = || sluse(&["zone", "inventory", "--json", "--zone", text(&dir)]);
    let told: serde_json::Value = serde_json::from_slice(&inventory().stdout).unwrap();
    let item = |name: &str| {
        let items = told["items"].as_array().unwrap();
        items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {told}")).clone()
    };
    let shown = Command::new("ssh-keygen").arg("-lf").arg(dir.join("trust/signer.pub")).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(item("signing")["fingerprint"], shown.split(' ').nth(1).unwrap());
    for (name, public) in [("quarantine", "quarantine.pub"), ("deliver", "deliver.pub")] {
        assert_eq!(item(name)["fingerprint"], fs::read_to_string(dir.join("trust").join(public)).unwrap().trim());
    }
    for (name, file) in [("certificate authority", "trust/ca.crt"), ("TLS of receive", "receive/tls.crt")] {
        let pem = fs::read_to_string(dir.join(file)).unwrap();
        let script = "import ssl, sys, hashlib; print('SHA-256 ' + hashlib.sha256(ssl.PEM_cert_to_DER_cert(sys.argv[1])).hexdigest())";
        let digest = Command::new("python3").args(["-c", script, &pem]).output().unwrap();
        assert_eq!(item(name)["fingerprint"], String::from_utf8(digest.stdout).unwrap().trim());
        assert_eq!((&item(name)["algorithm"], &item(name)["age_days"]), (&"ECDSA P-256".into(), &0.into()));
        assert!(item(name)["expires"].as_str().unwrap() > "2030", "{told}");
    }
    assert!(item("stateless resets")["since"].is_string());
    assert_eq!((told["items"].as_array().unwrap().len(), &told["sources_listed"]), (6, &false.into()));
    let exchange = |told: &serde_json::Value| told["algorithms"].to_string().contains("\"X25519 (TLS 1.3)\"");
    assert!(!exchange(&told) && told["algorithms"].to_string().contains("X25519MLKEM768"));
    fs::remove_file(dir.join("trust/deliver.pub")).unwrap();
    let missing = inventory();
    assert_eq!(missing.status.code(), Some(3));
    assert!(error(&missing).contains("1 could not be looked at"), "{}", error(&missing));
}

#[test]
fn usage_errors_end_with_2_and_a_zone_that_is_not_there_with_3() {
    assert_eq!(sluse(&["transfer"]).status.code(), Some(2));
    assert_eq!(sluse(&["release", "20261122-101500-7f3k9a2m"]).status.code(), Some(2), "a reason is required");
    let nowhere = sluse(&["health", "--zone", "/nowhere"]);
    assert_eq!(nowhere.status.code(), Some(3));
    assert!(error(&nowhere).starts_with("Error: /nowhere is not a landing zone: it has no sluse.toml\nHint:"));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("zone");
    init(&dir);
    let asleep = sluse(&["health", "--zone", text(&dir)]);
    assert_eq!(asleep.status.code(), Some(6));
    assert!(error(&asleep).contains("the zone does not run: `slused all --config"), "{}", error(&asleep));
}
