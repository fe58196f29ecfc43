use super::build::{Entry, deflate, finish, overlapping, zip};
use super::*;

const TABLE: &[u8] = b"id;value\n1;2\n2;3\n3;4\n1;2\n2;3\n3;4\n";

#[test]
fn an_honest_archive_is_shown_whole_and_gives_no_notice() {
    let bytes = zip(&[
        Entry::stored("a.csv", TABLE),
        Entry::deflated("b/c.csv", TABLE),
        Entry::stored("empty", b""),
        Entry::stored("folder/", b""),
        Entry::deflated("d.csv", TABLE).described_behind(),
        Entry::stored("e.csv", TABLE).described_behind(),
    ]);
    let seen = walk("x.zip", &bytes);
    assert_eq!(seen.notices, []);
    let chains =
        ["x.zip", "x.zip!a.csv", "x.zip!b/c.csv", "x.zip!empty", "x.zip!folder/", "x.zip!d.csv", "x.zip!e.csv"];
    assert_eq!(seen.chains(), chains);
    assert!(seen.members.iter().all(|member| member.end == Some(End::Whole)));
    for table in ["x.zip!a.csv", "x.zip!b/c.csv", "x.zip!d.csv", "x.zip!e.csv"] {
        assert_eq!(seen.member(table).bytes, TABLE, "{table}");
    }
    assert_eq!(seen.member("x.zip!a.csv").size, Some(TABLE.len() as u64));
    assert_eq!(walk("x.zip", &zip(&[])).notices, []);
}

#[test]
fn archives_in_archives_are_opened() {
    let inner = zip(&[Entry::deflated("virus.com", &eicar())]);
    for outer in [Entry::stored("i.zip", &inner), Entry::deflated("i.zip", &inner)] {
        let seen = walk("o.zip", &zip(&[outer, Entry::stored("b", TABLE)]));
        assert_eq!(seen.notices, []);
        assert_eq!(seen.member("o.zip!i.zip!virus.com").bytes, eicar());
        assert_eq!(seen.member("o.zip!b").bytes, TABLE);
    }
}

#[test]
fn an_entry_in_forced_zip64_is_shown() {
    let mut entry = Entry::stored("virus.com", &eicar());
    let length = eicar().len() as u64;
    entry.local_extra = [vec![1, 0, 16, 0], length.to_le_bytes().to_vec(), length.to_le_bytes().to_vec()].concat();
    (entry.packed, entry.unpacked) = (u32::MAX, u32::MAX);
    let local = entry.clone();
    entry.unpacked = eicar().len() as u32;
    // The directory states its sizes as they are.
    let honest = zip(&[Entry { local_extra: Vec::new(), ..Entry::stored("virus.com", &eicar()) }]);
    let directory = &honest[30 + 9 + eicar().len()..honest.len() - 22];
    let bytes = finish([local.local(), local.data].concat(), directory, 1);
    let seen = walk("x.zip", &bytes);
    assert_eq!(seen.member("x.zip!virus.com").bytes, eicar());
    assert_eq!(seen.notices, []);
}

#[test]
fn both_of_two_concatenated_archives_are_shown() {
    let bytes = [zip(&[Entry::stored("a", TABLE)]), zip(&[Entry::deflated("virus.com", &eicar())])].concat();
    let seen = walk("x.zip", &bytes);
    assert_eq!(seen.member("x.zip!virus.com").bytes, eicar());
    assert!(seen.says(Class::BrokenArchive, "another ZIP archive"));
}

#[test]
fn a_truncated_archive_is_shown_up_to_its_end() {
    let bytes = zip(&[Entry::stored("virus.com", &eicar()), Entry::stored("b", TABLE)]);
    for length in 0..bytes.len() {
        let (seen, _) = walk_in("x.zip", &bytes[..length], usize::MAX, Limits::default());
        assert!(length < 4 || seen.says(Class::BrokenArchive, "cut off"), "{length}");
        assert_eq!(seen.shows(&eicar()), length >= 30 + 9 + eicar().len(), "{length}");
    }
}

#[test]
fn what_stands_before_between_and_behind_the_entries_is_shown() {
    let archive = zip(&[Entry::deflated("a", TABLE)]);
    let behind = walk("x.zip", &[&archive[..], b"#!/bin/sh\n"].concat());
    assert!(behind.says(Class::BrokenArchive, "follow the end"));
    assert!(behind.shows(b"#!/bin/sh\n"));

    let mut gap = Entry::deflated("a", TABLE);
    gap.behind = eicar();
    let between = walk("x.zip", &zip(&[gap, Entry::stored("b", TABLE)]));
    assert!(between.says(Class::BrokenArchive, "between the entries"));
    assert!(between.shows(&eicar()));
    assert_eq!(between.member("x.zip!b").bytes, TABLE);

    let before = walk("x.png", &[b"\x89PNG\r\n\x1a\n....IEND\xaeB`\x82", &archive[..]].concat());
    assert_eq!(before.member("x.png!a").bytes, TABLE);
    assert!(before.says(Class::Polyglot, "ZIP archive as well"));
}

#[test]
fn an_archive_inside_a_file_is_opened_and_only_at_its_end_another_reading_of_it() {
    let archive = zip(&[Entry::deflated("virus.com", &eicar())]);
    let deep = [&b"some document "[..], &archive, &vec![b'x'; 70_000]].concat();
    let seen = walk("x.doc", &deep);
    assert!(seen.shows(&eicar()));
    assert_eq!(seen.classes(), []);
    let pdf = [&b"%PDF-1.7\n"[..], &archive].concat();
    assert_eq!(walk("x.pdf", &pdf).classes(), [Class::Polyglot]);
    // Excel keeps its themes so in files of 1997; what ends with such a file was put there by somebody else.
    let old = [&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], &vec![0; 600], &archive].concat();
    assert_eq!(walk("x.xls", &old).classes(), [Class::Polyglot]);
    let themed = walk("x.xls", &[&old[..], &[0; 100]].concat());
    assert!(themed.classes().is_empty() && themed.shows(&eicar()));
    // The letters alone are nothing.
    assert_eq!(walk("x.txt", b"PK PK PK\x03 PK\x03\x04 PKPKPK").notices, []);
    // An end without any entry that can be found.
    let lone = [&b"GIF89a "[..], &zip(&[])].concat();
    assert_eq!(walk("x.gif", &lone).classes(), [Class::NotInspected]);
}

#[test]
fn an_entry_that_the_directory_does_not_list_is_shown_and_named() {
    let mut hidden = Entry::deflated("virus.com", &eicar());
    hidden.hidden = true;
    let seen = walk("x.zip", &zip(&[Entry::stored("a", TABLE), hidden]));
    assert!(seen.shows(&eicar()));
    assert!(seen.says(Class::BrokenArchive, "does not list"));
}

#[test]
fn an_entry_that_only_the_directory_knows_is_shown_and_named() {
    // The first entry's own header covers the second, which the directory lists.
    let inner = Entry::deflated("virus.com", &eicar());
    let mut outer = Entry::stored("a", &[inner.local(), inner.data.clone()].concat());
    outer.behind = Vec::new();
    let place = outer.local().len() as u32;
    let bytes = [outer.local(), outer.data.clone()].concat();
    let listed = Entry { offset: Some(place), ..inner };
    let both = zip(&[Entry { data: Vec::new(), ..outer.clone() }, listed.clone()]);
    // The directory alone, of both.
    let directory_start = outer.local().len() + listed.local().len() + listed.data.len();
    let directory = &both[directory_start..both.len() - 22];
    let seen = walk("x.zip", &finish(bytes, directory, 2));
    assert!(seen.shows(&eicar()), "{:?}", seen.chains());
    assert!(seen.says(Class::Bomb, "share the same bytes"));
}

#[test]
fn forged_headers_are_named_and_both_readings_shown() {
    // The directory calls it otherwise.
    let mut name = Entry::stored("a.csv", TABLE);
    name.central_name = b"a.exe".to_vec();
    assert!(walk("x.zip", &zip(&[name])).says(Class::BrokenArchive, "otherwise than its own header"));

    // Its own header says that it is one byte, the directory that it is all.
    let mut short = Entry::stored("virus.com", &eicar());
    (short.packed, short.unpacked) = (1, 1);
    let seen = walk("x.zip", &zip(&[short]));
    assert!(seen.shows(&eicar()[1..]), "what the header leaves out is shown");
    assert!(seen.shows(&eicar()), "what the directory says is shown");
    assert!(seen.classes().contains(&Class::BrokenArchive));

    // The data ends before the stated length, and something hides behind it.
    let mut slack = Entry::deflated("a", TABLE);
    slack.data.extend(zip(&[Entry::deflated("virus.com", &eicar())]));
    slack.packed = slack.data.len() as u32;
    slack.central_packed = slack.packed;
    let seen = walk("x.zip", &zip(&[slack]));
    assert!(seen.shows(&eicar()));
    assert!(seen.says(Class::BrokenArchive, "bytes hide behind it"));

    // A wrong checksum, a wrong size, a size that is too short.
    let mut wrong = Entry::deflated("a", TABLE);
    wrong.crc ^= 1;
    assert!(walk("x.zip", &zip(&[wrong])).says(Class::BrokenArchive, "checksum"));
    let mut wrong = Entry::deflated("a", TABLE);
    wrong.unpacked += 1;
    assert!(walk("x.zip", &zip(&[wrong])).says(Class::BrokenArchive, "size"));
    let mut cut = Entry::deflated("a", &eicar());
    cut.packed -= 4;
    assert!(walk("x.zip", &zip(&[cut])).classes().contains(&Class::BrokenArchive));

    // What stands behind the data is not what it holds.
    let mut behind = Entry::deflated("a", TABLE).described_behind();
    behind.behind[5] ^= 1;
    let seen = walk("x.zip", &zip(&[behind, Entry::stored("b", &eicar())]));
    assert!(seen.says(Class::BrokenArchive, "stated behind the data"));
    assert!(seen.shows(&eicar()));
}

#[test]
fn a_forged_end_record_is_named() {
    let honest = zip(&[Entry::stored("a", TABLE), Entry::stored("b", TABLE)]);
    let end = honest.len() - 22;
    for (place, part) in [(10, "counts other entries"), (12, "another length"), (16, "places the directory elsewhere")]
    {
        let mut forged = honest.clone();
        forged[end + place] ^= 1;
        assert!(walk("x.zip", &forged).says(Class::BrokenArchive, part), "{part}");
    }
    let mut two = honest.clone();
    two[end + 20] = 22;
    two.extend(zip(&[]));
    assert!(walk("x.zip", &two).says(Class::BrokenArchive, "another end"));
    let mut volume = honest;
    volume[end + 4] = 1;
    assert!(walk("x.zip", &volume).says(Class::NotInspected, "several volumes"));
}

#[test]
fn what_cannot_be_opened_is_not_inspected_and_what_is_encrypted_a_verdict_of_its_own() {
    let mut encrypted = Entry::stored("a", b"0123456789ab....");
    encrypted.flags = 1;
    let seen = walk("x.zip", &zip(&[encrypted.clone(), Entry::stored("b", &eicar())]));
    assert_eq!(seen.classes(), [Class::Encrypted]);
    assert!(seen.shows(&eicar()), "the others are shown all the same");
    assert_eq!(seen.member("x.zip!a").end, Some(End::Cut));

    // The directory alone says that it is not.
    let mut one = Entry::stored("a", b"0123456789ab....");
    one.flags = 1;
    let mut bytes = zip(&[one]);
    let directory = bytes.len() - 22 - 46 - 1;
    bytes[directory + 8] = 0;
    assert!(walk("x.zip", &bytes).says(Class::BrokenArchive, "whether it is encrypted"));

    let ppmd = Entry { method: 98, ..Entry::stored("a", b"????") };
    let seen = walk("x.zip", &zip(&[ppmd, Entry::stored("b", &eicar())]));
    assert_eq!(seen.classes(), [Class::NotInspected]);
    assert!(seen.shows(&eicar()));
    let aes = Entry { method: 99, flags: 1, ..Entry::stored("a", b"????") };
    assert_eq!(walk("x.zip", &zip(&[aes])).classes(), [Class::Encrypted]);
}

#[test]
fn names_that_play_tricks_are_named() {
    for name in ["../../etc/cron.d/x", "/etc/passwd", "a\0.csv", "a\u{202e}vsc.exe", "a\x1b[2J", "C:\\x", "aux.csv"] {
        let seen = walk("x.zip", &zip(&[Entry::stored(name, TABLE)]));
        assert_eq!(seen.classes(), [Class::Path], "{name:?}");
        assert!(seen.shows(TABLE));
    }
    let twice = zip(&[Entry::stored("Bl\u{e5}.csv", TABLE), Entry::stored("bla\u{30a}.CSV", b"other")]);
    assert!(walk("x.zip", &twice).says(Class::Path, "same name"));
    // In the directory alone, and in the extra field alone.
    let mut listed = Entry::stored("a", TABLE);
    listed.central_name = b"../a".to_vec();
    assert!(walk("x.zip", &zip(&[listed])).classes().contains(&Class::Path));
    let mut extra = Entry::stored("a", TABLE);
    extra.local_extra = [&b"\x75\x70\x0a\0\x01\0\0\0\0"[..], b"../.."].concat();
    assert!(walk("x.zip", &zip(&[extra])).says(Class::Path, "leads out"));
}

#[test]
fn overlapping_entries_are_a_bomb_and_all_are_shown() {
    let bytes = overlapping(&eicar(), 5);
    let seen = walk("x.zip", &bytes);
    assert!(seen.says(Class::Bomb, "share the same bytes"));
    assert!(seen.shows(&eicar()), "the innermost, which only the directory knows");
    assert!(seen.members.iter().filter(|member| member.bytes.ends_with(&eicar())).count() >= 5);
    // The same entry, listed a thousand times.
    let one = Entry::deflated("a", TABLE);
    let listed: Vec<Entry> = (0..1000).map(|_| Entry { data: Vec::new(), offset: Some(0), ..one.clone() }).collect();
    let all = zip(&listed);
    let directory = &all[listed.len() * one.local().len()..all.len() - 22];
    let seen = walk("x.zip", &finish([one.local(), one.data].concat(), directory, 1000));
    assert!(seen.says(Class::Bomb, "share the same bytes"));
}

#[test]
fn damaged_data_is_named_and_the_next_entry_shown() {
    let mut damaged = Entry::deflated("a", TABLE);
    damaged.data = vec![0xff; damaged.data.len()];
    let seen = walk("x.zip", &zip(&[damaged, Entry::stored("b", &eicar())]));
    assert!(seen.says(Class::BrokenArchive, "damaged"));
    assert!(seen.shows(&eicar()));
    let mut unmeasured = Entry::deflated("a", TABLE).described_behind();
    unmeasured.data = vec![0xff; 40];
    let seen = walk("x.zip", &zip(&[unmeasured, Entry::stored("b", &eicar())]));
    assert!(seen.says(Class::BrokenArchive, "damaged"));
    assert!(seen.shows(&eicar()));
}

#[test]
fn a_stored_entry_that_holds_marks_of_records_is_shown_whole() {
    let tricky = [&b"x PK\x07\x08PK\x03\x04PK\x06\x06"[..], &deflate(TABLE), b"PK\x01\x02PK"].concat();
    let seen = walk("x.zip", &zip(&[Entry::stored("a", &tricky), Entry::stored("b", &tricky).described_behind()]));
    assert_eq!(seen.member("x.zip!a").bytes, tricky);
    assert_eq!(seen.member("x.zip!b").bytes, tricky);
    assert_eq!(seen.notices, []);
}
