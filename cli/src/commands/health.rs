//! `sluse health`: what is wrong with the running zone. Ends with 0 when nothing is, with 70 when something is, and with 6
//! when the zone does not answer.

use crate::failure::Ended;
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_protocol::operator::{Health, OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;

/// `sluse health`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    zone: ZoneFolder,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let (reply, _) = Operator::connect(&self.zone)?.ask(&OperatorRequest::Health, &[])?;
        let OperatorReply::Health(health) = reply else { return Err(unexpected()) };
        if out.is_json() {
            out.object(&health);
        } else {
            print(out, &health);
        }
        Ok(if health.problems.is_empty() { Exit::Done } else { Exit::Fault })
    }
}

fn print(out: &Output, health: &Health) {
    let verdict = if health.problems.is_empty() { "healthy" } else { "NOT healthy" };
    out.line(format!("zone {} is {verdict} at {}", health.zone, health.time));
    for (label, problems) in [("problem", &health.problems), ("warning", &health.warnings)] {
        for problem in problems {
            out.line(format!("{label}: {} ({})", problem.message, problem.code));
            out.line(format!("  hint: {}", problem.hint));
        }
    }
    let roles: Vec<&str> = health.roles.iter().map(|role| role.as_str()).collect();
    out.line(format!("roles: {}", roles.join(", ")));
    for engine in &health.engines {
        out.line(format!("engine {}: {} {}", engine.engine, engine.version, engine.signatures).trim_end());
    }
    for engine in &health.failing_engines {
        out.line(format!("engine {} is not well: {}", engine.engine, engine.reason));
    }
    let counts: Vec<String> = health.transfers.iter().map(|(state, count)| format!("{count} {state}")).collect();
    out.line(format!("transfers: {}", if counts.is_empty() { "none".into() } else { counts.join(", ") }));
    out.line(format!("audit log: {} entries, root {}", health.audit.size, health.audit.root));
}
