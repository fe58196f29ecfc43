use super::*;
use proptest::prelude::*;
use sluse_protocol::refusal::{Code, Refusal};
use std::collections::BTreeSet;

const HOUR: Duration = Duration::from_secs(3600);

fn rules(whole: Whole, delivered: Delivered) -> Rules {
    Rules { name: "lab".into(), whole, delivered, after: HOUR, in_order: false, zone: 0 }
}

fn seen(name: &str, content: u8) -> Seen {
    // Some are small and some are not.
    let bytes = u64::from(content % 2) << 30;
    Seen { name: name.into(), fingerprint: Sha256::of(&[content]), bytes, marked: false, unfit: None }
}

fn at(seconds: u64) -> Now {
    let clock = Timestamp::from_unix(1_795_342_500).plus(seconds as i64);
    Now { uptime: Duration::from_secs(seconds), clock, random: 255 }
}

fn transfer(number: u8) -> TransferId {
    TransferId::new(Timestamp::from_unix(0), [number; 5])
}

fn sends(actions: &[Action]) -> Vec<(String, bool)> {
    let sent = |action: &Action| match action {
        Action::Send { record, again } => Some((record.name.clone(), *again)),
        _ => None,
    };
    actions.iter().filter_map(sent).collect()
}

fn away() -> Sent {
    Sent::Failed(Failure::Zone(Why::here("no answer", "wait")))
}

fn id(name: &str, content: u8) -> RecordId {
    RecordId::of("lab", name, &Sha256::of(&[content]))
}

#[test]
fn an_entry_is_sent_when_nothing_in_it_changed_for_long_enough() {
    let mut machine = Machine::new(vec![rules(Whole::Quiet(Duration::from_secs(10)), Delivered::Move)], 2, vec![]);
    assert_eq!(machine.observed(0, &[seen("a", 1)], at(0)), []);
    assert_eq!(machine.look_at(0), Some(Duration::from_secs(10)));
    assert_eq!(machine.observed(0, &[seen("a", 2)], at(9)), []);
    assert_eq!(machine.observed(0, &[seen("a", 2)], at(18)), []);
    let actions = machine.observed(0, &[seen("a", 2)], at(19));
    assert!(matches!(actions[0], Action::Keep(_)), "remembered before anything else: {actions:?}");
    assert_eq!(sends(&actions), [("a".into(), true)]);
    assert_eq!(machine.look_at(0), None);
}

#[test]
fn an_entry_with_a_marker_is_sent_when_that_is_there_and_the_marker_goes_when_the_zone_has_it() {
    let mut machine = Machine::new(vec![rules(Whole::Marker(".done".into()), Delivered::Keep)], 2, vec![]);
    assert_eq!(machine.observed(0, &[seen("a", 1)], at(0)), []);
    let marked = Seen { marked: true, ..seen("a", 1) };
    assert_eq!(sends(&machine.observed(0, std::slice::from_ref(&marked), at(1))), [("a".into(), true)]);
    let actions = machine.sent(&id("a", 1), Sent::Received(transfer(1)), at(2));
    assert!(actions.iter().any(|action| matches!(action, Action::Unmark(_))), "{actions:?}");
    // A crash may bring the marker back; the content is known and not sent again.
    let actions = machine.observed(0, &[marked], at(3));
    assert!(sends(&actions).is_empty() && actions.iter().any(|action| matches!(action, Action::Unmark(_))));
    // Other content needs a marker of its own.
    assert!(sends(&machine.observed(0, &[seen("a", 2)], at(4))).is_empty());
}

#[test]
fn a_zone_that_is_away_is_tried_with_one_entry_and_costs_the_others_nothing_but_time() {
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move)], 2, vec![]);
    let all: Vec<Seen> = (0..9).map(|number| seen(&format!("e{number}"), number)).collect();
    assert_eq!(sends(&machine.observed(0, &all, at(0))).len(), 4);
    for number in 0..4 {
        let actions = machine.sent(&id(&format!("e{number}"), number), away(), at(1));
        assert!(sends(&actions).is_empty(), "{actions:?}");
    }
    let mut tries = 0;
    let mut second = 1;
    while second < 86_400 {
        second = machine.wake_at(at(second)).expect("something is to be done").as_secs_f64().ceil() as u64;
        for (name, _) in sends(&machine.tick(at(second))) {
            tries += 1;
            let number = name[1..].parse().unwrap();
            assert!(sends(&machine.sent(&id(&name, number), away(), at(second))).is_empty());
        }
    }
    assert!((600..1000).contains(&tries), "{tries} tries in a day");
    let mut woken = sends(&machine.tick(at(second + 600)));
    assert_eq!(woken.len(), 1, "one tries");
    let (name, _) = woken.remove(0);
    let number = name[1..].parse().unwrap();
    let actions = machine.sent(&id(&name, number), Sent::Received(transfer(number)), at(second + 601));
    assert_eq!(sends(&actions).len(), 4, "when it works all go: {actions:?}");
}

#[test]
fn what_fails_side_by_side_counts_once_and_another_certificate_ends_the_rest() {
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move)], 8, vec![]);
    let all: Vec<Seen> = (0..9).map(|number| seen(&format!("e{number}"), number)).collect();
    let sent = sends(&machine.observed(0, &all, at(0)));
    let mut failures = Vec::new();
    for (name, _) in &sent {
        failures.extend(machine.sent(&id(name, name[1..].parse().unwrap()), away(), at(1)));
    }
    let told = |action: &Action| match action {
        Action::Tell(Happening { what: What::Failed { milliseconds, .. }, .. }) => Some(*milliseconds),
        _ => None,
    };
    assert!(sent.len() > 4, "{sent:?}");
    assert_eq!(failures.iter().filter_map(told).collect::<Vec<_>>(), [1000]);
    assert!(sends(&machine.tick(at(1))).is_empty());
    assert_eq!(sends(&machine.has_another_certificate(0, at(1))).len(), 1, "one tries whether that helped");
}

#[test]
fn hours_are_waited_for_without_a_failure_and_then_everything_goes_at_once() {
    let other = Rules { name: "pacs".into(), ..rules(Whole::Rename, Delivered::Move) };
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move), other], 2, vec![]);
    let evening = at(6 * 3600).clock;
    let closed = || {
        let refusal = Refusal::new(Code::OutsideHours, "at night only").until(evening);
        Sent::Failed(Failure::Hours(refusal.into(), evening))
    };
    machine.observed(0, &[seen("a", 2), seen("b", 4)], at(0));
    let told = machine.sent(&id("a", 2), closed(), at(1));
    let waiting = |action: &Action| matches!(action, Action::Tell(Happening { what: What::Waiting { until, .. }, .. }) if *until == evening);
    assert!(told.len() == 1 && waiting(&told[0]), "told once, with nothing else: {told:?}");
    assert_eq!(machine.sent(&id("b", 4), closed(), at(2)), [], "not twice");
    assert_eq!(sends(&machine.observed(1, &[seen("c", 6)], at(3))), [("c".into(), true)], "the other outbox goes on");
    machine.sent(&id("c", 6), Sent::Lost(transfer(6), Why::here("no", "")), at(4));
    machine.put_away(&id("c", 6), Ok(()), at(5));
    let woken = machine.wake_at(at(6)).expect("something is to be done").as_secs();
    assert!((6 * 3600..=6 * 3600 + 30).contains(&woken), "{woken}");
    assert_eq!(machine.tick(at(woken - 1)), []);
    assert_eq!(sends(&machine.tick(at(woken))).len(), 2, "nothing had failed, so nothing is tried alone");
}

#[test]
fn a_clock_that_is_ahead_of_the_zones_asks_now_and_then_until_the_hours_begin() {
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move)], 2, vec![]);
    machine.observed(0, &[seen("a", 2)], at(0));
    let (mut second, begun) = (0, at(0).clock);
    for _ in 0..5 {
        let why = Refusal::new(Code::OutsideHours, "at night only").into();
        machine.sent(&id("a", 2), Sent::Failed(Failure::Hours(why, begun)), at(second));
        let woken = machine.wake_at(at(second)).expect("something is to be done").as_secs();
        assert!(woken >= second + 5, "{woken} after {second}");
        second = woken;
        assert_eq!(sends(&machine.tick(at(second))).len(), 1);
    }
}

#[test]
fn small_datasets_do_not_wait_for_large_ones_that_take_all_their_places() {
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move)], 2, vec![]);
    let genomes: Vec<Seen> =
        ["genome-1", "genome-2", "genome-3"].iter().zip([1, 3, 5]).map(|(name, content)| seen(name, content)).collect();
    let begun = sends(&machine.observed(0, &genomes, at(0)));
    assert_eq!(begun, [("genome-1".into(), true), ("genome-2".into(), true)], "large ones: two at a time");
    let mut all = genomes;
    all.extend([seen("tick-1", 2), seen("tick-2", 4), seen("tick-3", 6)]);
    let begun = sends(&machine.observed(0, &all, at(1)));
    assert_eq!(begun, [("tick-1".into(), true), ("tick-2".into(), true)], "small ones: two beside them");
    // What became whole first goes first where it has a place.
    let begun = sends(&machine.sent(&id("genome-1", 1), Sent::Received(transfer(1)), at(2)));
    assert_eq!(begun, [("genome-3".into(), true)]);
    let begun = sends(&machine.sent(&id("tick-1", 2), Sent::Received(transfer(2)), at(3)));
    assert_eq!(begun, [("tick-3".into(), true)]);
}

#[test]
fn versions_of_a_dataset_go_one_after_another_in_the_order_of_their_names_whatever_fails_and_after_a_restart() {
    let versions = || Rules { in_order: true, ..rules(Whole::Rename, Delivered::Move) };
    let mut machine = Machine::new(vec![versions()], 4, vec![]);
    let begun = machine.observed(0, &[seen("2026-11-23", 2), seen("2026-11-22", 4), seen("2026-11-24", 6)], at(0));
    assert_eq!(sends(&begun), [("2026-11-22".into(), true)]);
    assert!(sends(&machine.sent(&id("2026-11-22", 4), away(), at(1))).is_empty());
    let again = (1..300).find_map(|seconds| sends(&machine.tick(at(seconds))).pop());
    assert_eq!(again, Some(("2026-11-22".into(), true)), "no other goes before it");
    let kept = |action: &Action| match action {
        Action::Keep(record) => Some(record.clone()),
        _ => None,
    };
    let mut machine = Machine::new(vec![versions()], 4, begun.iter().filter_map(kept).rev().collect());
    let all = [seen("2026-11-22", 4), seen("2026-11-23", 2), seen("2026-11-24", 6)];
    assert_eq!(sends(&machine.observed(0, &all, at(400))), [("2026-11-22".into(), true)]);
    let next = machine.sent(&id("2026-11-22", 4), Sent::Received(transfer(1)), at(401));
    assert_eq!(sends(&next), [("2026-11-23".into(), true)]);
}

#[test]
fn an_agreement_that_ran_out_stops_its_outbox_alone_and_moves_nothing() {
    let other = Rules { name: "pacs".into(), ..rules(Whole::Rename, Delivered::Move) };
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move), other], 2, vec![]);
    machine.observed(0, &[seen("a", 1), seen("b", 2)], at(0));
    let refusal = || Sent::Failed(Failure::Outbox(Refusal::new(Code::AgreementExpired, "ran out").into()));
    let actions = machine.sent(&id("a", 1), refusal(), at(1));
    assert!(matches!(actions[0], Action::Problem { outbox: 0, why: Some(_) }), "{actions:?}");
    assert!(machine.sent(&id("b", 2), refusal(), at(1)).is_empty(), "what was told already is not told again");
    assert_eq!(sends(&machine.observed(1, &[seen("c", 3)], at(1))), [("c".into(), true)]);
    let later = machine.tick(at(2000));
    assert_eq!(sends(&later).len(), 1);
    assert!(!later.iter().any(|action| matches!(action, Action::PutAway { .. })));
}

#[test]
fn what_was_lost_is_sent_again_only_when_a_person_puts_it_back() {
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move)], 2, vec![]);
    machine.observed(0, &[seen("a", 1)], at(0));
    let why = Refusal::new(Code::Rejected, "malware").into();
    let actions = machine.sent(&id("a", 1), Sent::Lost(transfer(1), why), at(1));
    assert!(actions.iter().any(|action| matches!(action, Action::PutAway { delete: false, .. })), "{actions:?}");
    assert!(sends(&machine.observed(0, &[seen("a", 1)], at(2))).is_empty());
    machine.put_away(&id("a", 1), Ok(()), at(3));
    assert_eq!(sends(&machine.observed(0, &[seen("a", 1)], at(4))), [("a".into(), true)]);
}

#[test]
fn a_transfer_that_the_zone_accepted_before_a_crash_is_not_begun_anew_after_it() {
    let record = Record {
        outbox: "lab".into(),
        name: "a".into(),
        fingerprint: Sha256::of(&[1]),
        transfer: Some(transfer(1)),
        stage: Stage::Whole,
    };
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Move)], 2, vec![record]);
    assert_eq!(machine.tick(at(0)), [], "nothing is sent that was not seen");
    assert_eq!(sends(&machine.observed(0, &[seen("a", 1)], at(1))), [("a".into(), false)]);
}

#[test]
fn receipts_that_a_crash_kept_from_being_put_beside_an_entry_are_put_there_after_it() {
    let record = Record {
        outbox: "lab".into(),
        name: "a".into(),
        fingerprint: Sha256::of(&[1]),
        transfer: Some(transfer(1)),
        stage: Stage::Delivered { since: at(0).clock },
    };
    let mut machine = Machine::new(vec![rules(Whole::Rename, Delivered::Keep)], 2, vec![record.clone()]);
    // Other content lies there by now: the receipts of what was there are owed all the same.
    let actions = machine.observed(0, &[seen("a", 2)], at(1));
    assert_eq!(actions[0], Action::Receipts(record));
    assert!(!machine.observed(0, &[seen("a", 2)], at(2)).iter().any(|action| matches!(action, Action::Receipts(_))));
}

/// A zone and an outbox that misbehave at random, and a watcher that is killed at random.
struct World {
    machine: Machine,
    rules: Rules,
    /// What lies in the outbox: name and content.
    outbox: BTreeMap<String, u8>,
    journal: BTreeMap<RecordId, Record>,
    under_way: Vec<Record>,
    asked: Option<Vec<(RecordId, TransferId)>>,
    putting: Vec<(Record, bool)>,
    /// What the zone took, by content: whether it was delivered.
    zone: BTreeMap<u8, bool>,
    put_away: BTreeSet<u8>,
    /// What a person put there, and nobody offered since: the same files put back may be offered again.
    offered_by_person: BTreeSet<u8>,
    second: u64,
}

impl World {
    fn new(delivered: Delivered) -> Self {
        let rules = rules(Whole::Quiet(Duration::from_secs(5)), delivered);
        Self {
            machine: Machine::new(vec![rules.clone()], 2, vec![]),
            rules,
            outbox: BTreeMap::new(),
            journal: BTreeMap::new(),
            under_way: Vec::new(),
            asked: None,
            putting: Vec::new(),
            zone: BTreeMap::new(),
            put_away: BTreeSet::new(),
            offered_by_person: BTreeSet::new(),
            second: 0,
        }
    }

    fn content(record: &Record) -> u8 {
        (0..=255).find(|content| Sha256::of(&[*content]) == record.fingerprint).unwrap()
    }

    fn listing(&self) -> Vec<Seen> {
        self.outbox.iter().map(|(name, content)| seen(name, *content)).collect()
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Keep(record) => drop(self.journal.insert(record.id(), record)),
                Action::Forget(id) => drop(self.journal.remove(&id)),
                Action::Send { record, .. } => {
                    let content = Self::content(&record);
                    assert!(self.journal.contains_key(&record.id()), "remembered before it is sent");
                    assert!(
                        !self.zone.contains_key(&content) || self.offered_by_person.contains(&content),
                        "sent although this watcher knew: {record:?}"
                    );
                    self.under_way.push(record);
                    let large = self.under_way.iter().filter(|record| Self::content(record) % 2 == 1).count();
                    assert!(self.under_way.len() <= 4 && large <= 2, "{:?}", self.under_way);
                }
                Action::Ask { transfers, .. } => assert!(self.asked.replace(transfers).is_none()),
                Action::PutAway { record, delete } => {
                    let content = Self::content(&record);
                    assert!(self.zone.get(&content) == Some(&true), "only what was delivered: {record:?}");
                    self.putting.push((record, delete));
                }
                Action::Problem { .. } | Action::Receipts(_) | Action::Unmark(_) | Action::Tell(_) => {}
            }
        }
    }

    fn step(&mut self, what: u8, pick: u8) {
        self.second += u64::from(pick % 4);
        let now = Now { random: pick, ..at(self.second) };
        let actions = match what {
            // Somebody writes, or takes away what is not under way.
            0 => {
                self.outbox.insert(format!("e{}", pick % 3), pick);
                self.offered_by_person.insert(pick);
                Vec::new()
            }
            1 | 2 => {
                let listing = self.listing();
                self.machine.observed(0, &listing, now)
            }
            3 | 4 if !self.under_way.is_empty() => {
                let record = self.under_way.remove(usize::from(pick) % self.under_way.len());
                let result = match pick % 3 {
                    0 => away(),
                    1 => Sent::Failed(Failure::Later(Why::here("changed", ""))),
                    _ => self.take(&record),
                };
                self.machine.sent(&record.id(), result, now)
            }
            5 => match self.asked.take() {
                Some(_) if pick.is_multiple_of(3) => self.machine.answered(0, Err(Why::here("away", "")), now),
                Some(asked) => {
                    let answers = self.answers(&asked);
                    self.machine.answered(0, Ok(answers), now)
                }
                None => self.machine.tick(now),
            },
            6 if !self.putting.is_empty() => {
                let (record, _) = self.putting.remove(0);
                self.finish(&record);
                self.machine.put_away(&record.id(), Ok(()), now)
            }
            7 if pick < 60 => {
                self.crash();
                Vec::new()
            }
            _ => self.machine.tick(Now { uptime: now.uptime, ..now }),
        };
        self.act(actions);
    }

    fn take(&mut self, record: &Record) -> Sent {
        let content = Self::content(record);
        self.zone.entry(content).or_insert(false);
        self.offered_by_person.remove(&content);
        Sent::Received(transfer(content))
    }

    fn answers(&mut self, asked: &[(RecordId, TransferId)]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (id, _) in asked {
            let content = Self::content(&self.journal[id]);
            self.zone.insert(content, true);
            answers.push((id.clone(), Standing::Delivered, 2));
        }
        answers
    }

    fn finish(&mut self, record: &Record) {
        let content = Self::content(record);
        if self.outbox.get(&record.name) == Some(&content) {
            self.outbox.remove(&record.name);
        }
        self.put_away.insert(content);
    }

    /// Everything but the journal, the outbox and the zone is lost. What the zone took without our knowing is offered again,
    /// and is the same transfer there; the world forgets it so that this is no offence.
    fn crash(&mut self) {
        let known: BTreeSet<u8> =
            self.journal.values().filter(|record| record.stage != Stage::Whole).map(Self::content).collect();
        self.zone.retain(|content, _| known.contains(content));
        self.machine = Machine::new(vec![self.rules.clone()], 2, self.journal.values().cloned().collect());
        (self.under_way, self.asked, self.putting) = (Vec::new(), None, Vec::new());
    }

    /// Everything works from here on, until nothing is left to do.
    fn heal(&mut self) {
        for _ in 0..400 {
            self.second += 30;
            let listing = self.listing();
            let actions = self.machine.observed(0, &listing, at(self.second));
            self.act(actions);
            for record in std::mem::take(&mut self.under_way) {
                let sent = self.take(&record);
                let actions = self.machine.sent(&record.id(), sent, at(self.second));
                self.act(actions);
            }
            if let Some(asked) = self.asked.take() {
                let answers = self.answers(&asked);
                let actions = self.machine.answered(0, Ok(answers), at(self.second));
                self.act(actions);
            }
            for (record, _) in std::mem::take(&mut self.putting) {
                self.finish(&record);
                let actions = self.machine.put_away(&record.id(), Ok(()), at(self.second));
                self.act(actions);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_all_that_stays_is_delivered_once_and_only_that_is_put_away(
        steps in proptest::collection::vec((0..9u8, any::<u8>()), 0..150),
        keep in any::<bool>(),
    ) {
        let mut world = World::new(if keep { Delivered::Keep } else { Delivered::Move });
        for (what, pick) in steps {
            world.step(what, pick);
        }
        let left: Vec<u8> = world.outbox.values().copied().collect();
        world.heal();
        for content in left {
            prop_assert_eq!(world.zone.get(&content), Some(&true), "delivered");
            prop_assert!(keep || world.put_away.contains(&content), "put away");
        }
        prop_assert_eq!(world.outbox.is_empty(), !keep || world.outbox.is_empty());
        prop_assert!(keep || world.journal.is_empty(), "nothing is left to do: {:?}", world.journal);
    }
}
