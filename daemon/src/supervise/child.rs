//! One role's process: how it is started, and how it ends.

use crate::sys::{self, CAP_LEASE, Start, User};
use crate::{RoleError, accounts};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, getgrouplist};
use sluse_protocol::roles::Role;
use std::ffi::CString;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The running program: the same file also when another has taken its name since.
pub const PROGRAM: &str = "/proc/self/exe";

/// What a child's environment keeps.
pub const ENVIRONMENT: [&str; 1] = ["SLUSE_LOG"];

/// What every start of a role needs.
pub struct Spawner {
    config: PathBuf,
    socket: UdpSocket,
    sandbox: bool,
}

impl Spawner {
    /// Roles of the zone whose configuration is `config`; `receive` gets `socket`, and `control` hears whether it is a sandbox.
    ///
    /// # Errors
    /// When the configuration's path cannot be made absolute.
    pub fn new(config: &Path, socket: UdpSocket, sandbox: bool) -> Result<Self, RoleError> {
        let config = std::path::absolute(config).map_err(RoleError::io("the configuration's path"))?;
        Ok(Self { config, socket, sandbox })
    }

    /// Starts a role. `link` is its link to `control`, or `control`'s link to the supervisor.
    ///
    /// # Errors
    /// When its user is not usable, or the process cannot be made.
    pub fn start(&self, role: Role, link: &UnixStream) -> Result<Child, RoleError> {
        let link = link.as_raw_fd();
        let mut keep = vec![link];
        let mut command = Command::new(PROGRAM);
        command.arg0("slused").arg(role.as_str()).arg("--config").arg(&self.config);
        match role {
            Role::Control => command.args(self.sandbox.then_some("--sandbox")).arg(format!("--supervisor-fd={link}")),
            Role::Receive => {
                let socket = self.socket.as_raw_fd();
                keep.push(socket);
                command.arg(format!("--link-fd={link}")).arg(format!("--socket-fd={socket}"))
            }
            Role::Inspect | Role::Deliver => command.arg(format!("--link-fd={link}")),
        };
        command.env_clear().envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // A group of its own: a Ctrl-C at the terminal reaches the supervisor alone, which stops the roles in order.
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/").process_group(0);
        let user = user(role)?;
        // For the process that it starts to take leases; it gives the capability up itself.
        let capability = user.as_ref().and((role == Role::Inspect).then_some(CAP_LEASE));
        sys::start(&mut command, Start { keep, user, capability });
        let process = command.spawn().map_err(RoleError::io(format!("starting the role {role}")))?;
        Ok(Child { process, started: Instant::now() })
    }
}

/// The user that a role's child becomes: its own, when there is one and the supervisor may.
fn user(role: Role) -> Result<Option<User>, RoleError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let Some(user) = accounts::of(role)? else { return Ok(None) };
    let failed = || RoleError::io(format!("looking up the groups of the user {}", user.name));
    let name = CString::new(user.name.as_bytes()).map_err(|error| failed()(error.into()))?;
    let groups = getgrouplist(&name, user.gid).map_err(|error| failed()(error.into()))?;
    Ok(Some(User { uid: user.uid, gid: user.gid, groups }))
}

/// A role's process.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    started: Instant,
}

impl Child {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How long ago it was started.
    pub fn lived(&self) -> Duration {
        self.started.elapsed()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait()
    }

    /// Sends it a signal. It has not been waited for to its end, so its number is still its own.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).map(Pid::from_raw);
        if let Some(Err(error)) = pid.ok().map(|pid| kill(pid, signal)) {
            tracing::warn!(%error, "a role could not be signalled");
        }
    }
}
