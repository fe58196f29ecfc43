//! What every parser of what others say keeps to, whatever it is given: it ends, reads the same however the bytes are cut,
//! and what it takes it writes as it read it. Run by `fuzz/` on what libFuzzer makes up, and by `protocol/tests/seeds.rs` on
//! the seeds.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sluse_protocol::audit::{self, Position, Verifier};
use sluse_protocol::chunk_index::{ChunkIndex, Record};
use sluse_protocol::digest::{ChunkDigest, Sha256};
use sluse_protocol::document::{Entry, Header, Invalid, Reader};
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use sluse_protocol::grant::{GrantStatement, ReleaseGrant};
use sluse_protocol::limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_LINE_BYTES};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::path::{DataPath, check_windows, collision_key, map_windows};
use sluse_protocol::receipt::Receipt;
use sluse_protocol::sshsig::{self, NAMESPACE_RECEIPT, PublicKey, SigningKey};
use sluse_protocol::time::{Timestamp, duration};
use sluse_protocol::wire::{ChunkHeader, DurableRecord, Reply, Request};
use sluse_protocol::{agreement, icap, roles};
use std::fmt::Debug;

/// One target: it panics on what must not be.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders in `fuzz/seeds`.
pub const TARGETS: &[(&str, Target)] = &[
    ("frames", frames),
    ("documents", documents),
    ("signatures", signatures),
    ("evidence", evidence),
    ("chunks", chunks),
    ("agreements", agreements),
    ("names", names),
    ("icap", icap),
];

/// The head of what an ICAP service answers.
fn icap(bytes: &[u8]) {
    let Ok(Some((head, length))) = icap::Head::read(bytes) else { return };
    assert!(length <= bytes.len().min(icap::MAX_HEAD));
    // What comes behind it changes nothing, nor is it read before it is whole.
    assert_eq!(icap::Head::read(&bytes[..length]), Ok(Some((head.clone(), length))));
    assert!(!matches!(icap::Head::read(&bytes[..length - 1]), Ok(Some(_))));
    let stated = match head.answer() {
        Ok(icap::Answer::Unchanged(text) | icap::Answer::Found(text)) => text,
        _ => head.options().map(|options| options.name + &options.tag).unwrap_or_default(),
    };
    assert!(stated.chars().count() <= 200 && !stated.chars().any(char::is_control));
}

/// A frame as it stands on a control stream or a role's socket.
fn frames(bytes: &[u8]) {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return };
    let Ok(lengths) = Lengths::parse(*prefix) else { return };
    assert!(lengths.head <= MAX_HEAD_BYTES as usize && lengths.body <= MAX_BODY_BYTES as usize);
    // What is fuzzed is the head: its length is made right.
    let head = &rest[..lengths.head.min(rest.len())];
    message::<Request>(head);
    message::<Reply>(head);
    message::<OperatorRequest>(head);
    message::<OperatorReply>(head);
    message::<roles::ReceiveRequest>(head);
    message::<roles::ReceiveReply>(head);
    message::<roles::InspectRequest>(head);
    message::<roles::InspectReply>(head);
    message::<roles::DeliverRequest>(head);
    message::<roles::DeliverReply>(head);
}

fn message<T: Serialize + DeserializeOwned + PartialEq + Debug>(head: &[u8]) {
    let Ok(read) = frame::decode_head::<T>(head) else { return };
    if let Ok(written) = frame::encode(&read, b"") {
        let again = frame::decode_head::<T>(&written[PREFIX_BYTES..]);
        assert_eq!(again.as_ref(), Ok(&read));
    }
}

/// A plan or manifest. The first byte says how long the pieces are.
fn documents(bytes: &[u8]) {
    let (first, text) = bytes.split_first().unwrap_or((&0, &[]));
    let read = |piece: usize| -> Result<(Header, Vec<Entry>), Invalid> {
        let (mut reader, mut entries) = (Reader::new(), Vec::new());
        for piece in text.chunks(piece.max(1)) {
            reader.push(piece, |_, entry| {
                entries.push(entry);
                Ok::<_, Invalid>(())
            })?;
        }
        Ok((reader.finish()?, entries))
    };
    let whole = read(text.len());
    // A line that is too long is seen before its end comes, and where it is cut says how much was looked at before.
    let lines = text.split(|byte| *byte == b'\n').all(|line| line.len() <= MAX_LINE_BYTES);
    if lines {
        assert_eq!(read(1 + usize::from(*first)), whole);
    }
    if let Ok((header, entries)) = whole {
        let written: String = std::iter::once(header.to_line()).chain(entries.iter().map(Entry::to_line)).collect();
        let (mut reader, mut again) = (Reader::new(), Vec::new());
        reader
            .push(written.as_bytes(), |_, entry| {
                again.push(entry);
                Ok::<_, Invalid>(())
            })
            .expect("what was read is written so that it can be read");
        assert_eq!((reader.finish(), again), (Ok(header), entries));
    }
}

/// A public key or a file of allowed signers, and behind a NUL a signature.
fn signatures(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (keys, armored) = text.split_once('\0').unwrap_or((&text, &text));
    let ours = SigningKey::from_seed(&[7; 32]).expect("a seed");
    let mut found = PublicKey::find_allowed(keys, Some("zone"), NAMESPACE_RECEIPT);
    found.extend(PublicKey::from_openssh(keys));
    for key in &found {
        assert_eq!(PublicKey::from_openssh(&key.to_openssh()), Ok(*key));
    }
    found.push(ours.public());
    let good = ours.sign(NAMESPACE_RECEIPT, b"what is signed");
    for key in found {
        // Whoever has the seed could sign; who makes up text cannot, but repeats what stands in a seed.
        let holds = sshsig::verify(&key, NAMESPACE_RECEIPT, b"another message", armored);
        assert!(holds.is_err(), "a made-up signature holds");
        if key != ours.public() {
            assert!(sshsig::verify(&key, NAMESPACE_RECEIPT, b"what is signed", &good).is_err());
        }
    }
}

/// Receipts, grants, checkpoints, proofs and audit entries.
fn evidence(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(receipt) = serde_json::from_str::<Receipt>(&text) {
        // Nobody makes up a proof that leads to a root: one that holds stood in a seed, and holds for what it says.
        let _ = receipt.check_inclusion();
        assert_eq!(serde_json::from_str::<Receipt>(&receipt.to_statement()).ok(), Some(receipt));
    }
    let _ = serde_json::from_str::<GrantStatement>(&text);
    let key = SigningKey::from_seed(&[7; 32]).expect("a seed");
    assert!(ReleaseGrant::verify(&text, &text, &key.public()).is_err());
    if let Some((origin, position)) = audit::parse_checkpoint(&text) {
        assert_eq!(audit::checkpoint(origin, &position), text);
    }
    if let Some((old, path)) = audit::parse_consistency(&text) {
        assert_eq!(audit::consistency_text(old, &path), text);
        let position = |size| Position { size, root: Sha256([3; 32]) };
        for new in [0, 1, old, old.saturating_add(1), old.saturating_mul(2), u64::MAX] {
            let holds = audit::check_consistency(&position(old), &position(new), &path).is_ok();
            assert!(!holds || old == new, "made-up hashes connect logs");
        }
    }
    let mut verifier = Verifier::new(vec![("checkpoint".into(), Position { size: 2, root: Sha256([3; 32]) })]);
    let taken = text.lines().take_while(|line| verifier.entry(line).is_ok()).count();
    assert!(taken <= 2, "a log goes on against its witness");
}

/// An index of chunks, and what stands before chunks on the wire.
fn chunks(bytes: &[u8]) {
    let (index, good) = ChunkIndex::read(40, bytes);
    assert!(good <= bytes.len() as u64 && good % Record::BYTES as u64 == 0);
    assert_eq!(index.durable() as usize, index.iter().count());
    // With right sums, every record of a chunk that can be is taken.
    let mut file = Vec::new();
    for body in bytes.chunks_exact(Record::BYTES) {
        let number = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let digest = ChunkDigest(body[8..40].try_into().expect("32 bytes"));
        file.extend(Record { index: number(0) % 40, stored: number(4), digest }.encode());
    }
    let (index, good) = ChunkIndex::read(40, &file);
    assert_eq!(good, file.len() as u64);
    assert!(index.durable() <= 40 && index.is_complete() == (index.durable() == 40));
    if let Some(header) = bytes.first_chunk().and_then(ChunkHeader::decode) {
        assert_eq!(Some(&header.encode()), bytes.first_chunk());
    }
    if let Some(record) = bytes.first_chunk() {
        assert_eq!(&DurableRecord::decode(record).encode(), record);
    }
}

/// The text of an agreement.
fn agreements(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match agreement::parse(&text) {
        Ok(read) => assert_eq!(agreement::parse(&text).as_ref(), Ok(&read)),
        Err(problems) => assert!(!problems.is_empty() && problems.len() < 1000, "{} problems", problems.len()),
    }
}

/// Paths, times and lasting times.
fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(path) = text.parse::<DataPath>() {
        assert_eq!(path.as_str(), text);
        assert!(path.components().all(|name| !matches!(name, "" | "." | "..")));
        let mapped = map_windows(&path);
        assert_eq!(map_windows(&mapped), mapped, "what is mapped stays as it is");
        // Only its length may still be too much for Windows.
        let short = mapped.as_str().len() < 150;
        assert!(!short || check_windows(&mapped) == Ok(()), "{mapped:?}");
        // Some letters are longer in lower case: then it may be too long for a path.
        if let Ok(lower) = mapped.as_str().to_lowercase().parse() {
            assert_eq!(collision_key(&mapped), collision_key(&lower));
        }
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    let _ = duration(&text);
}
