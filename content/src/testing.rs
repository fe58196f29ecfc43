//! What the tests of readers share.

use crate::identifiers::{HashKey, complete};
use crate::policy::Policy;
use crate::reader::{Notice, Reader};
use sluse_protocol::agreement::Content;
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// A policy by which an agreement's content rules are checked.
pub fn policy_with(content: Content) -> Arc<Policy> {
    Arc::new(Policy::new(&content, HashKey::new([7; 32])).unwrap())
}

/// What a reader notices in `bytes`, which it gets in pieces of these lengths, and the rest at once.
pub fn cut<R: Reader>(reader: impl Fn() -> R, bytes: &[u8], pieces: &[usize]) -> Vec<Notice> {
    let (mut reader, mut notices, mut rest) = (reader(), Vec::new(), bytes);
    for piece in pieces {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        reader.feed(now, &mut notices);
        rest = later;
    }
    reader.feed(rest, &mut notices);
    reader.finish(&mut notices);
    notices
}

/// The same notices whether the bytes come whole, one by one, or in pieces of some other lengths.
#[track_caller]
pub fn every_cut<R: Reader>(reader: impl Fn() -> R, bytes: &[u8]) -> Vec<Notice> {
    let whole = cut(&reader, bytes, &[]);
    for piece in [1, 2, 3, 7, 11, 64] {
        assert_eq!(cut(&reader, bytes, &vec![piece; bytes.len() / piece + 1]), whole, "in pieces of {piece}");
    }
    whole
}

/// Classes of notices, in their order.
pub fn classes(notices: &[Notice]) -> Vec<Class> {
    notices.iter().map(|notice| notice.class).collect()
}

/// The n-th of some valid numbers of residents, by the rule until 2032.
pub fn resident(n: usize) -> String {
    (100..999).filter_map(|rest| complete(&format!("130972{rest}"), 0)).nth(n).unwrap()
}
