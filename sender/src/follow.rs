//! Following a transfer at the zone: its state, and each receipt as it comes.

use crate::connection::Link;
use crate::error::Error;
use crate::identity::Identity;
use crate::journal::{Journal, Sealed};
use crate::progress::Progress;
use crate::receipts::Receipts;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::POLL_TIMEOUT;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::Code;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::{Reply, Request, TransferStatus};
use std::time::Instant;

/// Until when a transfer is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// The zone holds it durably.
    Received,
    /// It is allowed into its room.
    Released,
    /// It stands in its room.
    Delivered,
    /// The room has said that it has it.
    Acknowledged,
}

impl Wait {
    /// The receipt that proves it.
    pub fn receipt(self) -> ReceiptKind {
        match self {
            Wait::Received => ReceiptKind::Received,
            Wait::Released => ReceiptKind::Released,
            Wait::Delivered => ReceiptKind::Delivered,
            Wait::Acknowledged => ReceiptKind::Acknowledged,
        }
    }

    /// Whether waiting longer is in vain.
    fn is_over(self, status: &TransferStatus) -> bool {
        match (self, status.state) {
            // Rooms answer later than anything else happens; a late answer is taken, but nobody waits for it.
            (Wait::Acknowledged, State::Delivered) => {
                status.reason.as_ref().is_some_and(|reason| reason.code == Code::NotAcknowledged)
            }
            (_, state) => state.is_settled(),
        }
    }
}

/// A transfer that is followed.
pub(crate) struct Follow<'a> {
    pub identity: &'a Identity,
    pub journal: &'a Journal,
    pub transfer: &'a TransferId,
    /// What was sealed; none for a transfer that was not.
    pub sealed: Option<&'a Sealed>,
    pub progress: &'a mut dyn FnMut(Progress),
    /// The state that the zone named last.
    pub last: Option<State>,
}

impl Follow<'_> {
    /// Follows until `wanted` is there, the transfer can no longer get there, or `deadline` has passed; how it stands then.
    pub async fn until(&mut self, link: &mut Link, wanted: Wait, deadline: Instant) -> Result<TransferStatus, Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // The zone waits in whole seconds; what is less is waited for here.
            let seconds = if self.last.is_some() { left.min(POLL_TIMEOUT).as_secs() } else { 0 };
            if self.last.is_some() && seconds == 0 {
                tokio::time::sleep(left).await;
            }
            let wait_seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
            let status = ask_status(link, self.transfer, self.last, wait_seconds).await?;
            self.journal.note(&status)?;
            if self.last != Some(status.state) {
                (self.progress)(Progress::State { state: status.state });
                self.last = Some(status.state);
            }
            self.take_receipts(link, &status).await?;
            if status.receipts.contains(&wanted.receipt()) || wanted.is_over(&status) || left.is_zero() {
                return Ok(status);
            }
        }
    }

    async fn take_receipts(&mut self, link: &mut Link, status: &TransferStatus) -> Result<(), Error> {
        let Some(sealed) = self.sealed else { return Ok(()) };
        let receipts = Receipts::new(self.identity, self.journal, self.transfer, sealed);
        for (kind, file) in receipts.fetch(link, &status.receipts).await? {
            (self.progress)(Progress::Receipt { kind, file });
        }
        Ok(())
    }
}

/// Asks for a transfer's state, when it is another than `unless` or `wait_seconds` have passed.
pub(crate) async fn ask_status(
    link: &mut Link,
    transfer: &TransferId,
    unless: Option<State>,
    wait_seconds: u16,
) -> Result<TransferStatus, Error> {
    let request = Request::Status { transfer: transfer.clone(), unless, wait_seconds };
    match link.ask(&request).await? {
        (Reply::Status(status), _) if status.transfer == *transfer => Ok(status),
        _ => Err(Error::Protocol("an answer that does not belong to the request")),
    }
}
