//! Where hours end while something is sent, it is interrupted, and goes on in the next.

use super::bounds;
use super::intake::Intake;
use super::transfer::Transfer;
use sluse_host::clock;
use sluse_host::config::Settings;
use sluse_protocol::policy;
use sluse_protocol::refusal::Refusal;
use sluse_protocol::time::Timestamp;
use std::sync::Arc;

/// Looks at what is being received, for as long as the role runs.
pub async fn keep(intake: Arc<Intake>) {
    loop {
        tokio::time::sleep(bounds::HOURS).await;
        for transfer in intake.registry.transfers() {
            if let Some(refusal) = over(&intake.zone.settings, &transfer, clock::now())
                && let Some(session) = intake.registry.session_of(transfer.id())
            {
                session.end(refusal);
            }
        }
    }
}

/// Why a transfer does not go on now. One of which nothing but the seal is missing does.
fn over(settings: &Settings, transfer: &Transfer, now: Timestamp) -> Option<Refusal> {
    let (source, agreement) = &transfer.share().flow;
    let (durable, all) = transfer.progress();
    if durable == all {
        return None;
    }
    policy::check_hours(&settings.hours(source, agreement.as_ref()?), now).err()
}
