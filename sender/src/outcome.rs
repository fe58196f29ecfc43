//! How sending a dataset ended.

use crate::follow::Wait;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::{DatasetName, TransferId};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::{Code, Exit, Refusal};
use sluse_protocol::transfer::State;
use std::path::PathBuf;

/// What to do when an unchanged dataset is to be sent although its transfer ended.
pub(crate) const AGAIN: &str = "To send the same files as a new transfer, use --again.";

/// A transfer, and how far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The transfer.
    pub transfer: TransferId,
    /// The dataset.
    pub dataset: DatasetName,
    /// How it ended, by what was waited for.
    pub end: End,
    /// Its state.
    pub state: State,
    /// Its files, folders and bytes.
    pub totals: Totals,
    /// Plain bytes that were sent now: none for what the zone had already.
    pub sent_bytes: u64,
    /// Whether nothing was sent since the zone has this version of a dataset that is kept in sync: the transfer is the one that brought it.
    pub unchanged: bool,
    /// The receipts that are here, verified; a signature lies beside each.
    pub receipts: Vec<(ReceiptKind, PathBuf)>,
    /// Why it is held, rejected or lost, as the zone says.
    pub reason: Option<Refusal>,
}

/// How sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What was waited for is there, with its receipt.
    Reached,
    /// The dataset was rejected in inspection or review.
    Rejected,
    /// The transfer was refused, cancelled, expired or failed.
    Lost,
    /// Time is over, and a person must decide.
    Held,
    /// Time is over, and the zone is not done yet.
    NotYet,
}

impl End {
    pub(crate) fn of(state: State, wanted: Wait, receipts: &[(ReceiptKind, PathBuf)]) -> Self {
        let has = |wanted| receipts.iter().any(|(kind, _)| *kind == wanted);
        match state {
            _ if state == State::Rejected || has(ReceiptKind::Rejected) => End::Rejected,
            _ if state.is_lost() => End::Lost,
            _ if has(wanted.receipt()) => End::Reached,
            State::Held => End::Held,
            _ => End::NotYet,
        }
    }
}

impl Outcome {
    /// How a command that ends so exits.
    pub fn exit(&self) -> Exit {
        match (self.end, self.state) {
            (End::Reached, _) => Exit::Done,
            (End::Rejected, _) => Exit::Rejected,
            (End::Lost, State::Failed) => Exit::Integrity,
            (End::Lost, _) => Exit::Refused,
            (End::Held, _) => Exit::Held,
            (End::NotYet, _) => Exit::Temporary,
        }
    }

    /// What to do about it; nothing when it went well.
    pub fn hint(&self) -> Option<String> {
        let told = self.reason.as_ref().map(|reason| reason.hint.clone());
        match self.end {
            End::Reached => None,
            End::Held => Some(told.unwrap_or_else(|| Code::Held.hint().to_owned())),
            End::NotYet => {
                Some(told.unwrap_or_else(|| {
                    "The zone goes on by itself: ask with `sluse status`, or wait longer.".to_owned()
                }))
            }
            End::Rejected | End::Lost => Some(told.map_or(AGAIN.to_owned(), |told| format!("{told} {AGAIN}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_needs_the_receipt_and_not_only_a_state() {
        let received = [(ReceiptKind::Received, PathBuf::new())];
        assert_eq!(End::of(State::Received, Wait::Received, &received), End::Reached);
        assert_eq!(End::of(State::Delivered, Wait::Delivered, &received), End::NotYet);
        assert_eq!(End::of(State::Inspecting, Wait::Delivered, &received), End::NotYet);
        assert_eq!(End::of(State::Delivered, Wait::Acknowledged, &received), End::NotYet);
        assert_eq!(End::of(State::Acknowledged, Wait::Acknowledged, &received), End::NotYet);
        assert_eq!(End::of(State::Held, Wait::Released, &received), End::Held);
        assert_eq!(End::of(State::Rejected, Wait::Received, &received), End::Rejected);
        assert_eq!(End::of(State::Cancelled, Wait::Received, &[]), End::Lost);
        let rejected = [(ReceiptKind::Received, PathBuf::new()), (ReceiptKind::Rejected, PathBuf::new())];
        assert_eq!(End::of(State::Purged, Wait::Delivered, &rejected), End::Rejected);
    }
}
