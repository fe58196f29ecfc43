//! Which landing zone an operator's command is about.

use crate::failure::Failure;
use sluse_host::layout::Layout;
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// Where a zone is looked for when neither option nor environment names one.
const USUAL_FOLDERS: [&str; 2] = ["/etc/sluse", "/var/lib/sluse"];

/// The option that names the landing zone.
#[derive(Debug, clap::Args)]
pub struct ZoneFolder {
    /// The landing zone's folder [default: $SLUSE_ZONE, else /etc/sluse or /var/lib/sluse]
    #[arg(long, value_name = "DIR", global = true)]
    zone: Option<PathBuf>,
}

impl ZoneFolder {
    /// The zone's paths.
    ///
    /// # Errors
    /// When there is no zone where it is said to be, or in none of the usual folders.
    pub fn layout(&self) -> Result<Layout, Failure> {
        let named = self.zone.clone().or_else(|| std::env::var_os("SLUSE_ZONE").map(PathBuf::from));
        let Some(folder) = named.or_else(|| USUAL_FOLDERS.map(PathBuf::from).into_iter().find(|dir| is_zone(dir)))
        else {
            return Err(Failure::new(Exit::Configuration, "no landing zone is named, and there is none in /etc/sluse")
                .hint("name it: --zone DIR, or the environment variable SLUSE_ZONE")
                .hint("`sluse zone init DIR` makes a new one, `sluse demo` shows one"));
        };
        if !is_zone(&folder) {
            return Err(Failure::new(
                Exit::Configuration,
                format!("{} is not a landing zone: it has no sluse.toml", folder.display()),
            )
            .hint("`sluse zone init DIR` makes a new one"));
        }
        let root = folder.canonicalize().map_err(|e| Failure::file(Exit::Configuration, "open", &folder, &e))?;
        Ok(Layout::new(root))
    }
}

fn is_zone(folder: &Path) -> bool {
    Layout::new(folder).config().exists()
}
