//! Signed statements of a landing zone as files: a receipt or checkpoint, and its signature beside it in `<file>.sig`.

use crate::failure::Failure;
use sluse_host::files;
use sluse_protocol::archive::ArchiveStatement;
use sluse_protocol::audit::{Position, check_consistency, parse_checkpoint, parse_consistency};
use sluse_protocol::key_statement::{BadStatement, Signed, Trust};
use sluse_protocol::receipt::Receipt;
use sluse_protocol::refusal::Exit;
use sluse_protocol::signers::AllowedSigner;
use sluse_protocol::sshsig::{self, NAMESPACE_CHECKPOINT, NAMESPACE_RECEIPT};
use sluse_protocol::time::Timestamp;
use std::path::{Path, PathBuf};

/// Bytes of the longest statement, signature or key file that is read.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Who may sign: the text of an `allowed_signers` file or a public key.
#[derive(Debug)]
pub struct Signers {
    text: String,
    origin: PathBuf,
}

impl Signers {
    /// Reads an `allowed_signers` file, or a public key's.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        Ok(Self { text: read_text(file)?, origin: file.to_owned() })
    }

    /// Checks a receipt's statement and signature, and its proof that what it states stands in the audit log; `name` is
    /// what messages call it.
    ///
    /// # Errors
    /// When it is no receipt, the zone that it names did not sign it, or the proof is not good.
    pub fn receipt(&self, name: &str, statement: &[u8], signature: &str) -> Result<Receipt, Failure> {
        let receipt: Receipt = serde_json::from_slice(statement)
            .map_err(|e| Failure::new(Exit::Integrity, format!("{name} is not a receipt")).because(&e))?;
        let by = self.check(name, receipt.zone.as_str(), NAMESPACE_RECEIPT, statement, signature)?;
        in_force(&by, name, receipt.time)?;
        let proof = receipt.check_inclusion();
        proof.map_err(|e| Failure::new(Exit::Integrity, format!("{name} is not good")).because(&e))?;
        Ok(receipt)
    }

    /// Checks a receipt's file and its signature's.
    ///
    /// # Errors
    /// When they cannot be read, it is no receipt, or the zone that it names did not sign it.
    pub fn receipt_file(&self, file: &Path) -> Result<Receipt, Failure> {
        let (statement, signature) = (read_text(file)?, read_text(&signature_of(file))?);
        self.receipt(&file.display().to_string(), statement.as_bytes(), &signature)
    }

    /// Checks the statement of an archived bag and its signature, in their files, and its proof that it stands in the audit log.
    ///
    /// # Errors
    /// When they cannot be read, it is none, or the zone that it names did not sign it.
    pub fn archive_file(&self, file: &Path) -> Result<ArchiveStatement, Failure> {
        let (name, statement) = (file.display().to_string(), read_text(file)?);
        let bad = |error: &dyn std::error::Error, what: &str| {
            Failure::new(Exit::Integrity, format!("{name} is not {what}")).because(error)
        };
        let stated: ArchiveStatement =
            serde_json::from_str(&statement).map_err(|error| bad(&error, "the statement of an archived bag"))?;
        let signature = read_text(&signature_of(file))?;
        let by = self.check(&name, stated.zone.as_str(), NAMESPACE_RECEIPT, statement.as_bytes(), &signature)?;
        in_force(&by, &name, stated.time)?;
        stated.check_inclusion().map_err(|error| bad(&error, "good"))?;
        Ok(stated)
    }

    /// Checks a checkpoint's text and signature; `name` is what messages call it.
    ///
    /// # Errors
    /// When it is no checkpoint, or the zone that it names did not sign it.
    pub fn checkpoint(&self, name: &str, text: &str, signature: &str) -> Result<Position, Failure> {
        self.named_checkpoint(name, text, signature).map(|(_, position)| position)
    }

    fn named_checkpoint(&self, name: &str, text: &str, signature: &str) -> Result<(String, Position), Failure> {
        let (origin, position) = parse_checkpoint(text)
            .ok_or_else(|| Failure::new(Exit::Integrity, format!("{name} is not a checkpoint")))?;
        self.check(name, origin, NAMESPACE_CHECKPOINT, text.as_bytes(), signature)?;
        Ok((origin.to_owned(), position))
    }

    /// Checks a checkpoint's file and its signature's.
    ///
    /// # Errors
    /// When they cannot be read, it is no checkpoint, or the zone that it names did not sign it.
    pub fn checkpoint_file(&self, file: &Path) -> Result<Position, Failure> {
        self.named_checkpoint_file(file).map(|(_, position)| position)
    }

    /// The same, with the zone that it is of.
    ///
    /// # Errors
    /// Those of [`Signers::checkpoint_file`].
    pub fn named_checkpoint_file(&self, file: &Path) -> Result<(String, Position), Failure> {
        let (text, signature) = (read_text(file)?, read_text(&signature_of(file))?);
        self.named_checkpoint(&file.display().to_string(), &text, &signature)
    }

    /// Checks a consistency proof's file: that the log at `new` begins with the one at `old`.
    ///
    /// # Errors
    /// When it cannot be read, or does not show it.
    pub fn check_extended(file: &Path, old: &Position, new: &Position) -> Result<(), Failure> {
        let (size, path) = parse_consistency(&read_text(file)?)
            .ok_or_else(|| Failure::new(Exit::Integrity, format!("{} is not a consistency proof", file.display())))?;
        if size != old.size {
            let message = format!("{} is a proof for a log of {size} entries, not {}", file.display(), old.size);
            return Err(Failure::new(Exit::Usage, message));
        }
        check_consistency(old, new, &path)
            .map_err(|e| Failure::new(Exit::Integrity, format!("{} is not good", file.display())).because(&e))
    }

    /// By which key it is signed.
    fn check(
        &self,
        name: &str,
        zone: &str,
        namespace: &str,
        statement: &[u8],
        signature: &str,
    ) -> Result<AllowedSigner, Failure> {
        let allowed = AllowedSigner::find(&self.text, Some(zone), namespace);
        if allowed.is_empty() {
            let message = format!("{} has no key of zone {zone} for {namespace}", self.origin.display());
            return Err(Failure::new(Exit::Integrity, message)
                .hint("name the zone's trust/allowed_signers, or ask its operator for it"));
        }
        let by = sshsig::verify_any(allowed.iter().map(|signer| signer.key), namespace, statement, signature)
            .map_err(|error| Failure::new(Exit::Integrity, format!("{name} is not good")).because(&error))?;
        // A key may stand there more than once: it counts for all of its times together.
        let lines = allowed.into_iter().filter(|signer| signer.key == by);
        Ok(lines.reduce(AllowedSigner::or).unwrap_or(AllowedSigner::always(by)))
    }

    /// The same signers, and those to which the zone's statements lead from them: what an auditor who knows an old key may believe.
    ///
    /// # Errors
    /// When a statement is not good, or they end with a key to which none leads.
    pub fn following(mut self, statements: &[Signed]) -> Result<Self, Failure> {
        let bad = |error: BadStatement| {
            Failure::new(Exit::Integrity, "the zone's signing key cannot be believed").because(&error)
        };
        let Some(first) = statements.first() else { return Ok(self) };
        let zone = first.read().map_err(bad)?.statement.zone;
        let known = AllowedSigner::find(&self.text, Some(zone.as_str()), NAMESPACE_CHECKPOINT);
        if let Some(mut trust) = Trust::pinned(zone, known, Vec::new(), 0) {
            trust.follow(statements).map_err(bad)?;
            self.text = trust.allowed_signers();
        }
        Ok(self)
    }

    /// The text of an `allowed_signers` file.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn in_force(by: &AllowedSigner, name: &str, time: Timestamp) -> Result<(), Failure> {
    if by.is_valid_at(time) {
        return Ok(());
    }
    Err(Failure::new(Exit::Integrity, format!("{name} is of {time}, and the key that signed it was not in force then")))
}

/// The file of a statement's signature.
pub fn signature_of(file: &Path) -> PathBuf {
    beside(file, ".sig")
}

/// The file of the checkpoint of an exported log.
pub fn checkpoint_of(log: &Path) -> PathBuf {
    beside(log, ".checkpoint")
}

/// The file of the proof that a checkpoint's log begins with an earlier checkpoint's.
pub fn consistency_of(checkpoint: &Path) -> PathBuf {
    beside(checkpoint, ".consistency")
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::file(Exit::Usage, "read", file, &error);
    let bytes = files::read_bounded(file, MAX_FILE_BYTES).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Integrity, format!("{} is not text", file.display())))
}
