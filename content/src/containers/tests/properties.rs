use super::build::{Entry, gzip, overlapping, zip};
use super::*;
use proptest::prelude::*;

/// Archives to begin with.
fn seeds() -> Vec<Vec<u8>> {
    let table = b"id;value\n1;2\n".repeat(50);
    let inner = zip(&[Entry::deflated("a.csv", &table), Entry::stored("b", &eicar()).described_behind()]);
    let mut zstd = Vec::with_capacity(10_000);
    zstd_safe::compress(&mut zstd, &inner, 3).unwrap();
    let tar = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let mut block = vec![0; 512];
    block[..1].copy_from_slice(b"a");
    block[124..136].copy_from_slice(format!("{:011o}\0", tar.len()).as_bytes());
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend(tar);
    block.resize(block.len().next_multiple_of(512) + 1024, 0);
    vec![
        zip(&[Entry::stored("i.zip", &inner), Entry::deflated("t.tar", &block), Entry::stored("x", b"")]),
        gzip(&block),
        [gzip(&inner), gzip(&table)].concat(),
        zstd,
        block,
        overlapping(&table, 4),
        [&b"%PDF-1.4 "[..], &inner, b" and more"].concat(),
    ]
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4u8);
    (prop::sample::select(seeds()), prop::collection::vec(change, 0..12)).prop_map(|(mut bytes, changes)| {
        for (place, value, kind) in changes {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = value,
                1 => bytes[place] ^= 1 << (value % 8),
                2 => {
                    bytes.remove(place);
                }
                _ => bytes.truncate(place.max(bytes.len() / 2)),
            }
        }
        bytes
    })
}

fn small() -> Limits {
    Limits { depth: 4, entries: 40, bytes: 100_000, held: 5000, ..Limits::default() }
}

/// What is shown does not depend on the cuts, unless a limit ended it in the middle of a piece.
fn same(one: &Recorder, other: &Recorder) -> bool {
    one.members == other.members && one.notices == other.notices && one.places == other.places
}

proptest! {
    #[test]
    fn where_the_stream_is_cut_changes_nothing(bytes in mutated(), cuts in prop::collection::vec(1..700usize, 1..40)) {
        let (whole, _) = walk_in("x", &bytes, usize::MAX, Limits::default());
        let mut cut = Recorder::default();
        let mut walker = Walker::new("x", Some(bytes.len() as u64), Limits::default());
        let mut rest = &bytes[..];
        for cut_at in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*cut_at).min(rest.len()));
            walker.feed(piece, &mut cut);
            rest = more;
        }
        walker.finish(&mut cut);
        prop_assert!(same(&cut, &whole), "{:?}\n{:?}", cut.notices, whole.notices);
    }

    #[test]
    fn no_archive_passes_its_limits(bytes in mutated(), step in 1..3000usize) {
        let limits = small();
        let (seen, totals) = walk_in("x", &bytes, step, limits.clone());
        prop_assert!(totals.entries <= limits.entries + 1);
        // One decoder's buffer for each depth may be on its way.
        prop_assert!(totals.shown <= limits.bytes + (limits.depth as u64 + 1) * 64 * 1024);
        prop_assert!(seen.members.iter().all(|member| member.depth <= limits.depth));
        let bytes: usize = seen.members[1..].iter().map(|member| member.bytes.len()).sum();
        prop_assert_eq!(bytes as u64, totals.shown);
    }

    #[test]
    fn what_is_cut_short_has_a_notice(bytes in mutated()) {
        let (seen, _) = walk_in("x", &bytes, 4096, Limits::default());
        let cut = seen.members.iter().any(|member| member.end == Some(End::Cut));
        prop_assert!(!cut || !seen.notices.is_empty());
    }

    #[test]
    fn random_bytes_behind_any_mark_never_panic(
        mark in prop::sample::select(vec![
            &b"PK\x03\x04"[..], b"PK\x05\x06", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\x28\xb5\x2f\xfd",
            b"7z\xbc\xaf\x27\x1c\0\x04", b"Rar!\x1a\x07", b"",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        step in 1..600usize,
    ) {
        walk_in("x", &[mark, &bytes].concat(), step, small());
    }
}
