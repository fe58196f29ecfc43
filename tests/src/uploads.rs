//! A gateway that takes uploads, foreign clients of it, and what of theirs stands in the room.

use crate::command::{Ended, program, run};
use crate::gateway::{Gateway, free_port};
use crate::source::Source;
use crate::zone::{Zone, text};
use sluse_protocol::digest::Sha256;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The token of the account `lab`.
pub const TOKEN: &str = "0123456789abcdef-of-the-laboratory";

/// The token of the account `other`.
pub const OTHER_TOKEN: &str = "fedcba9876543210-of-somebody-else";

/// A gateway with the accounts `lab` and `other`, who upload by HTTPS to the flow `ct`.
#[derive(Debug)]
pub struct Uploads {
    /// The gateway.
    pub gateway: Gateway,
    /// Where it takes uploads.
    pub https: SocketAddr,
}

impl Uploads {
    /// A gateway beside `zone` that sends as `source`; `quiet` is the flow's. Nothing runs yet.
    pub fn new(zone: &Zone, source: &Source, quiet: &str) -> Self {
        let mut gateway = Gateway::new(zone, source, quiet);
        let https = free_port();
        certificate(&gateway.folder, "https");
        let [token, other] = [TOKEN, OTHER_TOKEN].map(|token| Sha256::of(token.as_bytes()));
        gateway.configure(|lines| {
            format!(
                "{lines}\n[https]\nlisten = \"{https}\"\ncertificate = \"https.pem\"\nkey = \"https.key\"\nidle = \"5s\"\n\n\
                 [upload.lab]\nflow = \"ct\"\ntoken = \"{token}\"\n\n[upload.other]\nflow = \"ct\"\ntoken = \"{other}\"\n"
            )
        });
        gateway.listens.push(https);
        Self { gateway, https }
    }

    /// The address of uploads.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.https)
    }

    /// `curl` with `token`, and the words of a tus client; prints the head of the answer and its body.
    pub fn curl_as(&self, token: &str, words: &[&str], path: &str) -> Ended {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--max-time", "60", "--cacert", text(&self.gateway.folder.join("https.pem"))]);
        command.args(["-H", &format!("Authorization: Bearer {token}"), "-H", "Tus-Resumable: 1.0.0"]);
        run({
            command.args(words).arg(self.url(path));
            command
        })
    }

    /// The same as the account `lab`.
    pub fn curl(&self, words: &[&str], path: &str) -> Ended {
        self.curl_as(TOKEN, words, path)
    }

    /// tuspy, a client that we did not write, uploads files of `folder`; a dataset of several where `dataset` names one.
    pub fn tuspy(&self, folder: &Path, dataset: Option<&str>, chunk: usize) -> Command {
        let python = std::env::var_os("SLUSE_PYTHON").expect("tests/run makes a Python with tuspy, and names it");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("upload.py");
        let mut command = Command::new(python);
        command.arg(script).args([&self.url("/"), TOKEN]).arg(folder).arg(chunk.to_string()).args(dataset);
        command.env("REQUESTS_CA_BUNDLE", self.gateway.folder.join("https.pem"));
        command
    }
}

/// Makes a certificate for loopback and its key: `NAME.pem` and `NAME.key`.
pub fn certificate(folder: &Path, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    let words: [&dyn AsRef<std::ffi::OsStr>; 16] = [
        &"req",
        &"-x509",
        &"-newkey",
        &"ec",
        &"-pkeyopt",
        &"ec_paramgen_curve:prime256v1",
        &"-nodes",
        &"-days",
        &"2",
        &"-subj",
        &"/CN=gateway",
        &"-addext",
        &"subjectAltName=IP:127.0.0.1",
        &"-keyout",
        &key,
        &"-out",
    ];
    let mut all = words.to_vec();
    all.push(&certificate);
    program("openssl", &all, folder, b"").expect(0);
    run(chmod(&folder.join(&key))).expect(0);
}

fn chmod(path: &Path) -> Command {
    let mut command = Command::new("chmod");
    command.arg("600").arg(path);
    command
}

/// A header's value in what `curl -i` printed.
pub fn header(answer: &Ended, name: &str) -> Option<String> {
    let lines = answer.stdout.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next_back()
}

/// The status in what `curl -i` printed: the last one, after any "100 Continue".
pub fn status(answer: &Ended) -> u16 {
    let lines = answer.stdout.lines().filter(|line| line.starts_with("HTTP/"));
    lines.filter_map(|line| line.split(' ').nth(1)?.parse().ok()).next_back().unwrap_or_default()
}

/// The files of every bag in the room, by transfer and path.
pub fn delivered(zone: &Zone) -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let mut bags = BTreeMap::new();
    for dataset in fs::read_dir(zone.room()).into_iter().flatten().flatten() {
        // What is on its way lies in a hidden folder.
        if dataset.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        for bag in fs::read_dir(dataset.path()).into_iter().flatten().flatten() {
            if bag.path().join("bagit.txt").exists() {
                bags.insert(bag.file_name().to_string_lossy().into_owned(), files(&bag.path().join("data")));
            }
        }
    }
    bags
}

/// Every file below a folder, by its path in it.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let name = path.strip_prefix(folder).expect("it lies below").to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}
