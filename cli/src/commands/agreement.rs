//! `sluse agreement`: what allows a flow.

use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use serde::Serialize;
use sluse_host::files;
use sluse_protocol::agreement::{self, Ending, Lack, MAX_TEXT_BYTES};
use sluse_protocol::ids::AgreementId;
use sluse_protocol::operator::{AgreementInfo, DraftInfo, OperatorReply, OperatorRequest, VersionInfo};
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// `sluse agreement`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    zone: ZoneFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check an agreement's file and add it
    Add {
        /// The agreement, TOML; config/agreements has commented examples
        file: PathBuf,
    },
    /// Make a new version of an agreement; the one in force stays until somebody else activates the new one
    Change {
        /// Its TOML file, with the id, source and room that it had
        file: PathBuf,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Put an agreement's latest version in force: another operator than who wrote it
    Activate {
        /// The agreement's id
        id: AgreementId,
        /// The version that was read; `agreement show` says its number
        #[arg(long, value_name = "N")]
        version: u32,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// List the agreements
    List,
    /// Show one agreement, its versions and a text
    Show {
        /// The agreement's id
        id: AgreementId,
        /// The text of this version, not of the one in force
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Suspend an agreement until it is resumed: nothing is offered, released or delivered under it
    Suspend {
        /// The agreement's id
        id: AgreementId,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Resume a suspended agreement: what waited for it goes on
    Resume {
        /// The agreement's id
        id: AgreementId,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End an agreement for ever: nothing new is offered, released or delivered under it
    #[command(alias = "revoke")]
    End {
        /// The agreement's id
        id: AgreementId,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    info: AgreementInfo,
    text: String,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the agreement is wrong, or the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        match self.command {
            Command::Add { file } => kept(&Operator::connect(&self.zone)?, out, &file, &OperatorRequest::AgreementAdd),
            Command::Change { file, reason } => {
                kept(&Operator::connect(&self.zone)?, out, &file, &OperatorRequest::AgreementChange { reason })
            }
            Command::Activate { id, version, reason } => {
                let request = OperatorRequest::AgreementActivate { id: id.clone(), version, reason };
                Operator::connect(&self.zone)?.act(&request, &[])?;
                out.done(&format!("Version {version} of agreement {id} is in force."))
            }
            Command::List => list(&Operator::connect(&self.zone)?, out),
            Command::Show { id, version } => show(&Operator::connect(&self.zone)?, out, id, version),
            Command::Suspend { id, reason } => {
                let request = OperatorRequest::AgreementSuspend { id: id.clone(), reason };
                Operator::connect(&self.zone)?.act(&request, &[])?;
                out.done(&format!("Agreement {id} is suspended; what was released under it is held."))
            }
            Command::Resume { id, reason } => {
                let request = OperatorRequest::AgreementResume { id: id.clone(), reason };
                Operator::connect(&self.zone)?.act(&request, &[])?;
                out.done(&format!("Agreement {id} is resumed; what waited for it goes on."))
            }
            Command::End { id, reason } => {
                let request = OperatorRequest::AgreementEnd { id: id.clone(), reason };
                Operator::connect(&self.zone)?.act(&request, &[])?;
                out.done(&format!("Agreement {id} is ended."))
            }
        }
    }
}

/// Gives an agreement's text to the zone, and says what became of it.
fn kept(operator: &Operator, out: &Output, file: &Path, request: &OperatorRequest) -> Ended {
    let text = read(file)?;
    let (reply, _) = operator.ask(request, text.as_bytes())?;
    let OperatorReply::Agreement(info) = reply else { return Err(unexpected()) };
    let AgreementInfo { id, from, to, valid_to, .. } = &info;
    out.done(&match &info.draft {
        None => format!("Agreement {id} allows {from} to send to {to} until {valid_to}."),
        Some(draft) => format!("Version {} of agreement {id} {}.", draft.version, lacking(draft)),
    })
}

fn lacking(draft: &DraftInfo) -> String {
    if draft.lacks.is_empty() {
        return "is a draft until another operator activates it".to_owned();
    }
    let names: Vec<String> = draft.lacks.iter().map(Lack::to_string).collect();
    format!("is a draft and lacks its {}", names.join(", and its "))
}

/// Who wrote a version and why, and who put it in force.
fn told(version: &VersionInfo) -> String {
    let by = |name: &Option<String>| name.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
    let reason = version.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let activated = version.activated.map(|time| format!(", in force since {time}{}", by(&version.activated_by)));
    let written = format!("version {} of {}{}{reason}", version.version, version.added, by(&version.author));
    written + &activated.unwrap_or_default()
}

/// An agreement's file, checked: everything that is wrong with it is told with file and line.
fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::file(Exit::Configuration, "read", file, &error);
    let bytes = files::read_bounded(file, MAX_TEXT_BYTES as u64).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| failed(std::io::Error::other("not UTF-8 text")))?;
    match agreement::read(&text) {
        Ok(_) => Ok(text),
        Err(problems) => {
            let failure = Failure::new(Exit::Configuration, format!("{} cannot be an agreement", file.display()));
            Err(problems.into_iter().fold(failure, |failure, problem| {
                let place = match problem.line {
                    0 => file.display().to_string(),
                    line => format!("{}:{line}", file.display()),
                };
                failure.cause(format!("{place}: {}", problem.message)).hint(problem.hint)
            }))
        }
    }
}

fn list(operator: &Operator, out: &Output) -> Ended {
    let agreements = operator.agreements()?;
    if out.is_json() {
        out.object(&agreements);
        return Ok(Exit::Done);
    }
    let row = |one: AgreementInfo| {
        let (from, to) = (one.from.to_string(), one.to.to_string());
        let ends = one.ending.map(|ending| ending_soon(&ending)).unwrap_or_default();
        let status = match &one.draft {
            Some(draft) if one.status != "draft" => format!("{}, draft {}", one.status, draft.version),
            _ => one.status,
        };
        vec![one.id.to_string(), status, from, to, one.valid_to.to_string(), ends, one.title]
    };
    let rows: Vec<Vec<String>> = agreements.into_iter().map(row).collect();
    out.table(&["AGREEMENT", "STATUS", "FROM", "TO", "UNTIL", "ENDS", "TITLE"], &rows);
    Ok(Exit::Done)
}

fn show(operator: &Operator, out: &Output, id: AgreementId, version: Option<u32>) -> Ended {
    let (reply, text) = operator.ask(&OperatorRequest::AgreementShow { id, version }, &[])?;
    let OperatorReply::Agreement(info) = reply else { return Err(unexpected()) };
    let text = String::from_utf8(text).map_err(|_| unexpected())?;
    if out.is_json() {
        out.object(&Shown { info, text });
    } else {
        out.line(format!("# {} is {}; SHA-256 {}", info.id, info.status, info.sha256));
        if let Some(suspended) = &info.suspended {
            out.line(format!("# suspended since {} by {}: {}", suspended.since, suspended.by, suspended.reason));
        }
        if let Some(ending) = &info.ending {
            out.line(format!("# ends at {}: {}", ending.at, ending_soon(ending)));
        }
        if let Some(draft) = &info.draft {
            out.line(format!("# version {} {}", draft.version, lacking(draft)));
        }
        for version in &info.versions {
            out.line(format!("# {}", told(version)));
        }
        out.lines(&text);
    }
    Ok(Exit::Done)
}

/// What ends, and how soon.
fn ending_soon(ending: &Ending) -> String {
    format!("{} within {} days", ending.what, ending.within_days)
}
