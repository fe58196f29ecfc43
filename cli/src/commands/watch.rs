//! `sluse watch`: outboxes whose content is sent by itself, as a service.

use crate::failure::{Ended, Failure};
use crate::os::{self, Service};
use crate::output::Output;
use sluse_protocol::refusal::Exit;
use sluse_sender::Identity;
use sluse_sender::watch::{Happening, Settings, Watcher, What};
use std::path::PathBuf;

/// `sluse watch`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which outboxes there are, and what becomes of what is put there
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only check the configuration
    #[arg(long)]
    check: bool,
    /// Print what happens on standard output, one JSON object a line
    #[arg(long)]
    events: bool,
}

impl Args {
    /// Runs the command until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the configuration is wrong, an identity cannot be used, or the journal cannot be written.
    pub fn run(self, out: &Output) -> Ended {
        let settings = match Settings::load(&self.config) {
            Ok(settings) => settings,
            Err(errors) => {
                let mut failures = errors.into_iter().map(Failure::from);
                let first = failures.next().unwrap_or_else(|| Failure::new(Exit::Configuration, "no configuration"));
                failures.for_each(|failure| failure.print());
                return Err(first);
            }
        };
        if self.check {
            check(&settings)?;
            return out.done("The configuration is good.");
        }
        sluse_host::logging::start(None);
        let count = settings.outboxes.len();
        let watcher = Watcher::new(settings)?;
        let stopper = watcher.stopper();
        sluse_host::on_stop(move || stopper.stop())
            .map_err(|error| Failure::new(Exit::Fault, "cannot wait for signals").because(&error))?;
        tracing::info!(outboxes = count, "watching");
        notify(Service::Ready);
        let mut tell = |happening: &Happening| {
            log(happening);
            if self.events {
                out.event(happening);
            }
        };
        watcher.run(&mut tell, &mut || notify(Service::Alive))?;
        notify(Service::Stopping);
        tracing::info!("stopped; what was under way goes on at the next start");
        Ok(Exit::Done)
    }
}

/// Whether everything that the configuration names is there. The service itself waits for an outbox that is not: it may lie on a
/// network share.
fn check(settings: &Settings) -> Result<(), Failure> {
    for outbox in &settings.outboxes {
        std::fs::read_dir(&outbox.folder).map_err(|error| {
            let what = format!("the outbox {} cannot be read: {}", outbox.name, outbox.folder.display());
            Failure::new(Exit::Configuration, what).because(&error)
        })?;
        Identity::load(&outbox.identity)?;
    }
    Ok(())
}

/// Tells the service manager, where there is one.
fn notify(service: Service) {
    if let Err(error) = os::notify(service) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}

/// The log names records and transfers, never files.
fn log(happening: &Happening) {
    let outbox = happening.outbox.as_deref().unwrap_or("-");
    let record = happening.record.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let transfer = happening.transfer.as_ref().map_or("-", |transfer| transfer.as_str());
    match &happening.what {
        What::Failed { why, rests, milliseconds } => {
            let (why, hint) = (why.for_log(), &why.hint);
            tracing::warn!(outbox, record, transfer, rests, milliseconds, hint, "will try again: {why}");
        }
        What::Refused { why } => {
            tracing::warn!(outbox, record, transfer, hint = why.hint, "refused: {}", why.for_log())
        }
        What::State { state } => tracing::info!(outbox, record, transfer, "now {state}"),
        What::Delivered => tracing::info!(outbox, record, transfer, "delivered"),
        What::Received => tracing::info!(outbox, record, transfer, "received by the zone"),
        What::PutAway { deleted } => tracing::info!(outbox, record, transfer, deleted, "put away"),
        What::Waiting { why, until } => tracing::info!(outbox, %until, "waits: {}", why.for_log()),
        What::Mended { rested } => tracing::info!(outbox, rested, "works again"),
        What::Renewed { until } => tracing::info!(%until, "the certificate was renewed"),
        What::Withdrawn => tracing::info!(outbox, record, "changed or removed before it was sent"),
        What::Whole => tracing::info!(outbox, record, "whole"),
        What::Sending => tracing::debug!(outbox, record, transfer, "sending"),
        What::Accepted => tracing::info!(outbox, record, transfer, "accepted"),
    }
}
