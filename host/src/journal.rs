//! The journal's own protocol: an entry with fields of its own, which `journalctl` can select by.
//!
//! `journalctl SLUSE_TRANSFER=…` finds everything about a transfer. Only what [`FIELDS`] names becomes a field. One datagram
//! is one entry (systemd's "Native Journal Protocol").

use sluse_protocol::roles::Role;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where the journal listens. A unit with a namespace of its own finds that one's there.
const SOCKET: &str = "/run/systemd/journal/socket";

/// What an event calls it, and the journal's field. Besides, every entry of a role has `SLUSE_ROLE`.
const FIELDS: [(&str, &str); 4] = [
    ("transfer", "SLUSE_TRANSFER"),
    ("agreement", "SLUSE_AGREEMENT"),
    ("source", "SLUSE_SOURCE"),
    ("code", "SLUSE_CODE"),
];

/// Sends events to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    role: Option<Role>,
}

impl Journal {
    /// The journal, where the service manager connected standard error to it; `role` is this process's.
    pub fn connected(role: Option<Role>) -> Option<Self> {
        let connected = std::env::var("JOURNAL_STREAM").ok()?;
        let error = std::fs::metadata("/proc/self/fd/2").ok()?;
        if connected != format!("{}:{}", error.dev(), error.ino()) || !Path::new(SOCKET).exists() {
            return None;
        }
        // Not connected: the journal may be started again.
        UnixDatagram::unbound().ok().map(|socket| Self { socket, role })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = Entry::of(event, self.role);
        if self.socket.send_to(&entry.encode(), SOCKET).is_err() {
            // Standard error is the journal's too, line by line. Where it is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", entry.message);
        }
    }
}

/// One entry.
struct Entry {
    message: String,
    priority: u8,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    fn of(event: &Event<'_>, role: Option<Role>) -> Self {
        let mut said = Said::default();
        said.fields.extend(role.map(|role| ("SLUSE_ROLE", role.to_string())));
        event.record(&mut said);
        // syslog's numbers.
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        Self { message: said.message + &said.others, priority, fields: said.fields }
    }

    /// Every field with its length: whatever its text, it ends no field and begins none.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("PRIORITY={}\n", self.priority).into_bytes();
        let fields = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in fields.chain([("MESSAGE", self.message.as_str())]) {
            bytes.extend(name.bytes().chain([b'\n']));
            bytes.extend((value.len() as u64).to_le_bytes());
            bytes.extend(value.bytes().chain([b'\n']));
        }
        bytes
    }
}

/// What an event says, apart from [`FIELDS`] also as text.
#[derive(Default)]
struct Said {
    message: String,
    others: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
            return;
        }
        // A String takes whatever is written to it.
        let _ = write!(self.others, " {}={text}", field.name());
        if let Some((_, name)) = FIELDS.iter().find(|(event, _)| *event == field.name()) {
            self.fields.push((name, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt as _;

    /// Keeps what would be sent.
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().unwrap() = Entry::of(event, Some(Role::Receive)).encode();
        }
    }

    #[test]
    fn an_entry_has_the_known_fields_and_says_the_rest_in_its_message() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Kept(Arc::clone(&sent)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(transfer = %"01J", code = "no-space", files = 3, "first\nPRIORITY=0");
        });
        let framed = |name: &str, value: &str| {
            [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value.as_bytes(), b"\n"].concat()
        };
        let expected = [
            b"PRIORITY=4\n".to_vec(),
            framed("SLUSE_ROLE", "receive"),
            framed("SLUSE_TRANSFER", "01J"),
            framed("SLUSE_CODE", "no-space"),
            framed("MESSAGE", "first\nPRIORITY=0 transfer=01J code=no-space files=3"),
        ];
        assert_eq!(*sent.lock().unwrap(), expected.concat());
    }
}
