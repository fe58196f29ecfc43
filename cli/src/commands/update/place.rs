//! Where the files of an update go, and how they get there: a file is the old one or the new one, whole.

use super::bundle::{failed, malformed};
use super::system;
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::update::Kind;
use slused::inspect::engines::signatures::SignaturesEngine;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of the longest list of what an update brought.
const MAX_LIST_BYTES: u64 = 64 * 1024;

/// How long clamd may take to answer.
const CLAMD_TIMEOUT: Duration = Duration::from_secs(5);

/// An unpacked update whose every file has a place.
pub struct Placed<'z> {
    zone: &'z Zone,
    kind: Kind,
    unpacked: PathBuf,
    /// Each file's name, and where it goes; none for what the appliance's own program puts in place.
    places: Vec<(String, PathBuf)>,
}

impl<'z> Placed<'z> {
    /// Finds the place of each file, and looks at what whoever reads them would not take.
    ///
    /// # Errors
    /// When there is no place for one, or it is not what it should be.
    pub fn find(zone: &'z Zone, kind: Kind, unpacked: &Path, names: &[String]) -> Result<Self, Refusal> {
        let all_in = |folder: PathBuf| names.iter().map(|name| (name.clone(), folder.join(name))).collect();
        let places: Vec<(String, PathBuf)> = match kind {
            Kind::Signatures => {
                SignaturesEngine::load(unpacked).map_err(|error| {
                    let file = error.file.file_name().unwrap_or_default().display();
                    malformed(format!("{file}, line {}: {}", error.line, error.message))
                })?;
                all_in(zone.signatures())
            }
            Kind::Clamd | Kind::Yara => {
                let folder = zone.clamd_databases().filter(|folder| folder.is_dir());
                let none = || {
                    Refusal::new(
                        Code::UpdateNoPlace,
                        "no folder of clamd's databases is configured, or it is not there",
                    )
                };
                all_in(folder.ok_or_else(none)?)
            }
            Kind::Revocations => names.iter().map(|name| list_of(zone, name)).collect::<Result<_, _>>()?,
            Kind::System => {
                system::check(unpacked)?;
                Vec::new()
            }
        };
        Ok(Self { zone, kind, unpacked: unpacked.to_owned(), places })
    }

    /// Puts them there, and takes away what the update before brought and this one does not. What was interrupted is mended by doing it
    /// again.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn put(&self) -> Result<(), Refusal> {
        if self.kind == Kind::System {
            return system::install(&self.unpacked);
        }
        let brought: BTreeSet<String> = self.places.iter().map(|(name, _)| name.clone()).collect();
        let before = self.read_list().map_err(failed("read what the update before brought"))?;
        self.write_list(&(&before | &brought)).map_err(failed("note what it brings"))?;
        for (name, place) in &self.places {
            copy(&self.unpacked.join(name), &temporary(place)).map_err(failed("write the update"))?;
        }
        for (_, place) in &self.places {
            std::fs::rename(temporary(place), place).map_err(failed("put the update in place"))?;
        }
        // A revocation list that is configured stays: without it nobody would be let in.
        let folder = self.places.first().and_then(|(_, place)| place.parent());
        if let Some(folder) = folder.filter(|_| self.kind != Kind::Revocations) {
            for name in before.difference(&brought) {
                remove(&folder.join(name)).map_err(failed("take the update before away"))?;
            }
        }
        let folders: BTreeSet<_> = self.places.iter().filter_map(|(_, place)| place.parent()).collect();
        folders.into_iter().try_for_each(files::sync_folder).map_err(failed("make the update durable"))?;
        self.write_list(&brought).map_err(failed("note what it brought"))
    }

    /// Tells whoever reads the files, and says what is to be known of that.
    pub fn tell(&self) -> &'static str {
        match self.kind {
            Kind::Signatures => "inspect reads them within ten minutes.",
            Kind::Revocations => "They are read within seconds.",
            Kind::System => "It starts at the next restart; what does not come up is left for what ran before.",
            Kind::Clamd | Kind::Yara => match self.zone.clamd_socket().map(|socket| reload(&socket)) {
                Some(Ok(())) => "clamd reads them now.",
                _ => "clamd was not told, and reads them when it starts, or looks by itself.",
            },
        }
    }

    fn list(&self) -> PathBuf {
        self.zone.layout.updates().join(format!("{}.files", self.kind))
    }

    /// The names of what the update before brought.
    fn read_list(&self) -> io::Result<BTreeSet<String>> {
        let bytes = match files::read_bounded(&self.list(), MAX_LIST_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            other => other?,
        };
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().filter(|name| self.kind.takes(name)).map(str::to_owned).collect())
    }

    fn write_list(&self, names: &BTreeSet<String>) -> io::Result<()> {
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        files::replace(&self.list(), text.as_bytes(), 0o600)
    }
}

/// The revocation list of that name that the configuration has.
fn list_of(zone: &Zone, name: &str) -> Result<(String, PathBuf), Refusal> {
    let mut lists = zone.settings.authorities.iter().flat_map(|authority| &authority.revocation_lists);
    let list = lists.find(|list| list.file_name().is_some_and(|file| file == name));
    let none =
        || Refusal::new(Code::UpdateNoPlace, format!("no authority in sluse.toml has a revocation list called {name}"));
    list.map(|list| (name.to_owned(), zone.layout.root().join(list))).ok_or_else(none)
}

/// Where a file is written before it takes its name: nobody who reads the folder knows the ending.
fn temporary(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    place.with_file_name(format!(".{name}.new"))
}

/// Copies a file durably. The folder may be another user's, who must not lead the writing elsewhere: what has the name is removed, and
/// nothing that takes it again is followed.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    remove(to)?;
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(to)?;
    io::copy(&mut File::open(from)?, &mut written)?;
    // Whatever this process's umask is, the roles and clamd are to read it.
    written.set_permissions(Permissions::from_mode(0o644))?;
    written.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn reload(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(CLAMD_TIMEOUT))?;
    stream.set_write_timeout(Some(CLAMD_TIMEOUT))?;
    stream.write_all(b"zRELOAD\0")?;
    let mut answer = Vec::new();
    stream.take(16).read_to_end(&mut answer)?;
    if answer == b"RELOADING\0" { Ok(()) } else { Err(io::Error::other("it is something else that answers")) }
}
