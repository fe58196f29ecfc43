//! A backup's members, as files in a folder, and its list of them.

use super::archive::{self, CHECKPOINT, DATABASE, LIST, LIST_SIGNATURE, List, Member};
use crate::failure::Failure;
use age::x25519::Identity;
use sha2::Digest as _;
use sluse_host::files;
use sluse_protocol::digest::Sha256;
use sluse_protocol::refusal::Exit;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Decrypts and unpacks; each member must be the one in the list, which comes last.
///
/// # Errors
/// When the backup cannot be read, or is not whole.
pub fn unpack(file: &Path, identity: &Identity, work: &Path) -> Result<List, Failure> {
    let damaged = |what: &str| Failure::new(Exit::Integrity, format!("{} {what}", file.display()));
    let broken = |error: io::Error| damaged("is damaged").because(&error);
    let opened = File::open(file).map_err(|e| Failure::file(Exit::Usage, "read", file, &e))?;
    let decryptor = age::Decryptor::new_buffered(io::BufReader::with_capacity(256 * 1024, opened));
    let decryptor = decryptor.map_err(|e| damaged("is not an age file").because(&e))?;
    let stream = decryptor.decrypt(std::iter::once(identity as _));
    let stream = stream.map_err(|e| damaged("does not open with this identity").because(&e))?;
    let (mut archive, mut unpacked, mut names) = (tar::Archive::new(stream), Vec::new(), BTreeSet::new());
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let plain = entry.header().entry_type() == tar::EntryType::Regular;
        if !plain || !archive::is_sound(&name) || !names.insert(name.clone()) {
            return Err(damaged("has a member that no backup has"));
        }
        let path = work.join(&name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.map_err(|e| Failure::file(Exit::Fault, "write", &path, &e))?;
        let (bytes, sha256) = keep(&mut entry, &path).map_err(broken)?;
        unpacked.push(Member { path: name, bytes, sha256 });
    }
    // What follows the archive's end is read too, so that a backup whose tail was cut off or changed is noticed.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    let ends: Vec<String> = unpacked.iter().rev().take(2).map(|member| member.path.clone()).collect();
    if ends != [LIST_SIGNATURE, LIST] {
        return Err(damaged("does not end with its list and signature"));
    }
    unpacked.truncate(unpacked.len() - 2);
    let text = files::read_bounded(&work.join(LIST), archive::MAX_LIST_BYTES).map_err(broken)?;
    let list: List =
        serde_json::from_slice(&text).map_err(|e| damaged("has a list that cannot be read").because(&e))?;
    let needed = [DATABASE, CHECKPOINT, "sluse.toml"];
    if list.files != unpacked || !needed.iter().all(|name| names.contains(*name)) {
        return Err(damaged("does not hold what its list says"));
    }
    Ok(list)
}

fn keep(content: &mut impl Read, path: &Path) -> io::Result<(u64, Sha256)> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (mut hash, mut bytes, mut step) = (sha2::Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let count = content.read(&mut step)?;
        if count == 0 {
            file.sync_all()?;
            return Ok((bytes, Sha256(hash.finalize().into())));
        }
        hash.update(&step[..count]);
        file.write_all(&step[..count])?;
        bytes += count as u64;
    }
}
