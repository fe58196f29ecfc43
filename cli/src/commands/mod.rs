//! The commands, one file each; a file holds its arguments and what it does.

mod agreement;
mod archive;
mod audit;
mod bag;
mod decide;
mod demo;
mod enroll;
mod gateway;
mod generate;
mod health;
mod metrics;
mod receipt;
mod register;
mod retain;
pub mod room;
mod sandbox;
mod send;
mod show;
mod source;
mod status;
mod transfers;
mod update;
mod watch;
pub mod zone;

use crate::failure::Ended;
use crate::output::Output;

/// Sluse: an airlock for health data. What comes in at one gate stands still, is looked at, and only then does the other
/// gate open.
#[derive(Debug, clap::Parser)]
#[command(name = "sluse", version, max_term_width = 100, after_help = EXITS)]
pub struct Cli {
    /// Print JSON on standard output instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const EXITS: &str = "\
Exit codes: 0 done; 2 usage; 3 configuration; 4 refused; 5 integrity; 6 temporary, try again;
7 rejected in inspection or review; 8 held, a person must decide; 70 our fault.";

/// Each command of `sluse`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    // At the landing zone: operators.
    /// Make a landing zone, or check one
    Zone(zone::Args),
    /// What is wrong with the running zone; ends with 0 when nothing is
    Health(health::Args),
    /// The running zone's numbers for monitoring (OpenMetrics)
    Metrics(metrics::Args),
    /// Invite, list or revoke sources
    Source(source::Args),
    /// Add or list rooms
    Room(room::Args),
    /// Add, change, activate, list, show, suspend, resume or end agreements
    Agreement(agreement::Args),
    /// What moves, what is held
    Transfers(transfers::Args),
    /// Everything about one transfer
    Show(show::Args),
    /// End a transfer that is not delivered yet
    Cancel(decide::Args),
    /// Release a held transfer into its room
    Release(decide::ReleaseArgs),
    /// Keep a held transfer out of its room
    Reject(decide::Args),
    /// Inspect a held transfer once more
    InspectAgain(decide::Args),
    /// Keep a transfer from being purged (legal hold), or lift that
    Retain(retain::Args),
    /// Verify or export the tamper-evident log
    Audit(audit::Args),
    /// Put updates in place that come without internet
    Update(update::Args),
    /// The register of disclosures: export it, correct it, compare it with log, receipts and rooms
    Register(register::Args),
    /// A real, throw-away landing zone: enrol, send, inspect, deliver, verify
    Demo(demo::Args),
    /// A landing zone to rehearse with: it stays up, and gives every refusal and verdict on request
    Sandbox(sandbox::Args),
    // At the source's host.
    /// Turn an invite into this host's identity
    Enroll(enroll::Args),
    /// Send a dataset, or go on with one
    Send(send::Args),
    /// Send what is put into outboxes, unattended
    Watch(watch::Args),
    /// Take data from systems that speak DICOM and not this protocol, and send it
    Gateway(gateway::Args),
    /// The source's own transfers, and their receipts
    Status(status::Args),
    // Anywhere: rooms and auditors.
    /// Verify receipts
    Receipt(receipt::Args),
    /// Verify a delivered dataset
    Bag(bag::Args),
    /// Check archived datasets, whenever it is wanted
    Archive(archive::Args),
    /// Write man pages and shell completions of `sluse` and `slused`
    Generate(generate::Args),
}

impl Command {
    /// Does what was asked.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn run(self, out: &Output) -> Ended {
        match self {
            Command::Zone(args) => args.run(out),
            Command::Health(args) => args.run(out),
            Command::Metrics(args) => args.run(out),
            Command::Source(args) => args.run(out),
            Command::Room(args) => args.run(out),
            Command::Agreement(args) => args.run(out),
            Command::Transfers(args) => args.run(out),
            Command::Show(args) => args.run(out),
            Command::Cancel(args) => args.cancel(out),
            Command::Release(args) => args.run(out),
            Command::Reject(args) => args.reject(out),
            Command::InspectAgain(args) => args.inspect_again(out),
            Command::Retain(args) => args.run(out),
            Command::Audit(args) => args.run(out),
            Command::Update(args) => args.run(out),
            Command::Register(args) => args.run(out),
            Command::Demo(args) => args.run(out),
            Command::Sandbox(args) => args.run(out),
            Command::Enroll(args) => args.run(out),
            Command::Send(args) => args.run(out),
            Command::Watch(args) => args.run(out),
            Command::Gateway(args) => args.run(out),
            Command::Status(args) => args.run(out),
            Command::Receipt(args) => args.run(out),
            Command::Bag(args) => args.run(out),
            Command::Archive(args) => args.run(out),
            Command::Generate(args) => args.run(out),
        }
    }
}
