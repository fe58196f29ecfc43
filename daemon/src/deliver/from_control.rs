//! What goes into a bag and is not the dataset, asked for at `control`.

use super::bag::Documents;
use super::error::DeliverError;
use crate::control_link::Link;
use crate::zone_signers::ZoneSigners;
use sluse_protocol::archive::ArchiveStatement;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::roles::{DeliverReply, DeliverRequest};

/// The documents of one transfer, asked for at `control`.
pub struct FromControl<'a> {
    /// The line to it.
    pub link: &'a Link<DeliverRequest, DeliverReply>,
    /// Whose word counts.
    pub signers: &'a ZoneSigners,
    /// The transfer.
    pub transfer: &'a TransferId,
    /// The documents' names, from the task.
    pub names: Vec<String>,
}

impl Documents for FromControl<'_> {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn bytes(&self, name: &str, offset: u64) -> Result<Vec<u8>, DeliverError> {
        let (transfer, name) = (self.transfer.clone(), name.to_owned());
        match self.link.ask(&DeliverRequest::Document { transfer, name, offset }, &[])? {
            (DeliverReply::Document, bytes) => Ok(bytes),
            (DeliverReply::Refused(refusal), _) => Err(DeliverError::Fault(format!("a document: {refusal}"))),
            _ => Err(DeliverError::Fault("control answered with what is no document".into())),
        }
    }

    fn sign(&self, tagmanifest: &Sha256) -> Result<(String, String), DeliverError> {
        let fault = |what: &str| DeliverError::Fault(format!("the archived bag's statement: {what}"));
        let ask = DeliverRequest::Sign { transfer: self.transfer.clone(), tagmanifest: *tagmanifest };
        let (statement, signature) = match self.link.ask(&ask, &[])? {
            (DeliverReply::Signed { signature }, statement) => (statement, signature),
            (DeliverReply::Refused(refusal), _) => return Err(fault(&refusal.to_string())),
            _ => return Err(fault("control answered with what is none")),
        };
        self.signers.archive(&statement, &signature).map_err(|bad| fault(&bad.to_string()))?;
        let stated: ArchiveStatement = serde_json::from_slice(&statement).map_err(|bad| fault(&bad.to_string()))?;
        if (&stated.transfer, &stated.tagmanifest) != (self.transfer, tagmanifest) {
            return Err(fault("it is of another bag"));
        }
        let statement = String::from_utf8(statement).map_err(|bad| fault(&bad.to_string()))?;
        Ok((statement, signature))
    }
}
