use super::*;
use age::x25519::Identity;
use sluse_protocol::digest::Sha256;
use sluse_protocol::time::Timestamp;
use std::io::Read as _;
use std::sync::Arc;

fn label(file: FileId) -> Label {
    let ends = Some(Ends::of("s/1.dcm".parse().unwrap(), Timestamp::from_unix(1)));
    let says = Says::Part { file, offset: 0, ends };
    Label { flow: "ct".parse().unwrap(), group: "1.2.3".into(), dataset: None, says }
}

fn inlet(folder: &Path, identity: &Identity) -> Arc<Inlet> {
    Inlet::open(Spool::open(folder).unwrap(), identity.to_public(), 0).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_parcel_of_any_length_is_read_as_it_was_written_from_any_place_on() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
    let inlet = inlet(folder.path(), &identity);
    for length in [0, 1, 65_000, 65_536 - 400, 65_536, 65_537, 131_072, 300_000] {
        let bytes: Vec<u8> = (0..length).map(|at: usize| (at * 31 + at / 251) as u8).collect();
        let (mut parcel, label) = (inlet.begin().unwrap(), label(FileId::new().unwrap()));
        bytes.chunks(10_000).for_each(|piece| parcel.write(piece).unwrap());
        assert_eq!(parcel.store(label.clone()).unwrap(), Sha256::of(&bytes));
        let arrived = Spool::open(folder.path()).unwrap().arrived();
        let path = arrived.join(names(&arrived).remove(0));
        for from in [0, 1, length / 2, length.saturating_sub(1), length] {
            let opened = Opened::open(&path, &identity).unwrap();
            assert_eq!(*opened.tail(), Tail { label: label.clone(), bytes: length as u64, sha256: Sha256::of(&bytes) });
            let mut read = Vec::new();
            opened.bytes(from.min(length) as u64, u64::MAX).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == bytes[from.min(length)..], "{length} from {from}");
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_parcel_that_was_cut_short_or_changed_is_found_out() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
    let inlet = inlet(folder.path(), &identity);
    let mut parcel = inlet.begin().unwrap();
    parcel.write(&[7; 200_000]).unwrap();
    parcel.store(label(FileId::new().unwrap())).unwrap();
    let arrived = folder.path().join("arrived");
    let path = arrived.join(names(&arrived).remove(0));
    let whole = std::fs::read(&path).unwrap();
    let last = whole.len() - 1;
    let cases = [&whole[..last], &whole[..65_536 * 2 + 232], &whole[..100], &whole[..0]];
    let mut changed = whole.clone();
    changed[last - 30] ^= 1;
    for wrong in cases.into_iter().chain([&changed[..]]) {
        std::fs::write(&path, wrong).unwrap();
        let error = Opened::open(&path, &identity).err().expect("it is no parcel");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(Opened::open(&path, &Identity::generate()).is_err());
}

#[test]
fn what_was_not_stored_is_gone_and_names_ascend_across_restarts() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
    let first = inlet(folder.path(), &identity);
    let second = Inlet::open(Spool::open(folder.path()).unwrap(), identity.to_public(), 0);
    assert!(matches!(second, Err(Error::InUse(_))), "one takes in");
    first.begin().unwrap().store(label(FileId::new().unwrap())).unwrap();
    let mut dropped = first.begin().unwrap();
    dropped.write(b"half").unwrap();
    drop(dropped);
    assert_eq!(names(&folder.path().join("partial")), [""; 0]);
    // As a crash leaves it.
    std::fs::write(folder.path().join("partial/left"), "half").unwrap();
    drop(first);
    let again = inlet(folder.path(), &identity);
    assert_eq!(names(&folder.path().join("partial")), [""; 0]);
    again.begin().unwrap().store(label(FileId::new().unwrap())).unwrap();
    assert_eq!(names(&folder.path().join("arrived")), ["00000001-000000000000", "00000002-000000000000"]);
}

#[test]
fn nothing_is_taken_in_below_what_is_to_stay_free() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::generate());
    let inlet = Inlet::open(Spool::open(folder.path()).unwrap(), identity.to_public(), 1 << 60).unwrap();
    assert!(matches!(inlet.begin(), Err(NotStored::Full)));
    assert_eq!(names(&folder.path().join("partial")), [""; 0]);
}
