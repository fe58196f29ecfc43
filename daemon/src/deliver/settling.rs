//! Tells `control` of bags that are visible, and lays the receipts beside them: at once, and again for those that are [pending](super::pending).

use super::Deliver;
use super::delivery::Visible;
use super::error::DeliverError;
use super::pending::{Pending, Sent};
use super::receipt;
use crate::RoleError;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::roles::{DeliverOutcome, DeliverReply, DeliverRequest};
use std::collections::BTreeSet;
use std::sync::{PoisonError, TryLockError};

impl Deliver {
    /// Lays every receipt beside its bag that is not there yet, in rooms of this host.
    pub(super) fn settle_all(&self) -> Result<(), RoleError> {
        // Held while they are looked for, too: what somebody settles meanwhile is not told again.
        let _one_at_a_time = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.pending.all().map_err(RoleError::io("the folder of pending receipts"))?;
        let here = all.iter().filter(|pending| pending.elsewhere.is_none());
        Ok(here.into_iter().try_for_each(|pending| self.tell(pending).map(drop))?)
    }

    /// The same in rooms elsewhere, unless somebody is at it.
    pub(super) fn settle_elsewhere(&self) {
        let _one_at_a_time = match self.settling_elsewhere.try_lock() {
            Ok(lock) => lock,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let all = match self.pending.all() {
            Ok(all) => all,
            Err(error) => return tracing::error!(%error, "the folder of pending receipts cannot be read"),
        };
        let mut away = BTreeSet::new();
        for pending in &all {
            // Of a room that did not answer the next receipt is not tried either.
            let Some(room) = pending.elsewhere.as_ref().map(|sent| &sent.room).filter(|room| !away.contains(*room))
            else {
                continue;
            };
            match self.tell(pending) {
                Ok(true) => {}
                Ok(false) => drop(away.insert(room)),
                Err(error) => {
                    tracing::error!(%error, "control was not told of a delivery");
                    return self.link.end();
                }
            }
        }
    }

    /// Tells `control` of a visible bag and lays the receipt that it answers beside it; whether there is nothing left to do.
    pub(super) fn tell(&self, pending: &Pending) -> Result<bool, sluse_host::rpc::CallError> {
        let Visible { bag, tagmanifest } = pending.visible();
        let stored = pending.elsewhere.as_ref().map(|sent| Box::new(sent.stored.clone()));
        let (transfer, outcome) = (pending.transfer.clone(), DeliverOutcome::Visible { bag, tagmanifest, stored });
        let (answer, statement) = self.link.ask(&DeliverRequest::Delivered { transfer, outcome }, &[])?;
        let transfer = &pending.transfer;
        match answer {
            DeliverReply::Receipt { signature } => {
                let receipt = (statement.as_slice(), signature.as_str());
                if let Err(error) = self.lay(pending, receipt) {
                    // It is delivered all the same; the receipt is asked for again when there is nothing else to do.
                    tracing::error!(%transfer, %error, "the delivered receipt is not in the room yet");
                    return Ok(false);
                }
            }
            DeliverReply::Refused(refusal) if refusal.is_temporary() => {
                tracing::warn!(%transfer, code = %refusal.code, "control could not take a delivery down yet");
                return Ok(false);
            }
            // The transfer is in a state in which there is no receipt: the task, if any, is handed out again.
            _ => tracing::warn!(%transfer, "control has no receipt for a visible bag"),
        }
        let forgotten = match &pending.elsewhere {
            Some(_) => self.elsewhere.forget(transfer),
            None => Ok(()),
        };
        if let Err(error) = forgotten.and_then(|()| self.pending.remove(transfer)) {
            tracing::warn!(%transfer, %error, "a settled delivery is still remembered");
        }
        Ok(true)
    }

    /// Lays the *delivered* receipt beside its bag.
    fn lay(&self, pending: &Pending, receipt: (&[u8], &str)) -> Result<(), DeliverError> {
        let kind = ReceiptKind::Delivered;
        let Some(Sent { room, dataset, .. }) = &pending.elsewhere else {
            return receipt::lay_beside(&self.rooms, &pending.room_folder, &pending.bag, kind, receipt, &self.signers);
        };
        receipt::check(kind, receipt, &self.signers)?;
        self.elsewhere.lay((room, dataset, &pending.transfer), kind, receipt)
    }
}
