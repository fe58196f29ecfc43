//! Logging: lines on standard error; under systemd, entries of the journal with fields.

use crate::journal::Journal;
use sluse_protocol::roles::Role;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging for this process, which is a role or another. `SLUSE_LOG` sets the level (default `info`).
pub fn start(role: Option<Role>) {
    let filter = EnvFilter::try_from_env("SLUSE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = Journal::connected(role);
    let lines = journal
        .is_none()
        .then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false));
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(journal).with(lines).try_init();
}
