//! What is due: which entries are handed over, which zones are asked, what is put away.

use super::{Action, Busy, Entry, Machine, Now};
use crate::watch::happening::{Happening, What};
use crate::watch::record::{RecordId, Stage};
use crate::watch::settings::Delivered;
use sluse_protocol::ids::TransferId;
use sluse_protocol::sharing::Size;

/// Transfers that are asked after on one connection.
const ASK_AT_ONCE: usize = 500;

impl Machine {
    /// Everything that is due now.
    pub(super) fn decide(&mut self, now: Now) -> Vec<Action> {
        self.decide_sends(now);
        self.decide_asks(now);
        self.decide_ends(now);
        std::mem::take(&mut self.actions)
    }

    fn decide_sends(&mut self, now: Now) {
        let mut busy: Vec<(usize, Size)> = self.sending().collect();
        let mut due: Vec<(u64, RecordId)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_to_send(now))
            .map(|(id, entry)| (entry.order, id.clone()))
            .collect();
        due.sort_unstable();
        for (_, id) in due {
            if self.waits_its_turn(&id) {
                continue;
            }
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if !has_place(self.parallel, entry.size, busy.iter().map(|(_, size)| *size)) {
                continue;
            }
            let (outbox, zone) = (entry.outbox, self.rules[entry.outbox].zone);
            let (outbox_pause, zone_pause) = (self.boxes[outbox].pause, self.zones[zone].pause);
            let rests = !outbox_pause.is_over(now.uptime) || !zone_pause.is_over(now.uptime);
            // What failed is tried with one entry; the others wait for how that ends.
            let probed = (zone_pause.is_failing() && busy.iter().any(|(other, _)| self.rules[*other].zone == zone))
                || (outbox_pause.is_failing() && busy.iter().any(|(other, _)| *other == outbox));
            if rests || probed {
                continue;
            }
            entry.busy = Busy::Sending;
            busy.push((outbox, entry.size));
            let (record, again) = (entry.record.clone(), entry.record.transfer.is_none());
            self.actions.push(Action::Tell(Happening::of(&record, What::Sending)));
            self.actions.push(Action::Send { record, again });
        }
    }

    /// Whether an entry is a version that comes after another one of its outbox which the zone does not have yet.
    fn waits_its_turn(&self, id: &RecordId) -> bool {
        let Some(entry) = self.entries.get(id).filter(|entry| self.rules[entry.outbox].in_order) else { return false };
        let is_before = |other: &Entry| {
            let waits = other.record.stage == Stage::Whole && other.present;
            other.busy == Busy::Sending || (waits && other.record.name < entry.record.name)
        };
        self.entries.values().any(|other| other.outbox == entry.outbox && is_before(other))
    }

    /// The outboxes and sizes of what is being sent.
    fn sending(&self) -> impl Iterator<Item = (usize, Size)> + '_ {
        self.entries.values().filter(|entry| entry.busy == Busy::Sending).map(|entry| (entry.outbox, entry.size))
    }

    fn decide_asks(&mut self, now: Now) {
        for zone in 0..self.zones.len() {
            let due = self.zones[zone].ask_at <= now.uptime && self.zones[zone].pause.is_over(now.uptime);
            if self.zones[zone].asking || !due {
                continue;
            }
            let mut open: Vec<_> = self.open(zone).collect();
            if open.is_empty() {
                continue;
            }
            // The oldest first; what was asked after goes to the end.
            open.sort_unstable_by_key(|(order, ..)| *order);
            let transfers: Vec<_> =
                open.into_iter().take(ASK_AT_ONCE).map(|(_, id, transfer)| (id.clone(), transfer.clone())).collect();
            for (id, _) in &transfers {
                self.orders += 1;
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.order = self.orders;
                }
            }
            self.zones[zone].asking = true;
            self.actions.push(Action::Ask { zone, transfers });
        }
    }

    fn open(&self, zone: usize) -> impl Iterator<Item = (u64, &RecordId, &TransferId)> {
        let open = self.entries.iter().filter(move |(_, entry)| self.rules[entry.outbox].zone == zone);
        open.filter(|(_, entry)| entry.record.stage == Stage::Received)
            .filter_map(|(id, entry)| Some((entry.order, id, entry.record.transfer.as_ref()?)))
    }

    pub(super) fn has_open(&self, zone: usize) -> bool {
        !self.zones[zone].asking && self.open(zone).next().is_some()
    }

    fn decide_ends(&mut self, now: Now) {
        let mut ends = Vec::new();
        for (id, entry) in &self.entries {
            let ready = entry.busy == Busy::No && entry.pause.is_over(now.uptime) && self.boxes[entry.outbox].observed;
            let delete = match (&entry.record.stage, self.rules[entry.outbox].delivered) {
                (Stage::Refused { .. }, _) => false,
                (Stage::Delivered { .. }, Delivered::Keep) => continue,
                // What is no longer there was moved before a crash, or by a person: the rest of it is put away at once.
                (Stage::Delivered { since }, how) if !entry.present || self.due(entry.outbox, *since) <= now.clock => {
                    how == Delivered::Delete
                }
                _ => continue,
            };
            if ready {
                ends.push((id.clone(), delete));
            }
        }
        for (id, delete) in ends {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.busy = Busy::PuttingAway;
                self.actions.push(Action::PutAway { record: entry.record.clone(), delete });
            }
        }
    }
}

/// Whether something of this size may be sent beside those: as many as `parallel` that are not small, and as many again that are, so that what
/// takes seconds never waits for what takes hours.
fn has_place(parallel: usize, size: Size, sending: impl Iterator<Item = Size>) -> bool {
    let sending: Vec<Size> = sending.collect();
    let large = sending.iter().filter(|other| **other > Size::Small).count();
    sending.len() < 2 * parallel && (size == Size::Small || large < parallel)
}

impl Entry {
    fn is_to_send(&self, now: Now) -> bool {
        self.record.stage == Stage::Whole && self.present && self.busy == Busy::No && self.pause.is_over(now.uptime)
    }
}
