//! Private keys that lie in a zone encrypted for its host, as `sluse-setup` leaves them, and systemd hands them to the units.

use crate::failure::Failure;
use sluse_host::files;
use sluse_host::layout::Layout;
use sluse_protocol::refusal::Exit;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of the longest key file.
const MAX_KEY_BYTES: u64 = 64 * 1024;

/// Bytes that are read of what `systemd-creds` complains about.
const MAX_COMPLAINT_BYTES: u64 = 4096;

/// How long decrypting may take: a TPM needs a second or two.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often it is asked whether that has ended.
const STEP: Duration = Duration::from_millis(10);

/// Where a private key lies encrypted for this host, if it does.
pub fn credential(layout: &Layout, key: &Path) -> Option<PathBuf> {
    key.file_name().map(|name| layout.credentials().join(name)).filter(|credential| credential.exists())
}

/// The file in which a private key is, encrypted or in the clear.
pub fn held(layout: &Layout, key: PathBuf) -> PathBuf {
    credential(layout, &key).unwrap_or(key)
}

/// A private key as its file says it in the clear: read there, or decrypted where it lies encrypted.
///
/// # Errors
/// When it cannot be read, or this host does not decrypt it.
pub fn read(layout: &Layout, key: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(credential) = credential(layout, key) {
        return decrypt(&credential);
    }
    let read = files::read_bounded(key, MAX_KEY_BYTES).map(Zeroizing::new);
    read.map_err(|error| {
        let failure = Failure::file(Exit::Configuration, "read", key, &error);
        if error.kind() == io::ErrorKind::PermissionDenied { failure.hint("run this as root") } else { failure }
    })
}

fn decrypt(credential: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = || {
        Failure::new(Exit::Configuration, format!("cannot decrypt {}", credential.display()))
            .hint("run this as root, on the host for which `sluse-setup` encrypted it")
    };
    let broken = |error: io::Error| failed().because(&error);
    let name = credential.file_name().unwrap_or_default().to_string_lossy();
    let mut command = Command::new("systemd-creds");
    command.arg("decrypt").arg(format!("--name={name}")).arg(credential).arg("-");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(broken)?;
    let (output, complaint) = (child.stdout.take(), child.stderr.take());
    // Both are read meanwhile, so that it cannot wait for us; each ends with it, at the deadline at the latest.
    let output = std::thread::spawn(move || bounded(output, MAX_KEY_BYTES + 1));
    let complaint = std::thread::spawn(move || bounded(complaint, MAX_COMPLAINT_BYTES));
    let status = end(&mut child).map_err(broken)?;
    let panicked = |_| io::Error::other("a thread panicked");
    let key = output.join().map_err(panicked).flatten().map_err(broken)?;
    let complaint = complaint.join().map_err(panicked).flatten().map_err(broken)?;
    match status {
        None => Err(failed().cause(format!("systemd-creds did not end within {} s", DEADLINE.as_secs()))),
        Some(status) if !status.success() => {
            Err(failed().cause(format!("systemd-creds: {}", String::from_utf8_lossy(&complaint).trim())))
        }
        Some(_) if key.len() as u64 > MAX_KEY_BYTES => Err(failed().cause("it is too long for a key")),
        Some(_) => Ok(key),
    }
}

fn bounded(stream: Option<impl Read>, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // At once as long as it may become: growing would leave copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_BYTES as usize + 1));
    stream.map_or(Ok(0), |stream| stream.take(limit).read_to_end(&mut bytes))?;
    Ok(bytes)
}

/// How the process ended; `None` when it had to be killed at the deadline.
fn end(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            return child.wait().map(|_| None);
        }
        std::thread::sleep(STEP);
    }
}
