//! Rooms elsewhere, with a courier that fails at each of its requests: before it did what it was asked, and behind it.

use super::*;
use crate::deliver::bag::Documents;
use sluse_protocol::courier::{AtZone, CourierReply, CourierRequest, FileHead, NotKept, Remains, Stored, Verified};
use std::os::unix::net::UnixListener;
use std::sync::MutexGuard;

/// What a target has of the one bag.
#[derive(Default)]
struct Shelf {
    incoming: BTreeMap<String, Vec<u8>>,
    visible: Option<BTreeMap<String, Vec<u8>>>,
    writing: Option<FileHead>,
    published: u32,
    /// Bytes of the dataset that were put.
    put: usize,
    requests: usize,
    /// At which request the connection is lost, and whether it was done by then.
    lost: Option<(usize, bool)>,
    /// Whether it changes what it is given.
    lies: bool,
    /// Whether it lets nobody read back.
    blind: bool,
    /// Of which file it gives back other bytes.
    spoils: Option<String>,
    /// Whether it is another zone, which has files listed, and what was listed.
    lists: bool,
    listed: Vec<FileHead>,
    /// Whether it says so and signs nothing.
    mute: bool,
    /// Whether nothing can be sent to it.
    away: bool,
}

/// What another zone signs.
fn signed() -> AtZone {
    AtZone {
        zone: "trondheim".parse().unwrap(),
        room: "room".parse().unwrap(),
        transfer: "20261123-010000-7f3k9a2m".parse().unwrap(),
        manifest_sha256: Sha256::of(b"manifest"),
        time: Timestamp::from_unix(0),
        receipt_sha256: Sha256::of(b"receipt"),
    }
}

impl Shelf {
    fn answer(&mut self, request: CourierRequest, body: &[u8]) -> (CourierReply, Vec<u8>) {
        let reply = match request {
            CourierRequest::Open { anew, .. } => {
                self.writing = None;
                self.listed.clear();
                // Another zone keeps nothing that is not whole, as far as we are concerned.
                if anew || self.lists {
                    self.incoming.clear();
                }
                let verifies = match (self.lists, self.blind) {
                    (true, _) => Verified::Receipt,
                    (false, true) => Verified::Sizes,
                    (false, false) => Verified::ReadBack,
                };
                let (visible, lists) = (self.visible.is_some(), self.lists);
                CourierReply::Opened { visible, by: "shelf".into(), verifies, lists }
            }
            CourierRequest::List { file } => {
                assert!(self.lists && self.incoming.is_empty());
                self.listed.push(file);
                CourierReply::Done
            }
            CourierRequest::Begin { .. } if self.away => CourierReply::Failed { message: "it is away".into() },
            CourierRequest::Begin { file } => {
                if self.lists {
                    self.listed.sort_by(|one, other| one.path.cmp(&other.path));
                    let next = &self.listed[self.incoming.len()];
                    assert_eq!((&next.path, next.bytes, next.mtime), (&file.path, file.bytes, file.mtime));
                }
                let there = self.incoming.entry(file.path.to_string()).or_default();
                if !file.resume || there.len() as u64 > file.bytes {
                    there.clear();
                }
                let durable = there.len() as u64;
                self.writing = Some(file);
                CourierReply::Begun { durable }
            }
            CourierRequest::Put { offset } => {
                let path = self.writing.as_ref().unwrap().path.to_string();
                let there = self.incoming.get_mut(&path).unwrap();
                assert_eq!(there.len() as u64, offset);
                there.extend_from_slice(body);
                if path.starts_with("data/") {
                    self.put += body.len();
                }
                if self.lies {
                    there[0] ^= 1;
                }
                CourierReply::Done
            }
            CourierRequest::End => {
                let file = self.writing.take().unwrap();
                assert_eq!(self.incoming[file.path.as_str()].len() as u64, file.bytes);
                CourierReply::Done
            }
            CourierRequest::Folder { .. } => CourierReply::Done,
            CourierRequest::Read { path, offset } => {
                let bag = self.visible.as_ref().unwrap_or(&self.incoming);
                let bytes = &bag[path.as_str()][usize::try_from(offset).unwrap()..];
                let mut bytes: Vec<u8> = bytes.iter().copied().take(100_000).collect();
                if self.spoils.as_deref() == Some(path.as_str()) {
                    bytes.iter_mut().for_each(|byte| *byte ^= 1);
                }
                return (CourierReply::Bytes, bytes);
            }
            CourierRequest::Publish => {
                if self.visible.is_none() {
                    assert!(!self.lists || self.listed.len() == self.incoming.len());
                    self.visible = Some(std::mem::take(&mut self.incoming));
                    self.published += 1;
                }
                let zone = (self.lists && !self.mute).then(signed);
                CourierReply::Published { not_kept: vec![NotKept::EmptyFolders], zone }
            }
            CourierRequest::Withdraw => {
                self.incoming.clear();
                CourierReply::Withdrawn { visible: self.visible.is_some() }
            }
            other @ CourierRequest::Lay { .. } => panic!("{other:?}"),
        };
        (reply, Vec::new())
    }
}

struct Case {
    zone: TestZone,
    transfer: TestTransfer,
    shelf: Arc<Mutex<Shelf>>,
    recipient: Option<String>,
}

impl Case {
    fn new(recipient: Option<String>) -> Self {
        Self::of(recipient, |zone| zone.sealed(ID, &dataset()))
    }

    fn of(recipient: Option<String>, seal: impl FnOnce(&TestZone) -> TestTransfer) -> Self {
        let mut zone = TestZone::new();
        let couriers = zone.layout().root().join("couriers");
        fs::create_dir(&couriers).unwrap();
        zone.zone.settings.deliver.couriers = Some(couriers.clone());
        let transfer = seal(&zone);
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let listener = UnixListener::bind(couriers.join("lab.sock")).unwrap();
        let served = Arc::clone(&shelf);
        std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap(), Arc::clone(&served))));
        Self { zone, transfer, shelf, recipient }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    fn deliver(&self) -> Result<(Visible, Stored), DeliverError> {
        self.deliver_granted(0)
    }

    /// By a grant that was signed so many seconds later.
    fn deliver_granted(&self, later: i64) -> Result<(Visible, Stored), DeliverError> {
        let at = statement(&self.zone, &self.transfer, NameRule::Posix).time.plus(later);
        let statement = GrantStatement {
            time: at,
            elsewhere: true,
            room_recipient: self.recipient.clone(),
            ..statement(&self.zone, &self.transfer, NameRule::Posix)
        };
        let (grant, signature) = ReleaseGrant::sign(&self.transfer.cleared(), statement, &signer());
        let grant = ReleaseGrant::verify(&grant, &signature, &signer().public()).unwrap();
        let elsewhere = Elsewhere::open(&self.zone.zone).unwrap();
        elsewhere.deliver(
            &Attempt::default(),
            &self.transfer.folder,
            &grant,
            &self.transfer.identity,
            &Few(["findings.json".into()]),
        )
    }

    /// The bag on the shelf is whole, and the one that was delivered.
    fn is_whole(&self, visible: &Visible) {
        let shelf = self.shelf();
        let bag = shelf.visible.as_ref().unwrap();
        assert_eq!(Sha256::of(&bag["tagmanifest-sha256.txt"]), visible.tagmanifest);
        let mut listed = vec!["tagmanifest-sha256.txt".to_owned()];
        for list in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
            for line in std::str::from_utf8(&bag[list]).unwrap().lines() {
                let (digest, path) = line.split_once("  ").unwrap();
                assert_eq!(Sha256::of(&bag[path]).to_string(), digest, "{path}");
                listed.push(path.to_owned());
            }
        }
        listed.sort();
        assert_eq!(listed, bag.keys().cloned().collect::<Vec<_>>());
        assert_eq!(shelf.published, 1);
    }
}

fn serve(stream: UnixStream, shelf: Arc<Mutex<Shelf>>) {
    let end = stream.try_clone().unwrap();
    let answer = move |request, body: Vec<u8>| {
        let mut shelf = shelf.lock().unwrap();
        shelf.requests += 1;
        match shelf.lost {
            Some((at, done)) if at == shelf.requests => {
                if done {
                    shelf.answer(request, &body);
                }
                end.shutdown(std::net::Shutdown::Both).unwrap();
                (CourierReply::Done, Vec::new())
            }
            _ => shelf.answer(request, &body),
        }
    };
    std::thread::spawn(move || rpc::serve_within(1, stream, answer));
}

/// One short document.
struct Few([String; 1]);

impl Documents for Few {
    fn names(&self) -> &[String] {
        &self.0
    }

    fn bytes(&self, _: &str, offset: u64) -> Result<Vec<u8>, DeliverError> {
        Ok(if offset == 0 { b"[]".to_vec() } else { Vec::new() })
    }

    fn sign(&self, _: &Sha256) -> Result<(String, String), DeliverError> {
        panic!("nothing is archived")
    }
}

fn every_request_lost(recipient: Option<&str>) {
    for done in [false, true] {
        for at in 1.. {
            let case = Case::new(recipient.map(str::to_owned));
            case.shelf().lost = Some((at, done));
            let first = case.deliver();
            let cut = case.shelf().requests >= at;
            case.shelf().lost = None;
            assert_eq!(first.is_err(), cut, "request {at}: {first:?}");
            let (visible, stored) = match first {
                Ok(delivered) => delivered,
                Err(error) => {
                    assert!(matches!(error, DeliverError::Fault(_)), "{error:?}");
                    case.deliver().unwrap()
                }
            };
            case.is_whole(&visible);
            assert_eq!((stored.verified, stored.not_kept), (Verified::ReadBack, vec![NotKept::EmptyFolders]));
            // Again it is the same, and nothing is sent.
            let put = case.shelf().put;
            assert_eq!(case.deliver().unwrap().0, visible);
            assert_eq!(case.shelf().put, put);
            if recipient.is_none() {
                assert_eq!(put, 450_013, "no byte of the dataset was put twice");
            }
            if !cut {
                assert!(at > 50, "{at} requests are too few");
                break;
            }
        }
    }
}

#[test]
fn a_courier_that_is_lost_at_any_request_leaves_nothing_half_and_nothing_twice() {
    every_request_lost(None);
}

#[test]
fn the_same_holds_where_files_are_encrypted_to_the_room() {
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    every_request_lost(Some(&recipient));
}

#[test]
fn another_zone_has_all_files_listed_and_gets_them_in_that_order_whatever_request_is_lost() {
    for done in [false, true] {
        for at in 1.. {
            let case = Case::new(None);
            (case.shelf().lists, case.shelf().lost) = (true, Some((at, done)));
            let first = case.deliver();
            let cut = case.shelf().requests >= at;
            case.shelf().lost = None;
            assert_eq!(first.is_err(), cut, "request {at}: {first:?}");
            let (visible, stored) = first.unwrap_or_else(|_| case.deliver().unwrap());
            case.is_whole(&visible);
            assert_eq!((stored.verified, stored.zone), (Verified::Receipt, Some(signed())));
            let put = case.shelf().put;
            assert_eq!(case.deliver().unwrap().0, visible);
            assert_eq!(case.shelf().put, put, "what stands there is not sent again");
            if !cut {
                assert!(at > 50, "{at} requests are too few");
                break;
            }
        }
    }
}

#[test]
fn another_zone_is_offered_the_same_bag_in_each_attempt_though_each_has_a_grant_of_its_own() {
    let case = Case::new(None);
    let offered = |later: i64| {
        (case.shelf().lists, case.shelf().away) = (true, true);
        case.deliver_granted(later).unwrap_err();
        let mut listed = case.shelf().listed.clone();
        listed.sort_by(|one, other| one.path.cmp(&other.path));
        listed
    };
    let first = offered(0);
    assert_eq!(first, offered(60));
    assert!(first.iter().any(|file| file.path.as_str() == "tagmanifest-sha256.txt"), "all of it was listed");
}

#[test]
fn what_another_zone_has_not_signed_is_not_delivered() {
    let case = Case::new(None);
    (case.shelf().lists, case.shelf().mute) = (true, true);
    let error = case.deliver().unwrap_err();
    assert!(error.to_string().contains("has signed nothing"), "{error}");
}

#[test]
fn another_zone_gets_no_files_that_it_could_not_inspect() {
    let case = Case::new(Some(age::x25519::Identity::generate().to_public().to_string()));
    case.shelf().lists = true;
    let error = case.deliver().unwrap_err();
    assert!(error.to_string().contains("no key of its own"), "{error}");
    assert!(case.shelf().listed.is_empty());
}

#[test]
fn a_target_that_changes_what_it_is_given_makes_nothing_visible_and_is_sent_all_of_it_anew() {
    let case = Case::new(None);
    case.shelf().lies = true;
    for _ in 0..2 {
        let error = case.deliver().unwrap_err();
        assert!(error.to_string().contains("gives back other bytes"), "{error}");
        assert!(case.shelf().visible.is_none());
    }
    case.shelf().lies = false;
    let (visible, _) = case.deliver().unwrap();
    case.is_whole(&visible);
}

#[test]
fn a_bag_that_nobody_noted_is_not_taken_for_ours() {
    let case = Case::new(None);
    let (visible, _) = case.deliver().unwrap();
    Elsewhere::open(&case.zone.zone).unwrap().forget(&case.transfer.id).unwrap();
    let error = case.deliver().unwrap_err();
    assert!(error.to_string().contains("something else stands"), "{error}");
    case.is_whole(&visible);
}

#[test]
fn of_a_dataset_that_is_not_what_was_sealed_nothing_stays_there_or_here() {
    for lists in [false, true] {
        let case = Case::of(None, |zone| zone.sealed_with_wrong_digest(ID));
        case.shelf().lists = lists;
        let error = case.deliver().unwrap_err();
        assert!(matches!(error, DeliverError::Integrity(_)), "{error:?}");
        assert!(case.shelf().incoming.is_empty() && case.shelf().visible.is_none());
        assert_eq!(fs::read_dir(case.zone.layout().elsewhere()).unwrap().count(), 0);
    }
}

#[test]
fn what_may_be_left_there_is_files_until_the_bag_may_have_become_visible() {
    let case = Case::new(None);
    let elsewhere = Elsewhere::open(&case.zone.zone).unwrap();
    assert_eq!(elsewhere.remains(&case.transfer.id), Remains::Files, "nothing was begun");
    // The last requests: files of the bag's own are compared, `bagit.txt` put, ended and read back, and it is made visible.
    let mut seen = BTreeMap::new();
    for at in 1.. {
        let case = Case::new(None);
        case.shelf().lost = Some((at, true));
        let failed = case.deliver().is_err();
        let (remains, visible) = (Elsewhere::open(&case.zone.zone).unwrap(), case.shelf().visible.is_some());
        let remains = remains.remains(&case.transfer.id);
        assert!(!visible || remains == Remains::Bag, "request {at}");
        *seen.entry(format!("{remains:?}")).or_insert(0) += 1;
        if !failed {
            break;
        }
    }
    assert!(seen["Files"] > seen["Bag"] && seen["Bag"] > 1, "{seen:?}");
}

#[test]
fn a_target_that_gave_back_other_bytes_at_the_very_end_may_still_have_the_bag() {
    let case = Case::new(None);
    case.shelf().spoils = Some("bagit.txt".into());
    let error = case.deliver().unwrap_err();
    assert!(error.to_string().contains("gives back other bytes"), "{error}");
    let elsewhere = Elsewhere::open(&case.zone.zone).unwrap();
    assert_eq!(elsewhere.remains(&case.transfer.id), Remains::Bag);
    case.shelf().spoils = None;
    let (visible, _) = case.deliver().unwrap();
    case.is_whole(&visible);
}

#[test]
fn a_delivery_that_is_given_up_is_told_with_what_may_be_left_and_forgotten_here() {
    let case = Case::new(None);
    case.shelf().lost = Some((20, true));
    case.deliver().unwrap_err();
    let folder = case.zone.layout().elsewhere();
    assert!(fs::read_dir(&folder).unwrap().count() > 0);
    fs::remove_file(case.zone.layout().root().join("couriers/lab.sock")).unwrap();
    let control = begin(&case.zone, signer());
    let ask = |last| {
        let (transfer, room_folder) = (case.transfer.id.clone(), "lab".into());
        let elsewhere = Some("lab".parse().unwrap());
        let dataset = "extract".parse().unwrap();
        let reply = DeliverReply::Withdraw { transfer, room_folder, dataset, elsewhere, last };
        control.tasks.send((reply, Vec::new())).unwrap();
        match control.told() {
            DeliverRequest::Withdrawn { outcome, .. } => outcome,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(ask(false), WithdrawOutcome::Fault { .. }));
    assert!(fs::read_dir(&folder).unwrap().count() > 0);
    assert!(matches!(ask(true), WithdrawOutcome::Left { remains: Remains::Files, .. }));
    while fs::read_dir(&folder).unwrap().count() > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn four_targets_that_hang_keep_no_room_of_this_host_waiting() {
    let case = Case::new(None);
    // They take connections, and say nothing.
    fs::remove_file(case.zone.layout().root().join("couriers/lab.sock")).unwrap();
    let _silent = UnixListener::bind(case.zone.layout().root().join("couriers/lab.sock")).unwrap();
    let control = begin(&case.zone, signer());
    for number in 0..4 {
        let transfer = case.zone.sealed(&format!("20261122-10150{number}-7f3k9a2n"), &dataset());
        let statement = GrantStatement { elsewhere: true, ..statement(&case.zone, &transfer, NameRule::Posix) };
        let (grant, signature) = ReleaseGrant::sign(&transfer.cleared(), statement, &signer());
        let wrapped = identity::wrap(&transfer.identity, &case.zone.deliver.to_public()).unwrap();
        let (transfer, documents) = (transfer.id, Vec::new());
        let task = DeliverReply::Deliver { transfer, grant, signature, documents, version: false, elsewhere: true };
        control.tasks.send((task, wrapped)).unwrap();
    }
    let outcome = control.deliver(&case.zone, &case.transfer, NameRule::Posix);
    assert!(matches!(outcome, DeliverOutcome::Visible { stored: None, .. }), "{outcome:?}");
}

#[test]
fn an_attempt_at_a_target_that_hangs_ends_as_soon_as_it_is_told_to() {
    let case = Case::new(None);
    let socket = case.zone.layout().root().join("couriers/lab.sock");
    fs::remove_file(&socket).unwrap();
    let silent = UnixListener::bind(&socket).unwrap();
    let control = begin(&case.zone, signer());
    let statement = GrantStatement { elsewhere: true, ..statement(&case.zone, &case.transfer, NameRule::Posix) };
    let (grant, signature) = ReleaseGrant::sign(&case.transfer.cleared(), statement, &signer());
    let wrapped = identity::wrap(&case.transfer.identity, &case.zone.deliver.to_public()).unwrap();
    let (transfer, documents) = (case.transfer.id.clone(), Vec::new());
    let task = DeliverReply::Deliver { transfer, grant, signature, documents, version: false, elsewhere: true };
    control.tasks.send((task, wrapped)).unwrap();
    let (mut connection, _) = silent.accept().unwrap();
    control.tasks.send((DeliverReply::Stop { transfer: case.transfer.id.clone() }, Vec::new())).unwrap();
    let told = control.told();
    assert!(matches!(told, DeliverRequest::Delivered { outcome: DeliverOutcome::Stopped, .. }), "{told:?}");
    // The courier hears of it, and lets go of its target.
    std::io::copy(&mut connection, &mut std::io::sink()).unwrap();
    // One that is told again, or of which nothing is made, is no harm.
    control.tasks.send((DeliverReply::Stop { transfer: case.transfer.id.clone() }, Vec::new())).unwrap();
    let outcome = control.deliver(&case.zone, &case.transfer, NameRule::Posix);
    assert!(matches!(outcome, DeliverOutcome::Visible { .. }), "{outcome:?}");
}

/// Documents at whose `nth` question the attempt is ended.
struct Ending<'a>(&'a Attempts, &'a TransferId, [String; 1], Mutex<usize>);

impl Documents for Ending<'_> {
    fn names(&self) -> &[String] {
        &self.2
    }

    fn bytes(&self, _: &str, offset: u64) -> Result<Vec<u8>, DeliverError> {
        let mut left = self.3.lock().unwrap();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.0.stop(self.1);
        }
        Ok(if offset == 0 { b"[]".to_vec() } else { Vec::new() })
    }

    fn sign(&self, _: &Sha256) -> Result<(String, String), DeliverError> {
        panic!("nothing is archived")
    }
}

#[test]
fn of_an_attempt_that_is_ended_nothing_stays_in_a_room_of_this_host() {
    let zone = TestZone::new();
    let transfer = zone.sealed(ID, &dataset());
    let statement = statement(&zone, &transfer, NameRule::Posix);
    let (grant, signature) = ReleaseGrant::sign(&transfer.cleared(), statement, &signer());
    let grant = ReleaseGrant::verify(&grant, &signature, &signer().public()).unwrap();
    let rooms = Place::root(&zone.layout().root().join("rooms")).unwrap();
    let attempts = Attempts::default();
    let deliver = |nth| {
        let attempt = attempts.begin(&transfer.id);
        let documents = Ending(&attempts, &transfer.id, ["findings.json".into()], Mutex::new(nth));
        let done = delivery::deliver(&attempt, &rooms, &transfer.folder, &grant, &transfer.identity, &documents);
        attempts.end(&transfer.id, &attempt);
        done
    };
    for nth in [1, 2] {
        let ended = deliver(nth);
        assert!(matches!(ended, Err(DeliverError::Stopped)), "{ended:?}");
        let room = zone.layout().root().join("rooms/lab");
        assert!(!room.join("extract").exists());
        assert_eq!(fs::read_dir(room.join(".sluse-incoming")).unwrap().count(), 0);
    }
    deliver(1000).unwrap();
}

/// A case in which the connection was lost right behind what makes the bag visible.
fn lost_behind_the_rename(blind: bool) -> Case {
    let requests = {
        let case = Case::new(None);
        case.shelf().blind = blind;
        case.deliver().unwrap();
        case.shelf().requests
    };
    let case = Case::new(None);
    case.shelf().blind = blind;
    case.shelf().lost = Some((requests, true));
    case.deliver().unwrap_err();
    assert!(case.shelf().visible.is_some(), "the last request makes it visible");
    case.shelf().lost = None;
    case
}

#[test]
fn what_is_said_of_reading_back_is_what_the_attempt_did_that_made_the_bag_visible() {
    for (before, after, expected) in [
        (false, false, Verified::ReadBack),
        (true, true, Verified::Sizes),
        // Nobody has read it, whoever might since.
        (true, false, Verified::Sizes),
        // It was read, but for what may have come last.
        (false, true, Verified::Sizes),
    ] {
        let case = lost_behind_the_rename(before);
        case.shelf().blind = after;
        let (visible, stored) = case.deliver().unwrap();
        assert_eq!(stored.verified, expected, "{before} {after}");
        case.is_whole(&visible);
    }
}

#[test]
fn a_declaration_that_nobody_compared_is_compared_before_the_bag_is_said_to_be_read_back() {
    let case = lost_behind_the_rename(false);
    case.shelf().spoils = Some("bagit.txt".into());
    let error = case.deliver().unwrap_err();
    assert!(error.to_string().contains("something else stands"), "{error}");
    case.shelf().spoils = None;
    assert_eq!(case.deliver().unwrap().1.verified, Verified::ReadBack);
}
