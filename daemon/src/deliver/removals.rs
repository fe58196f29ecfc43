//! What is taken out of rooms again: deliveries that were begun, and versions that nothing keeps any more.

use super::Deliver;
use super::delivery;
use sluse_protocol::ids::{DatasetName, RoomName, TransferId};
use sluse_protocol::roles::{DeliverReply, DeliverRequest, RemoveOutcome, WithdrawOutcome};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Deliver {
    /// Takes back a delivery that was begun, in a room of this host.
    pub(super) fn withdraw(&self, transfer: TransferId, room_folder: &str, dataset: &DatasetName) {
        if self.link.is_lost() {
            return;
        }
        let withdraw = || delivery::withdraw(&self.rooms, room_folder, dataset, &transfer);
        let outcome = match catch_unwind(AssertUnwindSafe(withdraw)) {
            Ok(Ok(false)) => WithdrawOutcome::Gone,
            Ok(Ok(true)) => WithdrawOutcome::Visible,
            Ok(Err(error)) => WithdrawOutcome::Fault { reason: format!("taking a delivery back: {error}") },
            Err(_) => WithdrawOutcome::Fault { reason: "deliver crashed over it".into() },
        };
        self.withdrawn(transfer, outcome);
    }

    /// The same in a room elsewhere; where that fails for the last time, nothing of it is remembered here.
    pub(super) fn withdraw_elsewhere(&self, transfer: TransferId, room: &RoomName, dataset: &DatasetName, last: bool) {
        if self.link.is_lost() {
            return;
        }
        let withdraw = || match self.pending.has(&transfer) {
            // It is known to be visible, and `control` is about to be told.
            true => Ok(true),
            false => self.elsewhere.withdraw(room, dataset, &transfer),
        };
        let outcome = match catch_unwind(AssertUnwindSafe(withdraw)) {
            Ok(Ok(false)) => WithdrawOutcome::Gone,
            Ok(Ok(true)) => WithdrawOutcome::Visible,
            Ok(Err(error)) if last => {
                WithdrawOutcome::Left { remains: self.elsewhere.remains(&transfer), reason: error.to_string() }
            }
            Ok(Err(error)) => WithdrawOutcome::Fault { reason: error.to_string() },
            Err(_) => WithdrawOutcome::Fault { reason: "deliver crashed over it".into() },
        };
        let left = matches!(outcome, WithdrawOutcome::Left { .. });
        if self.withdrawn(transfer.clone(), outcome)
            && left
            && let Err(error) = self.elsewhere.forget(&transfer)
        {
            tracing::warn!(%transfer, %error, "a delivery that was given up is still remembered");
        }
    }

    /// Tells how taking a delivery back ended; whether `control` took it down.
    fn withdrawn(&self, transfer: TransferId, outcome: WithdrawOutcome) -> bool {
        tracing::info!(%transfer, ?outcome, "a delivery is taken back");
        match self.link.ask(&DeliverRequest::Withdrawn { transfer, outcome }, &[]) {
            Ok((DeliverReply::Done, _)) => true,
            Ok((answer, _)) => {
                tracing::warn!(?answer, "control did not take down how a delivery was taken back");
                false
            }
            Err(error) => {
                tracing::error!(%error, "control was not told");
                self.link.end();
                false
            }
        }
    }

    /// Removes a version from its room.
    pub(super) fn remove(&self, transfer: TransferId, room_folder: &str, dataset: &DatasetName) {
        if self.link.is_lost() {
            return;
        }
        let remove = || delivery::remove(&self.rooms, room_folder, dataset, &transfer);
        let outcome = match catch_unwind(AssertUnwindSafe(remove)) {
            Ok(Ok(())) => RemoveOutcome::Gone,
            Ok(Err(error)) => RemoveOutcome::Fault { reason: format!("removing a version: {error}") },
            Err(_) => RemoveOutcome::Fault { reason: "deliver crashed over it".into() },
        };
        tracing::info!(%transfer, ?outcome, "a version is removed from its room");
        self.link.tell_or_end(&DeliverRequest::Removed { transfer, outcome }, &[]);
    }
}
