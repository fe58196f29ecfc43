//! Rooms elsewhere, with a courier that fails at each of its requests: before it did what it was asked, and behind it.

use super::*;
use crate::deliver::bag::Documents;
use sluse_protocol::courier::{CourierReply, CourierRequest, FileHead, NotKept, Stored, Verified};
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
}

impl Shelf {
    fn answer(&mut self, request: CourierRequest, body: &[u8]) -> (CourierReply, Vec<u8>) {
        let reply = match request {
            CourierRequest::Open { anew, .. } => {
                self.writing = None;
                if anew {
                    self.incoming.clear();
                }
                CourierReply::Opened {
                    visible: self.visible.is_some(),
                    by: "shelf".into(),
                    verifies: Verified::ReadBack,
                }
            }
            CourierRequest::Begin { file } => {
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
                return (CourierReply::Bytes, bytes.iter().copied().take(100_000).collect());
            }
            CourierRequest::Publish => {
                if self.visible.is_none() {
                    self.visible = Some(std::mem::take(&mut self.incoming));
                    self.published += 1;
                }
                CourierReply::Published { not_kept: vec![NotKept::EmptyFolders] }
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
        let statement = GrantStatement {
            elsewhere: true,
            room_recipient: self.recipient.clone(),
            ..statement(&self.zone, &self.transfer, NameRule::Posix)
        };
        let (grant, signature) = ReleaseGrant::sign(&self.transfer.cleared(), statement, &signer());
        let grant = ReleaseGrant::verify(&grant, &signature, &signer().public()).unwrap();
        let elsewhere = Elsewhere::open(&self.zone.zone).unwrap();
        elsewhere.deliver(&self.transfer.folder, &grant, &self.transfer.identity, &Few(["findings.json".into()]))
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
    let case = Case::of(None, |zone| zone.sealed_with_wrong_digest(ID));
    let error = case.deliver().unwrap_err();
    assert!(matches!(error, DeliverError::Integrity(_)), "{error:?}");
    assert!(case.shelf().incoming.is_empty() && case.shelf().visible.is_none());
    assert_eq!(fs::read_dir(case.zone.layout().elsewhere()).unwrap().count(), 0);
}
