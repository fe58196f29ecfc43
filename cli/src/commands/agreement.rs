//! `sluse agreement`: what allows a flow.

use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use serde::Serialize;
use sluse_host::files;
use sluse_protocol::agreement::{self, Agreement, Ending, MAX_TEXT_BYTES};
use sluse_protocol::ids::AgreementId;
use sluse_protocol::operator::{AgreementInfo, OperatorReply, OperatorRequest};
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
    /// List the agreements
    List,
    /// Show one agreement and its text
    Show {
        /// The agreement's id
        id: AgreementId,
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
            Command::Add { file } => {
                let (agreement, text) = read(&file)?;
                Operator::connect(&self.zone)?.act(&OperatorRequest::AgreementAdd, text.as_bytes())?;
                let (id, from, to) = (&agreement.id, &agreement.from, &agreement.to);
                out.done(&format!("Agreement {id} allows {from} to send to {to} until {}.", agreement.valid_to))
            }
            Command::List => list(&Operator::connect(&self.zone)?, out),
            Command::Show { id } => show(&Operator::connect(&self.zone)?, out, id),
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

/// Reads and checks an agreement's file.
///
/// # Errors
/// Everything that is wrong with it, with file and line.
pub fn read(file: &Path) -> Result<(Agreement, String), Failure> {
    let failed = |error: std::io::Error| Failure::file(Exit::Configuration, "read", file, &error);
    let bytes = files::read_bounded(file, MAX_TEXT_BYTES as u64).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| failed(std::io::Error::other("not UTF-8 text")))?;
    match agreement::parse(&text) {
        Ok(agreement) => Ok((agreement, text)),
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
        vec![one.id.to_string(), one.status, from, to, one.valid_to.to_string(), ends, one.title]
    };
    let rows: Vec<Vec<String>> = agreements.into_iter().map(row).collect();
    out.table(&["AGREEMENT", "STATUS", "FROM", "TO", "UNTIL", "ENDS", "TITLE"], &rows);
    Ok(Exit::Done)
}

fn show(operator: &Operator, out: &Output, id: AgreementId) -> Ended {
    let (reply, text) = operator.ask(&OperatorRequest::AgreementShow { id }, &[])?;
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
        out.lines(&text);
    }
    Ok(Exit::Done)
}

/// What ends, and how soon.
fn ending_soon(ending: &Ending) -> String {
    format!("{} within {} days", ending.what, ending.within_days)
}
