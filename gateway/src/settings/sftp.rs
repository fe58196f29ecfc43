//! What the configuration says of SFTP: where it is served, and the accounts with their inboxes.

use super::{DAY, Flow, MAX_SECTIONS, Peers, SECOND, leads_to, path};
use crate::places::usual_share;
use crate::sftp::ssh::ClientKey;
use sluse_protocol::ids::{AgreementId, SourceName};
use sluse_protocol::toml_text::{Fields, Read, Value, Wrong, choice, lasting, list, number, parsed, text};
use sluse_sender::watch::Whole;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ends of names that are unfinished, unless an inbox names its own: of what clients call files while they write them.
const UNFINISHED: [&str; 4] = [".part", ".partial", ".tmp", ".filepart"];

/// The SFTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sftp {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The key by which clients know it.
    pub host_key: PathBuf,
    /// The key that the accounts of inboxes are encrypted to.
    pub inbox_key: PathBuf,
    /// Connections at the same time, of whoever logged in; and as many of who has not yet.
    pub connections: usize,
    /// How long a peer may be silent.
    pub idle: Duration,
    /// Who may log in.
    pub accounts: Vec<Account>,
}

/// An account, and its inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name that clients log in with.
    pub name: SourceName,
    /// The flow of what is put there.
    pub flow: AgreementId,
    /// Keys that may log in.
    pub keys: Vec<ClientKey>,
    /// Addresses that may call.
    pub peers: Vec<Peers>,
    /// Connections at the same time.
    pub connections: usize,
    /// Bytes that may lie in the inbox, until they are handed over.
    pub max_bytes: u64,
    /// When an entry is whole.
    pub complete: Whole,
    /// Ends of names that are unfinished.
    pub unfinished: Vec<String>,
}

impl Account {
    /// Whether its clients may call from an address.
    pub fn is_called_from(&self, address: IpAddr) -> bool {
        self.peers.iter().any(|peers| peers.contains(address))
    }
}

/// Reads the sections `sftp` and `inbox`.
pub(super) fn read(file: &Fields<'_>, folder: &Path) -> Option<Sftp> {
    let need = "add `[inbox.NAME]` with `flow`, `keys`, `peers` and `complete` below";
    let accounts = file.may_tables("inbox", need, MAX_SECTIONS, account).unwrap_or_default();
    let sftp = file.may_table("sftp", |fields| sftp(fields, folder));
    if sftp.is_none() && !accounts.is_empty() {
        file.wrong_at(
            "inbox",
            "`inbox` is there without `sftp`",
            "add `[sftp]` with `listen`, `host_key` and `inbox_key`",
        );
    }
    let sftp = sftp?;
    let usual = usual_share(sftp.connections, accounts.len());
    let account = |(account, connections): (Account, Option<usize>)| Account {
        connections: connections.unwrap_or(usual),
        ..account
    };
    Some(Sftp { accounts: accounts.into_iter().map(account).collect(), ..sftp })
}

fn sftp(fields: &Fields<'_>, folder: &Path) -> Option<Sftp> {
    let listen = fields.need("listen", "\"127.0.0.1:2222\"", parsed);
    let host_key = fields.need("host_key", "\"/etc/sluse/gateway/host.key\"", path(folder));
    let inbox_key = fields.need("inbox_key", "\"/etc/sluse/gateway/inbox.key\"", path(folder));
    let connections = fields.may("connections", "16", number(1..=256)).unwrap_or(16);
    let idle = fields.may("idle", "\"5m\"", lasting(SECOND..=DAY)).unwrap_or(Duration::from_secs(300));
    Some(Sftp { listen: listen?, host_key: host_key?, inbox_key: inbox_key?, connections, idle, accounts: Vec::new() })
}

/// An account, and its connections where they are said.
fn account(name: &str, fields: &Fields<'_>) -> Option<(Account, Option<usize>)> {
    let flow = fields.need("flow", "\"lab\"", parsed);
    let keys = fields.need("keys", "[\"ssh-ed25519 AAAA… lab\"]", list(64, parsed));
    let peers = fields.need("peers", "[\"10.1.2.3\"]", list(64, parsed));
    let unfinished = fields.may("unfinished", "[\".part\", \".tmp\"]", list(32, ending));
    let connections = fields.may("connections", "8", number(1..=256));
    let max_bytes = fields.may("max_bytes", "1000000000000", number(1..=1 << 60)).unwrap_or(1_000_000_000_000);
    let complete = complete(name, fields);
    let account = Account {
        // Sections' names are checked where they are read.
        name: name.parse().ok()?,
        flow: flow?,
        keys: keys?,
        peers: peers?,
        connections: 0,
        max_bytes,
        complete: complete?,
        unfinished: unfinished.unwrap_or_else(|| UNFINISHED.map(str::to_owned).into()),
    };
    Some((account, connections))
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Marker,
    Rename,
    Quiet,
}

fn complete(name: &str, fields: &Fields<'_>) -> Option<Whole> {
    let ways = [("marker", Way::Marker), ("rename", Way::Rename), ("quiet", Way::Quiet)];
    let way = fields.need("complete", "\"rename\"", choice(&ways));
    let marker = fields.may("marker", "\".done\"", ending);
    let quiet = fields.may("quiet", "\"60s\"", lasting(SECOND..=DAY));
    let way = way?;
    for (field, given, belongs, word) in
        [("marker", marker.is_some(), Way::Marker, "marker"), ("quiet", quiet.is_some(), Way::Quiet, "quiet")]
    {
        if given && way != belongs {
            let message = format!("`inbox.{name}.{field}` means nothing unless `complete` is \"{word}\"");
            fields.wrong_at(field, message, format!("remove it, or write `complete = \"{word}\"`"));
        }
    }
    Some(match way {
        Way::Marker => Whole::Marker(marker.unwrap_or_else(|| ".done".to_owned())),
        Way::Rename => Whole::Rename,
        Way::Quiet => Whole::Quiet(quiet.unwrap_or(Duration::from_secs(60))),
    })
}

/// The end of a file's name.
fn ending(value: &Value<'_>) -> Read<String> {
    let end = text(32)(value)?;
    match end.contains('/') {
        true => Err(Wrong::new(value, "contains a slash: it is the end of a file's name").into()),
        false => Ok(end),
    }
}

/// What sections say of one another.
pub(super) fn check(file: &Fields<'_>, flows: &[Flow], sftp: Option<&Sftp>) {
    let Some(sftp) = sftp else { return };
    if sftp.accounts.is_empty() {
        file.wrong_at("sftp", "`sftp` has nobody who may log in", "add `[inbox.NAME]`");
    }
    for account in &sftp.accounts {
        leads_to(file, flows, "inbox", account.name.as_str(), &account.flow);
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;
    use sluse_sender::watch::Whole;
    use std::path::Path;
    use std::time::Duration;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP1//xX18E+NP+NskgiC/06r3lk+FGXhfxtoxb46JUqE lims";

    fn parse(sftp: &str, inbox: &str) -> Result<Settings, Vec<String>> {
        let text = format!(
            "[gateway]\nspool = \"/s\"\npublic_key = \"p\"\nprivate_key = \"k\"\nidentity = \"i\"\n[flow.lab]\nagreement = \"lab\"\n\
             {sftp}\n{inbox}\n"
        );
        let problems = |problems: Vec<_>| problems.into_iter().map(|problem| format!("{problem:?}")).collect();
        Settings::parse(&text, Path::new("/etc/sluse")).map_err(problems)
    }

    fn inbox(more: &str) -> String {
        format!("[inbox.lims]\nflow = \"lab\"\nkeys = [\"{KEY}\"]\npeers = [\"10.0.0.0/8\"]\n{more}")
    }

    const SFTP: &str = "[sftp]\nlisten = \"127.0.0.1:2222\"\nhost_key = \"host.key\"\ninbox_key = \"/k/inbox.key\"";

    #[test]
    fn what_is_not_written_has_the_documented_default() {
        let sftp = parse(SFTP, &inbox("complete = \"quiet\"")).unwrap().sftp.unwrap();
        assert_eq!(
            (sftp.host_key.to_str(), sftp.inbox_key.to_str()),
            (Some("/etc/sluse/host.key"), Some("/k/inbox.key"))
        );
        assert_eq!((sftp.connections, sftp.idle), (16, Duration::from_secs(300)));
        let account = &sftp.accounts[0];
        assert_eq!((account.connections, account.max_bytes), (16, 1_000_000_000_000), "all, where no other account is");
        assert_eq!((account.name.as_str(), account.flow.as_str(), account.keys.len()), ("lims", "lab", 1));
        assert_eq!(account.complete, Whole::Quiet(Duration::from_secs(60)));
        assert_eq!(account.unfinished, [".part", ".partial", ".tmp", ".filepart"]);
        assert!(account.is_called_from([10, 1, 2, 3].into()) && !account.is_called_from([11, 1, 2, 3].into()));
    }

    #[test]
    fn an_account_has_half_of_the_connections_or_what_it_is_given() {
        let other = inbox("complete = \"quiet\"\nconnections = 3").replace("inbox.lims", "inbox.other");
        let both = format!("{}\n{other}", inbox("complete = \"rename\""));
        let sftp = parse(SFTP, &both).unwrap().sftp.unwrap();
        assert_eq!(sftp.accounts.iter().map(|account| account.connections).collect::<Vec<_>>(), [8, 3]);
    }

    #[test]
    fn each_mistake_is_told() {
        let cases = [
            (SFTP, String::new(), "nobody who may log in"),
            ("", inbox("complete = \"rename\""), "without `sftp`"),
            (SFTP, inbox("complete = \"rename\"\nquiet = \"9s\""), "means nothing unless"),
            (SFTP, inbox("complete = \"marker\"\nmarker = \"a/b\""), "contains a slash"),
            (
                SFTP,
                inbox("complete = \"rename\"").replace("\"lab\"", "\"other\""),
                "the flow other, which is not there",
            ),
            (SFTP, inbox("complete = \"rename\"").replace("ssh-ed25519 ", "ssh-dss "), "authorized_keys"),
            (
                SFTP,
                inbox("complete = \"rename\"").replace("ssh-ed25519 ", "command=\\\"x\\\" ssh-ed25519 "),
                "without options",
            ),
            (SFTP, inbox("complete = \"rename\"").replace("inbox.lims", "inbox.LIMS"), "is no name"),
        ];
        for (sftp, inbox, message) in cases {
            let problems = parse(sftp, &inbox).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(message)), "{message}: {problems:?}");
        }
    }
}
