use super::*;
use crate::error::Error;
use sluse_protocol::document::{Invalid, Reader};
use sluse_protocol::refusal::Code;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use tempfile::TempDir;

fn tree(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file.as_bytes()).unwrap();
    }
    folder
}

fn planned(paths: &[&Path]) -> Plan {
    plan(&paths.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>()).unwrap()
}

fn paths(plan: &Plan) -> Vec<String> {
    (0..plan.entries()).map(|at| plan.path(at)).collect()
}

fn problems(folder: &TempDir) -> Vec<Problem> {
    match plan(&[folder.path().to_owned()]) {
        Err(Error::Unsendable(unsendable)) => unsendable.problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_is_its_contents_in_the_order_that_documents_have() {
    let folder = tree(&["b", "a-b", "a/z", "a/b/c", "a.txt"]);
    std::fs::create_dir_all(folder.path().join("x/hollow")).unwrap();
    let plan = planned(&[folder.path()]);
    assert_eq!(paths(&plan), ["a/b/c", "a/z", "a-b", "a.txt", "b", "x/hollow"]);
    assert_eq!((plan.totals().files, plan.totals().folders), (5, 1));
    let text: String = plan.document().collect();
    let (mut reader, mut entries) = (Reader::new(), 0);
    let read = reader.push(text.as_bytes(), |_, _| {
        entries += 1;
        Ok::<(), Invalid>(())
    });
    assert_eq!((read, entries), (Ok(()), 6));
    assert!(reader.finish().is_ok());
    assert_eq!((plan.document_bytes(), plan.sha256()), (text.len() as u64, Sha256::of(text.as_bytes())));
}

#[test]
fn several_paths_stand_each_under_its_last_component_in_order() {
    let folder = tree(&["one/x", "one/y/z", "two.csv", "sub/one.csv"]);
    let at = |name: &str| folder.path().join(name);
    let plan = planned(&[&at("two.csv"), &at("one/"), &at("sub/one.csv")]);
    assert_eq!(paths(&plan), ["one/x", "one/y/z", "one.csv", "two.csv"]);
    let mut opener = Opener::default();
    for (entry, text) in [(0, "one/x"), (1, "one/y/z"), (2, "sub/one.csv"), (3, "two.csv")] {
        assert_eq!(std::io::read_to_string(opener.file(&plan, entry, 0).unwrap()).unwrap(), text);
    }
    assert_eq!(paths(&planned(&[&at("two.csv")])), ["two.csv"]);
}

#[test]
fn two_paths_of_one_name_are_refused() {
    let folder = tree(&["a/x", "b/x"]);
    let twice = [folder.path().join("a/x"), folder.path().join("b/x")];
    assert!(matches!(plan(&twice), Err(Error::Unsendable(_))));
}

#[test]
fn links_pipes_and_sockets_are_refused_by_name_and_never_followed() {
    let folder = tree(&["fine"]);
    symlink("/etc", folder.path().join("a-link")).unwrap();
    nix::unistd::mkfifo(&folder.path().join("b-pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("c-socket")).unwrap();
    let problem = |path: &str, what: &str| Problem { path: path.into(), what: what.into() };
    let expected =
        [problem("a-link", "a symbolic link"), problem("b-pipe", "a named pipe"), problem("c-socket", "a socket")];
    assert_eq!(problems(&folder), expected);
    for given in ["a-link", "a-link/"] {
        assert!(matches!(plan(&[folder.path().join(given)]), Err(Error::Unsendable(_))), "{given}");
    }
}

#[test]
fn names_that_no_dataset_may_have_are_refused_escaped() {
    let folder = tree(&["back\\slash", "line\nfeed"]);
    std::fs::write(folder.path().join(OsStr::from_bytes(b"bl\xc3\xa5\xe6")), "").unwrap();
    let found: Vec<String> = problems(&folder).into_iter().map(|problem| problem.path).collect();
    assert_eq!(found, ["back\\slash", "bl\u{e5}\\xe6", "line\\nfeed"]);
}

#[test]
fn composed_and_decomposed_names_stay_as_they_are() {
    let folder = tree(&["bl\u{e5}", "bla\u{30a}"]);
    assert_eq!(paths(&planned(&[folder.path()])), ["bla\u{30a}", "bl\u{e5}"]);
}

#[test]
fn problems_beyond_the_named_ones_are_counted() {
    let folder = tree(&[]);
    for number in 0..MAX_NAMED + 5 {
        symlink("nowhere", folder.path().join(format!("{number:03}"))).unwrap();
    }
    match plan(&[folder.path().to_owned()]) {
        Err(Error::Unsendable(unsendable)) => assert_eq!((unsendable.problems.len(), unsendable.more), (MAX_NAMED, 5)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_at_all_is_refused_and_an_empty_folder_among_others_is_an_entry() {
    let folder = tree(&[]);
    match plan(&[folder.path().to_owned()]) {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::EmptyDataset),
        other => panic!("{other:?}"),
    }
    let folder = tree(&["file"]);
    std::fs::create_dir(folder.path().join("none")).unwrap();
    let plan = planned(&[&folder.path().join("file"), &folder.path().join("none")]);
    assert_eq!((paths(&plan), plan.totals().folders), (vec!["file".to_owned(), "none".to_owned()], 1));
    let missing = super::plan(&[folder.path().join("missing")]);
    assert!(matches!(missing, Err(Error::Unreadable { .. })));
}

#[test]
fn times_sizes_and_the_executable_bit_are_taken() {
    let folder = tree(&["tool"]);
    let path = folder.path().join("tool");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o744)).unwrap();
    let time = std::time::UNIX_EPOCH - std::time::Duration::new(9, 750_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let plan = planned(&[folder.path()]);
    let line = plan.document().nth(1).unwrap();
    let expected = "{\"path\":\"tool\",\"size\":4,\"mtime\":-10,\"mtime_ns\":250000000,\"executable\":true}\n";
    assert_eq!(line, expected);
}

#[test]
fn deep_trees_need_no_more_open_folders() {
    let folder = tempfile::tempdir().unwrap();
    let deep: std::path::PathBuf = (0..900).map(|_| "d").collect();
    std::fs::create_dir_all(folder.path().join(&deep)).unwrap();
    std::fs::write(folder.path().join(&deep).join("file"), "deep").unwrap();
    let plan = planned(&[folder.path()]);
    let file = Opener::default().file(&plan, 0, 0).unwrap();
    assert_eq!(std::io::read_to_string(file).unwrap(), "deep");
}
