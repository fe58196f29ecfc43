//! `sluse update import`: a bundle's way from a file to its place.
//!
//! It is copied, and its signature checked over the copy, before anything of it is parsed; it is unpacked, and everything about it
//! checked, before `control` is asked; and nothing in place changes before `control` has admitted it. What is refused is in the audit log.

use super::bundle;
use super::place::Placed;
use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use nix::unistd::Uid;
use serde::Serialize;
use sluse_host::config::Zone;
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::operator::OperatorRequest;
use sluse_protocol::refusal::{Code, Exit, Refusal};
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::update::{Kind, Step};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes of the longest signature.
const MAX_SIGNATURE_BYTES: u64 = 8192;

/// `sluse update import`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle; its signature lies beside it under the same name with `.sig` at its end
    file: PathBuf,
}

/// Why a bundle is not in place.
enum Stop {
    /// It was found here: the log does not know of it yet.
    Here(Refusal),
    /// `control` refused, which logs that itself, or cannot be asked.
    There(Failure),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Here(refusal)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::There(failure)
    }
}

/// What was put in place.
#[derive(Debug, Serialize)]
struct Done {
    kind: Kind,
    number: u64,
    bundle: Sha256,
    key: String,
    files: Vec<String>,
    note: &'static str,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Why the bundle is not in place.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let zone = Zone::load(&zone.layout()?.config())?;
        check_user(&zone)?;
        let file = self.open()?;
        let operator = Operator::of(&zone.layout)?;
        let desk = Desk::claim(&zone)?;
        let mut bundle = None;
        match self.import(file, &zone, &operator, &desk, &mut bundle) {
            Ok(done) => {
                tell(out, &done);
                Ok(Exit::Done)
            }
            Err(Stop::Here(refusal)) => {
                operator.act(&step(Step::Refused { code: refusal.code, bundle }), &[])?;
                Err(refusal.into())
            }
            Err(Stop::There(failure)) => Err(failure),
        }
    }

    fn open(&self) -> Result<File, Failure> {
        let failed = |error: io::Error| Failure::file(Exit::Usage, "read", &self.file, &error);
        let file = File::open(&self.file).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Failure::new(Exit::Usage, format!("{} is not a file", self.file.display())));
        }
        Ok(file)
    }

    /// Takes the steps; `bundle` is told as soon as it is known.
    fn import(
        &self,
        file: File,
        zone: &Zone,
        operator: &Operator,
        desk: &Desk,
        bundle: &mut Option<Sha256>,
    ) -> Result<Done, Stop> {
        let taken = bundle::take(file, &desk.copy())?;
        *bundle = Some(taken.sha256);
        let keys: Vec<PublicKey> = zone.settings.updates.keys().collect();
        let key = taken.signed_by(&keys, &self.signature()?)?;
        let unpacked = bundle::unpack(&desk.copy(), &desk.files())?;
        let head = unpacked.head;
        let placed = Placed::find(zone, head.kind, &desk.files(), &unpacked.names)?;
        let admit = Step::Admit { kind: head.kind, number: head.number, bundle: taken.sha256, key: key.to_openssh() };
        operator.act(&step(admit), &[])?;
        placed.put()?;
        operator.act(&step(Step::Applied { kind: head.kind, bundle: taken.sha256 }), &[])?;
        Ok(Done {
            kind: head.kind,
            number: head.number,
            bundle: taken.sha256,
            key: key.fingerprint(),
            files: unpacked.names,
            note: placed.tell(),
        })
    }

    fn signature(&self) -> Result<String, Refusal> {
        let mut path = self.file.clone().into_os_string();
        path.push(".sig");
        let bytes = files::read_bounded(Path::new(&path), MAX_SIGNATURE_BYTES).map_err(|error| {
            Refusal::new(Code::UpdateUnsigned, format!("no signature beside it can be read: {error}"))
                .hint("`ssh-keygen -Y sign -n sluse-update -f KEY FILE` makes FILE.sig; bring both")
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn step(step: Step) -> OperatorRequest {
    OperatorRequest::Update { step }
}

/// Only who has the zone's files can put something among them.
fn check_user(zone: &Zone) -> Result<(), Failure> {
    let trust = zone.layout.trust();
    let owner = std::fs::metadata(&trust).map_err(|e| Failure::file(Exit::Configuration, "open", &trust, &e))?.uid();
    if !Uid::effective().is_root() && Uid::effective().as_raw() != owner {
        return Err(Failure::new(Exit::Refused, "only root, or who made the zone, can put an update in place"));
    }
    Ok(())
}

/// Where one bundle at a time is unpacked. What a kill leaves there is removed by the next.
struct Desk {
    folder: PathBuf,
    /// Open, and so locked, for as long as this is.
    _lock: File,
}

impl Desk {
    fn claim(zone: &Zone) -> Result<Self, Failure> {
        let updates = zone.layout.updates();
        let failed = |error: io::Error| Failure::file(Exit::Fault, "unpack updates in", &updates, &error);
        files::create_folder(&updates, 0o700).map_err(failed)?;
        let lock = File::create(updates.join("lock")).map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(Failure::new(Exit::Temporary, "another update is being imported").hint("wait for it"));
        }
        let desk = Self { folder: updates.join("incoming"), _lock: lock };
        desk.clear().map_err(failed)?;
        files::create_folder(&desk.folder, 0o700).map_err(failed)?;
        files::create_folder(&desk.files(), 0o700).map_err(failed)?;
        Ok(desk)
    }

    fn copy(&self) -> PathBuf {
        self.folder.join("bundle.tar")
    }

    fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    fn clear(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // What stays is removed by the next.
        let _ = self.clear();
    }
}

fn tell(out: &Output, done: &Done) {
    if out.is_json() {
        return out.object(done);
    }
    out.line(format!("{} {}: in place, signed by {}", done.kind, done.number, done.key));
    done.files.iter().for_each(|file| out.line(format!("  {file}")));
    out.note(done.note);
}
