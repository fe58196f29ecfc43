//! Bags that are archived: signed before they are visible, and read again.

use super::*;

/// What `control` states of an archived bag.
pub fn archived(transfer: &TransferId, tagmanifest: Sha256) -> ArchiveStatement {
    let (time, mut tree) = (Timestamp::from_unix(1_790_000_000), Tree::new());
    let entry = Entry {
        number: 0,
        time,
        before: tree.position().root,
        actor: "deliver".into(),
        act: SIGNED.into(),
        transfer: Some(transfer.clone()),
        details: serde_json::Map::from_iter([("tagmanifest".to_owned(), tagmanifest.to_string().into())]),
    };
    let inclusion = Inclusion { entry: entry.to_line(), path: tree.path_of_next() };
    tree.append(inclusion.entry.as_bytes());
    ArchiveStatement {
        sluse: ArchiveFormat::V1,
        zone: "zone".parse().unwrap(),
        time,
        transfer: transfer.clone(),
        source: "lab-system".parse().unwrap(),
        agreement: "a-1".parse().unwrap(),
        agreement_sha256: Sha256::of(b"agreement"),
        dataset: "extract".parse().unwrap(),
        room: "lab".parse().unwrap(),
        totals: Default::default(),
        manifest_sha256: Sha256::of(b"manifest"),
        tagmanifest,
        previous: Sha256::of(b"released"),
        audit: tree.position(),
        inclusion,
        algorithms: Default::default(),
    }
}

impl Control {
    /// Has an archived bag delivered: what was told of it.
    fn archive(&self, zone: &TestZone, transfer: &TestTransfer) -> DeliverOutcome {
        let statement = GrantStatement { delivery: Delivery::Archive, ..statement(zone, transfer, NameRule::Posix) };
        let (grant, signature) = ReleaseGrant::sign(&transfer.cleared(), statement, &signer());
        let wrapped = identity::wrap(&transfer.identity, &zone.deliver.to_public()).unwrap();
        let documents = vec!["receipts/released.json".to_owned(), "findings.json".to_owned()];
        let task = DeliverReply::Deliver {
            transfer: transfer.id.clone(),
            grant,
            signature,
            documents,
            version: false,
            elsewhere: false,
        };
        self.tasks.send((task, wrapped)).unwrap();
        let DeliverRequest::Delivered { outcome, .. } = self.told() else { panic!() };
        outcome
    }

    fn check(&self, transfer: &TestTransfer, room_folder: &str, tagmanifest: Sha256) -> CheckOutcome {
        let totals = transfer.totals;
        let (transfer, bag) = (transfer.id.clone(), format!("extract/{ID}"));
        let task = DeliverReply::Check { transfer, room_folder: room_folder.into(), bag, tagmanifest, totals };
        self.tasks.send((task, Vec::new())).unwrap();
        let DeliverRequest::Checked { outcome, .. } = self.told() else { panic!() };
        outcome
    }

    fn fixity(&self, transfer: &TestTransfer, tagmanifest: Sha256) -> Fixity {
        match self.check(transfer, "lab", tagmanifest) {
            CheckOutcome::Read { fixity } => fixity,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_archived_bag_is_signed_before_it_is_visible_and_each_kind_of_damage_is_counted() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone, signer());
    let outcome = control.archive(&zone, &transfer);
    let DeliverOutcome::Visible { tagmanifest, .. } = outcome else { panic!("{outcome:?}") };
    let bag = bag(&zone);
    let stated: ArchiveStatement = serde_json::from_slice(&fs::read(bag.join("archive.json")).unwrap()).unwrap();
    assert_eq!(stated.tagmanifest, tagmanifest);
    assert_digests(&bag, "tagmanifest-sha256.txt");
    assert!(fs::read_to_string(bag.join("bag-info.txt")).unwrap().contains("Sluse-Delivery: archive\n"));
    let whole = control.fixity(&transfer, tagmanifest);
    assert!(whole.is_whole(), "{whole:?}");
    let files = tree(&bag).values().flatten().map(|bytes| bytes.len() as u64).collect::<Vec<_>>();
    assert_eq!((whole.files, whole.bytes), (files.len() as u64, files.iter().sum()));

    let (before, none) = (tree(&bag), Fixity { files: 0, bytes: 0, ..whole });
    let told = |damage: &dyn Fn()| {
        damage();
        let found = control.fixity(&transfer, tagmanifest);
        for (path, content) in tree(&bag) {
            if content.is_some() {
                fs::remove_file(bag.join(path)).unwrap();
            }
        }
        for (path, content) in &before {
            let _ = content.as_ref().map(|content| fs::write(bag.join(path), content).unwrap());
        }
        Fixity { files: 0, bytes: 0, ..found }
    };
    let write = |path: &str, text: &str| fs::write(bag.join(path), text).unwrap();
    assert_eq!(told(&|| write("data/c", "other")), Fixity { changed: 1, ..none });
    assert_eq!(told(&|| write("findings.json", "[]")), Fixity { changed: 1, ..none });
    assert_eq!(told(&|| fs::remove_file(bag.join("data/c")).unwrap()), Fixity { missing: 1, ..none });
    assert_eq!(told(&|| write("data/b/deep/more", "x")), Fixity { added: 1, ..none });
    let link = || {
        fs::remove_file(bag.join("data/c")).unwrap();
        symlink("/etc/passwd", bag.join("data/c")).unwrap();
    };
    assert_eq!(told(&link), Fixity { missing: 1, added: 1, ..none });
    let covered = || {
        let list = fs::read_to_string(bag.join("manifest-sha256.txt")).unwrap();
        write("data/c", "other");
        write(
            "manifest-sha256.txt",
            &list.replace(&Sha256::of(&noise(99_999, 2)).to_string(), &Sha256::of(b"other").to_string()),
        );
    };
    assert_eq!(told(&covered), Fixity { changed: 1, ..none });
    // Longer than the whole dataset, and nothing on the disk: it is not read to its end.
    let file = fs::OpenOptions::new().write(true).open(bag.join("data/c")).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(1 << 43).unwrap();
    let grown = control.fixity(&transfer, tagmanifest);
    assert_eq!(Fixity { files: 0, bytes: 0, ..grown }, Fixity { changed: 1, ..none });
    file.set_len(length).unwrap();
    assert_eq!(told(&|| write("tagmanifest-sha256.txt", "")), Fixity { changed: 1, ..none });
    assert_eq!(told(&|| fs::remove_file(bag.join("archive.json.sig")).unwrap()), Fixity { signed: false, ..none });
    let foreign = || write("archive.json", &archived(&transfer.id, Sha256::of(b"another bag")).to_statement());
    assert_eq!(told(&foreign), Fixity { signed: false, ..none });
    assert!(control.fixity(&transfer, tagmanifest).is_whole(), "all of it was put back");

    // A room that is away is nobody's damage; a bag that is away is.
    assert!(matches!(control.check(&transfer, "gone", tagmanifest), CheckOutcome::Fault { .. }));
    fs::rename(&bag, zone.zone.rooms().join("elsewhere")).unwrap();
    assert_eq!(control.fixity(&transfer, tagmanifest), Fixity { missing: 1, ..Fixity::default() });
    symlink(zone.zone.rooms().join("elsewhere"), &bag).unwrap();
    assert_eq!(control.fixity(&transfer, tagmanifest), Fixity { missing: 1, ..Fixity::default() }, "a link");
}

#[test]
fn a_folder_that_nobody_may_enter_and_very_many_strangers_do_not_hide_a_changed_file() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let control = begin(&zone, signer());
    let DeliverOutcome::Visible { tagmanifest, .. } = control.archive(&zone, &transfer) else { panic!() };
    let bag = bag(&zone);
    fs::write(bag.join("data/c"), "other").unwrap();
    fs::create_dir_all(bag.join("data/closed/inner")).unwrap();
    fs::set_permissions(bag.join("data/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let room = place::Place::root(&room(&zone)).unwrap();
    let name = format!("extract/{ID}");
    let archived = Archived { transfer: &transfer.id, bag: &name, tagmanifest, totals: transfer.totals };
    let check = || {
        // Root may enter any folder; this thread for now may not.
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
        let found = fixity::check(&room, &archived, &[signer().public()]);
        nix::unistd::setfsuid(nix::unistd::Uid::effective());
        Fixity { files: 0, bytes: 0, ..found }
    };
    let expected = Fixity { changed: 1, unreadable: 1, signed: true, ..Fixity::default() };
    assert_eq!(check(), expected);
    for number in 0..10_100 {
        fs::write(bag.join(format!("data/{number}")), "").unwrap();
    }
    assert_eq!(Fixity { unreadable: 0, ..check() }, Fixity { added: 10_001, unreadable: 0, ..expected });
    fs::set_permissions(bag.join("data/closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_bag_that_nobody_signs_is_not_delivered_as_an_archive() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    // Another key than `control`'s.
    let control = begin(&zone, SigningKey::from_seed(&[8; 32]).unwrap());
    assert!(
        matches!(control.archive(&zone, &transfer), DeliverOutcome::Fault { reason } if reason.contains("statement"))
    );
    assert!(!bag(&zone).exists());
}
