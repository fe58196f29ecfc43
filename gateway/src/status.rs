//! How a gateway stands: what `forward` saw last, in a file of the spool, and what is wrong with it. Names are nowhere in it.

use crate::Error;
use crate::spool::Spool;
use serde::{Deserialize, Serialize};
use sluse_host::files;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::refusal::Exit;
use sluse_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::io;

/// How old it may be before `forward` counts as gone: it writes one each minute at least.
const FRESH: i64 = 180;

/// Bytes of the longest one: a few hundred flows, and what is named of the rest.
const MAX_STATUS: u64 = 4 * 1024 * 1024;

/// Of each kind of what is wrong, so many are named; the others are counted.
pub const MOST_NAMED: usize = 100;

/// How a gateway stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// When it stood so.
    pub time: Timestamp,
    /// Each flow.
    pub flows: BTreeMap<AgreementId, Flow>,
    /// Files in inboxes, of all accounts.
    pub in_inboxes: Inboxes,
    /// Datasets of which nothing came for `unfinished_for`, and which nobody said are complete; the oldest ones.
    pub late: Vec<Late>,
    /// How many those are.
    pub late_datasets: usize,
    /// Parcels that stay in `arrived/` until somebody looks, the first ones.
    pub stay: Vec<Stays>,
    /// How many those are, by why.
    pub stay_parcels: BTreeMap<Why, usize>,
}

/// How one flow stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Datasets that are gathered.
    pub open: usize,
    /// Their files, those that are not finished too.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Datasets that are whole and not delivered yet.
    pub to_deliver: usize,
    /// Datasets that the zone refused or rejected, which are kept.
    pub rejected: usize,
}

/// Files in inboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inboxes {
    /// How many.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A dataset that waits for a word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Late {
    /// Its flow.
    pub flow: AgreementId,
    /// What stands for it: as in the names of datasets that the client did not choose.
    pub dataset: String,
    /// Files that are whole.
    pub files: usize,
    /// Files that are not.
    pub unfinished: usize,
    /// Bytes of both.
    pub bytes: u64,
    /// When something of it came last.
    pub since: Timestamp,
}

/// A parcel that stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stays {
    /// Its name in `arrived/`.
    pub parcel: String,
    /// Why.
    pub why: Why,
}

/// Why a parcel stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It, or one that its dataset needs, is damaged or encrypted to another key.
    Unreadable,
    /// Its flow is not configured.
    NoFlow,
    /// It lists files that are not there.
    Incomplete,
}

impl Why {
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Unreadable => (
                "cannot be read",
                "Is the private key that of this spool? Else have the source send again, and move the file away.",
            ),
            Self::NoFlow => {
                ("belongs to a flow that is not configured", "Configure the flow again, or move the file away.")
            }
            Self::Incomplete => {
                ("lists files that are not there", "Have the source send again, and move the file away.")
            }
        }
    }
}

impl Status {
    /// Reads what `forward` wrote last; none where it never did.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(spool: &Spool) -> Result<Option<Self>, Error> {
        let path = spool.status();
        let read = files::read_bounded(&path, MAX_STATUS).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        match read {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::at(&path)(error)),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, spool: &Spool) -> io::Result<()> {
        files::replace(&spool.status(), &serde_json::to_vec(self)?, 0o640)
    }

    /// Whether it is the same, whenever that was.
    pub fn is_as(&self, other: &Self) -> bool {
        Self { time: self.time, ..other.clone() } == *self
    }

    /// What somebody should see to: each with what to do.
    pub fn problems(&self) -> Vec<(String, &'static str)> {
        let mut problems = Vec::new();
        if self.late_datasets > 0 {
            let what = format!("{} datasets wait for a word that they are complete", self.late_datasets);
            problems.push((what, "Ask whoever hands them over; what is late is listed below."));
        }
        for (why, count) in &self.stay_parcels {
            let (what, hint) = why.text();
            let first = self.stay.iter().find(|stays| stays.why == *why).map_or("-", |stays| &stays.parcel);
            problems.push((format!("{count} parcels stay in arrived/; the first, {first}, {what}"), hint));
        }
        problems
    }
}

/// What was found out, and how whoever asked ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Lines to print.
    pub lines: String,
    /// 0 when all is well, 70 when somebody should see to something, 6 when `forward` does not run.
    pub exit: Exit,
}

/// Tells how the gateway stands at `now`, for people or as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn tell(status: Option<&Status>, now: Timestamp, json: bool) -> Result<Told, Error> {
    let age = status.map(|status| now.unix().saturating_sub(status.time.unix()));
    let runs = age.is_some_and(|age| age <= FRESH);
    let problems = status.map(Status::problems).unwrap_or_default();
    let exit = match (runs, problems.is_empty()) {
        (false, _) => Exit::Temporary,
        (true, true) => Exit::Done,
        (true, false) => Exit::Fault,
    };
    let lines = if json { as_json(status, runs, &problems)? } else { as_text(status, age, runs, &problems) };
    Ok(Told { lines, exit })
}

fn as_json(status: Option<&Status>, runs: bool, problems: &[(String, &str)]) -> Result<String, Error> {
    let problems: Vec<_> =
        problems.iter().map(|(message, hint)| serde_json::json!({"message": message, "hint": hint})).collect();
    let told = serde_json::json!({"runs": runs, "problems": problems, "status": status});
    let text = serde_json::to_string(&told).map_err(io::Error::from).map_err(Error::fault("writing JSON"))?;
    Ok(text + "\n")
}

fn as_text(status: Option<&Status>, age: Option<i64>, runs: bool, problems: &[(String, &str)]) -> String {
    let Some(status) = status else { return "the gateway never ran: nothing is known of its spool\n".to_owned() };
    let verdict = if !runs {
        "NOT running"
    } else if problems.is_empty() {
        "well"
    } else {
        "NOT well"
    };
    let mut lines = vec![format!("the gateway is {verdict}; this is of {}", status.time)];
    if let Some(age) = age.filter(|_| !runs) {
        lines.push(format!("problem: `forward` said nothing for {age} seconds"));
        lines.push("  hint: Is sluse-gateway-forward started? Its log says why it is not.".to_owned());
    }
    for (message, hint) in problems {
        lines.push(format!("problem: {message}"));
        lines.push(format!("  hint: {hint}"));
    }
    for (flow, Flow { open, files, bytes, to_deliver, rejected }) in &status.flows {
        lines.push(format!(
            "flow {flow}: {open} gathered ({files} files, {bytes} bytes), {to_deliver} to be delivered, {rejected} rejected"
        ));
    }
    let Inboxes { files, bytes } = status.in_inboxes;
    lines.push(format!("inboxes: {files} files, {bytes} bytes"));
    for Late { flow, dataset, files, unfinished, bytes, since } in &status.late {
        lines.push(format!(
            "late: {flow} {dataset}: {files} files, {unfinished} unfinished, {bytes} bytes, the last one at {since}"
        ));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(late: usize) -> Status {
        let flow = Flow { open: 1, files: 2, bytes: 3, to_deliver: 4, rejected: 5 };
        let late_one = Late {
            flow: "ct".parse().unwrap(),
            dataset: "0123456789ab".into(),
            files: 2,
            unfinished: 0,
            bytes: 3,
            since: Timestamp::from_unix(1_795_000_000),
        };
        Status {
            time: Timestamp::from_unix(1_795_100_000),
            flows: BTreeMap::from([("ct".parse().unwrap(), flow)]),
            in_inboxes: Inboxes { files: 0, bytes: 0 },
            late: vec![late_one; late],
            late_datasets: late,
            stay: Vec::new(),
            stay_parcels: BTreeMap::new(),
        }
    }

    fn told(status: Option<&Status>, seconds: i64) -> (Exit, String) {
        let Told { lines, exit } = tell(status, Timestamp::from_unix(1_795_100_000 + seconds), false).unwrap();
        (exit, lines)
    }

    #[test]
    fn one_that_waits_for_a_word_is_a_problem_and_one_that_is_silent_is_not_running() {
        let (exit, lines) = told(Some(&status(0)), 60);
        assert!(
            exit == Exit::Done && lines.contains("flow ct: 1 gathered (2 files, 3 bytes), 4 to be delivered"),
            "{lines}"
        );
        let (exit, lines) = told(Some(&status(1)), 60);
        assert!(exit == Exit::Fault && lines.contains("late: ct 0123456789ab: 2 files"), "{lines}");
        let (exit, lines) = told(Some(&status(0)), 181);
        assert!(exit == Exit::Temporary && lines.contains("NOT running"), "{lines}");
        assert_eq!(told(None, 0).0, Exit::Temporary);
        let stays = |why| Stays { parcel: "00000001-000000000001".into(), why };
        let stay = vec![stays(Why::Unreadable), stays(Why::Incomplete), stays(Why::Unreadable)];
        let stay_parcels = BTreeMap::from([(Why::Unreadable, 2), (Why::Incomplete, 1)]);
        let (exit, lines) = told(Some(&Status { stay, stay_parcels, ..status(0) }), 0);
        assert!(exit == Exit::Fault && lines.contains("2 parcels stay") && lines.contains("lists files"), "{lines}");
    }

    #[test]
    fn what_is_written_is_read_again_and_as_before_whenever_that_was() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(Status::read(&spool).unwrap(), None);
        status(2).write(&spool).unwrap();
        assert_eq!(Status::read(&spool).unwrap(), Some(status(2)));
        let later = Status { time: Timestamp::from_unix(1_795_200_000), ..status(2) };
        assert!(later.is_as(&status(2)) && !later.is_as(&status(1)));
    }
}
