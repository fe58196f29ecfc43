use super::build::gzip;
use super::*;

const TABLE: &[u8] = b"id;value\n1;2\n2;3\n";

/// One header block and content, padded.
fn entry(name: &[u8], kind: u8, link: &[u8], content: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend(content);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(name.as_bytes(), b'0', b"", content, content.len() as u64)
}

fn extended(kind: u8, body: &[u8]) -> Vec<u8> {
    entry(b"x", kind, b"", body, body.len() as u64)
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

#[test]
fn an_honest_archive_is_shown_whole_and_gives_no_notice() {
    let bytes = tar(&[
        file("a.csv", TABLE),
        entry(b"folder/", b'5', b"", b"", 0),
        entry(b"folder/link", b'2', b"../a.csv", b"", 0),
        file("folder/b.csv", &eicar()),
        file("empty", b""),
    ]);
    let seen = walk("x.tar", &bytes);
    let link = seen.notices.iter().all(|(_, class, message)| *class == Class::Path && message.contains("link"));
    assert!(link && seen.notices.len() == 1, "{:?}", seen.notices);
    assert_eq!(seen.member("x.tar!folder/b.csv").bytes, eicar());
    assert_eq!(seen.member("x.tar!empty").end, Some(End::Whole));
    let honest = tar(&[file("a.csv", TABLE), entry(b"l", b'2', b"a.csv", b"", 0)]);
    assert_eq!(walk("x.tar", &honest).notices, []);
}

#[test]
fn a_tar_in_gzip_within_a_tar_is_opened() {
    let inner = gzip(&tar(&[file("virus.com", &eicar())]));
    let seen = walk("o.tar", &tar(&[file("i.tar.gz", &inner), file("b", TABLE)]));
    assert_eq!(seen.member("o.tar!i.tar.gz!i.tar!virus.com").bytes, eicar());
    assert_eq!(seen.member("o.tar!b").bytes, TABLE);
    assert_eq!(seen.notices, []);
}

#[test]
fn long_names_and_sizes_of_extended_headers_count() {
    let long = "d/".repeat(150) + "a.csv";
    let gnu = [extended(b'L', format!("{long}\0").as_bytes()), file("d/d/d", TABLE)].concat();
    let seen = walk("x.tar", &tar(&[gnu, file("b", TABLE)]));
    assert_eq!(seen.chains()[1..], [format!("x.tar!{long}"), "x.tar!b".into()]);
    let size = TABLE.len().to_string();
    let records = [record("path", &long), record("size", &size)].concat();
    let pax = [extended(b'x', &records), entry(b"short", b'0', b"", TABLE, 0)].concat();
    let seen = walk("x.tar", &tar(&[extended(b'g', &record("comment", "x")), pax, file("b", TABLE)]));
    assert_eq!(seen.member(&format!("x.tar!{long}")).bytes, TABLE);
    assert_eq!(seen.member("x.tar!b").bytes, TABLE);
    assert_eq!(seen.notices, []);
}

#[test]
fn two_sizes_of_one_entry_are_named() {
    // By the old header another entry follows in the content.
    let smuggled = file("virus.com", &eicar());
    let pax = extended(b'x', &record("size", &smuggled.len().to_string()));
    let bytes = tar(&[pax, entry(b"a", b'0', b"", &smuggled, 5)]);
    assert!(walk("x.tar", &bytes).says(Class::BrokenArchive, "two sizes"));
}

#[test]
fn names_links_and_devices_that_play_tricks_are_named() {
    for name in ["../x", "/etc/passwd", "a\u{202e}b", "a\x1b[2J", "nul", "x\\y"] {
        let seen = walk("x.tar", &tar(&[file(name, TABLE)]));
        assert_eq!(seen.classes(), [Class::Path], "{name:?}");
        assert!(seen.shows(TABLE));
    }
    for (kind, link) in [(b'2', &b"/etc"[..]), (b'2', b"../.."), (b'1', b"/etc/passwd"), (b'3', b""), (b'6', b"")] {
        let seen = walk("x.tar", &tar(&[entry(b"a", kind, link, b"", 0), file("b", TABLE)]));
        assert_eq!(seen.classes(), [Class::Path]);
        assert!(seen.shows(TABLE));
    }
    let pax = [extended(b'x', &record("path", "../x")), file("a", TABLE)].concat();
    assert_eq!(walk("x.tar", &tar(&[pax])).classes(), [Class::Path]);
    assert!(walk("x.tar", &tar(&[file("A", TABLE), file("a", b"x")])).says(Class::Path, "same name"));
}

#[test]
fn sparse_files_are_not_inspected() {
    let pax = [extended(b'x', &record("GNU.sparse.major", "1")), file("a", TABLE)].concat();
    assert_eq!(walk("x.tar", &tar(&[pax])).classes(), [Class::NotInspected]);
    let old = entry(b"a", b'S', b"", TABLE, TABLE.len() as u64);
    assert_eq!(walk("x.tar", &tar(&[old, file("b", TABLE)])).classes(), [Class::NotInspected]);
}

#[test]
fn damaged_cut_and_continued_archives_are_named_and_shown() {
    let honest = tar(&[file("a", TABLE), file("b", &eicar())]);
    let mut damaged = honest.clone();
    damaged[1024] ^= 1;
    let seen = walk("x.tar", &damaged);
    assert!(seen.says(Class::BrokenArchive, "damaged"));
    assert!(seen.member("x.tar![rest]").bytes.windows(eicar().len()).any(|window| window == eicar()));
    for length in [600, 1023, 1025, 1536 + 100, 2048] {
        let (seen, _) = walk_in("x.tar", &honest[..length], usize::MAX, Limits::default());
        assert_eq!(seen.classes(), [Class::BrokenArchive], "{length}");
    }
    // Another archive behind the end mark, which only some programs read.
    let two = [tar(&[file("a", TABLE)]), tar(&[file("virus.com", &eicar())])].concat();
    let seen = walk("x.tar", &two);
    assert_eq!(seen.member("x.tar![rest]!virus.com").bytes, eicar());
    assert_eq!(seen.classes(), [Class::BrokenArchive]);
}

#[test]
fn archives_from_before_the_mark_are_recognised() {
    let mut block = file("a.csv", TABLE);
    block[257..265].fill(0);
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let seen = walk("x", &tar(&[block]));
    assert_eq!(seen.member("x!a.csv").bytes, TABLE);
    assert_eq!(seen.notices, []);
}
