//! Sending to a zone in memory: resuming, refusals, and receipts that are not to be believed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail them")]

mod zone;

use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::refusal::{Code, Exit, Refusal};
use sluse_protocol::transfer::State;
use sluse_sender::{Again, End, Error, Files, Identity, Options, Outcome, Progress, Wait};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zone::{Zone, noise, write};

const CHUNK: usize = CHUNK_BYTES as usize;

struct Case {
    zone: Zone,
    identity: Identity,
    tree: PathBuf,
}

/// An enrolled source, and a tree of small and large files with `extra` more bytes.
fn case(extra: usize) -> Case {
    let zone = Zone::start();
    let identity = Identity::load(&zone.enrolled()).unwrap();
    let tree = zone.folder.path().join("tree");
    for (number, size) in [0, 1, 5000, 70_000].into_iter().enumerate() {
        write(&tree, &format!("small/{number}.csv"), &noise(number as u64, size));
    }
    write(&tree, "large.bin", &noise(9, extra));
    std::fs::create_dir(tree.join("empty")).unwrap();
    Case { zone, identity, tree }
}

impl Case {
    fn options(&self, paths: &[&Path]) -> Options {
        Options {
            files: Files::At(paths.iter().map(|path| path.to_path_buf()).collect()),
            agreement: "trial".parse().unwrap(),
            dataset: "study".parse().unwrap(),
            again: Again::Never,
            apart: None,
            sync: false,
            wait: Wait::Received,
            wait_timeout: Duration::from_secs(2),
            give_up: Duration::from_secs(20),
        }
    }

    fn send(&self) -> Result<Outcome, Error> {
        self.send_with(|_| {})
    }

    fn send_with(&self, change: impl FnOnce(&mut Options)) -> Result<Outcome, Error> {
        let mut options = self.options(&[&self.tree]);
        change(&mut options);
        sluse_sender::send(&self.identity, &options, &mut |_| {})
    }

    fn assert_received(&self) {
        self.assert_same(self.zone.received());
    }

    fn assert_same(&self, received: BTreeMap<String, Vec<u8>>) {
        assert_eq!(received.len(), 5);
        for (path, bytes) in received {
            assert!(std::fs::read(self.tree.join(&path)).unwrap() == bytes, "{path}");
        }
    }

    fn set_state(&self, state: State) {
        let mut inner = self.zone.inner();
        let transfer = inner.transfers.values_mut().last().unwrap();
        transfer.advance(state, false, false);
    }
}

#[test]
fn a_tree_arrives_and_its_receipt_is_kept_with_its_signature() {
    let case = case(3 * CHUNK + 17);
    let outcome = case.send().unwrap();
    case.assert_received();
    assert_eq!((outcome.end, outcome.exit(), outcome.state), (End::Reached, Exit::Done, State::Received));
    assert_eq!((outcome.totals.files, outcome.totals.folders), (5, 1));
    assert_eq!(outcome.sent_bytes, outcome.totals.bytes);
    let (_, file) = &outcome.receipts[0];
    assert_eq!(file.file_name().unwrap(), "received.json");
    assert!(file.with_extension("json.sig").is_file());
}

#[test]
fn a_dataset_without_bytes_arrives() {
    let case = case(0);
    std::fs::remove_dir_all(case.tree.join("small")).unwrap();
    let outcome = case.send().unwrap();
    assert_eq!((outcome.end, outcome.totals.files, outcome.totals.bytes), (End::Reached, 1, 0));
}

#[test]
fn cut_connections_resend_only_what_was_not_durable() {
    let case = case(20 * CHUNK);
    case.zone.inner().cut_every = Some(3);
    let outcome = case.send().unwrap();
    case.assert_received();
    let bound = outcome.totals.bytes + 7 * 10 * CHUNK as u64;
    assert!(outcome.sent_bytes <= bound, "{} of {}", outcome.sent_bytes, outcome.totals.bytes);
}

#[test]
fn a_new_process_sends_only_the_chunks_that_are_not_durable() {
    let case = case(6 * CHUNK);
    case.send().unwrap();
    {
        let mut inner = case.zone.inner();
        let transfer = inner.transfers.values_mut().next().unwrap();
        transfer.state = State::Receiving;
        transfer.chunks.remove(&1);
        transfer.chunks.remove(&4);
        transfer.receipts.clear();
    }
    std::fs::remove_dir_all(case.identity.folder().join("transfers")).unwrap();
    let outcome = case.send().unwrap();
    assert_eq!(outcome.sent_bytes, 2 * CHUNK as u64);
    case.assert_received();
}

#[test]
fn a_transfer_for_which_the_zone_has_other_bytes_is_left_and_another_begun() {
    let case = case(6 * CHUNK);
    let first = case.send().unwrap();
    {
        let mut inner = case.zone.inner();
        let transfer = inner.transfers.values_mut().next().unwrap();
        transfer.state = State::Receiving;
        transfer.chunks.get_mut(&2).unwrap()[7] ^= 1;
    }
    let second = case.send().unwrap();
    assert_ne!(second.transfer, first.transfer);
    assert_eq!(second.sent_bytes, second.totals.bytes);
    case.assert_same(case.zone.received_as(&second.transfer));
}

/// Overwrites a file of the tree with other bytes of the same length, and gives it back the time that it had.
fn overwrite(path: &Path, step: u8) {
    let times = std::fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] = bytes[0].wrapping_add(step);
    // Longer than a tick of the kernel's clock.
    std::thread::sleep(Duration::from_millis(20));
    std::fs::write(path, bytes).unwrap();
    std::fs::File::options().append(true).open(path).unwrap().set_modified(times).unwrap();
}

#[test]
fn other_bytes_of_the_same_length_and_time_are_a_new_transfer_though_the_journal_is_lost() {
    let case = case(2 * CHUNK);
    let mut sent = vec![case.send().unwrap().transfer];
    for journal_is_lost in [false, true, false] {
        overwrite(&case.tree.join("large.bin"), 1);
        if journal_is_lost {
            std::fs::remove_dir_all(case.identity.folder().join("transfers")).unwrap();
        }
        let outcome = case.send().unwrap();
        assert!(!sent.contains(&outcome.transfer));
        assert_eq!(outcome.sent_bytes, outcome.totals.bytes);
        case.assert_same(case.zone.received_as(&outcome.transfer));
        sent.push(outcome.transfer);
    }
    assert_eq!(case.send().unwrap().transfer, sent[3]);
}

#[test]
fn a_file_that_was_written_anew_with_the_same_bytes_is_not_sent_again() {
    let case = case(2 * CHUNK);
    let first = case.send().unwrap();
    let large = case.tree.join("large.bin");
    overwrite(&large, 1);
    overwrite(&large, 255);
    let second = case.send().unwrap();
    assert_eq!((&second.transfer, second.sent_bytes), (&first.transfer, 0));
    assert_eq!(second.receipts, first.receipts);
    std::fs::remove_file(case.identity.folder().join("transfers").join(first.transfer.as_str()).join("sealed.json"))
        .unwrap();
    let third = case.send().unwrap();
    assert_eq!((third.transfer, third.sent_bytes), (first.transfer, 0));
}

#[test]
fn the_same_dataset_is_not_sent_twice_and_again_sends_it_anew() {
    let case = case(CHUNK);
    let first = case.send().unwrap();
    let second = case.send().unwrap();
    assert_eq!((&second.transfer, second.sent_bytes), (&first.transfer, 0));
    assert_eq!(second.receipts, first.receipts);
    let again = |options: &mut Options| options.again = Again::Ended;
    let unfinished = case.send_with(again).unwrap();
    assert_eq!(unfinished.transfer, first.transfer, "it has not ended");
    case.set_state(State::Delivered);
    let third = case.send_with(again).unwrap();
    assert_ne!(third.transfer, first.transfer);
    assert_eq!(case.send().unwrap().transfer, third.transfer);
}

#[test]
fn a_seal_whose_answer_was_lost_is_found_again() {
    let case = case(CHUNK);
    case.zone.inner().lose_seals = 1;
    let outcome = case.send().unwrap();
    assert_eq!(outcome.end, End::Reached);
    assert_eq!(outcome.receipts.len(), 1);
}

#[test]
fn whoever_lost_the_journal_reads_again_and_checks_the_receipt() {
    let case = case(2 * CHUNK);
    case.send().unwrap();
    std::fs::remove_dir_all(case.identity.folder().join("transfers")).unwrap();
    let outcome = case.send().unwrap();
    assert_eq!((outcome.end, outcome.sent_bytes, outcome.receipts.len()), (End::Reached, 0, 1));
}

#[test]
fn temporary_refusals_are_waited_out_and_told() {
    let case = case(2 * CHUNK);
    case.zone.inner().refuse_offers = vec![Refusal::new(Code::Busy, "busy"), Refusal::new(Code::NoIdentity, "none")];
    case.zone.inner().refuse_chunk = Some(Refusal::new(Code::NoSpace, "full"));
    let mut told = Vec::new();
    let outcome = sluse_sender::send(&case.identity, &case.options(&[&case.tree]), &mut |progress| {
        if let Progress::Retrying { why, .. } = progress {
            told.push(why);
        }
    });
    assert_eq!(outcome.unwrap().end, End::Reached);
    assert_eq!(told, ["none (no-identity)", "busy (busy)", "full (no-space)"]);
}

#[test]
fn a_refusal_that_waiting_cannot_mend_ends_it_with_its_code() {
    let case = case(CHUNK);
    for (code, exit) in [(Code::AgreementExpired, Exit::Refused), (Code::TakenOver, Exit::Temporary)] {
        case.zone.inner().refuse_offers = vec![Refusal::new(code, "no")];
        let error = case.send().unwrap_err();
        assert_eq!(error.exit(), exit);
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_forged_or_untrue_receipt_is_not_believed() {
    for lie in [false, true] {
        let case = case(CHUNK);
        case.zone.inner().lie = lie;
        case.zone.inner().forge = !lie;
        let error = case.send().unwrap_err();
        assert!(matches!(error, Error::Evidence { .. }), "{error:?}");
        assert_eq!(error.exit(), Exit::Integrity);
        let transfer = case.zone.inner().transfers.values().next().unwrap().id.clone();
        let folder = case.identity.folder().join("transfers").join(transfer.as_str());
        assert!(!folder.join("received.json").exists());
    }
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_named() {
    let case = case(30 * CHUNK);
    let large = case.tree.join("large.bin");
    let options = case.options(&[&case.tree]);
    let mut changed = false;
    let error = sluse_sender::send(&case.identity, &options, &mut |progress| {
        if matches!(progress, Progress::Accepted { .. }) && !changed {
            changed = true;
            std::fs::OpenOptions::new().append(true).open(&large).unwrap().set_len(30 * CHUNK as u64 + 1).unwrap();
        }
    })
    .unwrap_err();
    assert!(matches!(&error, Error::Changed { path, .. } if path == "large.bin"), "{error:?}");
    assert_eq!(error.exit(), Exit::Integrity);
}

#[test]
fn what_is_waited_for_decides_the_exit_code() {
    let case = case(100);
    let wait = |wait| case.send_with(|options| options.wait = wait).unwrap();
    case.send().unwrap();
    assert_eq!(wait(Wait::Released).exit(), Exit::Temporary);
    case.set_state(State::Held);
    assert_eq!(wait(Wait::Released).exit(), Exit::Held);
    case.set_state(State::Released);
    assert_eq!(wait(Wait::Released).exit(), Exit::Done);
    case.set_state(State::Delivered);
    let delivered = wait(Wait::Delivered);
    assert_eq!((delivered.exit(), delivered.receipts.len()), (Exit::Done, 3));
    assert_eq!(wait(Wait::Acknowledged).exit(), Exit::Temporary, "the room has not answered");
    case.set_state(State::Acknowledged);
    assert_eq!(wait(Wait::Acknowledged).exit(), Exit::Done);
    case.set_state(State::Rejected);
    assert_eq!(wait(Wait::Received).exit(), Exit::Rejected);
    let known = sluse_sender::status(&case.identity, None).unwrap();
    assert_eq!((known.len(), known[0].receipts.len()), (1, 5));
}

#[test]
fn a_zone_that_is_away_is_given_up_in_time() {
    let case = case(100);
    let settings = case.identity.folder().join("identity.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace(&case.zone.address.to_string(), "127.0.0.1:1")).unwrap();
    let identity = Identity::load(case.identity.folder()).unwrap();
    let mut options = case.options(&[&case.tree]);
    options.give_up = Duration::from_millis(300);
    let error = sluse_sender::send(&identity, &options, &mut |_| {}).unwrap_err();
    assert_eq!(error.exit(), Exit::Temporary);
}

#[test]
fn an_invite_is_used_once_and_an_identity_folder_never_overwritten() {
    let zone = Zone::start();
    let identity = zone.enrolled();
    let keys = |folder: &Path| std::fs::read(folder.join("identity.key")).unwrap();
    let (first, foreign) = (keys(&identity), zone.invite().replace("source = 'lab'", "source = 'pacs'"));
    assert_ne!(foreign, zone.invite());
    let error = sluse_sender::enrol(&foreign, &identity, None).unwrap_err();
    assert_eq!(error.exit(), Exit::Configuration, "another source's folder");
    match sluse_sender::enrol(&zone.invite(), &identity, None) {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::InviteUsed),
        other => panic!("{other:?}"),
    }
    assert_eq!(keys(&identity), first);
    Identity::load(&identity).unwrap();
    let other = zone.folder.path().join("other");
    match sluse_sender::enrol(&zone.invite(), &other, None) {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, Code::InviteUsed),
        other => panic!("{other:?}"),
    }
    let kept = keys(&other);
    zone.inner().identity = None;
    sluse_sender::enrol(&zone.invite(), &other, None).unwrap();
    assert_eq!(keys(&other), kept, "an interrupted enrolment goes on with its keys");
    std::fs::create_dir(zone.folder.path().join("used")).unwrap();
    write(zone.folder.path(), "used/notes.txt", b"mine");
    let error = sluse_sender::enrol(&zone.invite(), &zone.folder.path().join("used"), None).unwrap_err();
    assert_eq!(error.exit(), Exit::Configuration);
}

#[test]
fn an_impostor_is_not_spoken_to() {
    let (case, other) = (case(100), Zone::start());
    let settings = case.identity.folder().join("identity.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace(&case.zone.address.to_string(), &other.address.to_string())).unwrap();
    let identity = Identity::load(case.identity.folder()).unwrap();
    let error = sluse_sender::send(&identity, &case.options(&[&case.tree]), &mut |_| {}).unwrap_err();
    assert_eq!(error.exit(), Exit::Refused, "{error:?}");
}
