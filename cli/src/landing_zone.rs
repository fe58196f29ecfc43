//! A throw-away landing zone, the demo's and the sandbox's: made, started, asked and stopped as an operator would.

use crate::commands::room::{self, Where};
use crate::commands::zone::init::{NewZone, create};
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::Output;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::agreement::Agreement;
use sluse_protocol::ids::{RoomName, SourceName, ZoneName};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::Exit;
use sluse_protocol::roles::Role;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the zone may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running zone.
#[derive(Debug)]
pub struct LandingZone {
    /// Its paths.
    pub layout: Layout,
    /// Its operators' socket.
    pub operator: Operator,
    folder: PathBuf,
    daemon: Option<Child>,
    admitted: Vec<SourceName>,
    agreed: Vec<String>,
}

/// How a throw-away zone is made.
#[derive(Debug, Default)]
pub struct Making {
    /// Where it listens; without it, on a free port of the loopback.
    pub listen: Option<SocketAddr>,
    /// Where sources reach it; empty: where it listens.
    pub advertise: Vec<String>,
    /// That it is a sandbox: what its configuration ends with.
    pub sandbox: Option<&'static str>,
}

/// The folder in which a zone is made: `keep`, which must be empty or absent, or a temporary one that goes with what is returned.
///
/// # Errors
/// When there is none to use.
pub fn place(keep: Option<&Path>, prefix: &str) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
    let Some(keep) = keep else {
        let made = tempfile::Builder::new().prefix(prefix).tempdir();
        let made =
            made.map_err(|error| Failure::file(Exit::Fault, "make a folder in", &std::env::temp_dir(), &error))?;
        return Ok((whole(made.path())?, Some(made)));
    };
    std::fs::create_dir_all(keep).map_err(|error| Failure::file(Exit::Usage, "make", keep, &error))?;
    let mut entries = std::fs::read_dir(keep).map_err(|error| Failure::file(Exit::Usage, "use", keep, &error))?;
    match entries.next() {
        None => Ok((whole(keep)?, None)),
        Some(_) => Err(Failure::new(Exit::Usage, format!("{} is not empty", keep.display()))
            .hint("name a folder that is empty or does not exist yet")),
    }
}

fn whole(folder: &Path) -> Result<PathBuf, Failure> {
    folder.canonicalize().map_err(|error| Failure::file(Exit::Fault, "use", folder, &error))
}

impl LandingZone {
    /// Makes a zone in `folder` and starts it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(folder: &Path, making: &Making, out: &Output) -> Result<Self, Failure> {
        let listen = match making.listen {
            Some(listen) => Ok(listen),
            None => UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()),
        };
        let listen = listen.map_err(|error| Failure::new(Exit::Fault, "no free UDP port").because(&error))?;
        let name = if making.sandbox.is_some() { "sandbox" } else { "sluse" }.parse::<ZoneName>();
        let name = name.map_err(|error| Failure::new(Exit::Fault, "the zone's name").because(&error))?;
        let mut advertise = making.advertise.clone();
        if advertise.is_empty() {
            advertise.push(listen.to_string());
        }
        let (zone, _) = create(&folder.join("zone"), &NewZone { name, listen, advertise })?;
        let layout = zone.layout;
        if let Some(settings) = making.sandbox {
            append(&layout.config(), settings)?;
        }
        let log = folder.join("slused.log");
        let file = File::create(&log).map_err(|error| Failure::file(Exit::Fault, "write", &log, &error))?;
        let mut command = Command::new(beside_this_program("slused")?);
        command.args(["all", "--config"]).arg(layout.config()).args(making.sandbox.map(|_| "--sandbox"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let mut daemon =
            command.spawn().map_err(|error| Failure::new(Exit::Fault, "slused cannot be started").because(&error))?;
        out.note(format!("Zone: four roles in {}, listening on {listen} (UDP)", layout.root().display()));
        match wait_for_roles(&layout, &mut daemon) {
            Ok(operator) => Ok(Self {
                layout,
                operator,
                folder: folder.to_owned(),
                daemon: Some(daemon),
                admitted: Vec::new(),
                agreed: Vec::new(),
            }),
            Err(failure) => {
                // The failure to report is the first one.
                let _ = daemon.kill();
                let _ = daemon.wait();
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let tail: Vec<&str> = said.lines().rev().take(5).collect();
                Err(tail.into_iter().rev().fold(failure, |failure, line| failure.cause(line)))
            }
        }
    }

    /// Makes an agreement, its room and its source known, and enrols the source, unless that was done already.
    ///
    /// # Errors
    /// When the zone refuses.
    pub fn admit(&mut self, agreement: &Agreement, text: &str, out: &Output) -> Result<(), Failure> {
        if self.agreed.contains(&agreement.id.to_string()) {
            return Ok(());
        }
        self.add_room(&agreement.to, NameRule::Posix)?;
        self.operator.ask(&OperatorRequest::AgreementAdd, text.as_bytes())?;
        self.agreed.push(agreement.id.to_string());
        if !self.admitted.contains(&agreement.from) {
            self.enrol(&agreement.from)?;
            self.admitted.push(agreement.from.clone());
            let (source, room) = (&agreement.from, &agreement.to);
            out.note(format!("Source {source} is enrolled; agreement {} lets it send to {room}", agreement.id));
        }
        Ok(())
    }

    /// Makes a room, unless it is there already.
    ///
    /// # Errors
    /// When the zone refuses.
    pub fn add_room(&self, name: &RoomName, names: NameRule) -> Result<(), Failure> {
        if self.operator.rooms()?.iter().any(|room| room.name == *name) {
            return Ok(());
        }
        let zone = Zone::load(&self.layout.config())?;
        room::add(&self.operator, &zone, name, Where::Folder(name.to_string()), names)
    }

    /// Makes an invite for a source, and returns its file.
    ///
    /// # Errors
    /// When the zone refuses, or the file is there already.
    pub fn invite(&self, source: &SourceName, file: &str, hours: u16) -> Result<PathBuf, Failure> {
        let (_, invite) =
            self.operator.ask(&OperatorRequest::SourceInvite { name: source.clone(), hours, room: None }, &[])?;
        let file = self.folder.join(file);
        files::write_new(&file, &invite, 0o600).map_err(|error| Failure::file(Exit::Fault, "write", &file, &error))?;
        Ok(file)
    }

    /// How the daemon ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let ended = self.daemon.as_mut().map(Child::try_wait).transpose();
        let ended = ended.map_err(|error| Failure::new(Exit::Fault, "slused cannot be waited for").because(&error))?;
        Ok(ended.flatten())
    }

    /// The identity folder of a source.
    pub fn identity(&self, source: &SourceName) -> PathBuf {
        self.folder.join("sources").join(source.as_str())
    }

    /// Stops the zone, its roles in order.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(&mut self) -> Result<(), Failure> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        terminate(&daemon);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match daemon.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(Failure::new(Exit::Fault, format!("slused ended with {status}"))
                        .hint(format!("see {}", self.folder.join("slused.log").display())));
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        // It had its time.
        let _ = daemon.kill();
        Err(Failure::new(Exit::Fault, "slused did not stop"))
    }

    /// Enrols a source.
    ///
    /// # Errors
    /// When the zone refuses.
    pub fn enrol(&self, source: &SourceName) -> Result<(), Failure> {
        let file = self.invite(source, &format!("invite-{source}.toml"), 1)?;
        let sources = self.folder.join("sources");
        files::create_folder(&sources, 0o700).map_err(|error| Failure::file(Exit::Fault, "make", &sources, &error))?;
        let mut command = Command::new(this_program()?);
        command.arg("enroll").arg(&file).arg("--identity").arg(self.identity(source));
        run(command).map(drop)
    }
}

impl Drop for LandingZone {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            terminate(&daemon);
            // Nothing more can be done about a daemon that does not end.
            let _ = daemon.wait();
        }
    }
}

fn append(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = File::options().append(true).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|error| Failure::file(Exit::Fault, "write", file, &error))
}

/// Runs a command of ours to its end and returns what it printed.
///
/// # Errors
/// When it fails, with what it said.
pub fn run(mut command: Command) -> Result<Vec<u8>, Failure> {
    let ended = command.output().map_err(|error| Failure::new(Exit::Fault, "cannot run sluse").because(&error))?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let name = command.get_args().next().unwrap_or_default().to_string_lossy().into_owned();
    let failure = Failure::new(Exit::Fault, format!("`sluse {name}` ended with {}", ended.status));
    Err(said.lines().fold(failure, |failure, line| failure.cause(line)))
}

/// The path of this program.
///
/// # Errors
/// When the system does not say.
pub fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::new(Exit::Fault, "where this program lies").because(&error))
}

fn beside_this_program(name: &str) -> Result<PathBuf, Failure> {
    let path = this_program()?.with_file_name(name);
    if !path.exists() {
        return Err(Failure::new(Exit::Configuration, format!("there is no {}", path.display()))
            .hint("build or install both programs into one folder: cargo build --release"));
    }
    Ok(path)
}

fn terminate(daemon: &Child) {
    if let Ok(pid) = i32::try_from(daemon.id()) {
        // One that has ended already needs no signal.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

fn wait_for_roles(layout: &Layout, daemon: &mut Child) -> Result<Operator, Failure> {
    let begun = Instant::now();
    let mut last = Failure::new(Exit::Fault, "the zone did not start");
    while begun.elapsed() < PATIENCE {
        if let Ok(Some(status)) = daemon.try_wait() {
            return Err(Failure::new(Exit::Fault, format!("slused ended with {status}")));
        }
        match Operator::of(layout).and_then(|operator| Ok((operator.ask(&OperatorRequest::Health, &[])?.0, operator))) {
            Ok((OperatorReply::Health(health), operator))
                if Role::ALL.iter().all(|role| health.roles.contains(role)) && !health.engines.is_empty() =>
            {
                return Ok(operator);
            }
            Ok(_) => last = Failure::new(Exit::Fault, "not all roles came up"),
            Err(failure) => last = failure,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(last)
}
