//! Logging: lines on standard error; under systemd they reach the journal from there.

use tracing_subscriber::EnvFilter;

/// Starts logging for this process. `SLUSE_LOG` sets the level (default `info`).
pub fn start() {
    let filter = EnvFilter::try_from_env("SLUSE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // A second start in one process (tests) keeps the first.
    let _ = layer.with_target(false).try_init();
}
