use super::*;
use crate::sftp::writing::Handle;
use crate::spool::Opened;
use proptest::prelude::*;
use sluse_sender::watch::Whole;
use std::fs;
use std::io::Read as _;

struct Place {
    folder: tempfile::TempDir,
    key: Identity,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: Identity::generate() }
    }

    fn spool(&self) -> Spool {
        Spool::open(self.folder.path()).unwrap()
    }

    fn open(&self) -> Arc<Inbox> {
        self.open_with(0, u64::MAX)
    }

    fn open_with(&self, keep_free: u64, max_bytes: u64) -> Arc<Inbox> {
        let inlet = Inlet::open(self.spool(), self.key.to_public(), keep_free).unwrap();
        let rules = Rules { complete: Whole::Rename, unfinished: vec![".part".into()] };
        let flow = "lab".parse().unwrap();
        Arc::new(Inbox::open("anna", flow, rules, max_bytes, inlet, &self.spool(), self.key.clone()).unwrap())
    }

    /// What lies in the spool, in the order in which it came: what it says, and its bytes.
    fn arrived(&self) -> Vec<(Label, Vec<u8>)> {
        let mut paths: Vec<_> =
            fs::read_dir(self.spool().arrived()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let open = |path: std::path::PathBuf| {
            let opened = Opened::open(&path, &self.key).unwrap();
            let (label, length, mut bytes) = (opened.tail().label.clone(), opened.tail().bytes, Vec::new());
            opened.bytes(0, length).unwrap().read_to_end(&mut bytes).unwrap();
            (label, bytes)
        };
        paths.into_iter().map(open).collect()
    }
}

fn create(inbox: &Arc<Inbox>, path: &str) -> Handle {
    let writing = inbox.write(path, flags::WRITE | flags::CREATE | flags::TRUNCATE).unwrap();
    Handle::new(Arc::clone(inbox), writing, false)
}

fn resume(inbox: &Arc<Inbox>, path: &str) -> Handle {
    Handle::new(Arc::clone(inbox), inbox.write(path, flags::WRITE | flags::CREATE).unwrap(), false)
}

#[test]
fn what_was_closed_is_there_after_a_restart_and_what_was_left_in_the_middle_as_far_as_it_came() {
    let place = Place::new();
    let inbox = place.open();
    let mut whole = create(&inbox, "a.part");
    whole.write(0, b"one").unwrap();
    whole.close().unwrap();
    let mut left = create(&inbox, "b.part");
    left.write(0, b"half").unwrap();
    left.write(10, b"far").unwrap();
    assert_eq!(inbox.stat("b.part").unwrap().bytes, 0, "nothing of it is durable yet");
    drop(left);
    assert_eq!(inbox.stat("b.part").unwrap().bytes, 4);
    drop(inbox);
    let inbox = place.open();
    assert_eq!((inbox.stat("a.part").unwrap().bytes, inbox.stat("b.part").unwrap().bytes), (3, 4));
    inbox.rename("b.part", "b", false).unwrap();
    inbox.hand_over_whole();
    assert!(inbox.state().tree.file("b").is_some(), "nobody closed it");
    let mut resumed = resume(&inbox, "b");
    assert!(resumed.write(0, b"half").is_err(), "what is there cannot be changed");
    resumed.write(4, b" and half").unwrap();
    resumed.close().unwrap();
    inbox.hand_over_whole();
    let (label, list) = place.arrived().pop().unwrap();
    assert_eq!((label.says, label.group.as_str()), (Says::Listed, "sftp/anna/b"));
    let listed: Listed = serde_json::from_slice(&list).unwrap();
    assert_eq!((listed.bytes, listed.path.as_str()), (13, "b"));
    assert_eq!(label.dataset.unwrap().as_str(), "b");
}

#[test]
fn an_account_stores_as_much_as_its_inbox_may_hold_and_goes_on_when_there_is_room() {
    let place = Place::new();
    let inbox = place.open_with(0, 10);
    let mut first = create(&inbox, "a.part");
    first.write(0, b"123456").unwrap();
    let mut second = create(&inbox, "b.part");
    assert_eq!(second.write(0, b"12345"), Err(NO_ROOM), "what is on its way counts");
    drop(second);
    first.close().unwrap();
    let mut second = create(&inbox, "b.part");
    second.write(0, b"1234").unwrap();
    assert_eq!(second.write(4, b"5"), Err(NO_ROOM));
    drop(second);
    inbox.remove("b.part").unwrap();
    // What is handed over is not in the inbox any more.
    inbox.rename("a.part", "a", false).unwrap();
    inbox.hand_over_whole();
    let mut third = create(&inbox, "c.part");
    third.write(0, b"1234567890").unwrap();
    third.close().unwrap();
    drop(inbox);
    let inbox = place.open_with(0, 10);
    assert_eq!(create(&inbox, "d.part").write(0, b"1"), Err(NO_ROOM), "nor does a restart forget it");
    // A file that is written anew makes room for itself.
    let mut anew = create(&inbox, "c.part");
    anew.write(0, b"0987654321").unwrap();
    anew.close().unwrap();
}

#[test]
fn a_handing_over_that_was_interrupted_is_done_again_before_anybody_can_change_the_entry() {
    let place = Place::new();
    let inbox = place.open();
    let mut file = create(&inbox, "a.part");
    file.write(0, b"one").unwrap();
    file.close().unwrap();
    inbox.rename("a.part", "a", false).unwrap();
    {
        let mut state = inbox.state();
        inbox.change(&mut state, &[Change::Handing { entry: "a".into() }], Duration::ZERO).unwrap();
    }
    assert!(inbox.write("a", flags::WRITE | flags::TRUNCATE).is_err());
    drop(inbox);
    let inbox = place.open();
    assert!(inbox.state().tree.file("a").is_none());
    assert_eq!(place.arrived().pop().unwrap().0.says, Says::Listed);
    let again = place.arrived().len();
    drop(inbox);
    let inbox = place.open();
    assert!(inbox.state().tree.file("a").is_none());
    assert_eq!(place.arrived().len(), again + 1, "only what remains was said");
}

#[test]
fn what_makes_room_is_said_in_what_is_kept_free() {
    let place = Place::new();
    let inbox = place.open();
    for name in ["a.part", "b"] {
        let mut file = create(&inbox, name);
        file.write(0, b"one").unwrap();
        file.close().unwrap();
    }
    inbox.rename("a.part", "a", false).unwrap();
    drop(inbox);
    // So much is to stay free that there is never room for anything else.
    let before = place.arrived().len();
    let inbox = place.open_with(u64::MAX, u64::MAX);
    assert_eq!(inbox.write("c", flags::WRITE | flags::CREATE).unwrap_err(), FULL);
    inbox.remove("b").unwrap();
    let said: Vec<_> = place.arrived().split_off(before).into_iter().map(|(label, _)| label.says).collect();
    assert!(matches!(said[..], [Says::Remaining, Says::Listed, Says::Withdrawn { .. }]), "{said:?}");
}

#[test]
fn what_could_not_be_handed_over_is_tried_again_and_the_journal_does_not_grow_by_it() {
    let place = Place::new();
    let inbox = place.open();
    create(&inbox, "a.part").close().unwrap();
    inbox.rename("a.part", "a", false).unwrap();
    let (arrived, elsewhere) = (place.spool().arrived(), place.folder.path().join("elsewhere"));
    fs::rename(&arrived, &elsewhere).unwrap();
    let journal = || fs::metadata(place.folder.path().join("inbox/anna.journal")).unwrap().len();
    let fail = || {
        inbox.hand_over_whole();
        inbox.state().rests_until = Duration::ZERO;
        assert!(inbox.state().tree.file("a").is_some());
        journal()
    };
    let first = fail();
    assert_eq!((fail(), fail()), (first, first));
    fs::rename(&elsewhere, &arrived).unwrap();
    inbox.hand_over_whole();
    assert!(inbox.state().tree.file("a").is_none());
}

#[test]
fn what_is_written_anew_or_removed_is_withdrawn() {
    let place = Place::new();
    let inbox = place.open();
    let mut file = create(&inbox, "a");
    file.write(0, b"one").unwrap();
    file.close().unwrap();
    let first = inbox.state().tree.file("a").unwrap().id;
    create(&inbox, "a").close().unwrap();
    let second = inbox.state().tree.file("a").unwrap().id;
    inbox.remove("a").unwrap();
    let said: Vec<_> = place.arrived().into_iter().map(|(label, _)| label.says).collect();
    let expected = [
        Says::Remaining,
        Says::Inbox { file: first, offset: 0 },
        Says::Withdrawn { file: first },
        Says::Inbox { file: second, offset: 0 },
        Says::Withdrawn { file: second },
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_file_that_is_still_written_takes_the_place_of_another_also_after_a_crash() {
    let place = Place::new();
    let inbox = place.open();
    create(&inbox, "a").close().unwrap();
    let mut new = create(&inbox, "a.part");
    new.write(0, b"new").unwrap();
    inbox.rename("a.part", "a", true).unwrap();
    assert!(inbox.rename("a.part", "a", true).is_err(), "it is not there any more");
    std::mem::forget(new);
    drop(inbox);
    fs::remove_file(place.folder.path().join("intake.lock")).unwrap();
    let inbox = place.open();
    assert!(inbox.stat("a").is_err(), "neither the one that was replaced nor the one that nobody was told of");
    inbox.hand_over_whole();
    assert!(place.arrived().iter().all(|(label, _)| label.says != Says::Listed));
}

#[test]
fn whoever_was_taken_over_can_store_nothing_more() {
    let place = Place::new();
    let inbox = place.open();
    let mut first = create(&inbox, "a");
    first.write(0, b"one").unwrap();
    first.sync().unwrap();
    first.write(3, b"two").unwrap();
    let mut second = resume(&inbox, "a");
    assert_eq!(second.bytes(), 3);
    second.write(3, b"other").unwrap();
    second.close().unwrap();
    assert!(first.close().is_err());
    assert_eq!(inbox.stat("a").unwrap().bytes, 8);
    assert_eq!(place.arrived().last().unwrap().1, b"other");
}

#[test]
fn bytes_too_far_ahead_and_holes_are_refused() {
    let place = Place::new();
    let inbox = place.open();
    let mut file = create(&inbox, "a");
    file.write(0, b"one").unwrap();
    let much = vec![0; 1024 * 1024];
    let refused =
        (0..40).map(|number| file.write(4 + number * much.len() as u64, &much)).position(|taken| taken.is_err());
    assert_eq!(refused, Some(15));
    for _ in 0..1000 {
        file.write(1 << 40, b"").unwrap();
    }
    let small = (0..40_000).map(|number| file.write((1 << 41) + 2 * number, b"x")).position(|taken| taken.is_err());
    assert!(small.is_some_and(|count| count < 10_000), "what is kept beside the bytes counts: {small:?}");
    assert!(file.sync().is_err() && file.close().is_err());
    assert_eq!(inbox.stat("a").unwrap().bytes, 3);
    assert!(!inbox.state().tree.file("a").unwrap().whole);
    assert!(inbox.may_wait(MAX_AHEAD), "what was dropped waits no more");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_the_order_of_requests_the_bytes_are_the_clients(
        (bytes, cuts, order) in prop::collection::vec(any::<u8>(), 1..5000).prop_flat_map(|bytes| {
            let cuts = prop::collection::vec(1usize..500, 12);
            let order = Just((0..bytes.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(bytes), cuts, order)
        }),
    ) {
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(bytes.len());
            pieces.push((at, &bytes[at..end]));
            at = end;
            if at == bytes.len() { break; }
        }
        let mut shuffled: Vec<_> = order.iter().filter(|place| **place < pieces.len()).map(|place| pieces[*place]).collect();
        prop_assert_eq!(shuffled.len(), pieces.len());
        let place = Place::new();
        let inbox = place.open();
        let mut file = create(&inbox, "a");
        for (offset, piece) in shuffled.drain(..) {
            file.write(offset as u64, piece).unwrap();
        }
        file.close().unwrap();
        let stored = place.arrived().pop().unwrap().1;
        prop_assert_eq!(stored, bytes);
    }
}
