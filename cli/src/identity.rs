//! Who a source's command speaks for, and how the sender's errors are printed.

use crate::failure::Failure;
use crate::output::Output;
use sluse_sender::{Error, Identity};
use std::path::{Path, PathBuf};

/// The option that names the source's identity.
#[derive(Debug, clap::Args)]
pub struct IdentityFolder {
    /// The source's identity folder, made by `sluse enroll`
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
}

impl IdentityFolder {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.identity
    }

    /// The identity in it.
    ///
    /// # Errors
    /// When no source is enrolled there, or the folder is damaged.
    pub fn load(&self) -> Result<Identity, Failure> {
        Ok(Identity::load(&self.identity)?)
    }
}

impl IdentityFolder {
    /// Says when the certificate should have been renewed long ago.
    pub fn warn(&self, out: &Output) {
        // Read anew: it may have been renewed meanwhile.
        let Ok(identity) = Identity::load(&self.identity) else { return };
        let (validity, now) = (identity.validity(), sluse_host::clock::now());
        if validity.is_in_last(4, now) {
            let whom = if identity.has_own_certificate() {
                "have its authority renew it"
            } else {
                "ask the zone's operator if this stays"
            };
            let until = validity.until;
            out.note(format!("This host's certificate is good until {until} and was not renewed yet: {whom}."));
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = error.hint().unwrap_or_default();
        let exit = error.exit();
        let failure = match &error {
            Error::Refused(refusal) => return refusal.clone().into(),
            Error::Unsendable(unsendable) => {
                let named = unsendable.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.what));
                let more = (unsendable.more > 0).then(|| format!("and {} more", unsendable.more));
                named.chain(more).fold(Failure::new(exit, "these cannot be sent"), Failure::cause)
            }
            _ => {
                let failure = Failure::new(exit, error.to_string());
                std::error::Error::source(&error).into_iter().fold(failure, Failure::because)
            }
        };
        failure.hint(hint)
    }
}
