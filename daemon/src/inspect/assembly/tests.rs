use super::*;
use crate::quarantine::hashed::{Hashed, Unseen};
use crate::quarantine::testing::{TestFile, TestTransfer, TestZone, file, noise};
use std::fs;

const BASE: &str = "20261122-101500-7f3k9a2m";
const NEXT: &str = "20261122-101600-7f3k9a2m";
const LATER: &str = "20261122-101700-7f3k9a2m";

fn step(literal: u64, from: u64, copy: u64) -> Step {
    Step { literal, from, copy }
}

fn base_of(transfer: &TestTransfer) -> Base {
    Base { transfer: transfer.id.clone(), recipient: transfer.recipient(), manifest_sha256: transfer.manifest }
}

fn assembled(zone: &TestZone, transfer: &TestTransfer, base: &Base) -> Result<(), ReadError> {
    let base = || open_base(zone.layout(), &zone.key(), base);
    assemble(&zone.layout().sealed(), &transfer.id, &transfer.identity, transfer.manifest, base)
}

/// Reads the version as inspection and delivery do.
fn read(zone: &TestZone, transfer: &TestTransfer) -> Result<(), ReadError> {
    let folder = transfer_folder(&zone.layout().sealed(), &transfer.id);
    Dataset::open(&folder, transfer.identity.clone(), &transfer.id, transfer.manifest)?.walk(&mut Hashed::new(Unseen))
}

/// A base of 250,000 bytes, and a version of it with three bytes put in, 50,000 taken out and one file more.
fn prepared() -> (TestZone, TestTransfer, TestTransfer) {
    let zone = TestZone::new();
    let (a, b) = (noise(200_000, 1), noise(50_000, 2));
    let base = zone.sealed(BASE, &[file("a", &a), file("b", &b)]);
    let changed = [&a[..70_000], b"new", &a[120_000..]].concat();
    let files = [file("a", &changed), file("b", &b), file("c", "more")];
    let steps = [step(0, 0, 70_000), step(3, 120_000, 130_000), step(4, 0, 0)];
    let next = zone.difference(NEXT, BASE, &files, &steps, b"newmore");
    (zone, base, next)
}

fn names(zone: &TestZone) -> Vec<String> {
    let listed = fs::read_dir(zone.layout().sealed()).unwrap();
    let mut names: Vec<_> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_version_is_put_together_once_and_is_read_like_any_other() {
    let (zone, base, next) = prepared();
    for _ in 0..2 {
        assembled(&zone, &next, &base_of(&base)).unwrap();
        assert_eq!(names(&zone), [BASE, NEXT]);
        read(&zone, &next).unwrap();
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&next.folder), mode(&next.chunk(0)), mode(&next.folder.join(MANIFEST))), (0o710, 0o640, 0o640));
}

#[test]
fn a_version_that_was_put_together_is_the_base_of_the_next() {
    let (zone, base, next) = prepared();
    assembled(&zone, &next, &base_of(&base)).unwrap();
    let later = zone.difference(LATER, NEXT, &[file("c", "more!")], &[step(0, 200_003, 4), step(1, 0, 0)], b"!");
    assembled(&zone, &later, &base_of(&next)).unwrap();
    read(&zone, &later).unwrap();
}

#[test]
fn what_a_crash_left_is_made_anew() {
    let (zone, base, next) = prepared();
    let making = assembly_folder(&zone.layout().sealed(), &next.id);
    fs::create_dir(&making).unwrap();
    fs::write(making.join(chunk_file(0)), "half").unwrap();
    assembled(&zone, &next, &base_of(&base)).unwrap();
    read(&zone, &next).unwrap();
    // Between the rename and the removal.
    let left = delta_folder(&zone.layout().sealed(), &next.id);
    fs::create_dir(&left).unwrap();
    assembled(&zone, &next, &base_of(&base)).unwrap();
    assert_eq!(names(&zone), [BASE, NEXT]);
}

/// What is said of a version with this recipe; nothing of it gets the transfer's name.
fn refused(files: &[TestFile], steps: &[Step], literals: &[u8], base: &str) -> String {
    let zone = TestZone::new();
    let before = zone.sealed(BASE, &[file("a", noise(150_000, 1))]);
    zone.sealed(LATER, &[file("secret", noise(150_000, 3))]);
    let next = zone.difference(NEXT, base, files, steps, literals);
    let told = assembled(&zone, &next, &base_of(&before));
    assert!(!next.folder.exists());
    match told {
        Err(ReadError::Integrity { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_recipe_that_lies_makes_nothing() {
    let files = [file("a", noise(150_000, 1))];
    let told = |steps: &[Step], literals: &[u8]| refused(&files, steps, literals, BASE);
    assert!(told(&[step(0, 1, 150_000)], b"").contains("outside of the base"));
    assert!(told(&[step(0, 0, 100_000), step(0, 50_000, 50_000)], b"").contains("goes back"));
    assert!(told(&[step(0, 0, 149_999)], b"").contains("another number of bytes"));
    assert!(told(&[step(1, 0, 149_999)], b"xy").contains("another number of bytes"));
    // Another base than the one that `control` named: whose bytes they are does not matter.
    assert!(refused(&files, &[step(0, 0, 150_000)], b"", LATER).contains("another version"));
}

#[test]
fn a_base_that_is_gone_is_told_from_a_disk_that_fails() {
    let (zone, base, next) = prepared();
    fs::remove_file(zone.layout().identity(&base.recipient())).unwrap();
    let told = assembled(&zone, &next, &base_of(&base));
    assert!(
        matches!(&told, Err(ReadError::Integrity { reason, .. }) if reason.contains("not here any more")),
        "{told:?}"
    );
}

#[test]
fn bytes_that_make_another_version_than_was_signed_are_noticed_when_it_is_read() {
    let zone = TestZone::new();
    let base = zone.sealed(BASE, &[file("a", noise(150_000, 1))]);
    let files = [file("a", noise(150_000, 2))];
    let next = zone.difference(NEXT, BASE, &files, &[step(0, 0, 150_000)], b"");
    assembled(&zone, &next, &base_of(&base)).unwrap();
    assert!(matches!(read(&zone, &next), Err(ReadError::Integrity { file: Some(_), .. })));
}
