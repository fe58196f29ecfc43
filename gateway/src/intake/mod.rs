//! The process that source systems talk to: one listener for each kind of them, and one [`Inlet`] for all.

use crate::settings::Settings;
use crate::spool::{Inlet, Spool};
use crate::{Error, dicom, keys, pull, sftp, system, upload};
use sd_notify::NotifyState;
use std::sync::mpsc;
use std::time::Duration;

/// How often the service manager gets a sign of life.
const ALIVE: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT. Whatever is under way then is cut off: nobody was told that it is stored.
///
/// # Errors
/// When the key, the spool or an address cannot be used.
pub fn run(settings: Settings) -> Result<(), Error> {
    let recipient = keys::public(&settings.public_key)?;
    let spool = Spool::open(&settings.spool)?;
    let inlet = Inlet::open(spool.clone(), recipient, settings.keep_free)?;
    if let Some(dicom) = settings.dicom {
        dicom::start(dicom, inlet.clone())?;
    }
    if let Some(sftp) = settings.sftp {
        sftp::start(sftp, &inlet, &spool, settings.expire)?;
    }
    if let Some(https) = settings.https {
        upload::start(https, inlet.clone(), settings.expire)?;
    }
    pull::start(settings.pulls, &inlet)?;
    let (sender, stop) = mpsc::channel();
    // A process that has ended needs no signal.
    system::on_stop(move || {
        let _ = sender.send(());
    })?;
    tracing::info!("taking in");
    system::tell(NotifyState::Ready);
    while stop.recv_timeout(ALIVE) == Err(mpsc::RecvTimeoutError::Timeout) {
        system::tell(NotifyState::Watchdog);
    }
    system::tell(NotifyState::Stopping);
    Ok(())
}
