//! The zone's receipts: fetched, verified against the pinned key and against what was sealed here, and only then kept.

use crate::connection::Link;
use crate::error::{BadEvidence, Error};
use crate::identity::Identity;
use crate::journal::{Journal, Sealed};
use sluse_host::files;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT};
use sluse_protocol::wire::{Reply, Request};
use std::io;
use std::path::PathBuf;

/// One transfer's receipts.
#[derive(Debug)]
pub(crate) struct Receipts<'a> {
    identity: &'a Identity,
    journal: &'a Journal,
    transfer: &'a TransferId,
    sealed: &'a Sealed,
}

impl<'a> Receipts<'a> {
    /// The receipts of `transfer`, which carries what `sealed` says.
    pub fn new(identity: &'a Identity, journal: &'a Journal, transfer: &'a TransferId, sealed: &'a Sealed) -> Self {
        Self { identity, journal, transfer, sealed }
    }

    /// The file of a receipt that is here.
    pub fn file(&self, kind: ReceiptKind) -> Option<PathBuf> {
        let path = self.path(kind);
        path.is_file().then_some(path)
    }

    /// The receipts that are here, in the order in which they come.
    pub fn files(&self) -> Vec<(ReceiptKind, PathBuf)> {
        ReceiptKind::ALL.iter().filter_map(|kind| Some((*kind, self.file(*kind)?))).collect()
    }

    /// Fetches those of `kinds` that are not here; the files of the new ones.
    pub async fn fetch(&self, link: &mut Link, kinds: &[ReceiptKind]) -> Result<Vec<(ReceiptKind, PathBuf)>, Error> {
        let mut new = Vec::new();
        for kind in kinds.iter().copied().filter(|kind| self.file(*kind).is_none()) {
            let request = Request::Receipt { transfer: self.transfer.clone(), kind };
            let (Reply::Receipt { signature }, statement) = link.ask(&request).await? else {
                return Err(Error::Protocol("an answer that does not belong to the request"));
            };
            new.push((kind, self.keep(kind, &statement, &signature)?));
        }
        Ok(new)
    }

    /// Removes a receipt that is here and may belong to other bytes.
    pub fn discard(&self, kind: ReceiptKind) -> Result<(), Error> {
        let path = self.path(kind);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Verifies a receipt and writes it down, the statement last.
    pub fn keep(&self, kind: ReceiptKind, statement: &[u8], signature: &str) -> Result<PathBuf, Error> {
        self.verify(kind, statement, signature).map_err(|error| Error::evidence(format!("{kind} receipt"), error))?;
        let path = self.path(kind);
        let signature_file = path.with_extension("json.sig");
        for (path, bytes) in [(&signature_file, signature.as_bytes()), (&path, statement)] {
            files::replace(path, bytes, 0o600).map_err(Error::file(path))?;
        }
        Ok(path)
    }

    fn verify(&self, kind: ReceiptKind, statement: &[u8], signature: &str) -> Result<(), BadEvidence> {
        let trust = self.identity.trust();
        let keys = trust.signers().iter().map(|signer| signer.key);
        let by = sshsig::verify_any(keys, NAMESPACE_RECEIPT, statement, signature)?;
        let receipt: Receipt = serde_json::from_slice(statement).map_err(|_| BadEvidence::Form)?;
        if !trust.signers().iter().any(|signer| signer.key == by && signer.is_valid_at(receipt.time)) {
            return Err(BadEvidence::Time);
        }
        let sealed = self.sealed;
        let fields = [
            ("kind", receipt.kind == kind),
            ("zone", receipt.zone == *self.identity.zone()),
            ("source", receipt.source == *self.identity.source()),
            ("transfer", receipt.transfer == *self.transfer),
            ("agreement", receipt.agreement == sealed.agreement),
            ("dataset", receipt.dataset == sealed.dataset),
            ("count of files and bytes", receipt.sealed_totals() == Some(sealed.totals)),
            ("manifest", receipt.sealed_manifest() == sealed.manifest_sha256),
            ("list of chunks", receipt.chunk_list == sealed.chunk_list),
        ];
        match fields.iter().find(|(_, agrees)| !agrees) {
            Some((field, _)) => Err(BadEvidence::Field(field)),
            None => Ok(()),
        }
    }

    fn path(&self, kind: ReceiptKind) -> PathBuf {
        self.journal.transfer(self.transfer).join(format!("{kind}.json"))
    }
}
