//! `slused all`: the four roles as children of one command.
//!
//! The supervisor holds the UDP socket, so that a restart of `receive` loses no port, and makes a socket pair for each
//! role that asks `control`: one end goes to the role, the other to `control` over a link of its own. It reads nothing
//! but its configuration and signals. One thread: what happens is a signal or a deadline.

mod backoff;
mod child;
mod signals;

pub(crate) use child::{ENVIRONMENT, PROGRAM};

use crate::notify::{self, Notifier};
use crate::{RoleError, links, start};
use backoff::Backoff;
use child::{Child, Spawner};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use signals::Signals;
use sluse_host::config::Zone;
use sluse_protocol::refusal::Exit;
use sluse_protocol::roles::Role;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long `receive` may take to make durable what is in flight, when all stops.
const RECEIVE_STOP: Duration = Duration::from_secs(15);

/// How long another role may take to stop.
const ROLE_STOP: Duration = Duration::from_secs(5);

/// How long a role whose link ended with `control` may take to notice and end.
const LINK_LOST: Duration = Duration::from_secs(20);

/// Starts the four roles, restarts one that dies, and stops them in order on SIGTERM. A `sandbox` is for rehearsing.
///
/// # Errors
/// When they cannot be started, or one refuses to.
pub fn run(zone: Zone, config: &Path, sandbox: bool) -> Result<(), RoleError> {
    let notifier = Notifier::open()?;
    let mut supervisor = Supervisor::new(&zone, config, sandbox)?;
    let ended = supervisor.serve(notifier.as_ref());
    tell(notifier.as_ref(), Notifier::stopping);
    supervisor.stop_all();
    ended
}

fn tell(notifier: Option<&Notifier>, what: impl Fn(&Notifier) -> io::Result<()>) {
    if let Some(Err(error)) = notifier.map(what) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

enum Step {
    GoOn,
    Stop,
}

struct Supervisor {
    spawner: Spawner,
    signals: Signals,
    places: Vec<Place>,
    /// The link to `control`, while it runs.
    control: Option<UnixStream>,
}

/// A role's place: its process, or when it gets the next.
struct Place {
    role: Role,
    child: Option<Child>,
    backoff: Backoff,
    due: Instant,
    /// When to kill a child that must end.
    overdue: Option<Instant>,
    /// Whether no child has ended yet.
    first: bool,
}

impl Supervisor {
    fn new(zone: &Zone, config: &Path, sandbox: bool) -> Result<Self, RoleError> {
        // Signals before children: none may be missed.
        let signals = Signals::take().map_err(RoleError::io("taking signals"))?;
        let spawner = Spawner::new(config, start::bind(zone)?, sandbox)?;
        let now = Instant::now();
        let place =
            |&role| Place { role, child: None, backoff: Backoff::default(), due: now, overdue: None, first: true };
        Ok(Self { spawner, signals, places: Role::ALL.iter().map(place).collect(), control: None })
    }

    fn serve(&mut self, notifier: Option<&Notifier>) -> Result<(), RoleError> {
        self.start_due()?;
        tell(notifier, Notifier::ready);
        let interval = notify::watchdog_interval();
        while let Step::GoOn = self.step(interval)? {
            tell(notifier, Notifier::alive);
        }
        Ok(())
    }

    fn step(&mut self, at_most: Option<Duration>) -> Result<Step, RoleError> {
        let deadline = self.next_deadline().into_iter().chain(at_most.map(|wait| Instant::now() + wait)).min();
        match self.signals.wait(deadline).map_err(RoleError::io("waiting for signals"))? {
            Some(Signal::SIGTERM | Signal::SIGINT) => return Ok(Step::Stop),
            _ => self.reap()?,
        }
        self.kill_overdue();
        self.start_due()?;
        Ok(Step::GoOn)
    }

    /// When there is something to do without a signal.
    fn next_deadline(&self) -> Option<Instant> {
        let control_runs = self.control.is_some();
        let due = |place: &Place| match place.child {
            Some(_) => place.overdue,
            None => (control_runs || place.role == Role::Control).then_some(place.due),
        };
        self.places.iter().filter_map(due).min()
    }

    fn start_due(&mut self) -> Result<(), RoleError> {
        // `Role::ALL` begins with control, without which the others have nobody to ask.
        for index in 0..self.places.len() {
            let place = &self.places[index];
            if place.child.is_some() || place.due > Instant::now() {
                continue;
            }
            let role = place.role;
            if let Some(child) = self.start(role)? {
                tracing::info!(%role, pid = child.pid(), "started");
                self.places[index].child = Some(child);
            }
        }
        Ok(())
    }

    fn start(&mut self, role: Role) -> Result<Option<Child>, RoleError> {
        let failed = || RoleError::io(format!("starting the role {role}"));
        let (ours, theirs) = UnixStream::pair().map_err(failed())?;
        if role == Role::Control {
            // A control that takes no links must not hold up the rest.
            ours.set_nonblocking(true).map_err(failed())?;
            let child = self.spawner.start(role, &theirs)?;
            self.control = Some(ours);
            return Ok(Some(child));
        }
        let Some(control) = &self.control else { return Ok(None) };
        let child = self.spawner.start(role, &theirs)?;
        if let Err(error) = hand_over(control, role, &ours) {
            // The child finds its link closed, ends, and is started again.
            tracing::warn!(%role, %error, "control does not take a role's link");
        }
        Ok(Some(child))
    }

    fn reap(&mut self) -> Result<(), RoleError> {
        let mut control_ended = false;
        for place in &mut self.places {
            let Some(child) = &mut place.child else { continue };
            let Some(status) = child.ended().map_err(RoleError::io("waiting for a role"))? else { continue };
            let wait = place.backoff.after(child.lived());
            place.child = None;
            place.overdue = None;
            place.due = Instant::now() + wait;
            let role = place.role;
            if let Some(exit) = refusal(status).filter(|_| place.first) {
                return Err(RoleError::Refused { role, exit });
            }
            place.first = false;
            tracing::warn!(%role, %status, restart_in_ms = wait.as_millis(), "ended");
            control_ended |= role == Role::Control;
        }
        if control_ended {
            self.control = None;
            let running = self.places.iter_mut().filter(|place| place.child.is_some());
            running.for_each(|place| place.overdue = Some(Instant::now() + LINK_LOST));
        }
        Ok(())
    }

    fn kill_overdue(&mut self) {
        for place in &mut self.places {
            if place.overdue.is_some_and(|overdue| overdue <= Instant::now())
                && let Some(child) = &place.child
            {
                tracing::warn!(role = %place.role, "did not end in time: killed");
                child.signal(Signal::SIGKILL);
                place.overdue = None;
            }
        }
    }

    /// Stops the roles in the reverse order of their start: first the one that faces the network.
    fn stop_all(&mut self) {
        for place in self.places.iter_mut().rev() {
            let Some(mut child) = place.child.take() else { continue };
            let patience = if place.role == Role::Receive { RECEIVE_STOP } else { ROLE_STOP };
            match place.role {
                // It ends with the link on which it hears of others, and writes down what it had put off.
                Role::Control => self.control = None,
                _ => child.signal(Signal::SIGTERM),
            }
            match self.signals.wait_for(&mut child, Instant::now() + patience) {
                Ok(status) => tracing::info!(role = %place.role, %status, "stopped"),
                Err(error) => tracing::error!(role = %place.role, %error, "could not be stopped"),
            }
        }
    }
}

/// The exit of a role that will refuse again however often it is started.
fn refusal(status: ExitStatus) -> Option<Exit> {
    [Exit::Configuration, Exit::Refused].into_iter().find(|&exit| status.code() == Some(exit as i32))
}

fn hand_over(control: &UnixStream, role: Role, link: &UnixStream) -> io::Result<()> {
    let tag = links::CLIENTS.into_iter().find(|client| client.0 == role).ok_or(io::ErrorKind::InvalidInput)?.1;
    let rights = [link.as_raw_fd()];
    let messages = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(control.as_raw_fd(), &[IoSlice::new(&[tag])], &messages, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}
