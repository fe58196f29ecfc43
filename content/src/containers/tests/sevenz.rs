use super::foreign::{run, table};
use super::*;

#[test]
fn archives_of_7_zip_are_shown_whatever_their_method() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("a.csv"), table()).unwrap();
    std::fs::write(at.join("virus.com"), eicar()).unwrap();
    std::fs::write(at.join("empty"), b"").unwrap();
    for method in ["LZMA", "LZMA2", "PPMd", "BZip2", "Deflate", "Copy"] {
        let name = format!("{method}.7z");
        run(at, &["7zz", "a", "-bd", &format!("-m0={method}"), &name, "a.csv", "virus.com", "empty"]);
        let bytes = std::fs::read(at.join(&name)).unwrap();
        let seen = walk("x.7z", &bytes);
        assert_eq!(seen.notices, [], "{method}");
        assert_eq!(seen.member("x.7z!a.csv").bytes, table(), "{method}");
        assert_eq!(seen.member("x.7z!virus.com").bytes, eicar());
        assert_eq!(seen.member("x.7z!empty").end, Some(End::Whole));
        let cut = walk("x.7z", &bytes[..bytes.len() - 10]);
        assert!(cut.classes().contains(&Class::BrokenArchive), "{method}");
        let more = walk("x.7z", &[&bytes[..], &eicar()].concat());
        assert_eq!(more.classes(), [Class::BrokenArchive]);
        assert_eq!(more.member("x.7z![behind the end]").bytes, eicar());
    }
}

#[test]
fn encrypted_archives_are_a_verdict_of_their_own_with_and_without_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("a.csv"), table()).unwrap();
    for (name, names) in [("shown.7z", "-mhe=off"), ("hidden.7z", "-mhe=on")] {
        run(at, &["7zz", "a", "-bd", "-psecret", names, name, "a.csv"]);
        let seen = walk(name, &std::fs::read(at.join(name)).unwrap());
        assert_eq!(seen.classes(), [Class::Encrypted], "{:?}", seen.notices);
    }
}

#[test]
fn an_archive_beyond_the_room_for_it_is_not_inspected() {
    let limits = Limits { held: 1000, ..Limits::default() };
    let bytes = [&b"7z\xbc\xaf\x27\x1c\0\x04"[..], &[1; 2000]].concat();
    let (seen, _) = walk_in("x.7z", &bytes, 100, limits);
    assert_eq!(seen.classes(), [Class::NotInspected]);
}

#[test]
fn a_window_larger_than_allowed_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("a.csv"), table().repeat(100)).unwrap();
    run(at, &["7zz", "a", "-bd", "-m0=LZMA2:d=64m", "x.7z", "a.csv"]);
    let bytes = std::fs::read(at.join("x.7z")).unwrap();
    let limits = Limits { dictionary: 1 << 16, ..Limits::default() };
    let (seen, _) = walk_in("x.7z", &bytes, usize::MAX, limits);
    assert_eq!(seen.classes(), [Class::NotInspected], "{:?}", seen.notices);
}

#[test]
fn a_damaged_archive_never_passes_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("a.csv"), &table()[..20_000]).unwrap();
    std::fs::write(at.join("virus.com"), eicar()).unwrap();
    for method in ["-m0=LZMA2", "-m0=PPMd", "-mhc=off"] {
        run(at, &["7zz", "a", "-bd", method, "x.7z", "a.csv", "virus.com"]);
        let honest = std::fs::read(at.join("x.7z")).unwrap();
        std::fs::remove_file(at.join("x.7z")).unwrap();
        let (whole, _) = walk_in("x.7z", &honest, usize::MAX, Limits::default());
        let mut state = 1u64;
        for _ in 0..500 {
            let mut bytes = honest.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                // Without its mark it would be no archive.
                let place = 6 + (state >> 33) as usize % (bytes.len() - 6);
                bytes[place] = (state >> 25) as u8;
            }
            let (seen, totals) = walk_in("x.7z", &bytes, 4096, Limits::default());
            assert!(totals.shown < 1 << 20);
            // A byte that happens to mean nothing (a reserved field, the same value) changes nothing that is shown.
            assert!(!seen.notices.is_empty() || seen.members[1..] == whole.members[1..], "{:?}", seen.members);
        }
    }
}
