//! `systemd-creds`, which encrypts keys for this host and decrypts them (Debian: systemd).

use crate::failure::Failure;
use sluse_protocol::refusal::Exit;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of the longest key file; an encrypted one is longer by a half at most.
pub const MAX_KEY_BYTES: u64 = 64 * 1024;

/// Bytes that are read of what `systemd-creds` complains about.
const MAX_COMPLAINT_BYTES: u64 = 4096;

/// How long it may take: a TPM needs a second or two.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often it is asked whether that has ended.
const STEP: Duration = Duration::from_millis(10);

/// Decrypts what lies in a file, which was encrypted under a name.
///
/// # Errors
/// When this host does not decrypt it.
pub fn decrypt(name: &str, file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = || {
        Failure::new(Exit::Configuration, format!("cannot decrypt {}", file.display()))
            .hint("run this as root, on the host for which `sluse-setup` encrypted it")
    };
    run("decrypt", name, file, &[]).map_err(|error| failed().because(&error))
}

/// Encrypts a key for this host, under a name.
///
/// # Errors
/// When this host does not encrypt it.
pub fn encrypt(name: &str, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = || Failure::new(Exit::Fault, format!("cannot encrypt {name} for this host")).hint("run this as root");
    run("encrypt", name, Path::new("-"), key).map_err(|error| failed().because(&error))
}

fn run(verb: &str, name: &str, file: &Path, input: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut command = Command::new("systemd-creds");
    command.arg(verb).arg(format!("--name={name}")).arg(file).arg("-");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdin, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // Both are read meanwhile, so that it cannot wait for us; each ends with it, at the deadline at the latest.
    let output = std::thread::spawn(move || bounded(output, MAX_KEY_BYTES * 2));
    let complaint = std::thread::spawn(move || bounded(complaint, MAX_COMPLAINT_BYTES));
    // A pipe holds a key whole: writing does not wait. What does not read it to its end says why itself.
    let told = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let status = end(&mut child)?;
    let panicked = |_| io::Error::other("a thread panicked");
    let output = output.join().map_err(panicked).flatten()?;
    let complaint = complaint.join().map_err(panicked).flatten()?;
    match status {
        None => Err(io::Error::other(format!("systemd-creds did not end within {} s", DEADLINE.as_secs()))),
        Some(status) if !status.success() => {
            Err(io::Error::other(format!("systemd-creds: {}", String::from_utf8_lossy(&complaint).trim())))
        }
        Some(_) if output.len() as u64 == MAX_KEY_BYTES * 2 => Err(io::Error::other("it is too long for a key")),
        Some(_) => told.map(|()| output),
    }
}

fn bounded(stream: Option<impl Read>, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // At once as long as it may become: growing would leave copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit as usize + 1));
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
