//! `sluse room`: where datasets go; and what a room says of them.

mod acknowledge;

use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_host::config::Zone;
use sluse_host::{files, keys};
use sluse_protocol::acknowledgement::FOLDER;
use sluse_protocol::courier::Elsewhere;
use sluse_protocol::ids::RoomName;
use sluse_protocol::operator::{OperatorRequest, RoomInfo};
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::Exit;
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::time::Timestamp;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// `sluse room`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    zone: ZoneFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a room known
    Add {
        /// The room's name
        name: RoomName,
        /// Its folder, relative to the zone's folder of rooms [default: its name]
        #[arg(long, value_name = "PATH", conflicts_with = "elsewhere")]
        folder: Option<String>,
        /// It is no folder of this host: the courier of its name takes what goes there (sluse-courier)
        #[arg(long, conflicts_with = "key")]
        elsewhere: bool,
        /// When the courier's credential or the target ends: nothing is delivered there after that
        #[arg(long, value_name = "TIME", requires = "elsewhere")]
        until: Option<Timestamp>,
        /// What becomes of names that a Windows desktop cannot hold
        #[arg(long, value_enum, default_value_t = Names::WindowsRefuse)]
        names: Names,
        /// The public key by which it acknowledges what was delivered (`room change` sets another)
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// The age recipient to which each file is encrypted there
        #[arg(long, value_name = "AGE1…")]
        recipient: Option<String>,
    },
    /// Say by which key a room acknowledges what was delivered there, and to which it is encrypted
    #[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
    Change {
        /// The room
        name: RoomName,
        /// Its public key, as ssh-keygen writes it (Ed25519)
        #[arg(long, value_name = "FILE", group = "what")]
        key: Option<PathBuf>,
        /// It has none any more
        #[arg(long, conflicts_with = "key", group = "what")]
        no_key: bool,
        /// The age recipient to which each file is encrypted from now on
        #[arg(long, value_name = "AGE1…", group = "what")]
        recipient: Option<String>,
        /// Files stand there in the clear from now on
        #[arg(long, conflicts_with = "recipient", group = "what")]
        no_recipient: bool,
        /// Until when the courier of a room elsewhere may deliver there
        #[arg(long, value_name = "TIME", group = "what")]
        until: Option<Timestamp>,
        /// It has no end any more
        #[arg(long, conflicts_with = "until", group = "what")]
        no_until: bool,
        /// Why; the audit log has its digest
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// In the room: check a bag, and sign that it stands there whole
    Acknowledge(acknowledge::Args),
    /// List the rooms
    List,
}

/// How a room takes names.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Names {
    /// Offers with such names are refused
    WindowsRefuse,
    /// They are replaced, and listed in the bag
    WindowsMap,
    /// Any name that Linux holds: for rooms without Windows desktops
    Posix,
    /// For rooms at TSD: offers with names that its file API would change are refused
    TsdRefuse,
}

impl From<Names> for NameRule {
    fn from(names: Names) -> Self {
        match names {
            Names::WindowsRefuse => NameRule::WindowsRefuse,
            Names::WindowsMap => NameRule::WindowsMap,
            Names::Posix => NameRule::Posix,
            Names::TsdRefuse => NameRule::TsdRefuse,
        }
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let connect = || Operator::connect(&self.zone);
        let load = || Zone::load(&self.zone.layout()?.config()).map_err(Failure::from);
        match self.command {
            Command::Acknowledge(args) => args.run(out),
            Command::Add { name, folder, elsewhere, until, names, key, recipient } => {
                let place = match elsewhere {
                    true => Where::Elsewhere(Elsewhere { until }),
                    false => Where::Folder(folder.unwrap_or_else(|| name.to_string())),
                };
                let key = key.as_deref().map(public_key).transpose()?;
                let (operator, zone) = (connect()?, load()?);
                add(&operator, &zone, &name, place, names.into())?;
                if key.is_some() || recipient.is_some() {
                    change(&operator, &zone, &name, (key, recipient), until, "as the room was added".into())?;
                }
                out.done(&format!("{name} is a room."))
            }
            Command::Change { name, key, no_key, recipient, no_recipient, until, no_until, reason } => {
                let key = key.as_deref().map(public_key).transpose()?;
                let operator = connect()?;
                let now = operator.rooms()?.into_iter().find(|room| room.name == name);
                // What is not spoken of stays as it is.
                let had_until = now.as_ref().and_then(|room| room.elsewhere).and_then(|elsewhere| elsewhere.until);
                let (had_key, had_recipient) = now.map(|room| (room.key, room.recipient)).unwrap_or_default();
                let until = until.or(had_until.filter(|_| !no_until));
                let key = key.or(had_key.filter(|_| !no_key));
                let recipient = recipient.or(had_recipient.filter(|_| !no_recipient));
                change(&operator, &load()?, &name, (key, recipient), until, reason)?;
                out.done(&format!("{name} is changed."))
            }
            Command::List => list(&connect()?, out),
        }
    }
}

/// Says which keys a room has, and makes the folder into which it acknowledges where it has one for that.
fn change(
    operator: &Operator,
    zone: &Zone,
    name: &RoomName,
    (key, recipient): (Option<String>, Option<String>),
    until: Option<Timestamp>,
    reason: String,
) -> Result<(), Failure> {
    let with_key = key.is_some();
    operator.act(&OperatorRequest::RoomChange { name: name.clone(), key, recipient, until, reason }, &[])?;
    match operator.rooms()?.into_iter().find(|room| room.name == *name) {
        Some(room) if with_key => acknowledgements_folder(zone, &room.folder),
        _ => Ok(()),
    }
}

/// Where a room is.
#[derive(Debug, Clone)]
pub enum Where {
    /// A folder of this host, relative to the zone's folder of rooms.
    Folder(String),
    /// Where its courier reaches it.
    Elsewhere(Elsewhere),
}

/// Makes a room known and, where it is one of this host and not there yet, its folder. Only here: to `deliver` a room's folder that is missing is
/// a share that is not mounted, and nothing to be made.
///
/// # Errors
/// When the zone refuses, or the folder cannot be made.
pub fn add(operator: &Operator, zone: &Zone, name: &RoomName, place: Where, names: NameRule) -> Result<(), Failure> {
    let (folder, elsewhere) = match place {
        Where::Folder(folder) => (folder, None),
        // The name of a folder that is never made: no room of this host gets it.
        Where::Elsewhere(elsewhere) => (name.to_string(), Some(elsewhere)),
    };
    let ask = OperatorRequest::RoomAdd { name: name.clone(), folder: folder.clone(), names, elsewhere };
    operator.act(&ask, &[])?;
    if elsewhere.is_some() {
        return Ok(());
    }
    let place = zone.rooms().join(&folder);
    let failed = |error: std::io::Error| {
        Failure::file(Exit::Fault, "make the room's folder", &place, &error)
            .hint("the room is known to the zone; make its folder, writable for the user that `deliver` runs as")
    };
    if place.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(&place).map_err(failed)?;
    make_owned(zone, &place, 0o750).map_err(failed)
}

/// Makes the folder into which a room's people drop acknowledgements, where it is not there yet. Who may write to it is for whoever runs
/// the room to say, as with the room's folder itself.
fn acknowledgements_folder(zone: &Zone, folder: &str) -> Result<(), Failure> {
    let place = zone.rooms().join(folder).join(FOLDER);
    if place.is_dir() {
        return Ok(());
    }
    make_owned(zone, &place, 0o770).map_err(|error| {
        Failure::file(Exit::Fault, "make the folder of acknowledgements", &place, &error)
            .hint("the key is set; make the folder, readable for `deliver` and writable for the room's people")
    })
}

/// Makes a folder that belongs to whom the folder of rooms belongs.
fn make_owned(zone: &Zone, place: &Path, mode: u32) -> std::io::Result<()> {
    let owner = std::fs::metadata(zone.rooms())?;
    files::create_folder(place, mode)?;
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(place, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// The line of a public key's file.
fn public_key(file: &Path) -> Result<String, Failure> {
    let key = keys::read_public_key(file).map_err(|error| {
        Failure::new(Exit::Usage, "the room's key cannot be used")
            .because(&error)
            .hint("make one in the room: ssh-keygen -t ed25519 -N '' -f room-key; and name room-key.pub here")
    })?;
    Ok(key.to_openssh())
}

fn list(operator: &Operator, out: &Output) -> Ended {
    let rooms = operator.rooms()?;
    if out.is_json() {
        out.object(&rooms);
        return Ok(Exit::Done);
    }
    let rule = |names| match names {
        NameRule::WindowsRefuse => "windows-refuse",
        NameRule::WindowsMap => "windows-map",
        NameRule::Posix => "posix",
        NameRule::TsdRefuse => "tsd-refuse",
    };
    let row = |room: RoomInfo| {
        let key = room.key.and_then(|key| PublicKey::from_openssh(&key).ok());
        let key = key.map_or("-".to_owned(), |key| key.fingerprint());
        let encrypted = room.recipient.unwrap_or_else(|| "-".to_owned());
        let place = match room.elsewhere {
            None => room.folder,
            Some(Elsewhere { until: None }) => "elsewhere".to_owned(),
            Some(Elsewhere { until: Some(until) }) => format!("elsewhere, until {until}"),
        };
        vec![room.name.to_string(), place, rule(room.names).to_owned(), key, encrypted]
    };
    let rows: Vec<Vec<String>> = rooms.into_iter().map(row).collect();
    out.table(&["ROOM", "FOLDER", "NAMES", "KEY", "ENCRYPTED TO"], &rows);
    Ok(Exit::Done)
}
