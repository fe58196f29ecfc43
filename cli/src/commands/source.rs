//! `sluse source`: who may send.

use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use serde::Serialize;
use sluse_host::files;
use sluse_protocol::ids::{RoomName, SourceName};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::time::Timestamp;
use std::path::{Path, PathBuf};

/// `sluse source`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    zone: ZoneFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a one-time enrolment file for a source; it is a secret
    Invite {
        /// The source's name
        name: SourceName,
        /// Hours that the invite is good for
        #[arg(long, default_value_t = 72, value_parser = clap::value_parser!(u16).range(1..=720))]
        hours: u16,
        /// The room out of which it exports, where it is a room's
        #[arg(long, value_name = "ROOM")]
        room: Option<RoomName>,
        /// File to write, readable by its owner alone [default: NAME.invite.toml]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List who is invited, enrolled or revoked
    List,
    /// Shut a source out at once, its running transfers included
    Revoke {
        /// The source's name
        name: SourceName,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Serialize)]
struct Invited {
    source: SourceName,
    invite: PathBuf,
    expires: Timestamp,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let operator = Operator::connect(&self.zone)?;
        match self.command {
            Command::Invite { name, hours, room, out: file } => {
                let file = file.unwrap_or_else(|| PathBuf::from(format!("{name}.invite.toml")));
                let request = OperatorRequest::SourceInvite { name: name.clone(), hours, room };
                invite(&operator, out, name, &request, &file)
            }
            Command::List => list(&operator, out),
            Command::Revoke { name, reason } => {
                operator.act(&OperatorRequest::SourceRevoke { name: name.clone(), reason }, &[])?;
                out.done(&format!("{name} is shut out."))
            }
        }
    }
}

fn invite(operator: &Operator, out: &Output, name: SourceName, request: &OperatorRequest, file: &Path) -> Ended {
    // Before the zone makes an invite that would be lost.
    if std::fs::symlink_metadata(file).is_ok() {
        return Err(Failure::new(Exit::Usage, format!("{} exists already", file.display()))
            .hint("name another file: --out FILE"));
    }
    let (reply, text) = operator.ask(request, &[])?;
    let OperatorReply::Invite { expires } = reply else { return Err(unexpected()) };
    files::write_new(file, &text, 0o600).map_err(|error| {
        Failure::file(Exit::Fault, "write the invite to", file, &error)
            .hint(format!("the invite is lost: `sluse source invite {name}` makes a new one"))
    })?;
    if out.is_json() {
        out.object(&Invited { source: name, invite: file.to_owned(), expires });
    } else {
        out.line(file.display().to_string());
        out.note(format!(
            "An invite for {name}, good once and until {expires}. It is a secret: carry it to the source's"
        ));
        out.note(format!("host by a trusted way, and there: sluse enroll {} --identity DIR", file.display()));
    }
    Ok(Exit::Done)
}

fn list(operator: &Operator, out: &Output) -> Ended {
    let sources = operator.sources()?;
    if out.is_json() {
        out.object(&sources);
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = sources
        .into_iter()
        .map(|source| {
            let expires = source.expires.map_or_else(|| "-".to_owned(), |expires| expires.to_string());
            let room = source.room.map_or_else(|| "-".to_owned(), |room| room.to_string());
            vec![source.name.to_string(), source.status, source.since.to_string(), expires, room]
        })
        .collect();
    out.table(&["SOURCE", "STATUS", "SINCE", "EXPIRES", "OF ROOM"], &rows);
    Ok(Exit::Done)
}
