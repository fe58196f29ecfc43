//! `sluse zone backup`: database, keys and configuration of a running zone in one file that only the holder of an age identity opens.
//!
//! `control` copies the database, without any transfer's identity; everything else is read from the zone's folder, so that this is for
//! root, or for whoever made a zone whose roles are all one user.

use super::archive::{self, CHECKPOINT, DATABASE, Format, LIST, LIST_SIGNATURE, List, Member};
use super::sealed;
use crate::failure::{Ended, Failure};
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use age::x25519::Recipient;
use sha2::Digest as _;
use sluse_host::config::Zone;
use sluse_host::layout::Layout;
use sluse_host::{clock, files, keys};
use sluse_protocol::audit::{Position, parse_checkpoint};
use sluse_protocol::digest::Sha256;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::sshsig::NAMESPACE_BACKUP;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long `control` may take to copy the database, which goes at the pace of its disk.
const COPYING: Duration = Duration::from_secs(4 * 3600);

/// `sluse zone backup`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write; it must not exist
    file: PathBuf,
    /// Who may open it: an age recipient (`age1…`), whose identity is kept elsewhere
    #[arg(long, value_name = "RECIPIENT", value_parser = recipient)]
    to: Recipient,
    #[command(flatten)]
    zone: ZoneFolder,
}

fn recipient(text: &str) -> Result<Recipient, String> {
    text.parse().map_err(|error: &str| error.to_owned())
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone does not answer, something of it cannot be read, or the file cannot be written.
    pub fn run(self, out: &Output) -> Ended {
        let layout = self.zone.layout()?;
        let zone = Zone::load(&layout.config())?;
        if self.file.exists() {
            return Err(Failure::new(Exit::Usage, format!("{} exists", self.file.display())));
        }
        let operator = Operator::of(&zone.layout)?;
        let partial = partial(&self.file);
        let failed = |error: io::Error| Failure::file(Exit::Fault, "write", &self.file, &error);
        // Under its name it is whole, or not there.
        let written = write(&zone, &operator, &self.to, &partial)
            .and_then(|written| std::fs::rename(&partial, &self.file).map(|()| written).map_err(failed));
        if written.is_err() {
            // The first failure is the one to report.
            let _ = std::fs::remove_file(&partial);
        }
        let Written { list, left_out } = written?;
        sync_parent(&self.file).map_err(failed)?;
        if out.is_json() {
            let (made, audit, files) = (list.made, list.audit, list.files.len());
            out.object(&serde_json::json!({
                "file": self.file, "made": made, "audit": audit, "files": files, "left_out": left_out,
            }));
        } else {
            out.line(self.file.display().to_string());
            out.note(format!("{} files, an audit log of {} entries.", list.files.len(), list.audit.size));
            for file in &left_out {
                out.note(format!("Not in it, since it is not in the zone's folder: {}", file.display()));
            }
            out.note("It holds every key of the zone: who has the age identity has the zone. It holds no data.");
        }
        Ok(Exit::Done)
    }
}

fn partial(file: &Path) -> PathBuf {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn sync_parent(file: &Path) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    files::sync_folder(parent.unwrap_or(Path::new(".")))
}

/// A backup that was written.
struct Written {
    list: List,
    /// Files of outside authorities that are not there, or lie elsewhere than in the zone's folder.
    left_out: Vec<PathBuf>,
}

/// Writes the whole backup to a new file, durably.
fn write(zone: &Zone, operator: &Operator, to: &Recipient, file: &Path) -> Result<Written, Failure> {
    let failed = |error: io::Error| Failure::file(Exit::Fault, "write", file, &error);
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(to as _))
        .map_err(|error| Failure::new(Exit::Usage, "cannot encrypt to this recipient").because(&error))?;
    let encrypted = encryptor.wrap_output(io::BufWriter::with_capacity(256 * 1024, created)).map_err(failed)?;
    let mut archive = Archive { tar: tar::Builder::new(encrypted), members: Vec::new() };
    let layout = &zone.layout;
    let signing_key = keys::parse_signing_key(&sealed::read(layout, &layout.signing_key())?, &layout.signing_key())?;
    let audit = archive.database(operator)?;
    for path in archive::files_of(zone)? {
        // A document that was purged meanwhile is left out.
        archive.file(layout, &path, path.starts_with(layout.documents()))?;
    }
    let mut left_out = Vec::new();
    for path in archive::authorities_of(zone) {
        if !archive::is_within(layout, &path) || !archive.file(layout, &path, true)? {
            left_out.push(path);
        }
    }
    for path in archive::keys_of(layout) {
        let key = sealed::read(layout, &path)?;
        archive.add(&archive::name_of(layout, &path)?, key.len() as u64, &key[..])?;
    }
    let Archive { mut tar, members } = archive;
    let name = zone.settings.zone.name.clone();
    let list = List { sluse: Format::V1, zone: name, made: clock::now(), audit, files: members };
    let text = serde_json::to_vec(&list).map_err(|error| failed(error.into()))?;
    let signature = signing_key.sign(NAMESPACE_BACKUP, &text);
    append(&mut tar, LIST, text.len() as u64, &text[..]).map_err(failed)?;
    append(&mut tar, LIST_SIGNATURE, signature.len() as u64, signature.as_bytes()).map_err(failed)?;
    let finished =
        tar.into_inner().and_then(|encrypted| encrypted.finish()).and_then(|writer| Ok(writer.into_inner()?));
    finished.and_then(|file| file.sync_all()).map_err(failed)?;
    Ok(Written { list, left_out })
}

struct Archive<W: Write> {
    tar: tar::Builder<W>,
    members: Vec<Member>,
}

impl<W: Write> Archive<W> {
    /// The copy of the database that `control` takes now, and its checkpoint; where the log ends in it.
    fn database(&mut self, operator: &Operator) -> Result<Position, Failure> {
        let (reply, text) = operator.ask_within(COPYING, &OperatorRequest::Snapshot, &[])?;
        let OperatorReply::Snapshot { bytes, sha256, signature } = reply else { return Err(unexpected()) };
        let checkpoint = String::from_utf8(text).map_err(|_| unexpected())?;
        let (_, position) = parse_checkpoint(&checkpoint).ok_or_else(unexpected)?;
        let mut copy = Copy { operator, offset: 0, ready: io::Cursor::new(Vec::new()), failure: None };
        let added = self.add(DATABASE, bytes, &mut copy);
        if let Some(failure) = copy.failure.take() {
            return Err(failure);
        }
        if added? != sha256 {
            return Err(Failure::new(Exit::Temporary, "the copy of the database was replaced while it was read")
                .hint("another backup is being made: try again"));
        }
        // Asked for once more at its end, it is removed.
        copy.fetch()?;
        let both = format!("{checkpoint}{signature}");
        self.add(CHECKPOINT, both.len() as u64, both.as_bytes())?;
        Ok(position)
    }

    /// A file of the zone; whether it was there, where it need not be.
    fn file(&mut self, layout: &Layout, path: &Path, optional: bool) -> Result<bool, Failure> {
        let failed = |error: io::Error| {
            let failure = Failure::file(Exit::Configuration, "read", path, &error);
            if error.kind() == io::ErrorKind::PermissionDenied { failure.hint("run this as root") } else { failure }
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && optional => return Ok(false),
            other => other.map_err(failed)?,
        };
        let bytes = file.metadata().map_err(failed)?.len();
        self.add(&archive::name_of(layout, path)?, bytes, file).map(|_| true)
    }

    fn add(&mut self, name: &str, bytes: u64, content: impl Read) -> Result<Sha256, Failure> {
        let mut content = Hashed { content: content.take(bytes), hash: sha2::Sha256::new(), read: 0 };
        let added = append(&mut self.tar, name, bytes, &mut content);
        added.map_err(|error| Failure::new(Exit::Fault, format!("cannot add {name} to the backup")).because(&error))?;
        if content.read != bytes {
            let message = format!("{name} became shorter while it was read");
            return Err(Failure::new(Exit::Temporary, message).hint("try again"));
        }
        let sha256 = Sha256(content.hash.finalize().into());
        self.members.push(Member { path: name.to_owned(), bytes, sha256 });
        Ok(sha256)
    }
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: u64, content: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, name, content)
}

/// Hashes what is read through it.
struct Hashed<R> {
    content: R,
    hash: sha2::Sha256,
    read: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

/// The copy of the database, as `control` hands it out.
struct Copy<'a> {
    operator: &'a Operator,
    offset: u64,
    ready: io::Cursor<Vec<u8>>,
    failure: Option<Failure>,
}

impl Copy<'_> {
    fn fetch(&mut self) -> Result<(), Failure> {
        let ask = OperatorRequest::SnapshotBytes { offset: self.offset };
        let (OperatorReply::Document, bytes) = self.operator.ask(&ask, &[])? else { return Err(unexpected()) };
        self.offset += bytes.len() as u64;
        self.ready = io::Cursor::new(bytes);
        Ok(())
    }
}

impl Read for &mut Copy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ready.position() == self.ready.get_ref().len() as u64
            && let Err(failure) = self.fetch()
        {
            let error = io::Error::other(failure.message().to_owned());
            self.failure = Some(failure);
            return Err(error);
        }
        self.ready.read(buffer)
    }
}
