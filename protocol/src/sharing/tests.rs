//! Simulations: time is what was served.

use super::*;
use proptest::prelude::*;

/// Weights of a group with a single flow.
fn group(weight: u32) -> Weights {
    Weights { group: weight, ..Weights::EVEN }
}

#[test]
fn agreements_share_what_their_source_gets_by_weight_and_many_get_no_more_than_one() {
    let flows = [
        (("hospital", "genome"), Weights { group: 3, own: 1 }, 4_000_000),
        (("hospital", "edc"), Weights { group: 3, own: 4 }, 9_000),
        (("registry", "yearly"), Weights { group: 1, own: 7 }, 500_000),
    ];
    let mut queue = FairQueue::default();
    for flow in flows {
        (0..2).for_each(|_| queue.push(&flow.0, flow.1, flow.2, flow));
    }
    let mut served = BTreeMap::new();
    while served.values().sum::<u64>() < 2_000_000_000 {
        let flow = queue.pop().unwrap();
        *served.entry(flow.0.1).or_default() += flow.2;
        queue.push(&flow.0, flow.1, flow.2, flow);
    }
    let all: u64 = served.values().sum();
    for (name, twentieths) in [("genome", 3), ("edc", 12), ("yearly", 5)] {
        let share = all * twentieths / 20;
        assert!(served[name].abs_diff(share) <= 5 * 4_509_000, "{name}: {} of {share}", served[name]);
    }
}

#[test]
fn what_an_agreement_had_is_remembered_while_another_source_is_served() {
    let mut shares = GroupShares::default();
    shares.serve(&("hospital", "genome"), 1000, Weights::EVEN);
    shares.serve(&("registry", "yearly"), 1000, Weights::EVEN);
    shares.serve(&("registry", "yearly"), 1000, Weights::EVEN);
    assert!(shares.stand(&("hospital", "edc")) < shares.stand(&("hospital", "genome")));
}

#[test]
fn flows_that_always_want_more_get_shares_by_weight_whatever_their_pieces() {
    let flows = [("genome", 1, 4_000_000), ("pictures", 2, 300_000), ("edc", 5, 7_000)];
    let mut queue = FairQueue::default();
    let push = |queue: &mut FairQueue<_, _, _>, flow: (&'static str, u32, u64)| {
        queue.push(&(flow.0, ()), group(flow.1), flow.2, flow);
    };
    for flow in flows {
        push(&mut queue, flow);
        push(&mut queue, flow);
    }
    let mut served = BTreeMap::new();
    while served.values().sum::<u64>() < 1_000_000_000 {
        let flow = queue.pop().unwrap();
        *served.entry(flow.0).or_default() += flow.2;
        push(&mut queue, flow);
    }
    // No flow is further from its share of the whole, an eighth for each of its weight, than a piece of each flow.
    let all: u64 = served.values().sum();
    for (name, weight, _) in flows {
        let share = all * u64::from(weight) / 8;
        assert!(served[name].abs_diff(share) <= 5 * 4_307_000, "{name}: {} of {share}", served[name]);
    }
}

#[test]
fn what_comes_after_a_long_queue_waits_for_one_piece_of_each_other_flow_at_most() {
    let mut queue = FairQueue::default();
    for number in 0..10_000 {
        queue.push(&(number % 40, ()), group(1), 4 << 20, "before");
    }
    for _ in 0..777 {
        queue.pop();
    }
    queue.push(&(1000, ()), group(1), 3 << 20, "tick");
    let ahead = std::iter::from_fn(|| queue.pop()).take_while(|item| *item != "tick").count();
    assert!(ahead <= 40, "{ahead}");
}

#[test]
fn a_flow_of_the_least_weight_is_served_beside_one_of_the_greatest() {
    let mut queue = FairQueue::default();
    queue.push(&("least", ()), group(1), 100, "least");
    queue.push(&("least", ()), group(1), 100, "least");
    let mut served = 0;
    for _ in 0..2_100 {
        queue.push(&("greatest", ()), group(MAX_WEIGHT), 100, "greatest");
        served += usize::from(queue.pop() == Some("least"));
    }
    assert_eq!(served, 2);
}

#[test]
fn a_flow_that_was_away_has_saved_up_nothing_and_owes_nothing() {
    let mut shares = Shares::default();
    shares.serve(&"first", 10, 1);
    for _ in 0..1000 {
        shares.serve(&"busy", 1000, 1);
    }
    assert!(shares.stand(&"first") <= shares.stand(&"busy"));
    assert!(shares.stand(&"busy") - shares.stand(&"first") <= 1000 * PARTS, "one piece, not a thousand");
    assert_eq!(shares.stand(&"first"), shares.stand(&"new"));
    assert!(shares.ahead.len() <= 1, "what stands no higher than the rest is not remembered");
}

/// What begins of these, one after the other, where none ends.
fn begun<'a>(asked: &[(Size, Option<&'a str>)]) -> Vec<(Size, Option<&'a str>)> {
    let mut work: Vec<(Size, Option<&str>)> = Vec::new();
    for (size, room) in asked {
        if may_deliver(*size, room.as_ref(), &work) {
            work.push((*size, *room));
        }
    }
    work
}

#[test]
fn rooms_elsewhere_that_hang_keep_no_room_of_this_host_waiting() {
    use Size::{Large, Medium, Small};
    let rooms = ["a", "b", "c", "d", "e", "f"].map(Some);
    let mut asked: Vec<_> = rooms.iter().flat_map(|room| [Small, Medium, Large].map(|size| (size, *room))).collect();
    let away = begun(&asked).len();
    assert_eq!(away, WORKERS);
    asked.extend([(Small, None); 10]);
    assert_eq!(begun(&asked).len(), 2 * WORKERS);
    // Nor the other way round.
    asked.rotate_right(10);
    assert_eq!(begun(&asked).len(), 2 * WORKERS);
    // And among rooms of this host all is as it was.
    assert_eq!(begun(&[(Large, None); 9]), [(Large, None); WORKERS - 2]);
}

#[test]
fn one_room_elsewhere_that_hangs_keeps_no_other_room_waiting() {
    use Size::{Large, Medium, Small};
    let one = |sizes: &[Size]| begun(&sizes.iter().map(|size| (*size, Some("a"))).collect::<Vec<_>>()).len();
    assert_eq!((one(&[Small; 9]), one(&[Large, Medium, Large]), one(&[Large, Small, Small])), (2, 1, 2));
    // Three that hang leave one place, and it is no second one of theirs.
    let three: Vec<_> = ["a", "a", "b", "b", "c", "c"].map(|room| (Small, Some(room))).to_vec();
    let work = begun(&three);
    assert_eq!(work, [(Small, Some("a")), (Small, Some("a")), (Small, Some("b")), (Small, Some("c"))]);
    let work = begun(&[(Small, Some("a")), (Small, Some("b")), (Small, Some("c"))]);
    assert!(!may_deliver(Small, Some(&"a"), &work) && may_deliver(Small, Some(&"d"), &work));
}

#[test]
fn a_small_delivery_to_a_room_elsewhere_begins_beside_a_large_one() {
    use Size::{Large, Medium, Small};
    let work = [(Large, Some("a"))];
    assert!(may_deliver(Small, Some(&"a"), &work) && !may_deliver(Medium, Some(&"a"), &work));
    assert!(may_deliver(Large, Some(&"a"), &[(Small, Some("a"))]));
}

#[test]
fn a_small_transfer_begins_however_many_larger_ones_wait_and_work() {
    use Size::{Large, Medium, Small};
    let mut work = Vec::new();
    for size in [Large; 100].into_iter().chain([Medium; 100]) {
        if may_begin(size, work.iter().copied()) {
            work.push(size);
        }
    }
    assert_eq!(work, [Large, Large, Medium]);
    assert!(may_begin(Small, work.iter().copied()));
    work.push(Small);
    assert!(!may_begin(Small, work.iter().copied()), "there are no more workers");
    // Where small ones have all workers, the next that is free is anybody's, but two stay without large ones.
    assert!(may_begin(Large, [Small; 3]) && !may_begin(Large, [Small; 4]));
    assert!(!may_begin(Large, [Large, Large]) && may_begin(Medium, [Large, Large]));
    assert!(!may_begin(Large, [Medium; 3]) && !may_begin(Medium, [Medium; 3]));
    assert_eq!(
        [0, 1 << 26, (1 << 26) + 1, 1 << 32, (1 << 32) + 1].map(Size::of),
        [Small, Small, Medium, Medium, Large]
    );
}

/// A day of one role in seconds: transfers arrive, workers take as long as bytes say, tasks are chosen as `control` does.
#[test]
fn in_a_simulated_day_ticks_wait_for_ticks_alone_while_genomes_and_pictures_never_stop() {
    struct Job {
        source: u32,
        bytes: u64,
        came: u64,
    }
    const RATE: u64 = 50_000_000;
    let (mut shares, mut waiting, mut work) = (Shares::default(), Vec::<Job>::new(), Vec::<(u64, Job)>::new());
    let (mut longest_tick, mut done) = (0, BTreeMap::<u32, u64>::new());
    for now in 0..86_400 {
        if now % 600 == 0 {
            waiting.push(Job { source: 1, bytes: 100_000_000_000, came: now });
            waiting.push(Job { source: 2, bytes: 2_000_000_000, came: now });
        }
        if now % 20 == 0 {
            (10..20).for_each(|source| waiting.push(Job { source, bytes: 3_000_000, came: now }));
        }
        work.retain(|(end, job)| {
            if *end <= now {
                *done.entry(job.source).or_default() += job.bytes;
            }
            *end > now
        });
        loop {
            let in_work = || work.iter().map(|(_, job): &(u64, Job)| Size::of(job.bytes));
            let allowed = (0..waiting.len()).filter(|at| may_begin(Size::of(waiting[*at].bytes), in_work()));
            let Some(next) = allowed.min_by_key(|at| shares.stand(&waiting[*at].source)) else { break };
            let job = waiting.remove(next);
            shares.serve(&job.source, job.bytes, 1);
            if job.source >= 10 {
                longest_tick = longest_tick.max(now - job.came);
            }
            work.push((now + job.bytes.div_ceil(RATE), job));
        }
    }
    assert!(longest_tick <= 12, "a tick waited for {longest_tick} seconds");
    assert!(done[&1] >= 4_000_000_000_000, "genomes got on: {done:?}");
    assert!(done[&2] >= 280_000_000_000, "pictures got on: {done:?}");
}

proptest! {
    #[test]
    fn everything_comes_out_once_and_in_its_flows_order(pushes in prop::collection::vec((0u8..5, 1u32..9, 0u64..1000, 0u8..3), 0..300)) {
        let mut queue = FairQueue::default();
        let mut out = Vec::new();
        for (number, (flow, weight, cost, pops)) in pushes.iter().enumerate() {
            queue.push(&(*flow, ()), group(*weight), *cost, (*flow, number));
            out.extend((0..*pops).filter_map(|_| queue.pop()));
        }
        out.extend(std::iter::from_fn(|| queue.pop()));
        prop_assert!(queue.is_empty());
        prop_assert_eq!(out.len(), pushes.len());
        for flow in 0..5 {
            let of: Vec<usize> = out.iter().filter(|(from, _)| *from == flow).map(|(_, number)| *number).collect();
            prop_assert!(of.is_sorted());
        }
    }
}
