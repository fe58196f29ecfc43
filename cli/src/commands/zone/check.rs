//! `sluse zone check`: what is wrong with a zone's folder, whether or not it runs, and how to mend it.

use super::places::{self, Accounts};
use super::{authorities, init, keys};
use crate::failure::{Ended, Failure};
use crate::output::{Output, bytes};
use crate::zone_folder::ZoneFolder;
use nix::sys::statvfs::statvfs;
use nix::unistd::{Group, Uid};
use serde::Serialize;
use sluse_host::config::{KeyExchange, Zone};
use sluse_protocol::icap;
use sluse_protocol::powers::Power;
use sluse_protocol::refusal::Exit;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a scanner may take to answer.
const SCANNER_TIMEOUT: Duration = Duration::from_secs(5);

/// `sluse zone check`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    zone: ZoneFolder,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    problems: Vec<Remark>,
    warnings: Vec<Remark>,
    unchecked: Vec<String>,
}

/// Something wrong, or to be known.
#[derive(Debug, Serialize)]
struct Remark {
    what: String,
    mend: String,
}

impl Found {
    /// Adds something that is wrong.
    pub fn problem(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.problems.push(Remark { what: what.into(), mend: mend.into() });
    }

    /// Adds something that works, but should be known.
    pub fn warning(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.warnings.push(Remark { what: what.into(), mend: mend.into() });
    }

    /// Adds something that this user could not look at.
    pub fn unchecked(&mut self, what: impl Into<String>) {
        self.unchecked.push(what.into());
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no zone.
    pub fn run(self, out: &Output) -> Ended {
        let layout = self.zone.layout()?;
        let mut found = Found::default();
        match Zone::load_all(&layout.config()) {
            Ok(zone) => look(&zone, &mut found)?,
            Err(errors) => errors.into_iter().for_each(|error| found.problem(error.to_string(), error.hint)),
        }
        let healthy = found.problems.is_empty();
        if out.is_json() {
            out.object(&found);
        } else {
            print(out, &layout.root().display().to_string(), &found);
        }
        Ok(if healthy { Exit::Done } else { Exit::Configuration })
    }
}

fn look(zone: &Zone, found: &mut Found) -> Result<(), Failure> {
    let accounts = Accounts::look_up()
        .map_err(|error| Failure::new(Exit::Fault, "the system's users cannot be looked up").because(&error))?;
    for place in places::all(zone) {
        if let Some((what, mend)) = place.problem(&accounts) {
            found.problem(what, mend);
        }
    }
    for (user, group) in accounts.outside() {
        found.problem(
            format!("the user {user} is not in the group {group}"),
            format!("usermod -aG {group} {user}, and start the zone again"),
        );
    }
    if Uid::effective().is_root() && !accounts.complete() {
        let what = format!("there is no {}: the roles share one user", accounts.missing().join(", no "));
        found.warning(what, "docs/operations.md shows how to make them");
    }
    if !init::sockets_fit(&zone.layout) {
        found.problem("the zone's path is too long for its sockets", "move it to a folder with a shorter path");
    }
    people(zone, found);
    keys::look(zone, found);
    authorities::look(zone, &accounts, found);
    disk(zone, found);
    scanners(zone, found);
    couriers(zone, found);
    if zone.settings.zone.allow_unconfined {
        found.warning(
            "zone.allow_unconfined lets roles run where the kernel cannot confine them to their files",
            "on a kernel with Landlock: remove it",
        );
    }
    if zone.settings.receive.key_exchange == KeyExchange::AllowX25519 {
        found.warning(
            "receive.key_exchange allows X25519: what is recorded today may be read in twenty years",
            "when all sources can: key_exchange = \"hybrid-required\"",
        );
    }
    Ok(())
}

fn people(zone: &Zone, found: &mut Found) {
    let control = &zone.settings.control;
    let mut members: Vec<(Power, &str, Vec<String>)> = Vec::new();
    for (power, name) in control.groups() {
        match Group::from_name(name) {
            Ok(Some(group)) => members.push((power, name, group.mem)),
            Ok(None) => found.problem(
                format!("control.{} names the group {name}, which does not exist", power.setting()),
                format!("groupadd --system {name}"),
            ),
            Err(error) => found.unchecked(format!("group {name}: {error}")),
        }
    }
    if !control.separated() {
        return;
    }
    for power in [Power::Operator, Power::Reviewer] {
        if !members.iter().any(|(one, ..)| *one == power) {
            let what = format!("powers are separated, and nobody is {power}");
            found.warning(what, format!("name a group as control.{}", power.setting()));
        }
    }
    for (at, (power, group, people)) in members.iter().enumerate() {
        let excluded = members[at + 1..].iter().filter(|(other, ..)| power.excludes(*other));
        for (_, other, others) in excluded {
            for person in people.iter().filter(|person| others.contains(person)) {
                let what = format!("{person} is in the groups {group} and {other}, and may nothing therefore");
                found.problem(what, format!("gpasswd --delete {person} {group}, or {other}"));
            }
        }
    }
}

fn disk(zone: &Zone, found: &mut Found) {
    let keep = zone.settings.receive.keep_free_bytes;
    for (folder, what) in [(zone.layout.quarantine(), "the quarantine's"), (zone.rooms(), "the rooms'")] {
        match free_bytes(&folder) {
            Ok(free) if free <= keep => found.problem(
                format!("{what} disk has {} free; {} are to stay free", bytes(free), bytes(keep)),
                "make room, or lower receive.keep_free_bytes",
            ),
            Ok(_) => {}
            Err(error) => found.unchecked(format!("free space of {}: {error}", folder.display())),
        }
    }
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let (incoming, sealed) = (device(&zone.layout.incoming()), device(&zone.layout.sealed()));
    if incoming.is_some() && sealed.is_some() && incoming != sealed {
        found.problem(
            "quarantine/incoming and quarantine/sealed lie on different file systems: nothing could be sealed",
            "put the whole quarantine on one file system",
        );
    }
}

fn free_bytes(folder: &Path) -> nix::Result<u64> {
    let stat = statvfs(folder)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

fn scanners(zone: &Zone, found: &mut Found) {
    let (clamd, icap) = (zone.clamd_socket(), zone.icap_socket());
    if clamd.is_none() && icap.is_none() {
        let what = "no clamd is configured: built-in signatures are the only malware engine";
        found.warning(what, "install clamav-daemon and set inspect.clamd_socket");
    }
    if let Some(socket) = clamd
        && let Err(error) = ping(&socket)
    {
        let mend = "start clamd, and compare inspect.clamd_socket with LocalSocket in clamd.conf";
        found.problem(format!("clamd does not answer at {}: {error}", socket.display()), mend);
    }
    if let (Some(socket), Some(icap)) = (icap, &zone.settings.inspect.icap)
        && let Err(error) = ask_options(&socket, &icap.service)
    {
        let mend =
            "start sluse-icap-relay.socket, and compare the relay's address and inspect.icap_service with the scanner";
        found.problem(format!("no ICAP scanner answers at {}: {error}", socket.display()), mend);
    }
}

/// Whether somebody answers at each courier's socket; whether the target does, `sluse-courier check` says.
fn couriers(zone: &Zone, found: &mut Found) {
    let Some(folder) = zone.couriers() else { return };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            let mend = "enable sluse-courier@ROOM.socket for each room elsewhere, or take deliver.couriers out";
            return found.problem(format!("the couriers' folder {}: {error}", folder.display()), mend);
        }
    };
    let sockets = entries.flatten().map(|entry| entry.path());
    for socket in sockets.filter(|path| path.extension().is_some_and(|end| end == "sock")) {
        match UnixStream::connect(&socket) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                found.unchecked(format!("the courier at {}", socket.display()));
            }
            Err(error) => {
                let what = format!("no courier answers at {}: {error}", socket.display());
                found.problem(what, "start sluse-courier@ROOM.socket, or remove the socket of a room that is no more");
            }
        }
    }
}

fn ask_options(socket: &Path, service: &icap::Service) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SCANNER_TIMEOUT))?;
    stream.set_write_timeout(Some(SCANNER_TIMEOUT))?;
    stream.write_all(&service.options())?;
    let (mut bytes, mut more) = (Vec::new(), [0; 1024]);
    let deadline = Instant::now() + SCANNER_TIMEOUT;
    while Instant::now() < deadline {
        if let Some((head, _)) = icap::Head::read(&bytes).map_err(std::io::Error::other)? {
            return head.options().map(drop).map_err(std::io::Error::other);
        }
        match stream.read(&mut more)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&more[..read]),
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

fn ping(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SCANNER_TIMEOUT))?;
    stream.set_write_timeout(Some(SCANNER_TIMEOUT))?;
    stream.write_all(b"zPING\0")?;
    let mut answer = Vec::new();
    stream.take(16).read_to_end(&mut answer)?;
    if answer != b"PONG\0" {
        return Err(std::io::Error::other("it is something else that answers"));
    }
    Ok(())
}

fn print(out: &Output, root: &str, found: &Found) {
    for (label, remarks) in [("problem", &found.problems), ("warning", &found.warnings)] {
        for remark in remarks {
            out.line(format!("{label}: {}", remark.what));
            out.line(format!("  mend: {}", remark.mend));
        }
    }
    for what in &found.unchecked {
        out.line(format!("not checked: {what}"));
    }
    match found.problems.len() {
        0 => out.line(format!("OK: {root}")),
        count => out.line(format!("NOT OK: {root}; problems: {count}")),
    }
}
