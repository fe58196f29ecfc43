//! `sluse room`: where datasets go.

use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_protocol::ids::RoomName;
use sluse_protocol::operator::OperatorRequest;
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::Exit;
use std::os::unix::fs::MetadataExt as _;

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
        #[arg(long, value_name = "PATH")]
        folder: Option<String>,
        /// What becomes of names that a Windows desktop cannot hold
        #[arg(long, value_enum, default_value_t = Names::WindowsRefuse)]
        names: Names,
    },
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
}

impl From<Names> for NameRule {
    fn from(names: Names) -> Self {
        match names {
            Names::WindowsRefuse => NameRule::WindowsRefuse,
            Names::WindowsMap => NameRule::WindowsMap,
            Names::Posix => NameRule::Posix,
        }
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let operator = Operator::connect(&self.zone)?;
        match self.command {
            Command::Add { name, folder, names } => {
                let folder = folder.unwrap_or_else(|| name.to_string());
                let zone = Zone::load(&self.zone.layout()?.config())?;
                add(&operator, &zone, &name, &folder, names.into())?;
                out.done(&format!("{name} is a room."))
            }
            Command::List => list(&operator, out),
        }
    }
}

/// Makes a room known and, where it is not there yet, its folder. Only here: to `deliver` a room's folder that is missing is
/// a share that is not mounted, and nothing to be made.
///
/// # Errors
/// When the zone refuses, or the folder cannot be made.
pub fn add(operator: &Operator, zone: &Zone, name: &RoomName, folder: &str, names: NameRule) -> Result<(), Failure> {
    operator.act(&OperatorRequest::RoomAdd { name: name.clone(), folder: folder.to_owned(), names }, &[])?;
    let place = zone.rooms().join(folder);
    let failed = |error: std::io::Error| {
        Failure::file(Exit::Fault, "make the room's folder", &place, &error)
            .hint("the room is known to the zone; make its folder, writable for the user that `deliver` runs as")
    };
    if place.is_dir() {
        return Ok(());
    }
    let owner = std::fs::metadata(zone.rooms()).map_err(failed)?;
    std::fs::create_dir_all(&place).map_err(failed)?;
    files::create_folder(&place, 0o750).map_err(failed)?;
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(&place, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
    }
    Ok(())
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
    };
    let rows: Vec<Vec<String>> =
        rooms.into_iter().map(|room| vec![room.name.to_string(), room.folder, rule(room.names).to_owned()]).collect();
    out.table(&["ROOM", "FOLDER", "NAMES"], &rows);
    Ok(Exit::Done)
}
