//! The watcher's configuration: which outboxes there are, when something in one is whole, and what becomes of it then.

use sluse_host::config::{self, ConfigError, MAX_CONFIG_BYTES};
use sluse_protocol::ids::{AgreementId, DatasetName};
use sluse_protocol::toml_text::{self, Fields, Problem, Read, Value, Wrong, choice, flag, list, number, parsed, text};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Outboxes of one watcher.
const MAX_OUTBOXES: usize = 256;

/// Names of unfinished files, unless an outbox names its own.
const UNFINISHED: [&str; 4] = [".part", ".partial", ".tmp", ".filepart"];

/// The watcher's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder of the watcher's own journal.
    pub state: PathBuf,
    /// How many datasets are sent at the same time.
    pub parallel: usize,
    /// How often each outbox is looked at, whatever notifications say.
    pub poll: Duration,
    /// The outboxes.
    pub outboxes: Vec<Outbox>,
}

/// One outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    /// Its name in the configuration.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The identity folder that it sends with.
    pub identity: PathBuf,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The dataset of everything in it; each entry's own name where none is given.
    pub dataset: Option<DatasetName>,
    /// Whether that dataset is kept in sync: each entry is a version of it.
    pub sync: bool,
    /// When an entry is whole.
    pub whole: Whole,
    /// Ends of names that are unfinished.
    pub unfinished: Vec<String>,
    /// Whether the kernel tells of changes; else it is only looked at again and again.
    pub notify: bool,
    /// What becomes of what was delivered.
    pub delivered: Delivered,
    /// How long after the delivery.
    pub after: Duration,
}

/// When an entry is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// When a file of its name and this end lies beside it.
    Marker(String),
    /// As soon as its name appears: it was written elsewhere, or under an unfinished name, and renamed.
    Rename,
    /// When nothing in it changed for so long.
    Quiet(Duration),
}

/// What becomes of what was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It stays where it is.
    Keep,
    /// It goes to `_delivered`.
    Move,
    /// It is deleted; its receipts go to `_delivered`.
    Delete,
}

impl Outbox {
    /// The end of a done-marker's name, where this outbox has them.
    pub fn marker(&self) -> Option<&str> {
        match &self.whole {
            Whole::Marker(end) => Some(end),
            _ => None,
        }
    }

    /// The dataset that an entry is.
    pub fn dataset_of(&self, name: &str) -> Option<DatasetName> {
        self.dataset.clone().or_else(|| name.parse().ok())
    }
}

impl Settings {
    /// Reads a configuration. Relative paths are relative to the file's folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file, line and hint.
    pub fn load(file: &Path) -> Result<Self, Vec<ConfigError>> {
        config::load(file, "docs/source-host.md shows one", Self::parse)
    }

    /// Reads a configuration's text; `folder` is where relative paths begin.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Problem>> {
        toml_text::read(text, MAX_CONFIG_BYTES, |file| {
            let need = "add `[watch]` with `state` and `identity` below";
            let watch = file.need_table("watch", need, |fields| watch(fields, folder));
            let identity = watch.as_ref().and_then(|watch| watch.identity.clone());
            let need = "add `[outbox.NAME]` with `folder` and `agreement` below";
            let outboxes = file.need_tables("outbox", need, MAX_OUTBOXES, |name, fields| {
                outbox(name, fields, folder, identity.as_deref())
            });
            let (watch, outboxes) = (watch?, outboxes?);
            check_apart(file, &watch.state, &outboxes);
            Some(Settings { state: watch.state, parallel: watch.parallel, poll: watch.poll, outboxes })
        })
    }
}

struct Watch {
    state: PathBuf,
    identity: Option<PathBuf>,
    parallel: usize,
    poll: Duration,
}

fn watch(fields: &Fields<'_>, folder: &Path) -> Option<Watch> {
    let state = fields.need("state", "\"/var/lib/sluse-watch\"", path(folder));
    let identity = fields.may("identity", "\"/etc/sluse/identity\"", path(folder));
    let parallel = fields.may("parallel", "2", number(1..=16)).unwrap_or(2);
    let poll = fields.may("poll_seconds", "30", number(1..=3600)).unwrap_or(30);
    Some(Watch { state: state?, identity, parallel, poll: Duration::from_secs(poll) })
}

fn outbox(name: &str, fields: &Fields<'_>, base: &Path, shared: Option<&Path>) -> Option<Outbox> {
    let folder = fields.need("folder", "\"/srv/extracts/lab\"", path(base));
    let identity = fields.may("identity", "\"/etc/sluse/identity\"", path(base)).or(shared.map(Path::to_owned));
    if identity.is_none() {
        fields.wrong_at("identity", format!("`outbox.{name}` has no identity"), "add `identity` here or below [watch]");
    }
    let agreement = fields.need("agreement", "\"lab-nightly\"", parsed);
    let dataset = fields.may("dataset", "\"Nightly extract\"", parsed);
    let sync = fields.may("sync", "true", flag).unwrap_or(false);
    if sync && dataset.is_none() {
        let message = format!("`outbox.{name}.sync` means nothing without a dataset of which each entry is a version");
        fields.wrong_at("sync", message, "add `dataset = \"Study export\"`");
    }
    let whole = whole(name, fields);
    let unfinished = fields.may("unfinished", "[\".part\", \".tmp\"]", list(32, ending));
    let notify = fields.may("notify", "true", flag).unwrap_or(true);
    let kinds = [("keep", Delivered::Keep), ("move", Delivered::Move), ("delete", Delivered::Delete)];
    let delivered = fields.may("delivered", "\"move\"", choice(&kinds)).unwrap_or(Delivered::Move);
    let after: Option<u64> = fields.may("after_hours", "24", number(0..=24 * 3653));
    if after.is_some() && delivered == Delivered::Keep {
        let message = format!("`outbox.{name}.after_hours` means nothing where `delivered` is \"keep\"");
        fields.wrong_at("after_hours", message, "remove it, or write `delivered = \"move\"` or \"delete\"");
    }
    Some(Outbox {
        name: name.to_owned(),
        folder: folder?,
        identity: identity?,
        agreement: agreement?,
        dataset,
        sync,
        whole: whole?,
        unfinished: unfinished.unwrap_or_else(|| UNFINISHED.map(str::to_owned).into()),
        notify,
        delivered,
        after: Duration::from_secs(after.unwrap_or(24) * 3600),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Marker,
    Rename,
    Quiet,
}

fn whole(name: &str, fields: &Fields<'_>) -> Option<Whole> {
    let ways = [("marker", Way::Marker), ("rename", Way::Rename), ("quiet", Way::Quiet)];
    let way = fields.need("complete", "\"marker\"", choice(&ways));
    let marker = fields.may("marker", "\".done\"", ending);
    let quiet: Option<u64> = fields.may("quiet_seconds", "60", number(1..=86_400));
    let way = way?;
    for (field, given, belongs) in
        [("marker", marker.is_some(), Way::Marker), ("quiet_seconds", quiet.is_some(), Way::Quiet)]
    {
        if given && way != belongs {
            let of = if belongs == Way::Marker { "marker" } else { "quiet" };
            let message = format!("`outbox.{name}.{field}` means nothing unless `complete` is \"{of}\"");
            fields.wrong_at(field, message, format!("remove it, or write `complete = \"{of}\"`"));
        }
    }
    Some(match way {
        Way::Marker => Whole::Marker(marker.unwrap_or_else(|| ".done".to_owned())),
        Way::Rename => Whole::Rename,
        Way::Quiet => Whole::Quiet(Duration::from_secs(quiet.unwrap_or(60))),
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

fn path(folder: &Path) -> impl Fn(&Value<'_>) -> Read<PathBuf> + '_ {
    |value| Ok(folder.join(text(4000)(value)?).components().collect())
}

/// No outbox may lie in another, nor hold an identity or the journal: keys would be sent.
fn check_apart(file: &Fields<'_>, state: &Path, outboxes: &[Outbox]) {
    let within = |inner: &Path, outer: &Path| inner.starts_with(outer);
    for (at, outbox) in outboxes.iter().enumerate() {
        let complain = |what: String| {
            let hint = "give each a folder of its own that lies in none of the others";
            file.wrong_at("outbox", format!("`outbox.{}.folder` {what}", outbox.name), hint);
        };
        for other in &outboxes[at + 1..] {
            if within(&outbox.folder, &other.folder) || within(&other.folder, &outbox.folder) {
                complain(format!("and that of `outbox.{}` lie in one another", other.name));
            }
        }
        if within(state, &outbox.folder) || within(&outbox.folder, state) {
            complain("and `watch.state` lie in one another".into());
        }
        if within(&outbox.identity, &outbox.folder) || within(&outbox.folder, &outbox.identity) {
            complain("and its identity's folder lie in one another".into());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const GOOD: &str =
        "[watch]\nstate = \"state\"\nidentity = \"/id\"\n[outbox.lab]\nfolder = \"lab\"\nagreement = \"lab\"\n";

    /// An outbox in `folder` with further settings.
    pub fn outbox(folder: &Path, more: &str) -> Outbox {
        let folder = folder.to_str().unwrap();
        let text =
            format!("[watch]\nstate = \"/state\"\nidentity = \"/id\"\n[outbox.lab]\nfolder = \"{folder}\"\n{more}\n");
        let text = text + "agreement = \"lab\"\n";
        Settings::parse(&text, Path::new("/")).unwrap().outboxes.remove(0)
    }

    #[test]
    fn what_is_not_written_has_the_documented_default() {
        let settings = Settings::parse(&format!("{GOOD}complete = \"quiet\""), Path::new("/etc/sluse")).unwrap();
        let lab = &settings.outboxes[0];
        assert_eq!(
            (settings.state.to_str(), settings.parallel, settings.poll.as_secs()),
            (Some("/etc/sluse/state"), 2, 30)
        );
        assert_eq!((lab.folder.to_str(), lab.identity.to_str()), (Some("/etc/sluse/lab"), Some("/id")));
        assert_eq!(lab.whole, Whole::Quiet(Duration::from_secs(60)));
        assert_eq!((lab.delivered, lab.after.as_secs(), lab.notify), (Delivered::Move, 86_400, true));
        let shipped = include_str!("../../../config/watch.toml");
        assert_eq!(Settings::parse(shipped, Path::new("/")).unwrap().outboxes.len(), 2, "config/watch.toml is good");
    }

    #[test]
    fn each_mistake_is_told_with_its_line_and_what_to_write_instead() {
        let cases = [
            ("", 4, "`outbox.lab.complete` is missing", "add `complete = \"marker\"`"),
            (
                "complete = \"silent\"",
                7,
                "`outbox.lab.complete` does not know \"silent\"",
                "one of: marker, rename, quiet",
            ),
            (
                "complete = \"rename\"\nquiet_seconds = 5",
                8,
                "`outbox.lab.quiet_seconds` means nothing unless `complete` is \"quiet\"",
                "remove it, or write `complete = \"quiet\"`",
            ),
            (
                "complete = \"rename\"\ndelivered = \"keep\"\nafter_hours = 1",
                9,
                "`outbox.lab.after_hours` means nothing where `delivered` is \"keep\"",
                "remove it, or write `delivered = \"move\"` or \"delete\"",
            ),
            (
                "complete = \"rename\"\nmraker = \".x\"",
                8,
                "unknown field `outbox.lab.mraker`",
                "did you mean `marker`?",
            ),
            (
                "complete = \"rename\"\nsync = true",
                8,
                "`outbox.lab.sync` means nothing without a dataset of which each entry is a version",
                "add `dataset = \"Study export\"`",
            ),
            (
                "complete = \"marker\"\nmarker = \"/done\"",
                8,
                "`outbox.lab.marker` contains a slash: it is the end of a file's name",
                "write for example `marker = \".done\"`",
            ),
            (
                "complete = \"rename\"\n[outbox.pacs]\nfolder = \"lab/pacs\"\nagreement = \"b\"\ncomplete = \"rename\"",
                4,
                "`outbox.lab.folder` and that of `outbox.pacs` lie in one another",
                "give each a folder of its own that lies in none of the others",
            ),
            (
                "complete = \"rename\"\nidentity = \"lab/id\"",
                4,
                "`outbox.lab.folder` and its identity's folder lie in one another",
                "give each a folder of its own that lies in none of the others",
            ),
            (
                "complete = \"rename\"\n[outbox.\"a b\"]",
                8,
                "`outbox.a b` is no name: a name is 1 to 64 of a-z, 0-9, '.', '_' and '-'",
                "rename the section",
            ),
        ];
        for (more, line, message, hint) in cases {
            let problems = Settings::parse(&format!("{GOOD}{more}\n"), Path::new("/")).unwrap_err();
            let found = problems.iter().find(|problem| problem.message == message);
            let found = found.unwrap_or_else(|| panic!("{more}: {problems:?}"));
            assert_eq!((found.line, found.hint.as_str()), (line, hint), "{more}");
        }
        let without = GOOD.replace("identity = \"/id\"\n", "") + "complete = \"rename\"";
        let problems = Settings::parse(&without, Path::new("/")).unwrap_err();
        assert_eq!(problems[0].message, "`outbox.lab` has no identity");
    }
}
