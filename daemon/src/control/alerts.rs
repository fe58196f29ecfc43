//! What `sluse health` would say, as codes and numbers: told in the journal when it begins and when it ends, and given to whoever mails it.

use super::failure::Failure;
use super::health;
use super::shared::Control;
use crate::{RoleError, accounts, doors};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_protocol::alerts::{Alert, Alerts};
use std::io::{self, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long whoever asks may take to read.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What stood at the last look.
#[derive(Debug, Default)]
pub struct Board(Mutex<Option<Alerts>>);

/// Looks, and tells the journal what is new and what ended.
///
/// # Errors
/// When the database fails.
pub fn look(control: &Control) -> Result<(), Failure> {
    let health = health::health(control)?;
    let kinds = [(true, health.problems), (false, health.warnings)];
    let found = kinds
        .into_iter()
        .flat_map(|(problem, list)| list.into_iter().map(move |it| Alert { code: it.code, count: it.count, problem }));
    let now = Alerts::collect(health.zone, health.time, found);
    let mut board = control.board.0.lock().unwrap_or_else(PoisonError::into_inner);
    tell(board.as_ref().map_or(&[], |before| &before.alerts), &now.alerts);
    *board = Some(now);
    Ok(())
}

fn tell(before: &[Alert], now: &[Alert]) {
    let stood = |code: &str| before.iter().find(|alert| alert.code == code);
    for Alert { code, count, problem } in now {
        match (stood(code).is_none_or(|alert| *problem && !alert.problem), problem) {
            (true, true) => tracing::error!(code, count, "alert: a problem, see `sluse health`"),
            (true, false) => tracing::warn!(code, count, "alert: a warning, see `sluse health`"),
            (false, _) => {}
        }
    }
    for ended in before.iter().filter(|alert| now.iter().all(|now| now.code != alert.code)) {
        tracing::info!(code = ended.code, "alert ended");
    }
}

/// Makes the socket, in a folder of its own: who is given that folder sees no other socket.
///
/// # Errors
/// When it cannot be made.
pub fn listen(zone: &Zone) -> Result<UnixListener, RoleError> {
    let path = zone.layout.alerts_socket();
    let bind = || -> io::Result<UnixListener> {
        if let Some(folder) = path.parent() {
            files::create_folder(folder, 0o755)?;
        }
        // Anybody may connect; whoever is not the user that mails is cut off at once.
        doors::bind(&path, None, true)
    };
    bind().map_err(RoleError::io(path.display().to_string()))
}

/// Gives each who connects what stood at the last look, and closes. Nothing is read from there.
pub fn serve(control: &Arc<Control>, listener: &UnixListener, who: u32) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = give(control, stream, who) {
                    tracing::warn!(%error, "alerts were not given");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "nobody could ask for alerts");
                std::thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// The user that mails: one of its own, or else this process's.
///
/// # Errors
/// When the system's users cannot be read.
pub fn reader() -> Result<u32, RoleError> {
    accounts::mailer().map(|uid| uid.as_raw())
}

fn give(control: &Control, mut stream: UnixStream, who: u32) -> io::Result<()> {
    let peer = getsockopt(&stream, PeerCredentials)?;
    if peer.uid() != who {
        return Err(io::Error::other("another user than the one that mails asked for them"));
    }
    let board = control.board.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    stream.set_write_timeout(Some(PATIENCE))?;
    match board {
        Some(alerts) => stream.write_all(&serde_json::to_vec(&alerts)?),
        None => Ok(()),
    }
}
