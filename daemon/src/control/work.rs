//! What the roles are working on: which task is in whose hands, which must wait since it failed, and whose turn it is.
//!
//! Nothing here is durable. Tasks follow from the database ([`super::tasks`]); when a connection ends, what it had in work
//! is handed out again.

use super::live::LinkId;
use super::store::transfers::Transfer;
use sluse_protocol::ids::{AgreementId, RoomName, SourceName, TransferId};
use sluse_protocol::roles::FaultCause;
use sluse_protocol::sharing::{GroupShares, Size, Weights, may_begin, may_deliver};
use sluse_protocol::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Seconds until a task that failed is tried again; doubled each time it fails.
const FIRST_WAIT: i64 = 5;

/// The longest such wait, seconds.
const LONGEST_WAIT: i64 = 600;

/// So often a task is handed out again at once when the connection that had it ended: a role may be restarted for
/// reasons of its own. Beyond that the task itself is suspected, and waits like one that failed.
const FREE_RESTARTS: u32 = 5;

/// What a task costs beside the transfer's bytes, in bytes: where extracts are small, that is most of it.
const TASK_BYTES: u64 = 4 * 1024 * 1024;

/// Seconds within which a task that needs no reading of a dataset must be done. One that is not has been lost.
const QUICK_SECONDS: i64 = 600;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Task {
    /// Make transfer identities.
    Mint,
    /// Take a sealed transfer over.
    TakeOver(TransferId),
    /// Inspect it.
    Inspect(TransferId),
    /// Re-wrap its identity.
    Wrap(TransferId),
    /// Destroy identity and bytes.
    Purge(TransferId),
    /// Deliver it.
    Deliver(TransferId),
    /// Read its archived bag again.
    Check(TransferId),
    /// Take back a delivery that was begun.
    Withdraw(TransferId),
    /// Remove a version from its room.
    Remove(TransferId),
    /// Look for acknowledgements in rooms.
    Look,
}

impl Task {
    /// The task's name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Task::Mint => "mint",
            Task::TakeOver(_) => "take-over",
            Task::Inspect(_) => "inspect",
            Task::Wrap(_) => "wrap",
            Task::Purge(_) => "purge",
            Task::Deliver(_) => "deliver",
            Task::Check(_) => "check-archive",
            Task::Withdraw(_) => "withdraw",
            Task::Remove(_) => "remove-version",
            Task::Look => "look",
        }
    }

    /// The transfer that it is about.
    pub fn transfer(&self) -> Option<&TransferId> {
        match self {
            Task::Mint | Task::Look => None,
            Task::TakeOver(id)
            | Task::Inspect(id)
            | Task::Wrap(id)
            | Task::Purge(id)
            | Task::Deliver(id)
            | Task::Withdraw(id)
            | Task::Remove(id)
            | Task::Check(id) => Some(id),
        }
    }

    /// Whether it takes as long as the dataset is large, or as rooms take to answer.
    fn is_long(&self) -> bool {
        matches!(
            self,
            Task::Inspect(_) | Task::Deliver(_) | Task::Check(_) | Task::Withdraw(_) | Task::Remove(_) | Task::Look
        )
    }
}

/// A task that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub task: Task,
    /// How often.
    pub failures: u32,
    /// When it is tried again.
    pub next: Timestamp,
    /// Whose fault it is.
    pub cause: FaultCause,
    /// Why, in a sentence.
    pub reason: String,
}

/// What takes turns: an agreement's transfers within its source's.
type Flow = (SourceName, AgreementId);

fn flow(transfer: &Transfer) -> Flow {
    (transfer.source.clone(), transfer.agreement.clone())
}

/// See the module.
#[derive(Debug, Default)]
pub struct Work(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    in_hands: HashMap<LinkId, HashMap<Task, Held>>,
    /// Whose turn it is, for each kind of task.
    shares: HashMap<&'static str, GroupShares<SourceName, AgreementId>>,
    troubles: HashMap<Task, Trouble>,
    restarts: HashMap<Task, u32>,
}

/// One attempt at a task, in a connection's hands.
#[derive(Debug)]
struct Held {
    since: Timestamp,
    size: Size,
    /// Of a delivery, its room where that is elsewhere.
    elsewhere: Option<RoomName>,
    /// Whether its bag was signed.
    signed: bool,
    /// Whether the role was told to end it.
    stopped: bool,
}

/// What may be handed out to one connection now; the choice is made while no one else chooses.
pub struct Choice<'a> {
    inner: MutexGuard<'a, Inner>,
    link: LinkId,
    now: Timestamp,
}

impl Work {
    /// A connection that takes tasks begins.
    pub fn open(&self, link: LinkId) {
        self.lock().in_hands.insert(link, HashMap::new());
    }

    /// A connection ended: what it had is to be handed out again.
    pub fn close(&self, link: LinkId, now: Timestamp) {
        let mut inner = self.lock();
        for task in inner.in_hands.remove(&link).unwrap_or_default().into_keys() {
            let restarts = inner.restarts.entry(task.clone()).or_default();
            *restarts += 1;
            if *restarts > FREE_RESTARTS {
                inner.fail(task, FaultCause::Retrying, "the role ended while it worked on this", now);
            }
        }
    }

    /// Begins to choose a task for a connection; `None` when it has ended.
    pub fn choose(&self, link: LinkId, now: Timestamp) -> Option<Choice<'_>> {
        let inner = self.lock();
        inner.in_hands.contains_key(&link).then_some(Choice { inner, link, now })
    }

    /// Whether a connection has a task.
    pub fn has(&self, link: LinkId, task: &Task) -> bool {
        self.lock().in_hands.get(&link).is_some_and(|tasks| tasks.contains_key(task))
    }

    /// Notes that a bag is signed for; false where the connection does not have the task, or the bag of this attempt was signed.
    pub fn sign_once(&self, link: LinkId, task: &Task) -> bool {
        let mut inner = self.lock();
        let held = inner.in_hands.get_mut(&link).and_then(|tasks| tasks.get_mut(task));
        held.is_some_and(|held| !std::mem::replace(&mut held.signed, true))
    }

    /// A task is done.
    pub fn done(&self, link: LinkId, task: &Task) {
        let mut inner = self.lock();
        inner.drop_from(link, task);
        inner.troubles.remove(task);
        inner.restarts.remove(task);
    }

    /// A task was ended by the role since we said so: it is in nobody's hands, and has not failed.
    pub fn put_back(&self, link: LinkId, task: &Task) {
        self.lock().drop_from(link, task);
    }

    /// A task failed by our fault and is to be tried again. One that the connection does not have changes nothing.
    pub fn failed(&self, link: LinkId, task: Task, cause: FaultCause, reason: &str, now: Timestamp) {
        let mut inner = self.lock();
        let (name, transfer, code) = (task.as_str(), task.transfer().map(TransferId::as_str), cause.as_str());
        if !inner.drop_from(link, &task) {
            tracing::warn!(task = name, transfer, code, "a task failed that its role was not given");
            return;
        }
        match cause {
            FaultCause::Retrying => tracing::warn!(task = name, transfer, code, reason, "to be retried"),
            FaultCause::BadGrant => tracing::error!(task = name, transfer, code, reason, "a grant of ours was refused"),
        }
        inner.fail(task, cause, reason, now);
    }

    /// Takes back quick tasks that were handed out long ago and never answered for.
    pub fn take_back_lost(&self, now: Timestamp) {
        let mut inner = self.lock();
        let lost = |task: &Task, held: &Held| !task.is_long() && held.since.plus(QUICK_SECONDS) < now;
        let mut all = Vec::new();
        for tasks in inner.in_hands.values_mut() {
            all.extend(tasks.iter().filter(|(task, held)| lost(task, held)).map(|(task, _)| task.clone()));
            tasks.retain(|task, held| !lost(task, held));
        }
        for task in all {
            tracing::warn!(
                task = task.as_str(),
                transfer = task.transfer().map(TransferId::as_str),
                "never answered for"
            );
            inner.fail(task, FaultCause::Retrying, "the role never answered for it", now);
        }
    }

    /// Does something while no task can be handed out; `None` when `task` was begun: it is in somebody's hands, or failed there.
    pub fn unless_begun<T>(&self, task: &Task, act: impl FnOnce() -> T) -> Option<T> {
        let inner = self.lock();
        let in_hands = inner.in_hands.values().any(|tasks| tasks.contains_key(task));
        // What was in hands that were lost may have been done.
        let begun = in_hands || inner.troubles.contains_key(task) || inner.restarts.contains_key(task);
        (!begun).then(act)
    }

    /// What failed and waits.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.lock().troubles.values().cloned().collect()
    }

    /// Forgets troubles of tasks that no longer follow from the state.
    pub fn retain(&self, still_to_do: impl Fn(&Task) -> bool) {
        let mut inner = self.lock();
        inner.troubles.retain(|task, _| still_to_do(task));
        inner.restarts.retain(|task, _| still_to_do(task));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes a task from a connection; whether it had it.
    fn drop_from(&mut self, link: LinkId, task: &Task) -> bool {
        self.in_hands.get_mut(&link).is_some_and(|tasks| tasks.remove(task).is_some())
    }

    fn fail(&mut self, task: Task, cause: FaultCause, reason: &str, now: Timestamp) {
        let failures = self.troubles.get(&task).map_or(0, |trouble| trouble.failures) + 1;
        let wait = (FIRST_WAIT << (failures - 1).min(20)).min(LONGEST_WAIT);
        let reason = reason.chars().filter(|c| !c.is_control()).take(300).collect();
        self.troubles.insert(task.clone(), Trouble { task, failures, next: now.plus(wait), cause, reason });
    }
}

impl Choice<'_> {
    /// Whether a task on a transfer of so many bytes may be handed out: the connection does not have it, it need not wait, and,
    /// where it takes a worker for long, one may be taken by something of this size. What is handed out begins at once: nothing
    /// that comes later finds the role's own queue before it.
    pub fn allows(&self, task: &Task, bytes: u64) -> bool {
        let has_place = !task.is_long() || may_begin(Size::of(bytes), self.same(task).map(|held| held.size));
        has_place && self.is_free(task)
    }

    /// The same for a delivery, by its room where that is elsewhere.
    pub fn allows_delivery(&self, task: &Task, bytes: u64, elsewhere: Option<&RoomName>) -> bool {
        let in_work: Vec<_> = self.same(task).map(|held| (held.size, held.elsewhere.clone())).collect();
        may_deliver(Size::of(bytes), elsewhere, &in_work) && self.is_free(task)
    }

    /// What the connection has of the same kind.
    fn same(&self, task: &Task) -> impl Iterator<Item = &Held> {
        let (in_hands, kind) = (self.inner.in_hands.get(&self.link), task.as_str());
        in_hands.into_iter().flatten().filter(move |(other, _)| other.as_str() == kind).map(|(_, held)| held)
    }

    fn is_free(&self, task: &Task) -> bool {
        let Some(in_hands) = self.inner.in_hands.get(&self.link) else { return false };
        // Reading archives has time: one after another, beside what is delivered.
        if matches!(task, Task::Check(_)) && in_hands.keys().any(|task| matches!(task, Task::Check(_))) {
            return false;
        }
        // A clock that was set back must not make a task wait for years.
        let waits = |next: Timestamp| self.now < next && next <= self.now.plus(LONGEST_WAIT);
        !in_hands.contains_key(task) && !self.inner.troubles.get(task).is_some_and(|trouble| waits(trouble.next))
    }

    /// Deliveries that the connection has, and was not told to end.
    pub fn deliveries(&self) -> Vec<TransferId> {
        let in_hands = self.inner.in_hands.get(&self.link).into_iter().flatten();
        let running = in_hands.filter(|(_, held)| !held.stopped);
        running.filter_map(|(task, _)| if let Task::Deliver(id) = task { Some(id.clone()) } else { None }).collect()
    }

    /// Notes that the connection is told to end a delivery.
    pub fn stop(&mut self, transfer: &TransferId) {
        let held = self.inner.in_hands.get_mut(&self.link);
        if let Some(held) = held.and_then(|tasks| tasks.get_mut(&Task::Deliver(transfer.clone()))) {
            held.stopped = true;
        }
    }

    /// Whether a task is in anybody's hands.
    pub fn is_in_hands(&self, task: &Task) -> bool {
        self.inner.in_hands.values().any(|tasks| tasks.contains_key(task))
    }

    /// Whose turn it is: of the first transfer of each agreement, the one whose source, and of that whose agreement, had least of this
    /// kind of task so far, by weight.
    pub fn next(&self, kind: &str, firsts: Vec<Transfer>) -> Option<Transfer> {
        let stand = |flow: &Flow| self.inner.shares.get(kind).map_or((0, 0), |shares| shares.stand(flow));
        firsts.into_iter().min_by_key(|transfer| stand(&flow(transfer)))
    }

    /// Hands out a task on a transfer; `weights` are those of its source and agreement.
    pub fn hand_out(mut self, task: Task, transfer: &Transfer, weights: Weights) {
        self.serve(&task, transfer, weights);
        self.give(task, Size::of(transfer.totals.bytes));
    }

    /// The same of a delivery, by its room where that is elsewhere.
    pub fn hand_out_delivery(mut self, task: Task, transfer: &Transfer, weights: Weights, elsewhere: Option<RoomName>) {
        self.serve(&task, transfer, weights);
        self.hold(task, Size::of(transfer.totals.bytes), elsewhere);
    }

    /// Hands out a task that is about no transfer.
    pub fn give(&mut self, task: Task, size: Size) {
        self.hold(task, size, None);
    }

    fn serve(&mut self, task: &Task, transfer: &Transfer, weights: Weights) {
        let cost = transfer.totals.bytes.saturating_add(TASK_BYTES);
        self.inner.shares.entry(task.as_str()).or_default().serve(&flow(transfer), cost, weights);
    }

    fn hold(&mut self, task: Task, size: Size, elsewhere: Option<RoomName>) {
        if let Some(tasks) = self.inner.in_hands.get_mut(&self.link) {
            tasks.insert(task, Held { since: self.now, size, elsewhere, signed: false, stopped: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::live::Live;
    use sluse_protocol::roles::Role;

    fn task() -> Task {
        Task::Inspect(TransferId::new(Timestamp::from_unix(0), [1; 5]))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn take(work: &Work, link: LinkId, seconds: i64) -> bool {
        let Some(mut choice) = work.choose(link, at(seconds)) else { return false };
        let allowed = choice.allows(&task(), 0);
        if allowed {
            choice.give(task(), Size::Small);
        }
        allowed
    }

    #[test]
    fn a_task_is_in_one_hand_until_it_is_done_or_its_connection_ends() {
        let (live, work) = (Live::default(), Work::default());
        let (old, new) = (live.connect(Role::Inspect), live.connect(Role::Inspect));
        work.open(old);
        assert!(take(&work, old, 0) && !take(&work, old, 0));
        work.done(old, &task());
        assert!(take(&work, old, 0));
        work.close(old, at(0));
        assert!(!take(&work, old, 0), "an ended connection gets nothing");
        work.open(new);
        assert!(take(&work, new, 0));
    }

    #[test]
    fn a_task_that_fails_waits_twice_as_long_each_time_up_to_ten_minutes() {
        let (live, work) = (Live::default(), Work::default());
        let link = live.connect(Role::Inspect);
        work.open(link);
        let mut now = 0;
        for wait in [5, 10, 20, 40, 80, 160, 320, 600, 600] {
            assert!(take(&work, link, now));
            work.failed(link, task(), FaultCause::Retrying, "disk", at(now));
            assert!(!take(&work, link, now + wait - 1), "{wait}");
            now += wait;
        }
        assert_eq!(work.troubles()[0].failures, 9);
        assert!(take(&work, link, now));
        work.done(link, &task());
        assert_eq!(work.troubles(), []);
    }

    #[test]
    fn a_quick_task_that_is_never_answered_for_is_handed_out_again_and_a_long_one_is_not() {
        let (live, work) = (Live::default(), Work::default());
        let link = live.connect(Role::Inspect);
        work.open(link);
        let Task::Inspect(id) = task() else { unreachable!() };
        let wrap = Task::Wrap(id);
        for task in [task(), wrap.clone()] {
            work.choose(link, at(0)).unwrap().give(task, Size::Small);
        }
        work.take_back_lost(at(600));
        assert_eq!(work.troubles(), []);
        work.take_back_lost(at(601));
        assert_eq!(work.troubles().iter().map(|trouble| &trouble.task).collect::<Vec<_>>(), [&wrap]);
        let allowed = |task: &Task| work.choose(link, at(606)).unwrap().allows(task, 0);
        assert!(allowed(&wrap) && !allowed(&task()));
    }

    #[test]
    fn what_is_large_is_not_handed_out_where_it_would_take_the_last_worker() {
        let (live, work) = (Live::default(), Work::default());
        let link = live.connect(Role::Deliver);
        work.open(link);
        let deliver = |number| Task::Deliver(TransferId::new(at(0), [number; 5]));
        let allows = |number, bytes| work.choose(link, at(0)).unwrap().allows(&deliver(number), bytes);
        for (number, size) in [(1, Size::Large), (2, Size::Large), (3, Size::Medium)] {
            work.choose(link, at(0)).unwrap().give(deliver(number), size);
        }
        assert!(!allows(4, 1 << 40) && !allows(4, 1 << 30), "the last worker is for small ones");
        assert!(allows(4, 1 << 20));
        work.done(link, &deliver(3));
        assert!(allows(4, 1 << 30) && !allows(4, 1 << 40), "two large ones at once are enough");
        let inspect = Task::Inspect(TransferId::new(at(0), [9; 5]));
        assert!(work.choose(link, at(0)).unwrap().allows(&inspect, 1 << 40), "each kind of task has its workers");
    }

    #[test]
    fn deliveries_to_rooms_elsewhere_take_no_worker_of_rooms_here() {
        let (live, work) = (Live::default(), Work::default());
        let link = live.connect(Role::Deliver);
        work.open(link);
        let room = |name: &str| -> RoomName { name.parse().unwrap() };
        let deliver = |number| Task::Deliver(TransferId::new(at(0), [number; 5]));
        let allows =
            |number, to: Option<&RoomName>| work.choose(link, at(0)).unwrap().allows_delivery(&deliver(number), 0, to);
        for (number, to) in [(1, "one"), (2, "two"), (3, "three"), (4, "four")] {
            assert!(allows(number, Some(&room(to))));
            work.choose(link, at(0)).unwrap().hold(deliver(number), Size::Small, Some(room(to)));
        }
        assert!(!allows(5, Some(&room("five"))) && allows(5, None));
        work.done(link, &deliver(2));
        assert!(allows(5, Some(&room("five"))) && !allows(5, Some(&room("one"))));
    }

    #[test]
    fn a_task_that_a_connection_does_not_have_cannot_fail_there() {
        let (live, work) = (Live::default(), Work::default());
        let link = live.connect(Role::Inspect);
        work.open(link);
        work.failed(link, task(), FaultCause::Retrying, "disk", at(0));
        assert_eq!(work.troubles(), []);
        assert!(take(&work, link, 0));
    }

    #[test]
    fn one_connection_has_a_few_inspections_at_once() {
        let (live, work) = (Live::default(), Work::default());
        let link = live.connect(Role::Inspect);
        work.open(link);
        let other = |number: u8| TransferId::new(at(0), [number; 5]);
        let allowed = |task: &Task| work.choose(link, at(0)).unwrap().allows(task, 0);
        for number in 0..4 {
            let task = Task::Inspect(other(number));
            assert!(allowed(&task));
            work.choose(link, at(0)).unwrap().give(task, Size::Small);
        }
        assert!(!allowed(&Task::Inspect(other(9))) && allowed(&Task::Wrap(other(9))));
        work.done(link, &Task::Inspect(other(0)));
        assert!(allowed(&Task::Inspect(other(9))));
    }

    #[test]
    fn a_task_that_kills_its_role_again_and_again_waits_too() {
        let (live, work) = (Live::default(), Work::default());
        for _ in 0..=FREE_RESTARTS {
            let link = live.connect(Role::Inspect);
            work.open(link);
            assert!(take(&work, link, 0));
            work.close(link, at(0));
        }
        let link = live.connect(Role::Inspect);
        work.open(link);
        assert!(!take(&work, link, 4) && take(&work, link, 5));
    }
}
