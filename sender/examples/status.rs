//! What became of everything that was sent: `status IDENTITY`.

use sluse_sender::{Identity, status};
use std::error::Error;
use std::io::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: status IDENTITY")?;
    let identity = Identity::load(Path::new(&folder))?;
    let mut out = std::io::stdout();
    for known in status(&identity, None)? {
        let why = known.status.reason.map(|reason| reason.code.to_string()).unwrap_or_default();
        writeln!(out, "{} {} {} {why}", known.status.transfer, known.status.state, known.status.dataset)?;
    }
    Ok(())
}
