//! Both processes as children of one command, for evaluation, tests and small sites. Installed, each is a unit of its own.

use crate::settings::Settings;
use crate::{Error, system};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sd_notify::NotifyState;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often it is looked whether a child has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Pauses before a child that ended is started again: twice as long each time, and from the beginning once it ran for long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);

/// How long a child may take to stop.
const STOP: Duration = Duration::from_secs(10);

struct Place {
    word: &'static str,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
}

/// Starts both, starts one that ends again, and stops them on SIGTERM.
///
/// # Errors
/// When they cannot be started, or one says that it never will.
pub fn run(config: &Path, settings: Settings) -> Result<(), Error> {
    // Each child reads the configuration for itself; that it is good was found out once, before.
    drop(settings);
    let (sender, stop) = mpsc::channel();
    // A supervisor that has ended needs no signal.
    system::on_stop(move || {
        let _ = sender.send(());
    })?;
    let place = |word| Place { word, child: None, started: Instant::now(), pause: Duration::ZERO };
    let mut places = [place("forward"), place("intake")];
    let ended = serve(config, &mut places, &stop);
    system::tell(NotifyState::Stopping);
    for place in &mut places {
        place.stop();
    }
    ended
}

fn serve(config: &Path, places: &mut [Place], stop: &mpsc::Receiver<()>) -> Result<(), Error> {
    system::tell(NotifyState::Ready);
    loop {
        for place in places.iter_mut() {
            place.look(config)?;
        }
        match stop.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => system::tell(NotifyState::Watchdog),
            _ => return Ok(()),
        }
    }
}

impl Place {
    fn look(&mut self, config: &Path) -> Result<(), Error> {
        if let Some(child) = &mut self.child {
            let Some(status) = child.try_wait().map_err(self.fault())? else { return Ok(()) };
            self.child = None;
            // A wrong configuration or key is the same the next time.
            if status.code() == Some(sluse_protocol::refusal::Exit::Configuration as i32) {
                let what = format!("{} cannot be started", self.word);
                return Err(Error::Key { what, hint: "It said above what is wrong." });
            }
            let ran = self.started.elapsed();
            self.pause = if ran >= LONG { FIRST_PAUSE } else { (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE) };
            tracing::error!(process = self.word, %status, "ended; it is started again");
            self.started = Instant::now();
        }
        if self.started.elapsed() >= self.pause {
            let program = std::env::current_exe().map_err(self.fault())?;
            let child = Command::new(program).arg(self.word).arg("--config").arg(config).spawn();
            let child = child.map_err(self.fault())?;
            tracing::info!(process = self.word, pid = child.id(), "started");
            self.child = Some(child);
            self.started = Instant::now();
        }
        Ok(())
    }

    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Ok(pid) = i32::try_from(child.id()) {
            // One that has ended already needs no signal.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        let killed = child.kill().and_then(|()| child.wait());
        tracing::warn!(process = self.word, ?killed, "did not stop in time and was killed");
    }

    fn fault(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::fault(format!("running {}", self.word))
    }
}
