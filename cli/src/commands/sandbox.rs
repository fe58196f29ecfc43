//! `sluse sandbox`: a landing zone to rehearse with. It is a real one, made for the purpose, that stays up; what it answers is
//! asked for by the agreement, the source or the dataset's name ([`cases`]).

mod cases;
mod making;
mod steward;

use crate::failure::{Ended, Failure};
use crate::landing_zone::{self, LandingZone, Making};
use crate::output::Output;
use cases::Case;
use serde::Serialize;
use sluse_protocol::refusal::{Code, Exit};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often the steward looks at what is held.
const PAUSE: Duration = Duration::from_millis(250);

/// `sluse sandbox`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make everything in this folder, which must be empty or absent, and leave it there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// UDP address and port to listen on [default: a free port, for this host alone]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where sources of other hosts reach it, HOST:PORT; may be repeated [default: where it listens]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Vec<String>,
}

/// What was made, as `--json` prints it.
#[derive(Serialize)]
struct Made<'a> {
    folder: &'a Path,
    zone: &'a Path,
    room: PathBuf,
    signer: PathBuf,
    identity: PathBuf,
    agreement: &'static str,
    invite: PathBuf,
    samples: PathBuf,
    answers: Vec<Answer>,
}

/// One answer and the command that asks for it.
#[derive(Serialize)]
struct Answer {
    answer: &'static str,
    exit: u8,
    code: Option<Code>,
    forced: bool,
    happens: &'static str,
    command: Vec<String>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone cannot be made, or ends by itself.
    pub fn run(self, out: &Output) -> Ended {
        let (stopper, stopped) = mpsc::channel();
        sluse_host::on_stop(move || drop(stopper))
            .map_err(|error| Failure::new(Exit::Fault, "cannot wait for signals").because(&error))?;
        let (folder, _temporary) = landing_zone::place(self.keep.as_deref(), "sluse-sandbox-")?;
        let making = Making { listen: self.listen, advertise: self.advertise, sandbox: Some(making::SETTINGS) };
        let mut zone = LandingZone::start(&folder, &making, out)?;
        making::furnish(&zone, &folder)?;
        tell(&zone, &folder, out);
        let ended = serve(&mut zone, &stopped, out);
        zone.stop()?;
        ended
    }
}

/// Reviews until somebody asks this command to end.
fn serve(zone: &mut LandingZone, stopped: &Receiver<()>, out: &Output) -> Ended {
    loop {
        match stopped.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(Exit::Done),
        }
        if let Some(status) = zone.ended()? {
            return Err(Failure::new(Exit::Fault, format!("slused ended with {status}")));
        }
        // A role that is being started again is there in a moment.
        if let Err(failure) = steward::round(&zone.operator, out) {
            out.note(format!("The steward tries again: {}", failure.sentence()));
        }
    }
}

fn tell(zone: &LandingZone, folder: &Path, out: &Output) {
    let answers: Vec<Answer> = cases::all().map(|case| Answer::of(case, folder)).collect();
    let invite = folder.join(making::newcomers_invite());
    if out.is_json() {
        out.object(&Made {
            folder,
            zone: zone.layout.root(),
            room: zone.layout.root().join("rooms/sandbox-room"),
            signer: zone.layout.allowed_signers(),
            identity: folder.join("sources").join(cases::SOURCE),
            agreement: cases::SOURCE,
            invite,
            samples: folder.join("samples"),
            answers,
        });
    } else {
        let row = |answer: &Answer| {
            vec![answer.answer.to_owned(), answer.exit.to_string(), format!("sluse {}", answer.command.join(" "))]
        };
        out.table(&["ANSWER", "EXIT", "COMMAND"], &answers.iter().map(row).collect::<Vec<_>>());
        let newcomer = cases::NEWCOMER;
        out.note(format!("To begin from nothing: sluse enroll {} --identity DIR", invite.display()));
        out.note(format!("and send under agreement {newcomer}. Operators: --zone {}", zone.layout.root().display()));
    }
    out.note("The sandbox is up; Ctrl-C ends it.");
}

impl Answer {
    fn of(case: Case, folder: &Path) -> Self {
        Self {
            answer: case.answer,
            exit: case.exit as u8,
            code: Code::ALL.iter().copied().find(|code| code.as_str() == case.answer),
            forced: case.is_forced(),
            happens: case.happens,
            command: case.command(folder),
        }
    }
}
