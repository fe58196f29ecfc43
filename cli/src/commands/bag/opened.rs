//! The files of a bag that was encrypted to its room's key, opened.

use super::Problems;
use super::manifests;
use crate::failure::Failure;
use age::x25519::Identity;
use sha2::Digest as _;
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::path::DataPath;
use sluse_protocol::refusal::Exit;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write};
use std::path::Path;

/// Bytes read at once.
const STEP: usize = 256 * 1024;

/// Reads the identity that age-keygen wrote.
///
/// # Errors
/// When the file cannot be read, may be read by others, or has no identity or several.
pub fn read_identity(file: &Path) -> Result<Identity, Failure> {
    let bytes = files::read_private(file).map_err(|error| Failure::file(Exit::Usage, "read", file, &error))?;
    let lines = std::str::from_utf8(&bytes).unwrap_or_default().lines().map(str::trim);
    let mut keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (keys.next().and_then(|key| key.parse().ok()), keys.next()) {
        (Some(identity), None) => Ok(identity),
        _ => Err(Failure::new(Exit::Usage, format!("{} is not one age identity (X25519)", file.display()))
            .hint("age-keygen -o room-identity makes one")),
    }
}

/// What comes out of each file, compared with the bag's list of it; what is wrong, problem by problem.
///
/// # Errors
/// When the bag is not encrypted, or cannot be read.
pub fn check(dir: &Path, identity: &Identity) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for (path, expected) in plain(dir)? {
        match open(&dir.join(&path), identity, &mut io::sink()) {
            Ok(digest) if digest == expected => {}
            Ok(_) => problems.push(format!("{path} decrypts to something else than the bag says")),
            Err(error) => problems.push(format!("{path} does not decrypt: {error}")),
        }
    }
    Ok(problems)
}

/// Decrypts every file of a bag into `to`, a new folder; how many.
///
/// # Errors
/// When the bag is not encrypted, a file is not what the bag says, or something cannot be read or written.
pub fn decrypt(dir: &Path, identity: &Identity, to: &Path) -> Result<u64, Failure> {
    let listed = plain(dir)?;
    fs::create_dir(to).map_err(unwritten(to))?;
    let mut count = 0;
    for (path, expected) in listed {
        // As any other program we take paths of a bag for what others wrote.
        let inner = path.strip_prefix("data/").and_then(|inner| inner.parse::<DataPath>().ok());
        let Some(inner) = inner else {
            return Err(Failure::new(Exit::Integrity, format!("the bag lists {path}, which is no path below data/")));
        };
        let target = to.join(inner.as_str());
        target.parent().map_or(Ok(()), fs::create_dir_all).map_err(unwritten(&target))?;
        let mut file = File::create_new(&target).map_err(unwritten(&target))?;
        let decrypted = open(&dir.join(&path), identity, &mut file);
        let bad = |what: &str| {
            let failure = Failure::new(Exit::Integrity, format!("{path} {what}"));
            failure.hint(format!("do not use what lies in {}", to.display()))
        };
        match decrypted {
            Ok(digest) if digest == expected => count += 1,
            Ok(_) => return Err(bad("decrypts to something else than the bag says")),
            Err(error) => return Err(bad("does not decrypt").because(&error)),
        }
        keep_facts(&dir.join(&path), &file).map_err(unwritten(&target))?;
        file.sync_all().map_err(unwritten(&target))?;
    }
    Ok(count)
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> Failure + '_ {
    move |error| Failure::file(Exit::Fault, "write", path, &error)
}

/// Time and executable bit of a file as it stands in the bag.
fn keep_facts(from: &Path, to: &File) -> io::Result<()> {
    let facts = fs::metadata(from)?;
    to.set_permissions(facts.permissions())?;
    to.set_modified(facts.modified()?)
}

fn plain(dir: &Path) -> Result<BTreeMap<String, Sha256>, Failure> {
    let mut problems = Problems::default();
    let listed = manifests::read(dir, &mut problems)?;
    let plain = listed.plain().filter(|_| problems.0.is_empty()).cloned();
    plain.ok_or_else(|| Failure::new(Exit::Usage, format!("{} is no bag that is encrypted", dir.display())))
}

fn open(file: &Path, identity: &Identity, out: &mut dyn Write) -> io::Result<Sha256> {
    let decryptor = age::Decryptor::new_buffered(BufReader::new(File::open(file)?)).map_err(io::Error::other)?;
    let mut plain = decryptor.decrypt(std::iter::once(identity as _)).map_err(io::Error::other)?;
    let (mut hash, mut buffer) = (sha2::Sha256::new(), vec![0; STEP]);
    loop {
        let count = plain.read(&mut buffer)?;
        if count == 0 {
            return Ok(Sha256(hash.finalize().into()));
        }
        hash.update(&buffer[..count]);
        out.write_all(&buffer[..count])?;
    }
}
