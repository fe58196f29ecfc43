//! `sluse zone init`: a new landing zone in an empty folder.

use super::places::{self, Accounts, Place};
use crate::failure::{Ended, Failure};
use crate::output::Output;
use age::secrecy::ExposeSecret as _;
use nix::unistd::Uid;
use serde::Serialize;
use sluse_host::config::{Settings, Zone};
use sluse_host::layout::Layout;
use sluse_host::{clock, files, keys};
use sluse_protocol::ids::ZoneName;
use sluse_protocol::refusal::Exit;
use sluse_protocol::roles::Role;
use sluse_protocol::sshsig::{NAMESPACE_CHECKPOINT, NAMESPACE_RECEIPT};
use slused::control::authority;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The configuration that is shipped as the example; a new zone's differs in three lines.
const EXAMPLE: &str = include_str!("../../../../config/sluse.toml");

/// Bytes of a Unix socket's path that the kernel takes.
const MAX_SOCKET_PATH: usize = 107;

/// `sluse zone init`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the new zone; it must be empty or absent
    dir: PathBuf,
    /// The zone's name, in which its receipts are signed; it never changes
    #[arg(long, default_value = "sluse")]
    name: ZoneName,
    /// UDP address and port to listen on
    #[arg(long, default_value = "[::]:7443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where sources reach the zone, HOST:PORT; may be repeated [default: this host's name]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Vec<String>,
}

/// What a new zone is to be.
#[derive(Debug)]
pub struct NewZone {
    /// Its name.
    pub name: ZoneName,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where sources reach it.
    pub advertise: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Made {
    zone: PathBuf,
    name: ZoneName,
    config: PathBuf,
    signer: PathBuf,
    missing: Vec<String>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Why there is no new zone.
    pub fn run(self, out: &Output) -> Ended {
        let mut advertise = self.advertise;
        if advertise.is_empty() {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
            let host = host.map_err(|e| Failure::new(Exit::Usage, "name it: --advertise HOST:PORT").because(&e))?;
            advertise.push(format!("{}:{}", host.trim(), self.listen.port()));
        }
        let new = NewZone { name: self.name.clone(), listen: self.listen, advertise };
        let (zone, missing) = create(&self.dir, &new)?;
        let layout = &zone.layout;
        if out.is_json() {
            out.object(&Made {
                zone: layout.root().to_owned(),
                name: self.name,
                config: layout.config(),
                signer: layout.allowed_signers(),
                missing,
            });
            return Ok(Exit::Done);
        }
        out.line(layout.root().display().to_string());
        explain(out, &zone, &missing);
        Ok(Exit::Done)
    }
}

fn explain(out: &Output, zone: &Zone, missing: &[String]) {
    let config = zone.layout.config();
    out.note(format!("A landing zone called {}. Look through {} first.", zone.settings.zone.name, config.display()));
    out.note(format!("Give {} to whoever checks receipts.", zone.layout.allowed_signers().display()));
    if !Uid::effective().is_root() {
        out.note("Made by an ordinary user: all four roles will run as this user.");
    } else if !missing.is_empty() {
        out.note(format!("There is no {}: what they should own belongs to root.", missing.join(", no ")));
        out.note("docs/operations.md shows how to make them; `sluse zone check` then says what to mend.");
    }
    out.note(format!("Start it: slused all --config {}", config.display()));
}

/// Makes a zone in `folder`, which must be empty or absent. Returns it, and the users and groups that were missing when
/// root made it.
///
/// # Errors
/// Why there is no new zone.
pub fn create(folder: &Path, new: &NewZone) -> Result<(Zone, Vec<String>), Failure> {
    let settings = configuration(new)?;
    let whole = std::path::absolute(folder).map_err(|e| Failure::file(Exit::Usage, "make a zone in", folder, &e))?;
    if !sockets_fit(&Layout::new(&whole)) {
        let message = format!("{} is too long a path: the zone's sockets could not be made", whole.display());
        return Err(Failure::new(Exit::Usage, message).hint("choose a folder with a shorter path"));
    }
    let layout = Layout::new(claim(folder)?);
    let unfinished = |failure: Failure| failure.hint(format!("remove {} before trying again", layout.root().display()));
    let failed = |error| Failure::file(Exit::Fault, "make a zone in", layout.root(), &error);
    write(&layout.config(), settings.as_bytes(), 0o644).map_err(failed).map_err(unfinished)?;
    let zone = Zone::load(&layout.config()).map_err(Failure::from).map_err(unfinished)?;
    let accounts = Accounts::look_up().map_err(io::Error::from).map_err(failed).map_err(unfinished)?;
    let places = places::all(&zone);
    make_folders(&places).map_err(failed).map_err(unfinished)?;
    make_keys(&zone).map_err(unfinished)?;
    let settled = places.iter().try_for_each(|place| place.settle(&accounts)).and_then(|()| sync(&places));
    settled.map_err(failed).map_err(unfinished)?;
    let missing = if Uid::effective().is_root() { accounts.missing() } else { Vec::new() };
    Ok((zone, missing))
}

/// Whether the kernel takes the paths of the zone's sockets.
pub fn sockets_fit(layout: &Layout) -> bool {
    Role::ALL.iter().all(|role| layout.role_socket(*role).as_os_str().len() <= MAX_SOCKET_PATH)
}

/// The example configuration with the new zone's name and addresses.
fn configuration(new: &NewZone) -> Result<String, Failure> {
    let advertise: Vec<String> = new.advertise.iter().map(|address| format!("{address:?}")).collect();
    let replaced = [
        ("name = ", format!("name = \"{}\"", new.name)),
        ("listen = ", format!("listen = \"{}\"", new.listen)),
        ("advertise = ", format!("advertise = [{}]", advertise.join(", "))),
    ];
    let line = |line: &str| -> String {
        let new = replaced.iter().find(|(begin, _)| line.starts_with(begin));
        new.map_or(line, |(_, new)| new.as_str()).to_owned() + "\n"
    };
    let text: String = EXAMPLE.lines().map(line).collect();
    match Settings::parse(&text) {
        Ok(_) => Ok(text),
        Err(problems) => Err(problems
            .into_iter()
            .fold(Failure::new(Exit::Usage, "no zone can be configured with these options"), |failure, problem| {
                failure.cause(problem.message).hint(problem.hint)
            })),
    }
}

/// Makes the folder, or finds it empty.
fn claim(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error| Failure::file(Exit::Usage, "make a zone in", folder, &error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(Failure::new(Exit::Usage, format!("{} is not empty", folder.display()))
            .hint("a zone is made in a folder of its own: name a new one"));
    }
    folder.canonicalize().map_err(failed)
}

fn make_folders(places: &[Place]) -> io::Result<()> {
    for place in places.iter().filter(|place| place.folder) {
        // Closed to all others until owner and mode are settled.
        match files::create_folder(&place.path, 0o700) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir_all(&place.path)?,
            other => other?,
        }
    }
    Ok(())
}

fn make_keys(zone: &Zone) -> Result<(), Failure> {
    let (layout, name) = (&zone.layout, &zone.settings.zone.name);
    let new = authority::create(name, clock::now())
        .map_err(|error| Failure::new(Exit::Fault, "cannot make the certificate authority").because(&error))?;
    let signer = keys::create_signing_key(&layout.signing_key())?.public();
    keys::create_secret(&layout.reset_key())?;
    let allowed = signer.to_allowed_signer(name.as_str(), &[NAMESPACE_RECEIPT, NAMESPACE_CHECKPOINT]);
    let written = write(&layout.ca_key(), new.ca_key.as_bytes(), 0o600)
        .and_then(|()| write(&layout.ca_certificate(), new.ca_certificate.as_bytes(), 0o644))
        .and_then(|()| write(&layout.tls_key(), new.server_key.as_bytes(), 0o600))
        .and_then(|()| write(&layout.tls_certificate(), new.server_certificate.as_bytes(), 0o644))
        .and_then(|()| write(&layout.signer(), format!("{} {name}\n", signer.to_openssh()).as_bytes(), 0o644))
        .and_then(|()| write(&layout.allowed_signers(), allowed.as_bytes(), 0o644))
        .and_then(|()| make_age_key(&layout.quarantine_key(), &layout.quarantine_recipient()))
        .and_then(|()| make_age_key(&layout.deliver_key(), &layout.deliver_recipient()));
    written.map_err(|error| Failure::file(Exit::Fault, "write the keys in", layout.root(), &error))
}

/// Makes an age identity, in the form that `age-keygen` writes and `age -i` reads.
fn make_age_key(identity_file: &Path, recipient_file: &Path) -> io::Result<()> {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let (secret, now) = (identity.to_string(), clock::now());
    let text =
        zeroize::Zeroizing::new(format!("# created: {now}\n# public key: {recipient}\n{}\n", secret.expose_secret()));
    write(identity_file, text.as_bytes(), 0o600)?;
    write(recipient_file, format!("{recipient}\n").as_bytes(), 0o644)
}

/// Writes a new file; its mode is what is asked for whatever the umask.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    files::write_new(path, bytes, mode)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

fn sync(places: &[Place]) -> io::Result<()> {
    places.iter().filter(|place| place.folder).try_for_each(|place| files::sync_folder(&place.path))
}
