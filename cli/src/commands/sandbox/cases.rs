//! What a sandbox answers, and how each answer is asked for. docs/integrating/sandbox.md has the table; a test compares.

use sluse_protocol::refusal::{Code, Exit};
use std::path::Path;

/// The source whose identity most answers are asked with, and the agreement under which everything goes well.
pub const SOURCE: &str = "sandbox";

/// The source that may have next to nothing under way, and the one that was shut out.
pub const SMALL_QUOTA: &str = "small-quota";
pub const REVOKED: &str = "revoked";

/// The source that is invited and not enrolled yet: an integrator begins with its invite.
pub const NEWCOMER: &str = "newcomer";

/// A room that takes only names that Windows can hold.
pub const WINDOWS_ROOM: &str = "windows-room";

/// An invite that was used, and one that a later one replaced.
pub const USED_INVITE: &str = "invite-sandbox.toml";
pub const EXPIRED_INVITE: &str = "invite-expired.toml";

/// How an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// By sending a sample under an agreement, whose text differs from the sandbox's own in these words.
    Agreement { id: &'static str, sample: &'static str, changes: &'static [(&'static str, &'static str)] },
    /// By sending as another source, under its own agreement.
    Source(&'static str),
    /// By the name of a dataset: there is no way to it but the sandbox's saying so.
    Dataset(&'static str),
    /// The same for a refusal, of the dataset `refuse-` and its code.
    Refuse(Code),
    /// By enrolling with this invite.
    Enrol(&'static str),
    /// By asking after a transfer that there is not.
    Status,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// A refusal's code, or a word for what becomes of the dataset.
    pub answer: &'static str,
    /// How it is asked for.
    pub ask: Ask,
    /// How `sluse` ends then.
    pub exit: Exit,
    /// What happens, in a few words.
    pub happens: &'static str,
}

const ONE_REVIEWER: (&str, &str) = ("rule = \"automatic\"", "rule = \"one-reviewer\"");

/// Under agreements, as most: `answer` is the agreement's id.
const fn under(
    answer: &'static str,
    exit: Exit,
    sample: &'static str,
    changes: &'static [(&'static str, &'static str)],
    happens: &'static str,
) -> Case {
    Case { answer, ask: Ask::Agreement { id: answer, sample, changes }, exit, happens }
}

/// What really happens, by agreements, sources and reviewers.
const REAL: &[Case] = &[
    Case {
        answer: "delivered",
        ask: Ask::Agreement { id: SOURCE, sample: "plain", changes: &[] },
        exit: Exit::Done,
        happens: "goes all the way",
    },
    Case {
        answer: "rejected",
        ask: Ask::Agreement { id: SOURCE, sample: "malware", changes: &[] },
        exit: Exit::Rejected,
        happens: "the inspection finds a test virus",
    },
    under(
        "content-rejected",
        Exit::Rejected,
        "plain",
        &[("[release]", "types = [\"parquet\"]\n[content.actions]\ntype-not-allowed = \"block\"\n[release]")],
        "the inspection finds a type that may not come",
    ),
    under("held", Exit::Held, "plain", &[ONE_REVIEWER], "held, and nobody decides"),
    under("reviewer-releases", Exit::Done, "plain", &[ONE_REVIEWER], "held, and a reviewer releases it after 2 s"),
    under("reviewer-rejects", Exit::Rejected, "plain", &[ONE_REVIEWER], "held, and a reviewer rejects it after 2 s"),
    under("slow", Exit::Done, "plain", &[ONE_REVIEWER], "held, and a reviewer releases it after a minute"),
    under("cancelled", Exit::Refused, "plain", &[ONE_REVIEWER], "held, and an operator cancels it after 2 s"),
    under(
        "expired",
        Exit::Refused,
        "plain",
        &[ONE_REVIEWER, ("hold_days = 3650", "hold_days = 1")],
        "held, and nobody decides in time: half a minute",
    ),
    Case {
        answer: "temporary",
        ask: Ask::Dataset("temporary"),
        exit: Exit::Done,
        happens: "refused twice as `unavailable`, then taken",
    },
    Case {
        answer: "unknown-agreement",
        ask: Ask::Agreement { id: "no-such-agreement", sample: "plain", changes: &[] },
        exit: Exit::Refused,
        happens: "there is no such agreement",
    },
    under(
        "agreement-draft",
        Exit::Refused,
        "plain",
        &[("[dpia]\nreference = \"sandbox\"\n", "")],
        "the agreement lacks its impact assessment",
    ),
    under("agreement-inactive", Exit::Refused, "plain", &[], "the agreement was ended"),
    under("agreement-suspended", Exit::Refused, "plain", &[], "the agreement is suspended"),
    under(
        "agreement-not-yet-valid",
        Exit::Refused,
        "plain",
        &[("2020-01-01", "2090-01-01")],
        "the agreement begins in 2090",
    ),
    under("agreement-expired", Exit::Refused, "plain", &[("2099-12-31", "2021-01-01")], "the agreement ended in 2021"),
    under(
        "forbidden-room",
        Exit::Refused,
        "plain",
        &[("sandbox-room", "nowhere")],
        "the agreement's room is not there",
    ),
    under(
        "dataset-too-large",
        Exit::Refused,
        "plain",
        &[("max_bytes = 1_000_000_000", "max_bytes = 1")],
        "one byte is allowed",
    ),
    under(
        "too-many-files",
        Exit::Refused,
        "path-collision",
        &[("max_files = 1_000", "max_files = 1")],
        "one file is allowed",
    ),
    under(
        "forbidden-path",
        Exit::Refused,
        "plain",
        &[("engines =", "forbidden_paths = [\"**/*.csv\"]\nengines =")],
        "CSV files may not come",
    ),
    under(
        "windows-path",
        Exit::Refused,
        "windows-path",
        &[("sandbox-room", WINDOWS_ROOM)],
        "the room takes no name with a colon",
    ),
    under(
        "path-collision",
        Exit::Refused,
        "path-collision",
        &[("sandbox-room", WINDOWS_ROOM)],
        "two names are one to Windows",
    ),
    Case {
        answer: "empty-dataset",
        ask: Ask::Agreement { id: SOURCE, sample: "empty", changes: &[] },
        exit: Exit::Refused,
        happens: "an empty folder",
    },
    Case {
        answer: "quota-exceeded",
        ask: Ask::Source(SMALL_QUOTA),
        exit: Exit::Temporary,
        happens: "the source may have one byte under way",
    },
    Case {
        answer: "revoked-source",
        ask: Ask::Source(REVOKED),
        exit: Exit::Refused,
        happens: "the source was shut out",
    },
    Case { answer: "invite-used", ask: Ask::Enrol(USED_INVITE), exit: Exit::Refused, happens: "the invite was used" },
    Case {
        answer: "invite-expired",
        ask: Ask::Enrol(EXPIRED_INVITE),
        exit: Exit::Refused,
        happens: "a later invite replaced it",
    },
    Case { answer: "unknown-transfer", ask: Ask::Status, exit: Exit::Refused, happens: "no transfer of this source" },
];

/// Every answer: what really happens first, and then the codes for which that cannot be arranged.
pub fn all() -> impl Iterator<Item = Case> {
    let happens_for_real = |code: &&Code| REAL.iter().any(|case| case.answer == code.as_str());
    let forced = Code::ALL.iter().filter(move |code| !happens_for_real(code));
    REAL.iter().copied().chain(forced.map(|code| Case {
        answer: code.as_str(),
        ask: Ask::Refuse(*code),
        exit: exit(*code),
        happens: "the offer is refused, as it asks for",
    }))
}

/// How `sluse send` ends when each of its offers is refused so: it tries again what may pass until it gives up.
fn exit(code: Code) -> Exit {
    match (code, code.exit()) {
        (Code::TakenOver, exit) => exit,
        // The files changed: they are offered as a transfer of their own, until that is refused as well.
        (Code::ChunkConflict, _) => Exit::Refused,
        (_, Exit::Fault) => Exit::Temporary,
        (_, exit) => exit,
    }
}

impl Case {
    /// Whether the sandbox only says so.
    pub fn is_forced(&self) -> bool {
        matches!(self.ask, Ask::Dataset(_) | Ask::Refuse(_))
    }

    /// The words of the command that asks for it, after `sluse`; what the sandbox made lies in `folder`.
    pub fn command(&self, folder: &Path) -> Vec<String> {
        let at = |place: &str| folder.join(place).display().to_string();
        let identity = |source: &str| at(&format!("sources/{source}"));
        let send = |source: &str, agreement: &str, sample: &str, dataset: &str| {
            let mut words =
                vec!["send".to_owned(), at(&format!("samples/{sample}")), "--identity".into(), identity(source)];
            words.extend(["--agreement", agreement, "--dataset", dataset].map(String::from));
            words
        };
        let mut words = match self.ask {
            Ask::Agreement { id, sample, .. } => send(SOURCE, id, sample, self.answer),
            Ask::Source(source) => send(source, source, "plain", self.answer),
            Ask::Dataset(dataset) => send(SOURCE, SOURCE, "plain", dataset),
            Ask::Refuse(code) => send(SOURCE, SOURCE, "plain", &format!("refuse-{code}")),
            Ask::Enrol(invite) => vec!["enroll".into(), at(invite), "--identity".into(), identity(self.answer)],
            Ask::Status => ["status", NO_TRANSFER, "--identity", &identity(SOURCE)].map(String::from).into(),
        };
        let more: &[&str] = match (self.ask, self.exit) {
            (Ask::Enrol(_) | Ask::Status, _) => &[],
            (_, Exit::Temporary) => &["--give-up", "1s"],
            (_, Exit::Held) => &["--wait", "delivered", "--wait-timeout", "20s"],
            _ => &["--wait", "delivered", "--wait-timeout", "5m"],
        };
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words
    }
}

/// A transfer that no zone has: of the year 1970.
const NO_TRANSFER: &str = "19700101-000000-00000000";

#[cfg(test)]
mod tests {
    use super::*;

    fn how(ask: Ask) -> String {
        match ask {
            Ask::Agreement { id, sample: "plain", .. } => format!("`--agreement {id}`"),
            Ask::Agreement { id, sample, .. } => format!("`--agreement {id}`, and `samples/{sample}` is sent"),
            Ask::Source(source) => format!("`--identity sources/{source} --agreement {source}`"),
            Ask::Dataset(dataset) => format!("`--agreement {SOURCE} --dataset {dataset}`"),
            Ask::Refuse(code) => format!("`--agreement {SOURCE} --dataset refuse-{code}`"),
            Ask::Enrol(invite) => format!("`sluse enroll {invite}`"),
            Ask::Status => "`sluse status` of an unknown ID".into(),
        }
    }

    #[test]
    fn the_documented_table_is_this_one_and_has_every_code() {
        let row = |case: Case| {
            let sort = if case.is_forced() { "forced" } else { "real" };
            format!("| `{}` | {} | {} | {sort}: {} |\n", case.answer, case.exit as u8, how(case.ask), case.happens)
        };
        let rows: String = all().map(row).collect();
        for code in Code::ALL {
            assert!(rows.contains(&format!("| `{code}` |")), "{code}");
        }
        let documented = include_str!("../../../../docs/integrating/sandbox.md");
        assert!(documented.contains(&rows), "docs/integrating/sandbox.md should contain:\n{rows}");
    }
}
