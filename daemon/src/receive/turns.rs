//! Where the zone has a bound on bytes a second, sources pass it in turn, by weight: a source with many streams gets no more of it
//! than one with few.

use super::intake::Intake;
use super::pool::lock;
use super::share::{Queue, Share};
use sluse_host::limiter::Limiter;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, oneshot};

/// Who waits to let bytes through.
#[derive(Debug)]
pub struct Turns {
    limiter: Arc<Limiter>,
    waiting: Mutex<Queue<(usize, oneshot::Sender<()>)>>,
    more: Notify,
}

impl Turns {
    /// Turns at `limiter`.
    pub fn new(limiter: Arc<Limiter>) -> Self {
        Self { limiter, waiting: Mutex::default(), more: Notify::new() }
    }

    /// Waits until a source may let `bytes` through.
    pub async fn pass(&self, share: &Share, bytes: usize) {
        if !self.limiter.is_bound() {
            return;
        }
        let (pass, passed) = oneshot::channel();
        lock(&self.waiting).push(&share.flow, share.weights, bytes as u64, (bytes, pass));
        self.more.notify_one();
        // It fails only when the role ends.
        let _ = passed.await;
    }
}

/// Lets one after another through, for as long as the role runs.
pub async fn serve(intake: Arc<Intake>) {
    let turns = &intake.turns;
    loop {
        let next = lock(&turns.waiting).pop();
        match next {
            // Whoever went meanwhile takes nobody's turn.
            Some((_, pass)) if pass.is_closed() => {}
            Some((bytes, pass)) => {
                turns.limiter.pass(bytes).await;
                // It may have gone while we waited: then these bytes are lost to the others, a record at most.
                let _ = pass.send(());
            }
            None => turns.more.notified().await,
        }
    }
}
