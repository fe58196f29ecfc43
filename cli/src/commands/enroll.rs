//! `sluse enroll`: on the source's host, an invite becomes an identity.

use crate::failure::{Ended, Failure};
use crate::identity::IdentityFolder;
use crate::output::Output;
use sluse_host::files;
use sluse_protocol::refusal::Exit;
use sluse_sender::{Enrolled, MAX_INVITE_BYTES, OwnCertificate};
use std::path::PathBuf;

/// `sluse enroll`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The invite's file, from the landing zone's operator
    #[arg(value_name = "INVITE")]
    invite: PathBuf,
    #[command(flatten)]
    identity: IdentityFolder,
    /// This organisation's own certificate (PEM), of an authority that the zone takes, instead of one of the zone's
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM), readable by its owner alone; both stay where they are
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the invite cannot be used, the folder is in use, or the zone refuses or does not answer.
    pub fn run(self, out: &Output) -> Ended {
        let read = files::read_bounded(&self.invite, MAX_INVITE_BYTES);
        let text = read.map_err(|error| Failure::file(Exit::Usage, "read the invite", &self.invite, &error))?;
        let text = String::from_utf8(text)
            .map_err(|error| Failure::file(Exit::Usage, "read the invite", &self.invite, &error))?;
        let own = self.certificate.zip(self.key).map(|(certificate, key)| OwnCertificate { certificate, key });
        let Enrolled { source, zone, folder } = sluse_sender::enrol(&text, self.identity.path(), own)?;
        if out.is_json() {
            out.object(&serde_json::json!({"source": source, "zone": zone, "identity": folder}));
        } else {
            out.note(format!("This host is {source} now, for the landing zone {zone}."));
            out.note(format!("Its keys lie in {}: keep them there, and remove the invite.", folder.display()));
        }
        Ok(Exit::Done)
    }
}
