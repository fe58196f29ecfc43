use super::*;
use crate::plan;
use proptest::prelude::*;
use std::path::Path;
use tempfile::TempDir;

const CHUNK: usize = 1000;

fn tree(sizes: &[usize]) -> (TempDir, Plan, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let bytes: Vec<u8> = (0..*size).map(|at| (at * 7 + number * 13) as u8).collect();
        std::fs::write(folder.path().join(format!("{number:03}")), &bytes).unwrap();
        all.extend(bytes);
    }
    let plan = plan::plan(&[folder.path().to_owned()]).unwrap();
    (folder, plan, all)
}

fn chunks(plan: &Plan) -> Result<(Vec<Vec<u8>>, Vec<Sha256>), Stopped> {
    let pool = Pool::new(2, CHUNK);
    let mut chunks = Vec::new();
    let digests = read_all(plan, &pool, &mut |chunk| {
        chunks.push(chunk.as_ref().to_vec());
        ControlFlow::Continue(())
    })?;
    Ok((chunks, digests))
}

fn changed_file(plan: &Plan) -> String {
    match chunks(plan) {
        Err(Stopped::Failed(Error::Changed { path, .. })) => path,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_list_of_files_gives_the_chunks_of_their_concatenation(
        sizes in proptest::collection::vec(prop_oneof![Just(0), Just(CHUNK), 0..3 * CHUNK], 1..12)
    ) {
        let (folder, plan, all) = tree(&sizes);
        let (chunks, digests) = chunks(&plan).unwrap();
        let expected: Vec<&[u8]> = all.chunks(CHUNK).collect();
        prop_assert_eq!(&chunks, &expected);
        for (number, digest) in digests.iter().enumerate() {
            let bytes = std::fs::read(folder.path().join(format!("{number:03}"))).unwrap();
            prop_assert_eq!(*digest, Sha256::of(&bytes));
        }
        let pool = Pool::new(1, CHUNK);
        let mut opener = Opener::default();
        for (number, expected) in expected.iter().enumerate().rev() {
            let mut buffer = pool.take().unwrap();
            let start = (number * CHUNK) as u64;
            read_stretch(&plan, &mut opener, start, expected.len() as u64, &mut buffer).unwrap();
            prop_assert_eq!(buffer.as_ref(), *expected);
        }
    }
}

#[test]
fn a_file_that_grew_shrank_was_replaced_or_vanished_is_named() {
    let changes: [&dyn Fn(&Path); 5] = [
        &|path| std::fs::write(path, "longer than it was planned to be").unwrap(),
        &|path| std::fs::write(path, "").unwrap(),
        &|path| std::fs::remove_file(path).unwrap(),
        &|path| {
            std::fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("000", path).unwrap();
        },
        &|path| {
            let kept = std::fs::metadata(path).unwrap().modified().unwrap();
            let copy = path.with_extension("copy");
            std::fs::copy(path, &copy).unwrap();
            std::fs::File::options().write(true).open(&copy).unwrap().set_modified(kept).unwrap();
            std::fs::rename(copy, path).unwrap();
        },
    ];
    for change in changes {
        let (folder, plan, _) = tree(&[10, 20, 30]);
        change(&folder.path().join("001"));
        assert_eq!(changed_file(&plan), "001");
    }
}

#[test]
fn a_folder_that_became_a_link_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("file"), "mine").unwrap();
    let plan = plan::plan(&[folder.path().to_owned()]).unwrap();
    std::fs::rename(&inner, folder.path().join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", &inner).unwrap();
    assert_eq!(changed_file(&plan), "inner/file");
}

#[test]
fn a_change_between_two_readings_is_noticed_by_either() {
    let (folder, plan, _) = tree(&[2500]);
    let pool = Pool::new(2, CHUNK);
    let path = folder.path().join("000");
    let mut seen = 0;
    let read = read_all(&plan, &pool, &mut |_| {
        seen += 1;
        if seen == 2 {
            std::fs::File::options().append(true).open(&path).unwrap().set_len(2600).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(read, Err(Stopped::Failed(Error::Changed { .. }))));
    let again = read_stretch(&plan, &mut Opener::default(), 0, 1000, &mut pool.take().unwrap());
    assert!(matches!(again, Err(Error::Changed { .. })));
}

#[test]
fn reading_stops_when_nobody_wants_more() {
    let (_folder, plan, _) = tree(&[5000]);
    let pool = Pool::new(1, CHUNK);
    let stopped = read_all(&plan, &pool, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Stopped::Unwanted)));
    pool.close();
    assert!(matches!(chunks_from(&plan, &pool), Err(Stopped::Unwanted)));
}

fn chunks_from(plan: &Plan, pool: &Arc<Pool>) -> Result<Vec<Sha256>, Stopped> {
    read_all(plan, pool, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn holes_are_read_as_zeros() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("sparse")).unwrap().set_len(2 * CHUNK as u64).unwrap();
    let plan = plan::plan(&[folder.path().to_owned()]).unwrap();
    assert_eq!(chunks(&plan).unwrap().0, vec![vec![0; CHUNK]; 2]);
}

#[derive(Debug)]
struct Held(Vec<Vec<u8>>);

impl crate::given::Supply for Held {
    fn open(&self, number: usize, from: u64) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.0[number][from as usize..].to_vec())))
    }
}

fn given(names: &[&str], files: Vec<Vec<u8>>) -> crate::given::Given {
    let file = |(name, bytes): (&&str, &Vec<u8>)| crate::given::GivenFile {
        path: (*name).to_owned().try_into().unwrap(),
        bytes: bytes.len() as u64,
        mtime: sluse_protocol::time::Timestamp::from_unix(1),
    };
    let listed = names.iter().zip(&files).map(file).collect();
    crate::given::Given { files: listed, version: Sha256([7; 32]), supply: Arc::new(Held(files)) }
}

#[test]
fn files_that_somebody_else_holds_are_planned_and_read_as_those_on_disk_are() {
    let sizes = [700, 0, 1500, 900];
    let (folder, on_disk, all) = tree(&sizes);
    let files = (0..sizes.len()).map(|number| std::fs::read(folder.path().join(format!("{number:03}"))).unwrap());
    let given = given(&["000", "001", "002", "003"], files.collect());
    let plan = crate::given::Files::Given(given).plan().unwrap();
    assert_eq!(plan.totals(), on_disk.totals());
    let ((parts, digests), (_, wanted)) = (chunks(&plan).unwrap(), chunks(&on_disk).unwrap());
    assert_eq!((parts.concat(), digests), (all.clone(), wanted));
    let pool = Pool::new(1, CHUNK);
    let mut buffer = pool.take().unwrap();
    read_stretch(&plan, &mut Opener::default(), CHUNK as u64, CHUNK as u64, &mut buffer).unwrap();
    assert_eq!(buffer.as_ref(), &all[CHUNK..2 * CHUNK]);
    assert_eq!(plan.stamps(sluse_protocol::time::Timestamp::from_unix(0)), Some(Sha256([7; 32])));
}

#[test]
fn a_given_file_that_is_shorter_than_it_was_listed_is_an_error_that_names_it() {
    let mut given = given(&["a/b", "c"], vec![vec![1; 10], vec![2; 10]]);
    given.files[1].bytes = 11;
    assert_eq!(changed_file(&crate::given::Files::Given(given).plan().unwrap()), "c");
}

#[test]
fn given_files_out_of_order_or_below_a_file_are_refused() {
    for names in [["b", "a"], ["a", "a"], ["a", "a/b"]] {
        let given = given(&names, vec![vec![1], vec![2]]);
        assert!(matches!(crate::given::Files::Given(given).plan(), Err(Error::Unsendable(_))), "{names:?}");
    }
}
