//! The process that faces the landing zone: it gathers what arrived into datasets, and sends them as `sluse watch` sends what
//! lies in outboxes, with the same journal, pauses and judgement. It listens on nothing.

mod closing;
mod document;
mod gathering;
mod memory;
mod standing;
mod told;

use crate::settings::{Flow, Settings};
use crate::spool::Spool;
use crate::{Error, keys, system};
use age::x25519::Identity;
use document::Document;
use gathering::Gathering;
use sd_notify::NotifyState;
use sluse_host::files;
use sluse_sender::Files;
use sluse_sender::watch::{self, Content, Contents, Failure, Outbox, Watcher, Whole, Why};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often outboxes are looked at, whatever notifications say.
const POLL: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the keys, the identity or the spool cannot be used.
pub fn run(settings: &Settings, events: bool) -> Result<(), Error> {
    let identity = keys::private(&settings.private_key)?;
    let spool = Spool::open(&settings.spool)?;
    for flow in &settings.flows {
        let outbox = spool.outbox(flow.name.as_str());
        files::create_folder(&outbox, 0o770).map_err(Error::at(&outbox))?;
    }
    let watcher = Watcher::with(watched(settings, &spool), contents(identity.clone()))?;
    let gathering = Gathering::new(spool, identity, settings)?;
    let stopper = watcher.stopper();
    system::on_stop(move || stopper.stop())?;
    system::thread("gather", move || gathering.run())?;
    tracing::info!(flows = settings.flows.len(), "forwarding");
    system::tell(NotifyState::Ready);
    watcher.run(&mut |happening| told::tell(happening, events), &mut || system::tell(NotifyState::Watchdog))?;
    system::tell(NotifyState::Stopping);
    tracing::info!("stopped; what was under way goes on at the next start");
    Ok(())
}

/// The flows as outboxes.
fn watched(settings: &Settings, spool: &Spool) -> watch::Settings {
    let outbox = |flow: &Flow| Outbox {
        name: flow.name.as_str().to_owned(),
        folder: spool.outbox(flow.name.as_str()),
        identity: settings.identity.clone(),
        agreement: flow.agreement.clone(),
        // An entry's name is a batch's; what its dataset is called stands in its document.
        dataset: Some(flow.dataset.clone()),
        whole: Whole::Rename,
        unfinished: Vec::new(),
        notify: true,
        delivered: flow.delivered,
        after: flow.after,
        sync: false,
    };
    watch::Settings {
        state: spool.watch(),
        parallel: settings.parallel,
        poll: POLL,
        outboxes: settings.flows.iter().map(outbox).collect(),
    }
}

/// An entry of an outbox stands for what its document lists.
fn contents(identity: Identity) -> Contents {
    Arc::new(move |outbox: &Outbox, name: &str| {
        let folder = outbox.folder.join(name);
        match Document::read(&folder, &identity) {
            Ok(Some(document)) => {
                let dataset = document.dataset.clone();
                Ok(Content { dataset, files: Files::Given(document.content(folder, identity.clone())) })
            }
            Ok(None) => {
                Err(Failure::Never(Why::here("it has no document", "Nothing but the gateway puts things here.")))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let hint =
                    "Is the private key that of this spool? Else restore the file, or have the source send again.";
                Err(Failure::Never(Why::here("its document is damaged, or encrypted to another key", hint)))
            }
            Err(error) => {
                let hint = "Look at this host's disk.";
                Err(Failure::Later(Why::here(format!("its document cannot be read: {error}"), hint)))
            }
        }
    })
}
