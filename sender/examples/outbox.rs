//! Sends what is put into outboxes until its first delivery: `outbox CONFIG`, a file as config/watch.toml.

use sluse_sender::watch::{Happening, Settings, Watcher, What};
use std::error::Error;
use std::io::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("usage: outbox CONFIG")?;
    let settings = Settings::load(Path::new(&file))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let watcher = Watcher::new(settings)?;
    let stopper = watcher.stopper();
    let mut tell = |happening: &Happening| {
        if let What::Delivered = happening.what {
            let transfer = happening.transfer.as_ref().map(ToString::to_string).unwrap_or_default();
            // Nobody has to hear it.
            let _ = writeln!(std::io::stdout(), "{transfer} was delivered");
            // What is under way goes on at the next start.
            stopper.stop();
        }
    };
    // The second closure is called as long as the watcher goes on: for a service's watchdog.
    watcher.run(&mut tell, &mut || ())?;
    Ok(())
}
