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
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{Reply, Request, TransferStatus};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How many transfers are asked for in one list, and how many older ones are asked after one by one.
const LATEST: u16 = 1000;
const OLDER: usize = 500;

/// A transfer as the zone has it, and its receipts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What the zone says, or said last.
    pub status: TransferStatus,
    /// When it said so.
    pub learnt: Timestamp,
    /// The receipts that are here, verified. Those of a transfer that was sealed with another identity folder are not.
    pub receipts: Vec<(ReceiptKind, PathBuf)>,
}

/// Asks for one transfer, or for all of this source's, newest first; fetches and verifies the receipts that are not here. Of
/// transfers that are older than the zone's list and were settled when it was asked last, the journal answers.
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
        if transfer.is_none() {
            older(identity, &mut link, &mut known).await?;
        }
        link.finish().await;
        known.sort_unstable_by(|one, other| other.status.transfer.cmp(&one.status.transfer));
        Ok(known)
    })
}

/// What the journal knows, newest first, without asking anybody.
///
/// # Errors
/// When the journal is damaged.
pub fn journal(identity: &Identity) -> Result<Vec<Known>, Error> {
    let journal = Journal::new(identity.folder());
    let mut known = Vec::new();
    for note in journal.notes()? {
        let sealed = journal.sealed(&note.status.transfer)?;
        let receipts = sealed.map(|sealed| Receipts::new(identity, &journal, &note.status.transfer, &sealed).files());
        known.push(Known { status: note.status, learnt: note.learnt, receipts: receipts.unwrap_or_default() });
    }
    Ok(known)
}

/// Adds what the journal knows and the zone's list does not name.
async fn older(identity: &Identity, link: &mut Link, known: &mut Vec<Known>) -> Result<(), Error> {
    let listed: BTreeSet<TransferId> = known.iter().map(|known| known.status.transfer.clone()).collect();
    let mut left = OLDER;
    for noted in journal(identity)?.into_iter().filter(|noted| !listed.contains(&noted.status.transfer)) {
        if noted.status.state.is_settled() || left == 0 {
            known.push(noted);
            continue;
        }
        left -= 1;
        match ask_status(link, &noted.status.transfer, None, 0).await {
            Ok(status) => known.push(with_receipts(identity, link, status).await?),
            // A zone that was made anew: what it said once is still what is known.
            Err(Error::Refused(refusal)) if refusal.code == Code::UnknownTransfer => known.push(noted),
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    let learnt = sluse_host::clock::now();
    journal.note(&status)?;
    let Some(sealed) = journal.sealed(&status.transfer)? else {
        return Ok(Known { status, learnt, receipts: Vec::new() });
    };
    let receipts = Receipts::new(identity, &journal, &status.transfer, &sealed);
    receipts.fetch(link, &status.receipts).await?;
    let receipts = receipts.files();
    Ok(Known { status, learnt, receipts })
}
