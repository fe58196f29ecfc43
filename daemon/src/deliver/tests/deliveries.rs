//! Deliveries into rooms of this host: byte for byte, once, whole or not at all; and what is taken out of rooms again.

use super::*;

#[test]
fn a_released_dataset_stands_in_its_room_byte_for_byte_as_a_bag_with_its_receipt_beside_it() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone, signer());
    let outcome = control.deliver(&zone, &transfer, NameRule::Posix);
    let tags = fs::read(bag(&zone).join("tagmanifest-sha256.txt")).unwrap();
    let bag_name = format!("extract/{ID}");
    assert_eq!(outcome, DeliverOutcome::Visible { bag: bag_name, tagmanifest: Sha256::of(&tags), stored: None });
    assert_digests(&bag(&zone), "manifest-sha256.txt");
    assert_digests(&bag(&zone), "tagmanifest-sha256.txt");
    let delivered = tree(&bag(&zone).join("data"));
    for sent in dataset() {
        assert_eq!(delivered[Path::new(&sent.path)], sent.bytes, "{}", sent.path);
    }
    let facts = fs::metadata(bag(&zone).join("data/b/run me.sh")).unwrap();
    assert_eq!((facts.permissions().mode() & 0o777, facts.mtime(), facts.mtime_nsec()), (0o755, 1_700_000_000, 5));
    assert_eq!(fs::metadata(bag(&zone).join("data/b/nothing")).unwrap().mtime(), 1_700_000_000);
    let document = fs::read_to_string(bag(&zone).join("receipts/received.json")).unwrap();
    assert_eq!(document, "the document receipts/received.json".repeat(40_000));
    let source = fs::read(bag(&zone).join("source-manifest.jsonl")).unwrap();
    assert_eq!(Sha256::of(&source), transfer.manifest);
    let crate_: serde_json::Value =
        serde_json::from_slice(&fs::read(bag(&zone).join("ro-crate-metadata.json")).unwrap()).unwrap();
    assert_eq!(crate_["@graph"][1]["datePublished"], "2026-09-21");
    assert!(fs::read_to_string(bag(&zone).join("bag-info.txt")).unwrap().contains("Payload-Oxum: 450013.5\n"));
    wait_for(|| room(&zone).join(format!("extract/{ID}.receipts/delivered.json")).exists());
    wait_for(|| fs::read_dir(zone.layout().pending()).unwrap().next().is_none());
    assert_eq!(fs::read_dir(room(&zone).join(".sluse-incoming")).unwrap().count(), 0);
}

fn wait_for(done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came");
}

#[test]
fn where_the_room_has_a_key_each_file_is_encrypted_to_it_and_both_digests_are_listed() {
    let zone = TestZone::new();
    let mut sent = dataset();
    sent.push(file("large.bin", noise(3 * 1024 * 1024 + 77, 3)));
    let transfer = zone.sealed(ID, &sent);
    let control = begin(&zone, signer());
    let room_key = age::x25519::Identity::generate();
    let recipient = room_key.to_public().to_string();
    control.tasks.send(task_to(&zone, &transfer, Some(recipient.clone()))).unwrap();
    let DeliverRequest::Delivered { outcome, .. } = control.told() else { panic!() };
    assert!(matches!(outcome, DeliverOutcome::Visible { .. }), "{outcome:?}");
    assert_digests(&bag(&zone), "manifest-sha256.txt");
    assert_digests(&bag(&zone), "tagmanifest-sha256.txt");
    let info = fs::read_to_string(bag(&zone).join("bag-info.txt")).unwrap();
    let delivered = tree(&bag(&zone).join("data"));
    let stored: usize = delivered.values().flatten().map(Vec::len).sum();
    assert!(info.contains(&format!("Payload-Oxum: {stored}.6\n")), "{info}");
    assert!(info.contains(&format!("Sluse-Encrypted-To: {recipient}\n")));
    // What comes out lies elsewhere, under the same names, and agrees with the second list.
    let out = tempfile::tempdir().unwrap();
    fs::copy(bag(&zone).join("plaintext-sha256.txt"), out.path().join("list")).unwrap();
    for (sent, there) in sent.iter().filter_map(|sent| Some((sent.bytes.as_ref()?, &sent.path))) {
        let stored = delivered[Path::new(there)].as_ref().unwrap();
        assert!(stored.starts_with(b"age-encryption.org/v1\n"), "{there}");
        let plain = age::decrypt(&room_key, stored).unwrap();
        assert!(plain == *sent, "{there}");
        let path = out.path().join("data").join(there);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, plain).unwrap();
    }
    assert_digests(out.path(), "list");
}

#[test]
fn a_delivery_that_was_begun_is_taken_back_unless_its_bag_is_visible() {
    let zone = TestZone::new();
    let control = begin(&zone, signer());
    let left = room(&zone).join(".sluse-incoming").join(ID);
    fs::create_dir_all(left.join("data")).unwrap();
    let withdraw = || {
        let (transfer, dataset) = (ID.parse().unwrap(), "extract".parse().unwrap());
        let task =
            DeliverReply::Withdraw { transfer, room_folder: "lab".into(), dataset, elsewhere: None, last: false };
        control.tasks.send((task, Vec::new())).unwrap();
        let DeliverRequest::Withdrawn { outcome, .. } = control.told() else { panic!() };
        outcome
    };
    assert_eq!(withdraw(), WithdrawOutcome::Gone);
    assert!(!left.exists());
    assert_eq!(withdraw(), WithdrawOutcome::Gone, "twice changes nothing");
    fs::create_dir_all(bag(&zone)).unwrap();
    assert_eq!(withdraw(), WithdrawOutcome::Visible);
    assert!(bag(&zone).exists());
}

#[test]
fn a_version_is_removed_unless_it_is_the_current_one() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone, signer());
    control.deliver(&zone, &transfer, NameRule::Posix);
    let current = bag(&zone).parent().unwrap().join("current");
    let remove = || {
        let (transfer, dataset) = (ID.parse().unwrap(), "extract".parse().unwrap());
        let task = DeliverReply::Remove { transfer, room_folder: "lab".into(), dataset };
        control.tasks.send((task, Vec::new())).unwrap();
        let DeliverRequest::Removed { outcome, .. } = control.told() else { panic!() };
        outcome
    };
    fs::write(&current, format!("{ID}\n")).unwrap();
    assert!(matches!(remove(), RemoveOutcome::Fault { .. }));
    assert!(bag(&zone).exists());
    fs::write(&current, "20261123-101500-7f3k9a2m\n").unwrap();
    // As a crash left it.
    let half = room(&zone).join(".sluse-incoming").join(format!("{ID}.removed"));
    fs::create_dir_all(half.join("data")).unwrap();
    for _ in 0..2 {
        assert_eq!(remove(), RemoveOutcome::Gone, "twice changes nothing");
        assert!(!bag(&zone).exists() && !half.exists());
    }
}

#[test]
fn delivering_again_changes_nothing_and_says_the_same() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone, signer());
    let first = control.deliver(&zone, &transfer, NameRule::Posix);
    let inode = fs::metadata(bag(&zone)).unwrap().ino();
    assert_eq!(control.deliver(&zone, &transfer, NameRule::Posix), first);
    assert_eq!(fs::metadata(bag(&zone)).unwrap().ino(), inode);
}

#[test]
fn what_a_crash_left_under_the_temporary_name_is_not_in_the_bag() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let left = room(&zone).join(".sluse-incoming").join(ID);
    fs::create_dir_all(left.join("data/b")).unwrap();
    fs::write(left.join("data/b/half"), "half").unwrap();
    symlink("/etc/passwd", left.join("data/c")).unwrap();
    let control = begin(&zone, signer());
    assert!(matches!(control.deliver(&zone, &transfer, NameRule::Posix), DeliverOutcome::Visible { .. }));
    assert!(!bag(&zone).join("data/b/half").exists());
    assert!(!left.exists());
}

#[test]
fn something_else_under_the_bags_name_is_never_replaced() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    fs::create_dir_all(bag(&zone)).unwrap();
    fs::write(bag(&zone).join("mine"), "mine").unwrap();
    let control = begin(&zone, signer());
    assert!(matches!(control.deliver(&zone, &transfer, NameRule::Posix), DeliverOutcome::Fault { .. }));
    assert_eq!(tree(&bag(&zone)).len(), 1);
}

#[test]
fn nothing_is_written_where_others_could_exchange_it_before_it_is_visible() {
    let spoils: [fn(&Path); 2] = [
        |incoming| fs::set_permissions(incoming, fs::Permissions::from_mode(0o777)).unwrap(),
        |incoming| chown(incoming, Some(65_534), None).expect("this test needs root"),
    ];
    for spoil in spoils {
        let zone = TestZone::new();
        let transfer = zone.sealed(ID, &dataset());
        let incoming = room(&zone).join(".sluse-incoming");
        fs::create_dir(&incoming).unwrap();
        spoil(&incoming);
        let control = begin(&zone, signer());
        let outcome = control.deliver(&zone, &transfer, NameRule::Posix);
        assert!(matches!(outcome, DeliverOutcome::Fault { .. }), "{outcome:?}");
        assert!(!bag(&zone).exists() && !incoming.join(ID).exists());
    }
}

#[test]
fn a_bag_of_somebody_elses_is_not_taken_for_the_delivered_one() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone, signer());
    let first = control.deliver(&zone, &transfer, NameRule::Posix);
    assert!(matches!(first, DeliverOutcome::Visible { .. }));
    fs::write(bag(&zone).join("tagmanifest-sha256.txt"), "of another bag\n").unwrap();
    chown(bag(&zone), Some(65_534), None).expect("this test needs root");
    let mut outcome = control.deliver(&zone, &transfer, NameRule::Posix);
    // The first may be told of again by the round that looks for receipts that are owed.
    while outcome == first {
        let DeliverRequest::Delivered { outcome: next, .. } = control.told() else { panic!() };
        outcome = next;
    }
    assert!(matches!(outcome, DeliverOutcome::Fault { .. }), "{outcome:?}");
}

#[test]
fn what_was_changed_in_quarantine_never_reaches_the_room() {
    let damages: [fn(&TestTransfer); 4] = [
        |transfer| fs::remove_file(transfer.chunk(1)).unwrap(),
        |transfer| transfer.exchange(1, &noise(100_000, 9)),
        |transfer| fs::write(transfer.folder.join("manifest.age"), b"").unwrap(),
        |transfer| fs::write(transfer.chunk(4), b"").unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let zone = TestZone::new();
        let transfer = zone.sealed(ID, &dataset());
        damage(&transfer);
        let control = begin(&zone, signer());
        let outcome = control.deliver(&zone, &transfer, NameRule::Posix);
        assert!(matches!(outcome, DeliverOutcome::Integrity { .. }), "{number}: {outcome:?}");
        assert_eq!(tree(&room(&zone)).into_keys().collect::<Vec<_>>(), [Path::new(".sluse-incoming")], "{number}");
    }
}

#[test]
fn a_file_with_another_digest_than_the_manifests_is_told_from_a_lying_disk() {
    let zone = TestZone::new();
    let transfer = zone.sealed_with_wrong_digest(ID);
    let control = begin(&zone, signer());
    let outcome = control.deliver(&zone, &transfer, NameRule::Posix);
    assert!(matches!(outcome, DeliverOutcome::Integrity { .. }), "{outcome:?}");
    assert!(!bag(&zone).exists());
}

#[test]
fn without_controls_signature_nothing_is_delivered() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone, signer());
    let stranger = SigningKey::from_seed(&[8; 32]).unwrap();
    control.tasks.send(task(&zone, &transfer, NameRule::Posix, &stranger)).unwrap();
    let mut of_another = task(&zone, &transfer, NameRule::Posix, &signer());
    if let DeliverReply::Deliver { transfer, .. } = &mut of_another.0 {
        *transfer = "20261122-101500-7f3k9a2n".parse().unwrap();
    }
    control.tasks.send(of_another).unwrap();
    let mut refused: Vec<_> = (0..2)
        .map(|_| match control.told() {
            DeliverRequest::Delivered { transfer, outcome: DeliverOutcome::BadGrant { .. } } => transfer.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    refused.sort();
    assert_eq!(refused, [ID, "20261122-101500-7f3k9a2n"]);
    assert_eq!(tree(&room(&zone)).len(), 0);
}

#[test]
fn a_room_that_is_not_there_or_whose_folder_is_a_link_is_a_fault() {
    for link in [false, true] {
        let zone = TestZone::new();
        let transfer = zone.sealed(ID, &dataset());
        let outside = tempfile::tempdir().unwrap();
        fs::remove_dir(room(&zone)).unwrap();
        if link {
            symlink(outside.path(), room(&zone)).unwrap();
        }
        let control = begin(&zone, signer());
        assert!(matches!(control.deliver(&zone, &transfer, NameRule::Posix), DeliverOutcome::Fault { .. }));
        assert_eq!(tree(outside.path()).len(), 0);
    }
}

#[test]
fn names_that_windows_cannot_hold_are_mapped_and_listed_where_the_room_asks_for_it() {
    let zone = TestZone::new();
    let files = [file("a:b/nul.txt", "1"), file("a:b/x?", "2"), file("plain%20.csv", "3")];
    let transfer = zone.sealed(ID, &files);
    let control = begin(&zone, signer());
    assert!(matches!(control.deliver(&zone, &transfer, NameRule::WindowsMap), DeliverOutcome::Visible { .. }));
    let delivered: Vec<_> = tree(&bag(&zone).join("data")).into_keys().collect();
    assert_eq!(delivered, ["a_b", "a_b/_nul.txt", "a_b/x_", "plain%20.csv"].map(PathBuf::from));
    let list = fs::read_to_string(bag(&zone).join("renamed-paths.tsv")).unwrap();
    assert_eq!(list, "delivered\tsent\na_b/_nul.txt\ta:b/nul.txt\na_b/x_\ta:b/x?\n");
    let manifest = fs::read_to_string(bag(&zone).join("manifest-sha256.txt")).unwrap();
    assert!(manifest.ends_with("  data/plain%2520.csv\n") && manifest.contains("  data/a_b/_nul.txt\n"));
    assert_digests(&bag(&zone), "tagmanifest-sha256.txt");
}

#[test]
fn a_receipt_that_a_crash_kept_out_of_the_room_is_fetched_at_the_next_start() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let beside = room(&zone).join(format!("extract/{ID}.receipts"));
    // The receipt does not verify, so that it stays out of the room.
    let control = begin(&zone, SigningKey::from_seed(&[9; 32]).unwrap());
    let outcome = control.deliver(&zone, &transfer, NameRule::Posix);
    drop(control);
    assert!(!beside.exists());
    let control = begin(&zone, signer());
    let DeliverRequest::Delivered { outcome: again, .. } = control.told() else { panic!() };
    assert_eq!(again, outcome);
    wait_for(|| beside.join("delivered.json").exists());
    assert_eq!(fs::read(beside.join("delivered.json")).unwrap(), STATEMENT);
    let public = signer().public();
    let signature = fs::read_to_string(beside.join("delivered.json.sig")).unwrap();
    assert!(sluse_protocol::sshsig::verify(&public, NAMESPACE_RECEIPT, STATEMENT, &signature).is_ok());
}

#[test]
fn many_small_files_and_one_of_several_pieces_are_all_read_back() {
    let zone = TestZone::new();
    let mut files: Vec<TestFile> =
        (0..6000).map(|n| file(&format!("d{:02}/f{n:05}", n / 100), n.to_string())).collect();
    files.push(file("large", noise(80_000_000, 1)));
    let transfer = zone.sealed(ID, &files);
    let control = begin(&zone, signer());
    assert!(matches!(control.deliver(&zone, &transfer, NameRule::Posix), DeliverOutcome::Visible { .. }));
    assert_digests(&bag(&zone), "manifest-sha256.txt");
}
