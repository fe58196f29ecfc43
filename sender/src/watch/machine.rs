//! What the watcher does, decided. Pure: observations, results, times and randomness come in; actions go out. `service` does
//! what is decided here.
//!
//! An entry of an outbox is *settling* until it is whole; then it is a [`Record`] that the journal keeps, until it was put
//! away. A record belongs to one content: where an entry changes, the record is that of something that no longer lies there,
//! and the new content begins to settle. Nothing here is needed after a crash but the records.

mod action;
mod decide;

use super::happening::{Happening, What};
use super::judge::{Failure, Sent};
use super::pause::Pause;
use super::record::{Record, RecordId, Stage, Why};
use super::scan::Seen;
use super::settings::{Delivered, Whole};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::sharing::Size;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use action::{Action, Answer, Now, Rules, Standing};

/// Longest pauses: of a zone that does not answer, of an agreement that is not valid, of an entry that fails.
const ZONE_RESTS: Duration = Duration::from_secs(120);
const OUTBOX_RESTS: Duration = Duration::from_secs(900);
const ENTRY_RESTS: Duration = Duration::from_secs(600);

/// Hours are waited for so long, and then scattered, so that all hosts do not come at once.
const HOURS_AT_LEAST: Duration = Duration::from_secs(5);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const HOURS_SPREAD: Duration = Duration::from_secs(30);

/// How often a zone is asked what became of transfers: often at first, seldom when nothing changes.
const ASK_SOON: Duration = Duration::from_millis(500);
const ASK_SELDOM: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    No,
    Sending,
    PuttingAway,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    outbox: usize,
    /// Whether this very content lay in the outbox when it was looked at last.
    present: bool,
    busy: Busy,
    /// How large it is; small until it was looked at.
    size: Size,
    pause: Pause,
    /// The order in which entries became whole.
    order: u64,
    /// The state told last.
    told: Option<State>,
    receipts: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Settling {
    fingerprint: Sha256,
    since: Duration,
}

#[derive(Debug, Default)]
struct Box_ {
    settling: BTreeMap<String, Settling>,
    pause: Pause,
    observed: bool,
}

#[derive(Debug)]
struct Zone {
    pause: Pause,
    asking: bool,
    ask_at: Duration,
    interval: Duration,
}

/// The watcher's mind.
#[derive(Debug)]
pub struct Machine {
    rules: Vec<Rules>,
    boxes: Vec<Box_>,
    zones: Vec<Zone>,
    entries: BTreeMap<RecordId, Entry>,
    parallel: usize,
    orders: u64,
    actions: Vec<Action>,
}

impl Machine {
    /// A machine with the journal's records. Records of outboxes that are no longer configured are left out.
    pub fn new(rules: Vec<Rules>, parallel: usize, records: Vec<Record>) -> Self {
        let zones = rules.iter().map(|rules| rules.zone + 1).max().unwrap_or(0);
        let zone = || Zone { pause: Pause::default(), asking: false, ask_at: Duration::ZERO, interval: ASK_SOON };
        let mut machine = Self {
            boxes: rules.iter().map(|_| Box_::default()).collect(),
            zones: (0..zones).map(|_| zone()).collect(),
            rules,
            entries: BTreeMap::new(),
            parallel,
            orders: 0,
            actions: Vec::new(),
        };
        for record in records {
            if let Some(outbox) = machine.rules.iter().position(|rules| rules.name == record.outbox) {
                machine.enter(outbox, record, None);
            }
        }
        machine
    }

    /// An outbox was looked at.
    pub fn observed(&mut self, outbox: usize, seen: &[Seen], now: Now) -> Vec<Action> {
        if !std::mem::replace(&mut self.boxes[outbox].observed, true) {
            self.finish_receipts(outbox);
        }
        let by_name: BTreeMap<&str, &Seen> = seen.iter().map(|seen| (seen.name.as_str(), seen)).collect();
        self.compare(outbox, &by_name);
        self.settle(outbox, &by_name, now);
        self.decide(now)
    }

    /// The zone accepted an offer.
    pub fn accepted(&mut self, id: &RecordId, transfer: TransferId, now: Now) -> Vec<Action> {
        if let Some(entry) = self.entries.get_mut(id)
            && entry.record.transfer.as_ref() != Some(&transfer)
        {
            entry.record.transfer = Some(transfer);
            self.actions.push(Action::Keep(entry.record.clone()));
            self.actions.push(Action::Tell(Happening::of(&entry.record, What::Accepted)));
        }
        self.decide(now)
    }

    /// Handing a record over ended.
    pub fn sent(&mut self, id: &RecordId, sent: Sent, now: Now) -> Vec<Action> {
        let Some(entry) = self.entries.get_mut(id) else { return self.decide(now) };
        entry.busy = Busy::No;
        let (outbox, zone) = (entry.outbox, self.rules[entry.outbox].zone);
        match sent {
            Sent::Received(transfer) => {
                entry.pause.over();
                entry.record.transfer = Some(transfer);
                self.advance(id, Stage::Received, What::Received);
                self.works(outbox);
                // What became of it is asked soon, also where older ones are asked after seldom.
                let zone = &mut self.zones[zone];
                (zone.interval, zone.ask_at) = (ASK_SOON, zone.ask_at.min(now.uptime + ASK_SOON));
                if let Some(entry) = self.entries.get(id) {
                    self.actions.push(Action::Receipts(entry.record.clone()));
                    if entry.present {
                        self.actions.push(Action::Unmark(entry.record.clone()));
                    }
                }
            }
            Sent::Lost(transfer, why) => {
                entry.record.transfer = Some(transfer);
                self.works(outbox);
                self.refuse(id, why, now);
            }
            Sent::Failed(Failure::Never(why)) => {
                self.works(outbox);
                self.refuse(id, why, now);
            }
            Sent::Failed(Failure::Later(why)) => {
                let pause = entry.pause.failed(now.uptime, ENTRY_RESTS, now.random);
                let record = entry.record.clone();
                self.works(outbox);
                self.actions.push(Action::Tell(Happening::of(&record, failed(why, "entry", pause))));
            }
            Sent::Failed(Failure::Outbox(why)) => {
                self.zone_works(zone);
                self.outbox_fails(outbox, why, now);
            }
            Sent::Failed(Failure::Hours(why, until)) => {
                self.works(outbox);
                self.wait_for_hours(outbox, why, until, now);
            }
            Sent::Failed(Failure::Zone(why)) => self.zone_fails(zone, why, now),
        }
        self.decide(now)
    }

    /// A zone answered what became of transfers, or did not.
    pub fn answered(&mut self, zone: usize, answers: Result<Vec<Answer>, Why>, now: Now) -> Vec<Action> {
        self.zones[zone].asking = false;
        let answers = match answers {
            Ok(answers) => answers,
            Err(why) => {
                self.zone_fails(zone, why, now);
                return self.decide(now);
            }
        };
        self.zone_works(zone);
        let mut news = false;
        for (id, standing, receipts) in answers {
            news |= self.stands(&id, standing, receipts, now);
        }
        let zone = &mut self.zones[zone];
        zone.interval = if news { ASK_SOON } else { (zone.interval * 2).min(ASK_SELDOM) };
        zone.ask_at = now.uptime + zone.interval;
        self.decide(now)
    }

    /// A record was put away; `Err` when that failed.
    pub fn put_away(&mut self, id: &RecordId, result: Result<(), Why>, now: Now) -> Vec<Action> {
        let Some(entry) = self.entries.get_mut(id) else { return self.decide(now) };
        entry.busy = Busy::No;
        match result {
            Ok(()) => {
                let deleted = !matches!(entry.record.stage, Stage::Refused { .. })
                    && self.rules[entry.outbox].delivered == Delivered::Delete;
                let told = Happening::of(&entry.record, What::PutAway { deleted });
                self.forget(id);
                self.actions.push(Action::Tell(told));
            }
            Err(why) => {
                let pause = entry.pause.failed(now.uptime, ENTRY_RESTS, now.random);
                let told = Happening::of(&entry.record, failed(why, "entry", pause));
                self.actions.push(Action::Tell(told));
            }
        }
        self.decide(now)
    }

    /// The source has another certificate for a zone: why it rests may be over.
    pub fn has_another_certificate(&mut self, zone: usize, now: Now) -> Vec<Action> {
        self.zones[zone].pause.cut_short();
        self.decide(now)
    }

    /// Time passed.
    pub fn tick(&mut self, now: Now) -> Vec<Action> {
        self.decide(now)
    }

    /// When something is due next, if nothing else happens.
    pub fn wake_at(&self, now: Now) -> Option<Duration> {
        let pauses =
            self.entries.values().filter(|entry| entry.busy == Busy::No).filter_map(|entry| entry.pause.until());
        let rests = self.boxes.iter().filter_map(|outbox| outbox.pause.until());
        let zones = self.zones.iter().enumerate();
        let zones =
            zones.filter_map(|(at, zone)| zone.pause.until().or_else(|| self.has_open(at).then_some(zone.ask_at)));
        let ends =
            self.entries.values().filter_map(|entry| match (&entry.record.stage, self.rules[entry.outbox].delivered) {
                (Stage::Delivered { .. }, Delivered::Keep) => None,
                (Stage::Delivered { since }, _) if entry.present && entry.busy == Busy::No => {
                    let left = self.due(entry.outbox, *since).unix().saturating_sub(now.clock.unix());
                    Some(now.uptime + Duration::from_secs(u64::try_from(left).unwrap_or(0)))
                }
                _ => None,
            });
        pauses.chain(rests).chain(zones).chain(ends).filter(|at| *at > now.uptime).min()
    }

    /// When an outbox should be looked at next, since an entry may be whole then.
    pub fn look_at(&self, outbox: usize) -> Option<Duration> {
        let Whole::Quiet(quiet) = self.rules[outbox].whole else { return None };
        self.boxes[outbox].settling.values().map(|settling| settling.since + quiet).min()
    }

    /// A crash may have come between what the journal says and the receipts beside an entry.
    fn finish_receipts(&mut self, outbox: usize) {
        let mine = self.entries.values().filter(|entry| entry.outbox == outbox);
        let received = mine.filter(|entry| matches!(entry.record.stage, Stage::Received | Stage::Delivered { .. }));
        self.actions.extend(received.map(|entry| Action::Receipts(entry.record.clone())));
    }

    /// Which records are still what lies in the outbox.
    fn compare(&mut self, outbox: usize, seen: &BTreeMap<&str, &Seen>) {
        let (mut gone, keep) = (Vec::new(), self.rules[outbox].delivered == Delivered::Keep);
        for (id, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.outbox == outbox) {
            let record = &entry.record;
            let lies = seen.get(record.name.as_str()).filter(|seen| seen.fingerprint == record.fingerprint);
            entry.present = lies.is_some();
            entry.size = lies.map_or(entry.size, |seen| Size::of(seen.bytes));
            match (&record.stage, entry.busy) {
                (Stage::Whole, Busy::No) if !entry.present => gone.push(id.clone()),
                (Stage::Delivered { .. }, Busy::No) if !entry.present && keep => gone.push(id.clone()),
                (Stage::Received | Stage::Delivered { .. }, _) if lies.is_some_and(|seen| seen.marked) => {
                    self.actions.push(Action::Unmark(record.clone()));
                }
                _ => {}
            }
        }
        for id in gone {
            if let Some(entry) = self.entries.get(&id)
                && entry.record.stage == Stage::Whole
            {
                self.actions.push(Action::Tell(Happening::of(&entry.record, What::Withdrawn)));
            }
            self.forget(&id);
        }
    }

    /// Lets what has no record yet settle, and makes records of what is whole.
    fn settle(&mut self, outbox: usize, seen: &BTreeMap<&str, &Seen>, now: Now) {
        let mut settling = std::mem::take(&mut self.boxes[outbox].settling);
        settling.retain(|name, _| seen.contains_key(name.as_str()));
        // While the content before is being read or moved, the new one waits.
        let mine = self.entries.values().filter(|entry| entry.outbox == outbox);
        let known = mine.filter(|entry| entry.present || entry.busy != Busy::No);
        let known: BTreeSet<String> = known.map(|entry| entry.record.name.clone()).collect();
        for (name, seen) in seen {
            if known.contains(*name) {
                settling.remove(*name);
                continue;
            }
            let begun = Settling { fingerprint: seen.fingerprint, since: now.uptime };
            let settled = settling.entry((*name).to_owned()).or_insert_with(|| begun.clone());
            if settled.fingerprint != seen.fingerprint {
                *settled = begun;
            }
            let whole = match self.rules[outbox].whole {
                Whole::Marker(_) => seen.marked,
                Whole::Rename => true,
                Whole::Quiet(quiet) => now.uptime >= settled.since + quiet,
            };
            if whole {
                settling.remove(*name);
                self.begin(outbox, seen, now);
            }
        }
        self.boxes[outbox].settling = settling;
    }

    fn begin(&mut self, outbox: usize, seen: &Seen, now: Now) {
        let record = Record {
            outbox: self.rules[outbox].name.clone(),
            name: seen.name.clone(),
            fingerprint: seen.fingerprint,
            transfer: None,
            stage: Stage::Whole,
        };
        self.actions.push(Action::Keep(record.clone()));
        self.actions.push(Action::Tell(Happening::of(&record, What::Whole)));
        let id = record.id();
        self.enter(outbox, record, Some(Size::of(seen.bytes)));
        if let Some(unfit) = &seen.unfit {
            self.refuse(&id, Why::here(unfit.clone(), "Rename it, and put it back."), now);
        }
    }

    /// A record begins to count; `seen` is the size of what lies in the outbox, where that was looked at.
    fn enter(&mut self, outbox: usize, record: Record, seen: Option<Size>) {
        self.orders += 1;
        let (order, pause) = (self.orders, Pause::default());
        let (present, size) = (seen.is_some(), seen.unwrap_or(Size::Small));
        let entry = Entry { record, outbox, present, busy: Busy::No, size, pause, order, told: None, receipts: 0 };
        self.entries.insert(entry.record.id(), entry);
    }

    fn stands(&mut self, id: &RecordId, standing: Standing, receipts: usize, now: Now) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        if entry.record.stage != Stage::Received {
            return false;
        }
        let mut news = entry.receipts != receipts;
        entry.receipts = receipts;
        // What is put away at once takes its receipts along.
        let rules = &self.rules[entry.outbox];
        let stays = rules.delivered == Delivered::Keep || !rules.after.is_zero();
        if news && (stays || matches!(standing, Standing::Open(_))) {
            self.actions.push(Action::Receipts(entry.record.clone()));
        }
        match standing {
            Standing::Open(state) => {
                if entry.told != Some(state) {
                    (entry.told, news) = (Some(state), true);
                    self.actions.push(Action::Tell(Happening::of(&entry.record, What::State { state })));
                }
                return news;
            }
            Standing::Delivered => self.advance(id, Stage::Delivered { since: now.clock }, What::Delivered),
            Standing::Lost(why) => self.refuse(id, why, now),
            Standing::Unknown => {
                let why = Why::here("the zone does not know this transfer", "It is sent again.");
                entry.pause.failed(now.uptime, ENTRY_RESTS, now.random);
                self.advance(id, Stage::Whole, failed(why, "entry", Duration::ZERO));
            }
        }
        true
    }

    /// A record goes to another stage.
    fn advance(&mut self, id: &RecordId, stage: Stage, told: What) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.record.stage = stage;
            self.actions.push(Action::Keep(entry.record.clone()));
            self.actions.push(Action::Tell(Happening::of(&entry.record, told)));
        }
    }

    fn refuse(&mut self, id: &RecordId, why: Why, now: Now) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.pause.over();
        }
        self.advance(id, Stage::Refused { since: now.clock, why: why.clone() }, What::Refused { why });
    }

    fn forget(&mut self, id: &RecordId) {
        self.entries.remove(id);
        self.actions.push(Action::Forget(id.clone()));
    }

    /// The zone takes what is in this outbox from `until` on. What is under way meanwhile hears the same.
    fn wait_for_hours(&mut self, outbox: usize, why: Why, until: Timestamp, now: Now) {
        let pause = &mut self.boxes[outbox].pause;
        if !pause.is_over(now.uptime) {
            return;
        }
        // Hours come back every week; a clock that is ahead of the zone's must not ask without end.
        let left = u64::try_from(until.unix().saturating_sub(now.clock.unix())).unwrap_or(0);
        let left = Duration::from_secs(left).clamp(HOURS_AT_LEAST, WEEK);
        pause.rest(now.uptime + left + HOURS_SPREAD * u32::from(now.random) / 255);
        let told = What::Waiting { why, until };
        self.actions.push(Action::Tell(Happening::in_outbox(&self.rules[outbox].name, told)));
    }

    /// The zone took this outbox's agreement.
    fn works(&mut self, outbox: usize) {
        self.zone_works(self.rules[outbox].zone);
        if self.boxes[outbox].pause.is_failing() {
            self.boxes[outbox].pause.over();
            self.actions.push(Action::Problem { outbox, why: None });
            let name = &self.rules[outbox].name;
            self.actions.push(Action::Tell(Happening::in_outbox(name, What::Mended { rested: "outbox" })));
        }
    }

    fn zone_works(&mut self, zone: usize) {
        if self.zones[zone].pause.is_failing() {
            self.zones[zone].pause.over();
            self.actions.push(Action::Tell(Happening::at_zone(What::Mended { rested: "zone" })));
        }
    }

    /// What goes on side by side fails side by side: that is one failure, and not a reason to rest for longer each time.
    fn zone_fails(&mut self, zone: usize, why: Why, now: Now) {
        if !self.zones[zone].pause.is_over(now.uptime) {
            return;
        }
        let pause = self.zones[zone].pause.failed(now.uptime, ZONE_RESTS, now.random);
        self.actions.push(Action::Tell(Happening::at_zone(failed(why, "zone", pause))));
    }

    /// As [`Machine::zone_fails`].
    fn outbox_fails(&mut self, outbox: usize, why: Why, now: Now) {
        if !self.boxes[outbox].pause.is_over(now.uptime) {
            return;
        }
        let pause = self.boxes[outbox].pause.failed(now.uptime, OUTBOX_RESTS, now.random);
        self.actions.push(Action::Problem { outbox, why: Some(why.clone()) });
        let name = &self.rules[outbox].name;
        self.actions.push(Action::Tell(Happening::in_outbox(name, failed(why, "outbox", pause))));
    }

    fn due(&self, outbox: usize, since: Timestamp) -> Timestamp {
        since.plus(i64::try_from(self.rules[outbox].after.as_secs()).unwrap_or(i64::MAX))
    }
}

fn failed(why: Why, rests: &'static str, pause: Duration) -> What {
    What::Failed { why, rests, milliseconds: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests;
