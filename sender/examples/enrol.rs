//! Turns an invite into an identity folder: `enrol INVITE IDENTITY`.

use sluse_sender::{Identity, enrol};
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(invite), Some(folder)) = (words.next(), words.next()) else {
        return Err("usage: enrol INVITE IDENTITY".into());
    };
    let enrolled = enrol(&std::fs::read_to_string(invite)?, &folder, None)?;
    // What was made is read as it will be read to send.
    let identity = Identity::load(&enrolled.folder)?;
    write_line(&format!("{} is enrolled at {}", identity.source(), identity.zone()))
}

fn write_line(text: &str) -> Result<(), Box<dyn Error>> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
