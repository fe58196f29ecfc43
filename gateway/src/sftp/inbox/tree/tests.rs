use super::may::{HANDED_OVER, IN_USE, ROOT, TOO_LONG};
use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(number: u8) -> FileId {
    format!("{number:032x}").parse().unwrap()
}

fn file(path: &str, number: u8, bytes: u64, whole: bool) -> Change {
    Change::File { path: path.into(), file: id(number), bytes, whole, mtime: Timestamp::from_unix(1) }
}

fn moved(from: &str, to: &str) -> Change {
    Change::Moved { from: from.into(), to: to.into() }
}

fn tree(complete: Whole) -> Tree {
    Tree::new(Rules { complete, unfinished: [".part", ".tmp"].map(str::to_owned).into() })
}

/// After changes, each a second after the one before.
fn after(complete: Whole, changes: &[Change]) -> Tree {
    let mut tree = tree(complete);
    changes.iter().enumerate().for_each(|(second, change)| tree.apply(change, at(second as u64)));
    tree
}

fn names(tree: &Tree, folder: &str) -> Vec<String> {
    tree.list(folder, "", 100).unwrap().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn an_entry_is_whole_by_silence_unless_something_in_it_is_not() {
    let quiet = Whole::Quiet(at(60));
    let mut good = after(quiet.clone(), &[file("a/x", 1, 5, true), file("a/y", 2, 5, true)]);
    assert_eq!((good.ready(at(60)), good.ready(at(61))), (vec![], vec!["a".to_owned()]));
    for last in [file("a/y", 2, 5, false), file("a/y.part", 2, 5, true)] {
        assert_eq!(after(quiet.clone(), &[file("a/x", 1, 5, true), last]).ready(at(1000)), [""; 0]);
    }
    for name in [".a", "a.tmp"] {
        assert_eq!(after(quiet.clone(), &[file(name, 1, 5, true)]).ready(at(1000)), [""; 0]);
    }
    good.writes("a/x", id(1), 7, Timestamp::from_unix(2), at(100));
    assert_eq!(good.ready(at(1000)), [""; 0], "somebody writes it");
    good.let_go(id(1), 7, at(1000));
    assert_eq!((good.ready(at(1059)), good.ready(at(1060))), (vec![], vec!["a".to_owned()]));
}

#[test]
fn an_entry_is_whole_by_a_rename_to_a_name_that_is_not_unfinished() {
    let direct = [file("a.csv", 1, 5, true)];
    assert_eq!(after(Whole::Rename, &direct).ready(at(9)), [""; 0]);
    let file_by_rename = [file("a.csv.part", 1, 5, true), moved("a.csv.part", "a.csv")];
    assert_eq!(after(Whole::Rename, &file_by_rename).ready(at(9)), ["a.csv"]);
    let folder = [file(".up/x/1", 1, 5, true), file(".up/2", 2, 5, true), moved(".up", "study")];
    let mut tree = after(Whole::Rename, &folder);
    assert_eq!(tree.ready(at(9)), ["study"]);
    let paths: Vec<_> = tree.contents("study").unwrap().into_iter().map(|file| file.path.to_string()).collect();
    assert_eq!(paths, ["2", "x/1"]);
    let still_unfinished = [file("a", 1, 5, true), moved("a", "a.part")];
    assert_eq!(after(Whole::Rename, &still_unfinished).ready(at(9)), [""; 0]);
    let within = [file("a/b.part", 1, 5, true), moved("a/b.part", "a/b")];
    assert_eq!(after(Whole::Rename, &within).ready(at(9)), [""; 0], "the entry itself was not renamed");
}

#[test]
fn an_entry_is_whole_by_the_marker_beside_it_which_is_no_dataset() {
    let marker = Whole::Marker(".done".into());
    let mut tree = after(marker.clone(), &[file("a/x", 1, 5, true), file("b", 2, 5, true)]);
    assert_eq!(tree.ready(at(9)), [""; 0]);
    tree.apply(&file("a.done", 3, 0, true), at(9));
    assert_eq!((tree.ready(at(9)), tree.marker("a")), (vec!["a".to_owned()], Some(id(3))));
    tree.apply(&Change::HandedOver { entry: "a".into() }, at(10));
    assert_eq!((tree.ready(at(11)), tree.marker("a")), (vec![], None));
    assert_eq!(tree.files().collect::<Vec<_>>(), [id(2)]);
}

#[test]
fn what_was_handed_over_is_listed_for_a_while_and_cannot_be_changed() {
    let mut tree = after(Whole::Rename, &[file("a/x", 1, 5, true)]);
    tree.apply(&Change::Handing { entry: "a".into() }, at(1));
    assert_eq!(tree.ready(at(1)), ["a"], "what was interrupted is done again");
    assert_eq!(tree.may_remove("a/x").unwrap_err(), IN_USE);
    assert_eq!(tree.may_write_new("a/y").unwrap_err(), IN_USE);
    tree.apply(&Change::HandedOver { entry: "a".into() }, at(2));
    assert_eq!((names(&tree, ""), names(&tree, "a")), (vec!["a".to_owned()], vec!["x".to_owned()]));
    assert_eq!(tree.stat("a/x").unwrap().bytes, 5);
    assert_eq!(tree.may_remove("a/x").unwrap_err(), HANDED_OVER);
    assert_eq!(tree.may_rename("a", "b", false).unwrap_err(), HANDED_OVER);
    // The next version of it.
    assert_eq!(tree.may_write_new("a/x"), Ok(()));
    tree.apply(&file("a/x", 2, 7, true), at(3));
    assert_eq!((tree.stat("a/x").unwrap().bytes, tree.contents("a").unwrap().len()), (7, 1));
    tree.ready(at(700));
    assert_eq!(tree.stat("a/x").unwrap().bytes, 7);
    tree.apply(&Change::Removed { path: "a/x".into() }, at(701));
    assert_eq!(names(&tree, "a"), [""; 0]);
}

#[test]
fn whoever_opens_a_file_takes_it_over() {
    let mut tree = after(Whole::Rename, &[file("a", 1, 5, false)]);
    tree.writes("a", id(1), 1, Timestamp::from_unix(2), at(1));
    tree.writes("a", id(1), 2, Timestamp::from_unix(2), at(2));
    assert_eq!(tree.written_by(id(1), 1), None);
    tree.let_go(id(1), 1, at(3));
    assert_eq!(tree.written_by(id(1), 2).unwrap().0, "a");
    tree.apply(&moved("a", "b"), at(4));
    assert_eq!(tree.written_by(id(1), 2).unwrap().0, "b", "a rename changes nothing for who writes");
    tree.apply(&file("b", 1, 9, false), at(5));
    assert_eq!(tree.written_by(id(1), 2).unwrap().1.bytes, 9);
}

#[test]
fn folders_are_made_and_removed_as_in_any_file_system() {
    let mut tree = tree(Whole::Rename);
    assert_eq!(tree.make_folder("a/b", at(0)), Err(NO_FOLDER));
    tree.make_folder("a", at(0)).unwrap();
    tree.make_folder("a/b", at(0)).unwrap();
    assert_eq!(tree.make_folder("a", at(0)), Err(THERE));
    assert!(tree.remove_folder("a", at(0)).is_err(), "it is not empty");
    tree.apply(&file("a/b/c", 1, 1, true), at(0));
    assert_eq!(tree.may_write_new("a/b/c/d"), Err(NO_FOLDER), "a file is no folder");
    assert!(tree.remove_folder("a/b/c", at(0)).is_err() && tree.may_remove("a/b").is_err());
    assert!(tree.may_rename("a", "a/b/x", false).is_err(), "into itself");
    tree.apply(&Change::Removed { path: "a/b/c".into() }, at(0));
    tree.remove_folder("a/b", at(0)).unwrap();
    tree.remove_folder("a", at(0)).unwrap();
    assert_eq!((names(&tree, ""), tree.may_remove("").unwrap_err()), (vec![], ROOT));
}

#[test]
fn a_rename_replaces_a_file_only_where_the_client_wants_that() {
    let tree = after(Whole::Rename, &[file("a", 1, 5, true), file("b", 2, 5, true), file("c/d", 3, 5, true)]);
    assert_eq!(tree.may_rename("a", "b", false), Err(THERE));
    assert_eq!(tree.may_rename("a", "b", true), Ok(Some(id(2))));
    assert_eq!(tree.may_rename("a", "c", true), Err(THERE));
    assert_eq!(tree.may_rename("a", "x/y", false), Err(NO_FOLDER));
    assert_eq!(tree.may_rename("x", "y", false), Err(NOT_THERE));
}

#[test]
fn no_path_grows_too_long_by_a_rename_of_what_it_is_in() {
    let long = "x".repeat(200);
    let mut tree = after(Whole::Rename, &[file(&format!("a/{long}"), 1, 5, true)]);
    assert_eq!(tree.make_folder(&long, at(0)), Ok(()));
    assert_eq!(tree.may_rename("a", &format!("{long}/a"), false), Err(TOO_LONG));
    assert_eq!(tree.may_rename("a", &"y".repeat(100), false), Ok(None));
    assert_eq!(tree.may_write_new(&format!("{long}/{long}")), Err(TOO_LONG));
}

#[test]
fn what_is_listed_after_it_was_handed_over_has_a_bound() {
    let mut tree = tree(Whole::Rename);
    for round in 0..3 {
        let entry = format!("e{round}");
        for number in 0..MAX_NODES / 2 {
            tree.apply(&file(&format!("{entry}/{number}"), 1, 1, true), at(round));
        }
        tree.apply(&Change::HandedOver { entry }, at(round));
    }
    let listed = |entry: &str| tree.stat(entry).is_ok();
    assert!(!listed("e0") && !listed("e1") && listed("e2"), "each is a little more than half of what may be listed");
}

#[test]
fn neither_what_is_handed_over_nor_its_marker_changes() {
    let marker = Whole::Marker(".done".into());
    let mut tree = after(marker, &[file("a/x", 1, 5, true), file("a.done", 2, 0, true)]);
    tree.apply(&Change::Handing { entry: "a".into() }, at(2));
    assert_eq!(tree.may_remove("a.done").unwrap_err(), IN_USE);
    assert_eq!(tree.may_write_new("a.done"), Err(IN_USE));
    assert_eq!(tree.may_rename("a.done", "b", false), Err(IN_USE));
}

#[test]
fn names_are_listed_a_page_at_a_time() {
    let changes: Vec<_> = (0..30).map(|number| file(&format!("f/{number:02}"), number, 1, true)).collect();
    let tree = after(Whole::Rename, &changes);
    let first = tree.list("f", "", 20).unwrap();
    let second = tree.list("f", &first[19].0, 20).unwrap();
    assert_eq!((first.len(), second.len(), second[9].0.as_str()), (20, 10, "29"));
    assert_eq!(names(&tree, ""), ["f"]);
    let tree = after(Whole::Rename, &["b", "a/x", "a-b", "a0", "ab/y"].map(|path| file(path, 1, 1, true)));
    let mut all = Vec::new();
    while let Some((name, _)) = tree.list("", all.last().map_or("", String::as_str), 1).unwrap().pop() {
        all.push(name);
    }
    assert_eq!(all, ["a", "a-b", "a0", "ab", "b"], "also where a folder's files lie between its neighbours");
}

fn some_change() -> impl Strategy<Value = Change> {
    let path = || "[abc](/[xy]){0,2}(\\.part)?";
    prop_oneof![
        3 => (path(), 0u8..4, 0u64..9, any::<bool>()).prop_map(|(path, number, bytes, whole)| file(&path, number, bytes, whole)),
        2 => (path(), path()).prop_map(|(from, to)| moved(&from, &to)),
        1 => path().prop_map(|path| Change::Removed { path }),
        1 => "[abc]".prop_map(|entry| Change::Handing { entry }),
        1 => "[abc]".prop_map(|entry| Change::HandedOver { entry }),
    ]
}

/// Whether clients could have caused a change.
fn possible(tree: &Tree, change: &Change) -> bool {
    match change {
        Change::File { path, .. } => {
            let parents_are_folders = path.match_indices('/').all(|(slash, _)| tree.file(&path[..slash]).is_none());
            parents_are_folders && (tree.may_write_new(path).is_ok() || tree.may_write_new(path) == Err(NO_FOLDER))
        }
        Change::Moved { from, to } => tree.may_rename(from, to, true).is_ok(),
        Change::Removed { path } => tree.may_remove(path).is_ok(),
        Change::Handing { entry } => tree.entries.contains_key(entry),
        Change::HandedOver { entry } => tree.entries.get(entry).is_some_and(|entry| entry.handing),
    }
}

proptest! {
    #[test]
    fn what_is_remembered_is_what_there_was(changes in prop::collection::vec(some_change(), 0..30)) {
        let mut tree = tree(Whole::Rename);
        for change in &changes {
            if possible(&tree, change) {
                tree.apply(change, at(1));
            }
            for (path, _) in tree.nodes.iter() {
                let parent = path::split(path).0;
                prop_assert!(parent.is_empty() || tree.nodes.get(parent) == Some(&Node::Folder), "{path}");
                prop_assert!(tree.entries.contains_key(path::entry(path)), "{path}");
            }
            let paths: Vec<_> = tree.nodes.iter().map(|(path, _)| path.clone()).collect();
            let bytes = paths.iter().filter_map(|path| tree.file(path)).map(|file| file.bytes).sum::<u64>();
            prop_assert_eq!(tree.bytes(), bytes);
        }
        let mut again = Tree::new(tree.rules.clone());
        tree.changes().iter().for_each(|change| again.apply(change, at(1)));
        let files = |tree: &Tree| -> Vec<_> {
            tree.nodes.iter().filter(|(_, node)| **node != Node::Folder).map(|(path, node)| (path.clone(), node.clone())).collect()
        };
        prop_assert_eq!(files(&again), files(&tree));
        // Empty folders are not remembered, and are no datasets.
        prop_assert_eq!(again.ready(at(1)).into_iter().filter(|entry| !again.contents(entry).unwrap().is_empty()).collect::<Vec<_>>(),
            tree.ready(at(1)).into_iter().filter(|entry| !tree.contents(entry).unwrap().is_empty()).collect::<Vec<_>>());
    }
}
