//! `sluse metrics`: the running zone's numbers in the OpenMetrics text format, printed, or put where node_exporter's textfile collector looks.

use crate::failure::{Ended, Failure};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_host::files;
use sluse_protocol::refusal::Exit;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of the longest answer: some ten thousand agreements.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// How long the zone may keep silent.
const WAIT: Duration = Duration::from_secs(20);

/// `sluse metrics`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    zone: ZoneFolder,
    /// Write them to this file in one step, for node_exporter (`--collector.textfile.directory`)
    #[arg(long, value_name = "FILE.prom")]
    textfile: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone does not answer, or the file cannot be written.
    pub fn run(self, out: &Output) -> Ended {
        let socket = self.zone.layout()?.metrics_socket();
        let answer = fetch(&socket).map_err(|error| {
            let failure = Failure::file(Exit::Temporary, "ask the zone at", &socket, &error);
            failure.hint("`slused control` answers there: does the zone run?")
        })?;
        let text = body(&answer)?;
        match &self.textfile {
            None => out.data(text),
            Some(file) => files::replace(file, text.as_bytes(), 0o644)
                .map_err(|error| Failure::file(Exit::Fault, "write", file, &error))?,
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

fn fetch(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    if stream.take(MAX_ANSWER).read_to_string(&mut answer)? as u64 == MAX_ANSWER {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(answer)
}

/// The numbers, whole.
fn body(answer: &str) -> Result<&str, Failure> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" if body.ends_with("# EOF\n") => Ok(body),
        "403" => Err(Failure::new(Exit::Refused, body.trim_end())
            .hint("`[control] monitors_group` in sluse.toml names the monitors' group")),
        "503" => Err(Failure::new(Exit::Temporary, body.trim_end())),
        _ => Err(Failure::new(Exit::Temporary, "the zone's answer is not whole").hint("try again")),
    }
}
