use super::build::{Entry, gzip, overlapping, zip};
use super::*;

/// Walks without keeping what is shown.
fn measure(name: &str, bytes: &[u8], limits: Limits) -> (Recorder, Totals) {
    let mut recorder = Recorder { forget: true, ..Recorder::default() };
    let mut walker = Walker::new(name, None, limits);
    bytes.chunks(64 * 1024).for_each(|piece| walker.feed(piece, &mut recorder));
    let totals = walker.finish(&mut recorder);
    (recorder, totals)
}

/// The process's largest use of memory so far, bytes. Each test is a process of its own under nextest.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// gzip of so many zeros: a piece of 1 MiB that refers to nothing before it, again and again, and an empty last block.
fn zeros(bytes: u64) -> Vec<u8> {
    let block = vec![0; 1 << 20];
    let mut piece = Vec::with_capacity(4096);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(&block, &mut piece, flate2::FlushCompress::Full).unwrap();
    let mut one = crc32fast::Hasher::new();
    one.update(&block);
    let mut crc = crc32fast::Hasher::new();
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    for _ in 0..bytes >> 20 {
        crc.combine(&one);
        packed.extend(&piece);
    }
    packed.extend([3, 0]);
    packed.extend(crc.finalize().to_le_bytes());
    packed.extend((bytes as u32).to_le_bytes());
    packed
}

#[test]
fn ten_gigabytes_of_zeros_end_in_a_verdict_within_bounded_work_and_memory() {
    let bomb = zeros(10 << 30);
    assert!(bomb.len() < 12 << 20, "{}", bomb.len());
    let limits = Limits::default();
    let before = peak();
    let (seen, totals) = measure("zeros.gz", &bomb, limits.clone());
    assert_eq!(seen.classes(), [Class::Bomb]);
    assert!(totals.shown <= limits.free.max(limits.ratio * totals.fed) + (64 << 10), "{totals:?}");
    assert!(peak() - before < 8 << 20, "{} more bytes", peak() - before);
}

#[test]
fn a_file_that_packs_well_is_no_bomb() {
    let (seen, totals) = measure("zeros.gz", &zeros(100 << 20), Limits::default());
    assert_eq!(seen.notices, []);
    assert_eq!(totals.shown, 100 << 20);
}

#[test]
fn bombs_of_bombs_end_in_a_verdict() {
    // As 42.zip: sixteen of sixteen of sixteen.
    let mut inner = Entry::deflated("zeros", &vec![0; 16 << 20]);
    for _ in 0..4 {
        let copies: Vec<Entry> = (0..16).map(|number| Entry { ..rename(&inner, number) }).collect();
        inner = Entry::deflated("inner.zip", &zip(&copies));
    }
    let bomb = zip(&[inner]);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let limits = Limits::default();
    let before = peak();
    let (seen, totals) = measure("42.zip", &bomb, limits.clone());
    assert!(seen.classes().contains(&Class::Bomb));
    assert!(totals.shown <= limits.free.max(limits.ratio * totals.fed) + (1 << 20), "{totals:?}");
    assert!(peak() - before < 64 << 20);
}

fn rename(entry: &Entry, number: usize) -> Entry {
    let name = format!("{number}-{}", String::from_utf8_lossy(&entry.name)).into_bytes();
    Entry { name: name.clone(), central_name: name, ..entry.clone() }
}

#[test]
fn overlapping_entries_unpack_no_more_than_the_limits() {
    let bomb = overlapping(&vec![0; 20 << 20], 250);
    let limits = Limits::default();
    let (seen, totals) = measure("x.zip", &bomb, limits.clone());
    assert!(seen.says(Class::Bomb, "share the same bytes"));
    assert!(totals.shown <= limits.free.max(limits.ratio * totals.fed) + (64 << 10), "{totals:?}");
}

/// An archive that holds itself cannot be written by a compressor: so one that holds another so often that no walk
/// would come to its end, which is all that a walk sees of either.
#[test]
fn archives_without_end_stop_at_the_depth() {
    let mut bytes = zip(&[Entry::stored("virus.com", &eicar())]);
    for _ in 0..40 {
        bytes = zip(&[Entry::deflated("r/r.zip", &bytes)]);
    }
    let (seen, totals) = measure("r.zip", &bytes, Limits::default());
    assert_eq!(seen.classes(), [Class::Bomb]);
    assert_eq!(totals.entries as usize, Limits::default().depth);
}

#[test]
fn a_million_entries_end_in_a_verdict_within_bounded_memory() {
    let entries: Vec<Entry> = (0..1_000_000).map(|number| Entry::stored(&number.to_string(), b"")).collect();
    let bytes = zip(&entries);
    drop(entries);
    let limits = Limits::default();
    let (seen, totals) = measure("x.zip", &bytes, limits.clone());
    assert!(seen.says(Class::Bomb, "more members"));
    assert_eq!(totals.entries, limits.entries + 1);
    // In tar too.
    let mut block = vec![0; 512];
    block[..2].copy_from_slice(b"a\0");
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let (seen, _) = measure("x.tar", &block.repeat(limits.entries as usize + 5), limits);
    assert!(seen.says(Class::Bomb, "more members"));
}

#[test]
fn a_hundred_thousand_faults_are_said_once_each() {
    let entries: Vec<Entry> = (0..50_000).map(|number| Entry::stored(&format!("../{number}"), b"x")).collect();
    let (seen, _) = measure("x.zip", &zip(&entries), Limits::default());
    assert!(seen.notices.len() <= 3, "{}", seen.notices.len());
    // Each in an archive of its own.
    let inner = gzip(b"x");
    let broken = &inner[..inner.len() - 3];
    let entries: Vec<Entry> = (0..5000).map(|number| Entry::stored(&format!("{number}.gz"), broken)).collect();
    let limits = Limits::default();
    let (seen, _) = measure("x.zip", &zip(&entries), limits.clone());
    assert!(seen.notices.len() <= limits.notices, "{}", seen.notices.len());
}

#[test]
fn windows_within_each_other_are_bounded() {
    let mut bytes = eicar();
    for _ in 0..5 {
        bytes = {
            let mut packed = Vec::with_capacity(bytes.len() + 1000);
            zstd_safe::compress(&mut packed, &bytes, 3).unwrap();
            packed
        };
    }
    let (seen, _) = measure("x.zst", &bytes, Limits::default());
    assert_eq!(seen.classes(), [Class::NotInspected]);
    assert_eq!(seen.members.len(), 1 + Limits::default().windows + 1);
}
