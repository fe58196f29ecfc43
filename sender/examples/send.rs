//! Sends files and folders, and waits until they stand in their room: `send IDENTITY AGREEMENT DATASET PATH…`.
//!
//! It ends as `sluse send` would: with 0 when the dataset was delivered, and otherwise with the code of what happened.

use sluse_protocol::refusal::Exit;
use sluse_sender::{Identity, Options, Outcome, Progress, Wait, send};
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [identity, agreement, dataset, paths @ ..] = words.as_slice() else {
        return Err("usage: send IDENTITY AGREEMENT DATASET PATH…".into());
    };
    let identity = Identity::load(Path::new(identity))?;
    let paths = paths.iter().map(PathBuf::from).collect();
    let options = Options::new(paths, agreement.parse()?, dataset.parse()?);
    // The same unchanged files are the same transfer: whoever was interrupted calls this again.
    match send(&identity, &Options { wait: Wait::Delivered, ..options }, &mut show) {
        Ok(outcome) => tell(&outcome),
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            writeln!(std::io::stderr(), "not sent: {error}\nhint: {hint}")?;
            Ok(ExitCode::from(error.exit() as u8))
        }
    }
}

/// Progress comes on this thread; what takes long here holds up the sending.
fn show(progress: Progress) {
    if let Progress::Durable { bytes } = progress {
        // Nobody has to hear it.
        let _ = writeln!(std::io::stderr(), "{bytes} bytes are durable");
    }
}

fn tell(outcome: &Outcome) -> Result<ExitCode, Box<dyn Error>> {
    let mut out = std::io::stdout();
    writeln!(out, "{} is {}", outcome.transfer, outcome.state)?;
    for (kind, file) in &outcome.receipts {
        writeln!(out, "{kind}: {}", file.display())?;
    }
    if outcome.exit() != Exit::Done {
        let why = outcome.reason.as_ref().map(ToString::to_string).unwrap_or_default();
        writeln!(std::io::stderr(), "not delivered: {why}\nhint: {}", outcome.hint().unwrap_or_default())?;
    }
    Ok(ExitCode::from(outcome.exit() as u8))
}
