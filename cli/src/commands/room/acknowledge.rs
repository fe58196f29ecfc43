//! `sluse room acknowledge`, in the room: the bag is whole, and here is the room's word for it.

use crate::commands::bag;
use crate::evidence::{MAX_FILE_BYTES, Signers, signature_of};
use crate::failure::{Ended, Failure};
use crate::output::Output;
use serde::Serialize;
use sluse_host::{clock, files};
use sluse_protocol::acknowledgement::{FOLDER, Format, Statement, file_name};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::openssh_key::{self, BadKey};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Exit;
use sluse_protocol::sshsig::{NAMESPACE_ACKNOWLEDGEMENT, SigningKey};
use std::path::{Path, PathBuf};

/// `sluse room acknowledge`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bag's folder, with its receipts beside it
    bag: PathBuf,
    /// The room's private key, as ssh-keygen writes it (Ed25519, without a passphrase)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who may sign for the zone: its `allowed_signers` file or its public key
    #[arg(long, value_name = "KEYFILE")]
    signer: PathBuf,
    /// The room's age identity, where the bag is encrypted: what comes out of the files is checked too
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Where to put the acknowledgement [default: the folder for it in the room's, two above the bag]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct Done {
    transfer: TransferId,
    acknowledgement: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the bag is not good, the key cannot be used, or the acknowledgement cannot be written.
    pub fn run(self, out: &Output) -> Ended {
        let signers = Signers::read(&self.signer)?;
        let key = read_key(&self.key)?;
        let identity = self.identity.as_deref().map(bag::read_identity).transpose()?;
        bag::verify_opening(&self.bag, &signers, identity.as_ref())?;
        let statement = statement(&self.bag, &signers)?;
        let folder = match self.to {
            Some(folder) => folder,
            None => usual_folder(&self.bag)?,
        };
        let file = folder.join(file_name(&statement.transfer));
        let text = statement.to_text();
        let signature = key.sign(NAMESPACE_ACKNOWLEDGEMENT, text.as_bytes());
        // The signature first: the zone looks for both.
        for (file, text) in [(signature_of(&file), &signature), (file.clone(), &text)] {
            files::replace(&file, text.as_bytes(), 0o644).map_err(|error| {
                Failure::file(Exit::Fault, "write the acknowledgement", &file, &error)
                    .hint("whoever runs the room says who may write there; or write it elsewhere (--to) and have it put there")
            })?;
        }
        if out.is_json() {
            out.object(&Done { transfer: statement.transfer, acknowledgement: file });
            return Ok(Exit::Done);
        }
        out.done(&format!(
            "{} is acknowledged in {}; the zone looks there by itself.",
            statement.transfer,
            file.display()
        ))
    }
}

fn read_key(file: &Path) -> Result<SigningKey, Failure> {
    let bytes = files::read_private(file).map_err(|error| Failure::file(Exit::Usage, "read", file, &error))?;
    let read = std::str::from_utf8(&bytes).map_err(|_| BadKey::Format).and_then(openssh_key::read);
    read.map_err(|bad| {
        let failure = Failure::new(Exit::Usage, format!("{} cannot be used", file.display())).because(&bad);
        match bad {
            BadKey::Encrypted => failure.hint("sign with `ssh-keygen -Y sign`: docs/operations.md says how"),
            BadKey::Format | BadKey::Kind => failure.hint("make one: ssh-keygen -t ed25519 -N '' -f room-key"),
        }
    })
}

/// What is stated of a bag that is good: what its *delivered* receipt says of it.
fn statement(bag: &Path, signers: &Signers) -> Result<Statement, Failure> {
    let file = bag::receipts_beside(bag).join(format!("{}.json", ReceiptKind::Delivered));
    let receipt = signers.receipt_file(&file)?;
    let bytes = files::read_bounded(&file, MAX_FILE_BYTES)
        .map_err(|error| Failure::file(Exit::Usage, "read", &file, &error))?;
    Ok(Statement {
        sluse: Format::V1,
        zone: receipt.zone,
        room: receipt.room,
        transfer: receipt.transfer,
        time: clock::now(),
        manifest_sha256: receipt.manifest_sha256,
        delivered: Sha256::of(&bytes),
    })
}

/// The room's folder of acknowledgements: a bag lies in its dataset's folder, and that in the room's.
fn usual_folder(bag: &Path) -> Result<PathBuf, Failure> {
    let whole = bag.canonicalize().map_err(|error| Failure::file(Exit::Usage, "open", bag, &error))?;
    let folder = whole.ancestors().nth(2).map(|room| room.join(FOLDER));
    folder.filter(|folder| folder.is_dir()).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("there is no folder {FOLDER} two above the bag"))
            .hint("the zone's administrator makes it with `sluse room change --key`; or name another place: --to DIR")
    })
}
