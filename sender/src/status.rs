//! What the zone knows of the source's transfers, and the receipts that are not here yet.

use crate::connection::Link;
use crate::error::Error;
use crate::follow::ask_status;
use crate::identity::Identity;
use crate::journal::Journal;
use crate::receipts::Receipts;
use crate::send::open;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::wire::{Reply, Request, TransferStatus};
use std::path::PathBuf;

/// How many transfers a list names.
const LATEST: u16 = 100;

/// A transfer as the zone has it, and its receipts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What the zone says.
    pub status: TransferStatus,
    /// The receipts that are here, verified. Those of a transfer that was sealed with another identity folder are not.
    pub receipts: Vec<(ReceiptKind, PathBuf)>,
}

/// Asks for one transfer, or for the latest hundred, newest first; fetches and verifies the receipts that are not here.
///
/// # Errors
/// When the zone cannot be reached or refuses, or a receipt does not verify.
pub fn status(identity: &Identity, transfer: Option<&TransferId>) -> Result<Vec<Known>, Error> {
    crate::runtime()?.block_on(async {
        let mut link = open(identity).await?;
        let found = match transfer {
            Some(transfer) => vec![ask_status(&mut link, transfer, None, 0).await?],
            None => list(&mut link).await?,
        };
        let mut known = Vec::with_capacity(found.len());
        for status in found {
            known.push(with_receipts(identity, &mut link, status).await?);
        }
        link.finish().await;
        Ok(known)
    })
}

/// What was learnt of one transfer.
pub(crate) type Learnt = (TransferId, Result<Known, Error>);

/// Asks for several transfers on one connection. What is wrong with one of them hides no other.
///
/// # Errors
/// When the zone cannot be reached, or is lost meanwhile.
pub(crate) fn ask_after(identity: &Identity, transfers: &[TransferId]) -> Result<Vec<Learnt>, Error> {
    crate::runtime()?.block_on(async {
        let mut link = open(identity).await?;
        let mut learnt = Vec::with_capacity(transfers.len());
        for transfer in transfers {
            let known = match ask_status(&mut link, transfer, None, 0).await {
                Ok(status) => with_receipts(identity, &mut link, status).await,
                Err(error) => Err(error),
            };
            match known {
                Err(error) if !matches!(error, Error::Refused(_) | Error::Evidence { .. }) => return Err(error),
                known => learnt.push((transfer.clone(), known)),
            }
        }
        link.finish().await;
        Ok(learnt)
    })
}

async fn list(link: &mut Link) -> Result<Vec<TransferStatus>, Error> {
    match link.ask(&Request::List { limit: LATEST }).await? {
        (Reply::Transfers { transfers }, _) => Ok(transfers),
        _ => Err(Error::Protocol("an answer that does not belong to the request")),
    }
}

async fn with_receipts(identity: &Identity, link: &mut Link, status: TransferStatus) -> Result<Known, Error> {
    let journal = Journal::new(identity.folder());
    let Some(sealed) = journal.sealed(&status.transfer)? else { return Ok(Known { status, receipts: Vec::new() }) };
    let receipts = Receipts::new(identity, &journal, &status.transfer, &sealed);
    receipts.fetch(link, &status.receipts).await?;
    let receipts = receipts.files();
    Ok(Known { status, receipts })
}
