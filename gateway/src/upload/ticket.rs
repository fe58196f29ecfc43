//! What an upload is, sealed in its address. Whoever takes in cannot read what it stored, and names must not lie on disk in the
//! clear: so the client keeps them, and brings them with each request. The key lies in the spool, and is of no use without an
//! address.

use crate::spool::FileId;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::{AgreementId, DatasetName};
use sluse_protocol::path::DataPath;
use sluse_protocol::time::Timestamp;
use std::io;
use zeroize::Zeroizing;

/// Characters of the longest sealed ticket: a path and a dataset's name, JSON around them, a third more for base64.
const MAX_SEALED: usize = 12 * 1024;

/// What an upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// The file.
    pub file: FileId,
    /// Who uploads it.
    pub account: String,
    /// Where it leads.
    pub flow: AgreementId,
    /// Its path in its dataset.
    pub path: DataPath,
    /// Its dataset; none where it is one of its own.
    pub dataset: Option<DatasetName>,
    /// How long it will be.
    pub length: u64,
    /// When the upload began.
    pub created: Timestamp,
}

impl Ticket {
    /// What the file is gathered by.
    pub fn group(&self) -> String {
        match &self.dataset {
            Some(dataset) => group(&self.account, dataset),
            // The same file again is known by it.
            None => format!("file {} {}", self.account, Sha256::of(self.path.as_str().as_bytes())),
        }
    }
}

/// What the files of a dataset are gathered by.
pub fn group(account: &str, dataset: &DatasetName) -> String {
    format!("dataset {account} {}", Sha256::of(dataset.as_str().as_bytes()))
}

/// Seals and opens tickets.
pub struct Seal {
    key: RandomizedNonceKey,
    secret: Zeroizing<[u8; 32]>,
}

impl Seal {
    /// By a secret.
    ///
    /// # Errors
    /// Never, with a secret of this length.
    pub fn new(secret: Zeroizing<[u8; 32]>) -> io::Result<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &secret[..]).map_err(io::Error::other)?;
        Ok(Self { key, secret })
    }

    /// Seals a ticket: characters that an address may have.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn seal(&self, ticket: &Ticket) -> io::Result<String> {
        let mut sealed = serde_json::to_vec(ticket)?;
        let nonce = self.key.seal_in_place_append_tag(Aad::empty(), &mut sealed).map_err(io::Error::other)?;
        sealed.extend(nonce.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens a ticket; none where it is not one of ours.
    pub fn open(&self, text: &str) -> Option<Ticket> {
        if text.len() > MAX_SEALED {
            return None;
        }
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let nonce: [u8; NONCE_LEN] = sealed.split_off(sealed.len().checked_sub(NONCE_LEN)?).try_into().ok()?;
        let plain = self.key.open_in_place(Nonce::from(&nonce), Aad::empty(), &mut sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }

    /// What stands on disk for names: a keyed digest of them.
    pub fn keyed(&self, names: &[&str]) -> Sha256 {
        let mut keyed = sha2::Sha256::new();
        keyed.update(&self.secret[..]);
        for name in names {
            keyed.update((name.len() as u64).to_be_bytes());
            keyed.update(name);
        }
        Sha256(keyed.finalize().into())
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            file: FileId::new().unwrap(),
            account: "lab".into(),
            flow: "ct".parse().unwrap(),
            path: "KARI/NORDMANN.csv".parse().unwrap(),
            dataset: Some("nightly".parse().unwrap()),
            length: 1 << 40,
            created: Timestamp::from_unix(1),
        }
    }

    #[test]
    fn a_ticket_is_read_by_who_sealed_it_and_by_nobody_else() {
        let (one, other) = (Seal::new(Zeroizing::new([1; 32])).unwrap(), Seal::new(Zeroizing::new([2; 32])).unwrap());
        let ticket = ticket();
        let sealed = one.seal(&ticket).unwrap();
        assert_eq!(one.open(&sealed), Some(ticket.clone()));
        assert_eq!(other.open(&sealed), None);
        assert_ne!(one.seal(&ticket).unwrap(), sealed, "a nonce of its own each time");
        assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        for wrong in ["", "a", "AAAAAAAAAAAAAAAA", "!", &sealed[1..], &format!("{sealed}AAAA"), &"A".repeat(100_000)] {
            assert_eq!(one.open(wrong), None, "{}", wrong.len());
        }
    }

    #[test]
    fn the_longest_names_fit_in_a_ticket() {
        let seal = Seal::new(Zeroizing::new([1; 32])).unwrap();
        let path = vec!["\"".repeat(250); 8].join("/");
        let ticket = Ticket { path: path.parse().unwrap(), ..ticket() };
        assert_eq!(seal.open(&seal.seal(&ticket).unwrap()), Some(ticket));
    }

    #[test]
    fn names_are_told_apart_on_disk_and_cannot_be_tried_without_the_key() {
        let (one, other) = (Seal::new(Zeroizing::new([1; 32])).unwrap(), Seal::new(Zeroizing::new([2; 32])).unwrap());
        assert_eq!(one.keyed(&["a", "bc"]), one.keyed(&["a", "bc"]));
        assert_ne!(one.keyed(&["a", "bc"]), one.keyed(&["ab", "c"]));
        assert_ne!(one.keyed(&["a"]), other.keyed(&["a"]));
    }
}
