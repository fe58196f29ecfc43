//! Certificate authorities made with `openssl`, as organisations outside of the zone have them.

use crate::command::{Ended, program};
use crate::zone::text;
use std::fs;
use std::path::{Path, PathBuf};

/// An authority: a root, or one below another.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// What a certificate is to be. The default is a good one.
#[derive(Debug, Clone)]
pub struct Wanted<'w> {
    /// Its subject, as `openssl req -subj` takes it.
    pub subject: &'w str,
    /// Its key, as `openssl req -newkey` and `-pkeyopt` take it.
    pub key: [&'w str; 2],
    /// Seconds from now until it begins and ends.
    pub validity: (i64, i64),
    /// `extendedKeyUsage`; none where this is empty.
    pub usage: &'w str,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        let subject = "/C=NO/O=Sykehuset/organizationIdentifier=NTRNO-983974899/CN=Epic";
        Self { subject, key: P256, validity: (-60, 86_400), usage: "clientAuth" }
    }
}

/// ECDSA on P-256.
pub const P256: [&str; 2] = ["ec", "ec_paramgen_curve:P-256"];

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

const CONFIGURATION: &str = "
[ca]
default_ca = this
[this]
dir = .
database = index
new_certs_dir = .
serial = serial
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = optional
[below]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[req]
distinguished_name = nothing
[nothing]
";

impl Authority {
    /// A root called `name` in a new folder.
    pub fn root(folder: PathBuf, name: &str) -> Self {
        let made = Self::prepare(folder);
        made.openssl(&format!(
            "req -config conf -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout ca.key -out ca.pem -days 300 \
             -utf8 -subj {name} -extensions below"
        ));
        made
    }

    /// An authority called `name` below this one.
    pub fn below(&self, folder: PathBuf, name: &str) -> Self {
        let made = Self::prepare(folder);
        made.openssl(&format!(
            "req -config conf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.csr -subj {name}"
        ));
        let (request, out) = (made.folder.join("ca.csr"), made.folder.join("ca.pem"));
        let words = "ca -config conf -batch -notext -preserveDN -days 200 -extensions below -in";
        self.openssl(&format!("{words} {} -out {}", text(&request), text(&out)));
        made
    }

    fn prepare(folder: PathBuf) -> Self {
        fs::create_dir(&folder).expect("a new folder");
        for (name, content) in [("conf", CONFIGURATION), ("index", ""), ("serial", "1000\n"), ("crlnumber", "1000\n")] {
            fs::write(folder.join(name), content).expect("a file of the authority");
        }
        Self { folder }
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> String {
        fs::read_to_string(self.folder.join("ca.pem")).expect("it was made")
    }

    /// Issues a certificate.
    pub fn issue(&self, name: &str, wanted: &Wanted<'_>) -> Certified {
        let file = |end: &str| self.folder.join(format!("{name}.{end}"));
        let (key, csr, certificate, extensions) = (file("key"), file("csr"), file("pem"), file("ext"));
        let subject = wanted.subject.replace(' ', "\u{1f}");
        let [kind, option] = wanted.key;
        let option = if option.is_empty() { String::new() } else { format!("-pkeyopt {option}") };
        self.openssl(&format!(
            "req -config conf -newkey {kind} {option} -nodes -utf8 -keyout {} -out {} -subj {subject}",
            text(&key),
            text(&csr)
        ));
        let usage =
            if wanted.usage.is_empty() { String::new() } else { format!("extendedKeyUsage = {}\n", wanted.usage) };
        let plain = "basicConstraints = CA:FALSE\nkeyUsage = critical, digitalSignature\n";
        fs::write(&extensions, format!("{plain}{usage}")).expect("a file of the authority");
        let now = sluse_host::clock::now();
        let at = |seconds| now.plus(seconds).to_string().replace(['-', ':', 'T'], "");
        self.openssl(&format!(
            "ca -config conf -batch -notext -preserveDN -utf8 -startdate {} -enddate {} -extfile {} -in {} -out {}",
            at(wanted.validity.0),
            at(wanted.validity.1),
            text(&extensions),
            text(&csr),
            text(&certificate)
        ));
        Certified { certificate, key }
    }

    /// Takes a certificate back.
    pub fn revoke(&self, certified: &Certified) {
        self.openssl(&format!("ca -config conf -revoke {}", text(&certified.certificate)));
    }

    /// The authority's revocation list now, good for so many seconds, PEM.
    pub fn list(&self, seconds: u32) -> String {
        self.openssl(&format!("ca -config conf -gencrl -crlsec {seconds} -out crl"));
        fs::read_to_string(self.folder.join("crl")).expect("it was made")
    }

    fn openssl(&self, words: &str) -> Ended {
        // Words are told apart by spaces; a space within one is written as a unit separator.
        let words: Vec<String> = words.split_ascii_whitespace().map(|word| word.replace('\u{1f}', " ")).collect();
        let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as _).collect();
        program("openssl", &words, &self.folder, b"").expect(0)
    }
}

/// A certificate's subject as `openssl` prints it for `subject = "…"`.
pub fn subject_of(certificate: &Path) -> String {
    let words: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"x509", &"-noout", &"-subject", &"-nameopt", &"RFC2253", &"-in", &certificate];
    let printed = program("openssl", &words, Path::new("/"), b"").expect(0).stdout;
    printed.trim().strip_prefix("subject=").expect("a subject").to_owned()
}
