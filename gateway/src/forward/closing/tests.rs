use super::*;
use crate::gather::{Gathered, List, Part};
use crate::spool::{Ends, FileId, Inlet, Label, Says};
use sluse_protocol::digest::Sha256;
use sluse_protocol::time::Timestamp;
use std::io::Read as _;
use std::sync::Arc;

struct Place {
    _folder: tempfile::TempDir,
    spool: Spool,
    inlet: Arc<Inlet>,
    identity: Identity,
    closing: Closing,
}

impl Place {
    fn new() -> Self {
        let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
        let spool = Spool::open(folder.path()).unwrap();
        let inlet = Inlet::open(spool.clone(), identity.to_public(), 0).unwrap();
        let closing = Closing::new(spool.clone(), identity.clone());
        Self { _folder: folder, spool, inlet, identity, closing }
    }

    /// Stores files of `bytes` each, and gathers them.
    fn gathered(&self, files: &[(&str, &[u8])]) -> Closed {
        let file = |(path, bytes): &(&str, &[u8])| {
            let before = names(&self.spool.arrived());
            let mut parcel = self.inlet.begin().unwrap();
            parcel.write(bytes).unwrap();
            let ends = Ends::of(path.parse().unwrap(), Timestamp::from_unix(1));
            let says = Says::Part { file: FileId::new().unwrap(), offset: 0, ends: Some(ends.clone()) };
            let label = Label { flow: "ct".parse().unwrap(), group: "1.2.3".into(), dataset: None, says };
            parcel.store(label).unwrap();
            let parcel = names(&self.spool.arrived()).into_iter().find(|name| !before.contains(name)).unwrap();
            let parts = vec![Part { parcel, bytes: bytes.len() as u64 }];
            let sha256 = Some(Sha256::of(bytes));
            Gathered { path: ends.path, mtime: ends.mtime, sha256, stands: false, same_as: None, parts }
        };
        let files = files.iter().map(file).collect();
        Closed { flow: "ct".parse().unwrap(), group: "1.2.3".into(), dataset: None, files, list: None }
    }

    fn outbox(&self) -> Vec<String> {
        names(&self.spool.outbox("ct"))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_dataset_in_the_outbox_is_read_as_its_files_were_written() {
    let place = Place::new();
    let files: [(&str, &[u8]); 2] = [("a", &[1; 100_000]), ("b", &[2; 10])];
    assert_eq!(place.closing.close(place.gathered(&files), None).unwrap(), Made::Dataset(1));
    assert_eq!((names(&place.spool.arrived()).len(), names(&place.spool.closing()).len()), (0, 0));
    let folder = place.spool.outbox("ct").join(&place.outbox()[0]);
    assert_eq!(names(&folder).len(), 3);
    let document = Document::read(&folder, &place.identity).unwrap().unwrap();
    assert!(document.dataset.as_str().starts_with("ct "), "{}", document.dataset);
    let given = document.content(folder, place.identity.clone());
    for (number, (_, bytes)) in files.iter().enumerate() {
        let mut read = Vec::new();
        given.supply.open(number, 5).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!((given.files[number].bytes, read.as_slice()), (bytes.len() as u64, &bytes[5..]));
    }
}

#[test]
fn what_was_sent_is_known_and_anything_new_makes_another_version() {
    let place = Place::new();
    let files: [(&str, &[u8]); 2] = [("a", b"one"), ("b", b"two")];
    place.closing.close(place.gathered(&files), None).unwrap();
    assert_eq!(place.closing.close(place.gathered(&files), None).unwrap(), Made::Known);
    assert_eq!(place.closing.close(place.gathered(&files[1..]), None).unwrap(), Made::Known);
    assert_eq!(names(&place.spool.arrived()), [""; 0]);
    let changed: [(&str, &[u8]); 2] = [("a", b"one"), ("b", b"three")];
    assert_eq!(place.closing.close(place.gathered(&changed), None).unwrap(), Made::Dataset(2));
    assert_eq!(place.outbox().len(), 2);
}

/// The same of a list in a parcel, which is no more than a file here.
fn listed(place: &Place, parcel: &str, missing: usize, files: &[(&str, &[u8])]) -> Closed {
    fs::write(place.spool.arrived().join(parcel), "list").unwrap();
    Closed { list: Some(List { parcel: parcel.into(), missing }), ..place.gathered(files) }
}

/// Files with their bytes.
type Files<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn a_list_is_all_of_its_dataset_and_known_if_the_last_one_was_the_same() {
    let place = Place::new();
    let cases: [(Files, Made); 6] = [
        (&[("a", b"one"), ("b", b"two")], Made::Dataset(1)),
        (&[("a", b"one"), ("b", b"two")], Made::Known),
        // One was taken out, and put in again.
        (&[("a", b"one")], Made::Dataset(2)),
        (&[("a", b"one"), ("b", b"two")], Made::Dataset(3)),
        (&[("a", b"three"), ("b", b"two")], Made::Dataset(4)),
        (&[("a", b"three"), ("b", b"two")], Made::Known),
    ];
    for (number, (files, made)) in cases.into_iter().enumerate() {
        assert_eq!(place.closing.close(listed(&place, &format!("list-{number}"), 0, files), None).unwrap(), made);
        assert_eq!(names(&place.spool.arrived()), [""; 0], "the list goes too");
    }
}

#[test]
fn a_list_with_missing_files_makes_no_dataset_and_stays_unless_it_was_done_before_a_crash() {
    let place = Place::new();
    place.closing.close(listed(&place, "done", 0, &[("a", b"one"), ("b", b"two")]), None).unwrap();
    for (missing, files) in [(1, &[("a", &b"one"[..])][..]), (2, &[])] {
        let incomplete = listed(&place, "incomplete", missing, files);
        assert_eq!(place.closing.close(incomplete, None).unwrap(), Made::Incomplete(missing));
        assert!(place.spool.arrived().join("incomplete").exists());
    }
    assert_eq!(place.closing.close(listed(&place, "done", 2, &[]), None).unwrap(), Made::Known);
    assert!(!place.spool.arrived().join("done").exists());
    assert_eq!(place.outbox().len(), 1);
}

#[test]
fn what_is_remembered_of_a_group_has_a_bound() {
    let version = |number: usize, files: usize| Version {
        batch: number.to_string(),
        files: (0..files).map(|file| format!("{number}-{file}")).collect(),
        list: None,
    };
    let mut known = super::super::memory::Known::default();
    (0..5).for_each(|number| known.add(version(number, 300_000)));
    let batches: Vec<_> = known.versions.iter().map(|version| version.batch.as_str()).collect();
    assert_eq!(batches, ["2", "3", "4"]);
    known.add(version(5, 1_100_000));
    assert_eq!(known.versions.len(), 1, "the last one always");
}

#[test]
fn what_shows_how_things_stand_is_sent_when_it_differs_from_the_last_one_in_what_matters() {
    let place = Place::new();
    let close = |bytes: &[u8], content: &str| {
        let mut closed = place.gathered(&[("a", bytes)]);
        closed.files[0].stands = true;
        closed.files[0].same_as = Some(Sha256::of(content.as_bytes()));
        place.closing.close(closed, None).unwrap()
    };
    assert_eq!(close(b"at one: yes", "yes"), Made::Dataset(1));
    assert_eq!(close(b"at two: yes", "yes"), Made::Known);
    assert_eq!(close(b"at three: no", "no"), Made::Dataset(2));
    assert_eq!(close(b"at four: yes", "yes"), Made::Dataset(3));
}

#[test]
fn a_part_of_how_things_stood_is_another_way_to_stand() {
    let place = Place::new();
    let close = |files: &[(&str, &[u8])]| {
        let mut closed = place.gathered(files);
        closed.files.iter_mut().for_each(|file| file.stands = true);
        place.closing.close(closed, None).unwrap()
    };
    assert_eq!(close(&[("a", b"one"), ("b", b"two")]), Made::Dataset(1));
    assert_eq!(close(&[("a", b"one"), ("b", b"two")]), Made::Known);
    assert_eq!(close(&[("a", b"one")]), Made::Dataset(2));
    assert_eq!(close(&[("a", b"one"), ("b", b"two")]), Made::Dataset(3));
}

#[test]
fn what_was_refused_is_sent_again() {
    let place = Place::new();
    let files: [(&str, &[u8]); 1] = [("a", b"one")];
    place.closing.close(place.gathered(&files), None).unwrap();
    let batch = place.outbox().remove(0);
    let rejected = place.spool.outbox("ct").join("_rejected/0123456789abcdef");
    fs::create_dir_all(&rejected).unwrap();
    fs::rename(place.spool.outbox("ct").join(&batch), rejected.join(&batch)).unwrap();
    assert_eq!(place.closing.close(place.gathered(&files), None).unwrap(), Made::Dataset(2));
}

#[test]
fn wherever_a_crash_came_in_between_the_dataset_is_finished_once() {
    for moved in 0..=2 {
        for remembered in [true, false] {
            let place = Place::new();
            place.closing.close(place.gathered(&[("a", b"one"), ("b", b"two")]), None).unwrap();
            // As it was before: some parcels not moved yet, maybe nothing remembered.
            let batch = place.outbox().remove(0);
            let folder = place.spool.closing().join(&batch);
            fs::rename(place.spool.outbox("ct").join(&batch), &folder).unwrap();
            let parcels = names(&folder).into_iter().filter(|name| name != "dataset.age");
            for parcel in parcels.skip(moved) {
                fs::rename(folder.join(&parcel), place.spool.arrived().join(&parcel)).unwrap();
            }
            if !remembered {
                fs::remove_dir_all(place.spool.sent()).unwrap();
                fs::create_dir(place.spool.sent()).unwrap();
            }
            assert_eq!(place.closing.resume().unwrap(), 1);
            assert_eq!(place.closing.resume().unwrap(), 0);
            assert_eq!(place.outbox(), [batch.as_str()]);
            assert_eq!(names(&place.spool.outbox("ct").join(&batch)).len(), 3, "{moved} {remembered}");
            assert_eq!(names(&place.spool.arrived()), [""; 0]);
            let again = place.gathered(&[("a", b"one"), ("b", b"two")]);
            assert_eq!(place.closing.close(again, None).unwrap(), Made::Known);
        }
    }
}

#[test]
fn a_crash_before_the_document_leaves_the_parcels_to_be_gathered_again() {
    let place = Place::new();
    let closed = place.gathered(&[("a", b"one")]);
    fs::create_dir(place.spool.closing().join("00000001-000000000000")).unwrap();
    assert_eq!(place.closing.resume().unwrap(), 0);
    assert_eq!((names(&place.spool.closing()).len(), names(&place.spool.arrived()).len()), (0, 1));
    assert_eq!(place.closing.close(closed, None).unwrap(), Made::Dataset(1));
}
