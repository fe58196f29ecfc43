//! The courier's configuration: one room's target.

use crate::tsd::Import;
use sluse_host::config::{self, ConfigError, MAX_CONFIG_BYTES};
use sluse_protocol::courier::Verified;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::toml_text::{self, Fields, Problem, Read, Value, Wrong, flag, number, parsed, text};
use std::path::{Path, PathBuf};

/// One room's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How it is reached.
    pub way: Way,
    /// How what we stored there is compared.
    pub verifies: Verified,
}

/// How a target is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// An SFTP server.
    Sftp(Sftp),
    /// An S3-compatible store.
    S3(S3),
    /// A project at TSD.
    Tsd(Tsd),
    /// Another landing zone.
    Zone(Zone),
}

impl Way {
    /// What the target speaks.
    pub fn speaks(&self) -> &'static str {
        match self {
            Self::Sftp(_) => "sftp",
            Self::S3(_) => "s3",
            Self::Tsd(_) => "tsd",
            Self::Zone(_) => "zone",
        }
    }
}

/// `[sftp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sftp {
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// The room's folder there, which is there.
    pub folder: String,
    /// The private key's file.
    pub key: PathBuf,
    /// The server's host keys, as OpenSSH's known_hosts has them: no others are taken.
    pub known_hosts: PathBuf,
}

/// `[s3]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// `https://` and the host, with the port where it is another.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket, which is there.
    pub bucket: String,
    /// The room's folder in it.
    pub prefix: String,
    /// The key's name.
    pub access_key: String,
    /// The file of the key.
    pub secret_key: PathBuf,
    /// PEM: the certificates by which the store's own must be good.
    pub authority: Option<PathBuf>,
}

/// `[tsd]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tsd {
    /// `https://` and the host, with the port where it is another.
    pub endpoint: String,
    /// The project, `p11`.
    pub project: String,
    /// The group in whose import the room is.
    pub group: String,
    /// The room's folder there.
    pub folder: String,
    /// The file of the key.
    pub api_key: PathBuf,
    /// PEM: the certificates by which TSD's own must be good.
    pub authority: Option<PathBuf>,
}

impl Tsd {
    /// Whose import it is.
    pub fn import(&self) -> Import {
        Import { project: self.project.clone(), group: self.group.clone() }
    }
}

/// `[zone]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// The folder that `sluse enroll` made: as which source we send there. What became of deliveries is kept in it.
    pub identity: PathBuf,
    /// The agreement there under which is sent.
    pub agreement: AgreementId,
}

impl Settings {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Vec<ConfigError>> {
        // Private keys that the service manager decrypted for this process lie in a folder that it names.
        let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let read = |text: &str, folder: &Path| settings(text).map(|settings| (settings, folder.to_owned()));
        let (mut settings, folder) = config::load(path, "docs/elsewhere.md has one of each kind", read)?;
        match &mut settings.way {
            Way::Sftp(sftp) => {
                sftp.key = private(handed_over.as_deref(), &folder, &sftp.key);
                sftp.known_hosts = folder.join(&sftp.known_hosts);
            }
            Way::S3(s3) => {
                s3.secret_key = private(handed_over.as_deref(), &folder, &s3.secret_key);
                s3.authority = s3.authority.as_ref().map(|authority| folder.join(authority));
            }
            Way::Tsd(tsd) => {
                tsd.api_key = private(handed_over.as_deref(), &folder, &tsd.api_key);
                tsd.authority = tsd.authority.as_ref().map(|authority| folder.join(authority));
            }
            Way::Zone(zone) => zone.identity = folder.join(&zone.identity),
        }
        Ok(settings)
    }

    /// Whether the target lets us read back what we stored.
    pub fn reads_back(&self) -> bool {
        self.verifies == Verified::ReadBack
    }
}

/// Where a private file is: among what was handed over, if it is there by its name; else beside the configuration.
fn private(handed_over: Option<&Path>, folder: &Path, file: &Path) -> PathBuf {
    let handed = handed_over.zip(file.file_name()).map(|(folder, name)| folder.join(name));
    handed.filter(|file| file.exists()).unwrap_or_else(|| folder.join(file))
}

fn settings(text: &str) -> Result<Settings, Vec<Problem>> {
    toml_text::read(text, MAX_CONFIG_BYTES, |file| {
        let reads_back = file.may("read_back", "true", flag);
        let mut named = 0;
        let mut count = || named += 1;
        let over_ssh = file.may_table("sftp", |fields| {
            count();
            sftp(fields)
        });
        let store = file.may_table("s3", |fields| {
            count();
            s3(fields)
        });
        let project = file.may_table("tsd", |fields| {
            count();
            tsd(fields)
        });
        let another = file.may_table("zone", |fields| {
            count();
            zone(fields)
        });
        if named != 1 {
            let hint = "docs/elsewhere.md has each";
            file.wrong_at("s3", "there must be one of `[sftp]`, `[s3]`, `[tsd]` and `[zone]`", hint);
        }
        if project.is_some() && reads_back == Some(true) {
            file.wrong_at("read_back", "TSD lets nobody read what was imported", "leave it out: receipts say so");
        }
        if another.is_some() && reads_back.is_some() {
            let hint = "leave it out: receipts tell what that zone signed";
            file.wrong_at("read_back", "another zone gives nothing back", hint);
        }
        let verifies = match (&project, &another, reads_back) {
            (Some(_), ..) => Verified::PieceDigests,
            (None, Some(_), _) => Verified::Receipt,
            (None, None, Some(false)) => Verified::Sizes,
            (None, None, _) => Verified::ReadBack,
        };
        let way = over_ssh.map(Way::Sftp).or(store.map(Way::S3)).or(project.map(Way::Tsd)).or(another.map(Way::Zone));
        Some(Settings { way: way?, verifies })
    })
}

fn zone(fields: &Fields<'_>) -> Option<Zone> {
    let identity = fields.need("identity", "\"identity\"", path);
    let agreement = fields.need("agreement", "\"from-st-olav\"", parsed);
    Some(Zone { identity: identity?, agreement: agreement? })
}

fn sftp(fields: &Fields<'_>) -> Option<Sftp> {
    let host = fields.need("host", "\"sftp.example.org\"", word);
    let port = fields.may("port", "22", number(1..=65_535));
    let user = fields.need("user", "\"delivery-17\"", word);
    let folder = fields.may("folder", "\"upload\"", text(1000));
    let key = fields.need("key", "\"id_ed25519\"", path);
    let known_hosts = fields.need("known_hosts", "\"known_hosts\"", path);
    Some(Sftp {
        host: host?,
        port: port.unwrap_or(22),
        user: user?,
        folder: folder.unwrap_or_else(|| ".".into()),
        key: key?,
        known_hosts: known_hosts?,
    })
}

fn s3(fields: &Fields<'_>) -> Option<S3> {
    let endpoint = fields.need("endpoint", "\"https://s3.example.org\"", endpoint);
    let region = fields.may("region", "\"us-east-1\"", word);
    let bucket = fields.need("bucket", "\"deliveries\"", word);
    let prefix = fields.may("prefix", "\"project-17\"", text(500));
    let access_key = fields.need("access_key", "\"AKIA…\"", word);
    let secret_key = fields.need("secret_key", "\"secret\"", path);
    let authority = fields.may("authority", "\"store.pem\"", path);
    let endpoint = with_authority(fields, endpoint?, authority.is_some())?;
    let region = region.unwrap_or_else(|| "us-east-1".into());
    let (prefix, bucket, access_key) = (prefix.unwrap_or_default(), bucket?, access_key?);
    Some(S3 { endpoint, region, bucket, prefix, access_key, secret_key: secret_key?, authority })
}

fn tsd(fields: &Fields<'_>) -> Option<Tsd> {
    let endpoint = fields.may("endpoint", "\"https://api.tsd.usit.no\"", endpoint);
    let project = fields.need("project", "\"p11\"", plain);
    let group = fields.may("group", "\"p11-member-group\"", plain);
    let folder = fields.may("folder", "\"sluse\"", folders);
    let api_key = fields.need("api_key", "\"tsd.key\"", path);
    let authority = fields.may("authority", "\"tsd.pem\"", path);
    let endpoint = endpoint.unwrap_or_else(|| "https://api.tsd.usit.no".into());
    let endpoint = with_authority(fields, endpoint, authority.is_some())?;
    let (project, folder) = (project?, folder.unwrap_or_default());
    let group = group.unwrap_or_else(|| format!("{project}-member-group"));
    Some(Tsd { endpoint, project, group, folder, api_key: api_key?, authority })
}

fn with_authority(fields: &Fields<'_>, endpoint: String, named: bool) -> Option<String> {
    if endpoint.starts_with("https://") && !named {
        let hint = "name the certificates by which the server's own must be good, as PEM";
        fields.wrong_at("endpoint", "is HTTPS, and there is no `authority`", hint);
        return None;
    }
    Some(endpoint)
}

/// A project or a group, as it stands in an address.
fn plain(value: &Value<'_>) -> Read<String> {
    let name = text(100)(value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Wrong::new(value, "has other characters than letters, digits and -").into());
    }
    Ok(name)
}

/// Folders as they stand in an address.
fn folders(value: &Value<'_>) -> Read<String> {
    let folders = text(500)(value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let dots = |name: &str| name == "." || name == "..";
    if !folders.chars().all(plain) || folders.split('/').any(dots) {
        return Err(Wrong::new(value, "has other characters than letters, digits and . _ - /, or dots alone").into());
    }
    Ok(folders)
}

/// HTTPS to any host; HTTP to this one, where somebody else may carry it on.
fn endpoint(value: &Value<'_>) -> Read<String> {
    let endpoint = text(300)(value)?;
    let host = match endpoint.split_once("://") {
        Some(("https", host)) => host,
        Some(("http", host)) if host.starts_with("127.0.0.1:") || host.starts_with("[::1]:") => host,
        _ => return Err(Wrong::new(value, "is neither https:// nor http://127.0.0.1:PORT").into()),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return Err(Wrong::new(value, "has more than a host and a port behind https://").into());
    }
    Ok(endpoint)
}

fn path(value: &Value<'_>) -> Read<PathBuf> {
    Ok(PathBuf::from(text(4000)(value)?))
}

/// A host or a user: what cannot be taken for an option or for several words.
fn word(value: &Value<'_>) -> Read<String> {
    let word = text(255)(value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:@".contains(c);
    if word.starts_with('-') || !word.chars().all(plain) {
        return Err(Wrong::new(value, "has other characters than letters, digits and . _ - : @").into());
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[sftp]\nhost = \"h\"\nuser = \"u\"\nkey = \"k\"\nknown_hosts = \"n\"\n";

    #[test]
    fn what_is_not_said_is_as_documented() {
        let settings = settings(GOOD).unwrap();
        let Way::Sftp(sftp) = settings.way else { panic!() };
        assert_eq!((sftp.port, sftp.folder.as_str(), settings.verifies), (22, ".", Verified::ReadBack));
        let blind = settings_of(&format!("read_back = false\n{GOOD}"));
        assert_eq!(blind.verifies, Verified::Sizes);
    }

    fn settings_of(text: &str) -> Settings {
        super::settings(text).unwrap()
    }

    #[test]
    fn a_project_at_tsd_is_its_member_groups_import_and_is_never_read_back() {
        let good = "[tsd]\nproject = \"p11\"\napi_key = \"k\"\nauthority = \"a.pem\"\n";
        let settings = settings_of(good);
        assert_eq!(settings.verifies, Verified::PieceDigests);
        let Way::Tsd(tsd) = settings.way else { panic!() };
        assert_eq!((tsd.endpoint.as_str(), tsd.group.as_str()), ("https://api.tsd.usit.no", "p11-member-group"));
        assert!(super::settings(&format!("read_back = true\n{good}")).is_err());
        assert!(super::settings(&good.replace("authority", "# authority")).is_err());
        for bad in ["folder = \"../x\"", "folder = \"a b\"", "group = \"a/b\"", "group = \"\""] {
            assert!(super::settings(&format!("{good}{bad}\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_store_is_reached_by_https_with_an_authority_and_is_the_only_way() {
        let store =
            "[s3]\nendpoint = \"https://s3.example.org\"\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n";
        let good = format!("{store}authority = \"a.pem\"\n");
        assert!(matches!(settings(&good).unwrap().way, Way::S3(_)));
        assert!(settings(store).is_err(), "no authority");
        assert!(settings(&format!("{good}{GOOD}")).is_err(), "both");
        assert!(settings("").is_err(), "neither");
        for bad in ["http://s3.example.org", "https://h/path", "https://", "ftp://h", "https://u@h"] {
            assert!(settings(&good.replace("https://s3.example.org", bad)).is_err(), "{bad}");
        }
        assert!(settings(&store.replace("https://s3.example.org", "http://127.0.0.1:9000")).is_ok());
    }

    #[test]
    fn another_zone_is_sent_to_under_an_agreement_and_gives_nothing_back() {
        let zone = "[zone]\nidentity = \"identity\"\nagreement = \"from-st-olav\"\n";
        let read = settings(zone).unwrap();
        assert_eq!((read.way.speaks(), read.verifies), ("zone", Verified::Receipt));
        assert!(settings(&format!("read_back = true\n{zone}")).is_err());
        assert!(settings(&format!("{zone}{GOOD}")).is_err(), "two ways");
        assert!(settings(&zone.replace("from-st-olav", "")).is_err());
    }

    #[test]
    fn a_host_or_user_that_ssh_would_take_for_an_option_is_refused() {
        for bad in ["-oProxyCommand=x", "a b", "", "a;b"] {
            assert!(settings(&GOOD.replace("\"h\"", &format!("\"{bad}\""))).is_err(), "{bad}");
            assert!(settings(&GOOD.replace("\"u\"", &format!("\"{bad}\""))).is_err(), "{bad}");
        }
        assert!(settings(&GOOD.replace("host", "hots")).is_err());
    }
}
