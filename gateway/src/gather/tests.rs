use super::*;
use crate::spool::{Label, Tail};
use proptest::prelude::*;

const QUIET: Duration = Duration::from_secs(60);
const EXPIRE: Duration = Duration::from_secs(3600);

pub(super) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn gatherer() -> Gatherer {
    let rules = Rules { quiet: Some(QUIET), expire: EXPIRE };
    Gatherer::new(BTreeMap::from([("ct".parse().unwrap(), rules)]))
}

pub(super) fn id(number: u8) -> FileId {
    format!("{number:032x}").parse().unwrap()
}

fn ends(path: &str) -> Option<Ends> {
    Some(Ends::of(path.to_owned().try_into().unwrap(), Timestamp::from_unix(1)))
}

pub(super) fn tail(group: &str, bytes: u64, says: Says) -> Tail {
    let label = Label { flow: "ct".parse().unwrap(), group: group.into(), dataset: None, says };
    Tail { label, bytes, sha256: Sha256([bytes as u8; 32]) }
}

fn whole(group: &str, file: u8, path: &str, bytes: u64) -> Tail {
    tail(group, bytes, Says::Part { file: id(file), offset: 0, ends: ends(path) })
}

pub(super) fn part(file: u8, offset: u64, bytes: u64, path: Option<&str>) -> Tail {
    tail("study", bytes, Says::Part { file: id(file), offset, ends: path.and_then(ends) })
}

/// Parcels, and how many bytes of each.
pub(super) type Parts<'a> = Vec<(&'a str, u64)>;

/// Files by their paths.
pub(super) type Files<'a> = Vec<(&'a str, Parts<'a>)>;

pub(super) fn closed(actions: &[Action]) -> Vec<(&str, Files<'_>)> {
    let mut all = Vec::new();
    for action in actions {
        if let Action::Close(closed) = action {
            let files = closed.files.iter().map(|file| {
                let parts = file.parts.iter().map(|part| (part.parcel.as_str(), part.bytes)).collect();
                (file.path.as_str(), parts)
            });
            all.push((closed.group.as_str(), files.collect()));
        }
    }
    all
}

pub(super) fn deleted(actions: &[Action]) -> Vec<&str> {
    let dead = actions.iter().filter_map(|action| match action {
        Action::Delete(parcels) => Some(parcels.iter().map(String::as_str)),
        _ => None,
    });
    dead.flatten().collect()
}

#[test]
fn a_study_is_whole_when_nothing_came_for_the_quiet_time() {
    let mut gatherer = gatherer();
    assert_eq!(gatherer.arrived("1".into(), whole("a", 1, "s/1.dcm", 5), at(0)), []);
    assert_eq!(gatherer.arrived("2".into(), whole("b", 2, "s/1.dcm", 5), at(10)), []);
    assert_eq!(gatherer.arrived("3".into(), whole("a", 3, "s/0.dcm", 6), at(50)), []);
    assert_eq!(gatherer.wake_at(), Some(at(70)));
    assert_eq!(gatherer.tick(at(69)), []);
    assert_eq!(closed(&gatherer.tick(at(70))), [("b", vec![("s/1.dcm", vec![("2", 5)])])]);
    let files = vec![("s/0.dcm", vec![("3", 6)]), ("s/1.dcm", vec![("1", 5)])];
    assert_eq!(closed(&gatherer.tick(at(110))), [("a", files)]);
    assert_eq!((gatherer.wake_at(), gatherer.tick(at(9999))), (None, vec![]));
}

#[test]
fn the_same_image_again_replaces_the_one_that_was_there() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), whole("a", 1, "s/1.dcm", 5), at(0));
    let actions = gatherer.arrived("2".into(), whole("a", 2, "s/1.dcm", 6), at(1));
    assert_eq!(deleted(&actions), ["1"]);
    assert_eq!(closed(&gatherer.tick(at(61))), [("a", vec![("s/1.dcm", vec![("2", 6)])])]);
}

#[test]
fn a_file_that_is_not_whole_holds_its_group_until_it_is() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), whole("study", 1, "a", 5), at(0));
    gatherer.arrived("2".into(), part(2, 0, 10, None), at(1));
    assert_eq!(gatherer.tick(at(1000)), []);
    gatherer.arrived("3".into(), part(2, 10, 7, Some("b")), at(1001));
    let files = vec![("a", vec![("1", 5)]), ("b", vec![("2", 10), ("3", 7)])];
    assert_eq!(closed(&gatherer.tick(at(1061))), [("study", files)]);
}

#[test]
fn a_file_that_stays_unfinished_is_given_up_and_the_others_go() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), whole("study", 1, "a", 5), at(0));
    gatherer.arrived("2".into(), part(2, 0, 10, None), at(1));
    assert_eq!(gatherer.wake_at(), Some(at(3601)));
    let actions = gatherer.tick(at(3601));
    assert_eq!(actions[0], Action::GivenUp("ct".parse().unwrap(), 1));
    assert_eq!(deleted(&actions), ["2"]);
    assert_eq!(closed(&actions), [("study", vec![("a", vec![("1", 5)])])]);
}

#[test]
fn a_closed_group_waits_for_nothing_but_its_unfinished_files() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), part(1, 0, 5, None), at(0));
    assert_eq!(gatherer.arrived("2".into(), tail("study", 0, Says::Closed), at(1)), []);
    let actions = gatherer.arrived("3".into(), part(1, 5, 0, Some("a")), at(2));
    assert_eq!(closed(&actions), [("study", vec![("a", vec![("1", 5), ("3", 0)])])]);
    assert_eq!(deleted(&actions), ["2"]);
}

#[test]
fn a_file_may_say_that_it_is_the_last_one() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), whole("study", 1, "a", 5), at(0));
    let last = ends("b").map(|ends| Ends { closes: true, ..ends });
    let last = tail("study", 3, Says::Part { file: id(2), offset: 0, ends: last });
    let actions = gatherer.arrived("2".into(), last, at(1));
    assert_eq!(closed(&actions), [("study", vec![("a", vec![("1", 5)]), ("b", vec![("2", 3)])])]);
}

#[test]
fn a_group_shows_how_things_stand_where_somebody_said_that_it_is_whole_and_not_where_nothing_came_for_a_while() {
    let stands = |close: &dyn Fn(&mut Gatherer) -> Vec<Action>| {
        let mut gatherer = gatherer();
        let ends = ends("a").map(|ends| Ends { stands: true, ..ends });
        gatherer.arrived("1".into(), tail("study", 5, Says::Part { file: id(1), offset: 0, ends }), at(0));
        let actions = close(&mut gatherer);
        let Some(Action::Close(closed)) = actions.first() else { panic!("{actions:?}") };
        closed.files[0].stands
    };
    assert!(stands(&|gatherer| gatherer.arrived("2".into(), tail("study", 0, Says::Closed), at(1))));
    assert!(!stands(&|gatherer| gatherer.tick(at(60))));
}

#[test]
fn where_it_is_said_when_a_group_is_whole_no_quiet_time_closes_it() {
    let rules = Rules { quiet: None, expire: EXPIRE };
    let mut gatherer = Gatherer::new(BTreeMap::from([("ct".parse().unwrap(), rules)]));
    gatherer.arrived("1".into(), whole("study", 1, "a", 5), at(0));
    assert_eq!((gatherer.tick(at(1_000_000)), gatherer.wake_at()), (vec![], None));
    let actions = gatherer.arrived("2".into(), tail("study", 0, Says::Closed), at(1_000_001));
    assert_eq!(closed(&actions), [("study", vec![("a", vec![("1", 5)])])]);
    // Nothing is left of one whose files were all withdrawn.
    gatherer.arrived("3".into(), whole("study", 2, "a", 5), at(1_000_002));
    gatherer.arrived("4".into(), tail("study", 0, Says::Withdrawn { file: id(2) }), at(1_000_003));
    assert!(gatherer.groups.is_empty());
}

#[test]
fn what_is_withdrawn_is_no_part_of_the_dataset() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), whole("study", 1, "a", 5), at(0));
    let actions = gatherer.arrived("2".into(), tail("study", 0, Says::Withdrawn { file: id(1) }), at(1));
    assert_eq!(deleted(&actions), ["1", "2"]);
    assert_eq!((closed(&gatherer.tick(at(61))), gatherer.wake_at()), (vec![], None));
}

#[test]
fn bytes_that_come_again_from_an_earlier_offset_replace_what_was_behind_it() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), part(1, 0, 10, None), at(0));
    gatherer.arrived("2".into(), part(1, 10, 10, None), at(0));
    assert_eq!(deleted(&gatherer.arrived("3".into(), part(1, 4, 20, Some("a")), at(0))), ["2"]);
    assert_eq!(closed(&gatherer.tick(at(60))), [("study", vec![("a", vec![("1", 4), ("3", 20)])])]);
}

#[test]
fn bytes_whose_beginning_is_not_there_make_no_file() {
    let mut gatherer = gatherer();
    assert_eq!(deleted(&gatherer.arrived("1".into(), part(1, 5, 10, Some("a")), at(0))), ["1"]);
    assert_eq!(closed(&gatherer.tick(at(60))), []);
}

#[test]
fn the_digest_of_a_file_in_one_parcel_is_known_and_of_others_only_where_it_was_told() {
    let mut gatherer = gatherer();
    gatherer.arrived("1".into(), part(1, 0, 5, None), at(0));
    gatherer.arrived("2".into(), part(1, 5, 0, Some("a")), at(0));
    gatherer.arrived("3".into(), part(2, 0, 5, None), at(0));
    gatherer.arrived("4".into(), part(2, 5, 1, Some("b")), at(0));
    let actions = gatherer.tick(at(60));
    let [Action::Close(closed)] = &actions[..] else { panic!("{actions:?}") };
    let known: Vec<_> = closed.files.iter().map(|file| file.sha256).collect();
    assert_eq!(known, [Some(Sha256([5; 32])), None]);
}

proptest! {
    /// Whatever arrives in whatever order, each parcel is in the end either part of a dataset or deleted, once.
    #[test]
    fn no_parcel_is_lost_or_counted_twice(
        said in prop::collection::vec((0..3u8, 0..3u64, 0..3u64, prop::option::of(0..3u8), 0..8u8, 0..2u8), 1..40)
    ) {
        let mut gatherer = gatherer();
        let mut actions = Vec::new();
        for (number, (file, offset, bytes, path, kind, group)) in said.iter().enumerate() {
            let says = match kind {
                0 => Says::Withdrawn { file: id(*file) },
                1 => Says::Closed,
                _ => Says::Part {
                    file: id(*file),
                    offset: *offset,
                    ends: path.and_then(|path| ends(&path.to_string())),
                },
            };
            let bytes = if *kind < 2 { 0 } else { *bytes };
            let tail = tail(&group.to_string(), bytes, says);
            actions.extend(gatherer.arrived(number.to_string(), tail, at(number as u64 * 20)));
        }
        actions.extend(gatherer.tick(at(100_000)));
        actions.extend(gatherer.tick(at(200_000)));
        let mut seen: Vec<String> = deleted(&actions).into_iter().map(str::to_owned).collect();
        for (_, files) in closed(&actions) {
            let mut paths: Vec<_> = files.iter().map(|(path, _)| *path).collect();
            paths.dedup();
            prop_assert_eq!(paths.len(), files.len(), "each path once");
            seen.extend(files.into_iter().flat_map(|(_, parts)| parts).map(|(parcel, _)| parcel.to_owned()));
        }
        seen.sort_by_key(|parcel| parcel.parse::<usize>().unwrap());
        let all: Vec<_> = (0..said.len()).map(|number| number.to_string()).collect();
        prop_assert_eq!(seen, all);
    }
}
