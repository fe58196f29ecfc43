//! The monitors' socket: HTTP/1.0 (RFC 1945) as far as a scraper needs it, one answer a connection. Who
//! connects is told by the kernel, and who may know the numbers by the system's groups, as at the operators' socket.

use crate::control::people::{self, People};
use crate::control::shared::Control;
use crate::{RoleError, doors};
use sluse_host::config::Zone;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of the longest request.
const MAX_REQUEST: usize = 8 * 1024;

/// How long a request may take to come, and an answer to be taken. One is served after the other, so nobody waits longer for each that is
/// before him.
const WAIT: Duration = Duration::from_secs(2);

/// Makes the socket. Where there are monitors, or powers are separated, anybody may connect; else it is the operators'.
///
/// # Errors
/// When it cannot be made.
pub fn listen(zone: &Zone, people: &People) -> Result<UnixListener, RoleError> {
    let path = zone.layout.metrics_socket();
    let anybody = people.separated() || people.has_monitors();
    doors::bind(&path, people.operators(), anybody).map_err(RoleError::io(path.display().to_string()))
}

/// Answers whoever connects, one after the other.
pub fn accept(control: &Arc<Control>, listener: &UnixListener) {
    for stream in listener.incoming() {
        let served = stream.and_then(|stream| serve(control, &stream));
        if let Err(error) = served {
            tracing::debug!(%error, "a monitor's connection failed");
        }
    }
}

fn serve(control: &Control, stream: &UnixStream) -> io::Result<()> {
    stream.set_write_timeout(Some(WAIT))?;
    let uid = people::peer(stream)?;
    let path = read_path(stream)?;
    let answer = match path.as_deref() {
        _ if !control.people.may_monitor(uid) => {
            Answer::plain("403 Forbidden", "only people of this zone, and monitors, may read this\n")
        }
        Some("/metrics") => match super::text(control) {
            Ok(body) => {
                Answer { status: "200 OK", kind: "application/openmetrics-text; version=1.0.0; charset=utf-8", body }
            }
            Err(failure) => {
                tracing::error!(%failure, "the numbers for monitoring cannot be told");
                Answer::plain("503 Service Unavailable", "the zone cannot tell its numbers now: its journal says why\n")
            }
        },
        Some(_) => Answer::plain("404 Not Found", "there is /metrics\n"),
        None => Answer::plain("400 Bad Request", "GET /metrics\n"),
    };
    answer.write(stream)
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn plain(status: &'static str, body: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.to_owned() }
    }

    fn write(&self, mut stream: &UnixStream) -> io::Result<()> {
        let Self { status, kind, body } = self;
        let length = body.len();
        write!(
            stream,
            "HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

/// The path of a GET whose head is complete; none of anything else.
fn read_path(mut stream: &UnixStream) -> io::Result<Option<String>> {
    let until = Instant::now() + WAIT;
    let (mut head, mut filled) = (vec![0; MAX_REQUEST], 0);
    while !head[..filled].windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut head[filled..])? {
            0 => return Ok(None),
            count => filled += count,
        }
    }
    let line = head[..filled].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let path = words.next().filter(|method| *method == "GET").and_then(|_| words.next());
    Ok(path.map(str::to_owned))
}
