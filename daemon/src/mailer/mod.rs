//! `slused notify`: mails alerts by a relay. A process beside the roles that has nothing of the zone but its configuration: no state, no
//! keys, no data. What it can tell anybody is what `control` gives at its socket: codes and numbers.

mod relay;

use crate::{RoleError, confine, notify, pulse};
use nix::sys::stat::{Mode, umask};
use relay::Relay;
use sluse_host::config::{NotifySettings, Zone};
use sluse_host::{clock, random};
use sluse_protocol::alerts::{Alert, Alerts, MAX_BYTES, Mailed, UNREACHABLE};
use sluse_protocol::digest::Sha256;
use sluse_protocol::smtp::Letter;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often alerts are asked for.
const EVERY: Duration = Duration::from_secs(15);

/// How long `control` may say nothing before that is an alert: it may be being started again.
const SILENCE: Duration = Duration::from_secs(120);

/// How long an answer of `control`'s may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The longest pause after mails that were not taken.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How long one round may take: an answer, a mail, a pause.
const ROUND: Duration = Duration::from_secs(900);

/// Mails alerts for ever.
///
/// # Errors
/// When the configuration has no `[notify]`, its authority cannot be read, or the kernel cannot confine.
pub fn run(zone: Zone) -> Result<(), RoleError> {
    umask(Mode::from_bits_truncate(0o077));
    let Some(settings) = zone.settings.notify.clone() else {
        return Err(RoleError::Unsafe("sluse.toml has no [notify]: nobody is to be mailed".into()));
    };
    let relay = Relay::new(&settings, zone.notify_authority().as_deref())?;
    notify::when_ready()?;
    // What resolves names loads what it needs for that now, before this process is confined.
    relay.look_up_once();
    confine::mailer(&zone, relay.port())?;
    Rounds {
        zone: zone.settings.zone.name.clone(),
        socket: zone.layout.alerts_socket(),
        settings,
        relay,
        mailed: Mailed::default(),
        last: Vec::new(),
        silent_since: None,
        pause: EVERY,
    }
    .go_on()
}

struct Rounds {
    zone: sluse_protocol::ids::ZoneName,
    socket: PathBuf,
    settings: NotifySettings,
    relay: Relay,
    mailed: Mailed,
    /// What stood when `control` answered last.
    last: Vec<Alert>,
    silent_since: Option<Instant>,
    pause: Duration,
}

impl Rounds {
    fn go_on(mut self) -> Result<(), RoleError> {
        let pulse = pulse::of("mail", ROUND);
        loop {
            if let Some(alerts) = self.look() {
                self.tell(&alerts)?;
            }
            pulse.beat();
            std::thread::sleep(self.pause);
        }
    }

    /// What stands now; none while it is too early to say that `control` does not answer.
    fn look(&mut self) -> Option<Alerts> {
        match fetch(&self.socket) {
            Ok(alerts) => {
                self.silent_since = None;
                self.last.clone_from(&alerts.alerts);
                Some(alerts)
            }
            Err(error) => {
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() < SILENCE {
                    return None;
                }
                tracing::warn!(code = UNREACHABLE, %error, "control gives no alerts");
                let silent = Alert { code: UNREACHABLE.into(), count: 1, problem: true };
                let found = self.last.iter().cloned().chain([silent]);
                Some(Alerts::collect(self.zone.clone(), clock::now(), found))
            }
        }
    }

    fn tell(&mut self, alerts: &Alerts) -> Result<(), RoleError> {
        let remind = i64::try_from(self.settings.remind.as_secs()).unwrap_or(i64::MAX);
        let Some(mail) = self.mailed.due(alerts, remind) else {
            self.pause = EVERY;
            return Ok(());
        };
        let unique = random::bytes::<16>().map_err(RoleError::io("random bytes"))?;
        let letter = Letter {
            from: self.settings.from.clone(),
            to: self.settings.to.clone(),
            time: clock::now(),
            unique: Sha256::of(&*unique).to_string().chars().take(32).collect(),
            subject: mail.subject,
            text: mail.text,
        };
        match self.relay.send(&letter, &self.settings.hello) {
            Ok(()) => {
                tracing::info!(alerts = alerts.alerts.len(), "alerts are mailed");
                self.mailed.sent(alerts);
                self.pause = EVERY;
            }
            Err(error) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                tracing::error!(code = "mail-not-taken", error, seconds = self.pause.as_secs(), "tried again");
            }
        }
        Ok(())
    }
}

/// What `control` says at its socket. Nothing is asked: it speaks to whoever connects, and closes.
fn fetch(socket: &Path) -> io::Result<Alerts> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut json = Vec::new();
    stream.take(MAX_BYTES + 1).read_to_end(&mut json)?;
    if json.is_empty() {
        return Err(io::Error::other("it has nothing to say yet"));
    }
    if json.len() as u64 > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(serde_json::from_slice(&json)?)
}
