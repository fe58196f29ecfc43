//! Acknowledgements: a room's own signed word that a delivered dataset stands there whole.
//!
//! It is one JSON object, signed with the room's key in SSHSIG format, so that `ssh-keygen -Y sign` makes one without our software. The
//! room drops both as files into [`FOLDER`]; the zone puts them, as they stand, into the *acknowledged* receipt.

use crate::digest::Sha256;
use crate::ids::{RoomName, TransferId, ZoneName};
use crate::sshsig::{self, BadSignature, NAMESPACE_ACKNOWLEDGEMENT, PublicKey};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The folder in a room's own into which acknowledgements are dropped. No dataset's name begins with a dot.
pub const FOLDER: &str = ".sluse-acknowledgements";

/// Bytes of the longest statement, and of the longest signature; ours have about 500 and 300.
pub const MAX_BYTES: usize = 4096;

/// What a room states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `acknowledgement/1`.
    pub sluse: Format,
    /// The zone that delivered.
    pub zone: ZoneName,
    /// The room.
    pub room: RoomName,
    /// The transfer that brought the dataset.
    pub transfer: TransferId,
    /// When, by the room's clock.
    pub time: Timestamp,
    /// SHA-256 of the source's manifest.
    pub manifest_sha256: Sha256,
    /// SHA-256 of the *delivered* receipt's statement, which names the bag's list of lists: by that the whole bag.
    pub delivered: Sha256,
}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Version 1.
    #[serde(rename = "acknowledgement/1")]
    V1,
}

/// An acknowledgement as it stands in the *acknowledged* receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The statement's text.
    pub statement: String,
    /// The room's SSHSIG over it, namespace [`NAMESPACE_ACKNOWLEDGEMENT`].
    pub signature: String,
    /// The room's key by which it is good, an OpenSSH line.
    pub key: String,
}

/// Why an acknowledgement is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAcknowledgement {
    /// The room's key did not sign it.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// It cannot be read.
    #[error("not an acknowledgement of version 1, of at most {MAX_BYTES} bytes")]
    Form,
    /// It is about something else.
    #[error("it is about another {0}")]
    Other(&'static str),
}

/// What an acknowledgement must be about.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'a> {
    /// The zone.
    pub zone: &'a ZoneName,
    /// The room.
    pub room: &'a RoomName,
    /// The transfer.
    pub transfer: &'a TransferId,
    /// SHA-256 of its manifest.
    pub manifest_sha256: Sha256,
    /// SHA-256 of its *delivered* receipt's statement.
    pub receipt: Sha256,
}

impl Statement {
    /// The statement's text: indented JSON with a final line feed.
    pub fn to_text(&self) -> String {
        // Serialising cannot fail: no maps, no fallible implementations.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl Acknowledgement {
    /// Checks what a room dropped: that its key signed it, and that it is about what was delivered there.
    ///
    /// # Errors
    /// What [`BadAcknowledgement`] names.
    pub fn check(
        statement: &[u8],
        signature: &str,
        key: &PublicKey,
        delivered: &Delivered<'_>,
    ) -> Result<Self, BadAcknowledgement> {
        if statement.len() > MAX_BYTES || signature.len() > MAX_BYTES {
            return Err(BadAcknowledgement::Form);
        }
        sshsig::verify(key, NAMESPACE_ACKNOWLEDGEMENT, statement, signature)?;
        let text = std::str::from_utf8(statement).map_err(|_| BadAcknowledgement::Form)?;
        let stated: Statement = serde_json::from_str(text).map_err(|_| BadAcknowledgement::Form)?;
        let fields = [
            ("zone", stated.zone == *delivered.zone),
            ("room", stated.room == *delivered.room),
            ("transfer", stated.transfer == *delivered.transfer),
            ("manifest", stated.manifest_sha256 == delivered.manifest_sha256),
            ("delivery", stated.delivered == delivered.receipt),
        ];
        match fields.iter().find(|(_, agrees)| !agrees) {
            Some((field, _)) => Err(BadAcknowledgement::Other(field)),
            None => Ok(Self { statement: text.to_owned(), signature: signature.to_owned(), key: key.to_openssh() }),
        }
    }

    /// SHA-256 of the statement, as the audit entry has it.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(self.statement.as_bytes())
    }
}

/// The name of a transfer's file in [`FOLDER`]; its signature's has `.sig` behind it.
pub fn file_name(transfer: &TransferId) -> String {
    format!("{transfer}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sshsig::{NAMESPACE_RECEIPT, SigningKey};

    struct Case {
        zone: ZoneName,
        room: RoomName,
        transfer: TransferId,
    }

    impl Case {
        fn new() -> Self {
            let transfer = TransferId::new(Timestamp::from_unix(1_795_342_500), [7; 5]);
            Self { zone: "midt".parse().unwrap(), room: "hjerte".parse().unwrap(), transfer }
        }

        fn delivered(&self) -> Delivered<'_> {
            Delivered {
                zone: &self.zone,
                room: &self.room,
                transfer: &self.transfer,
                manifest_sha256: Sha256::of(b"manifest"),
                receipt: Sha256::of(b"receipt"),
            }
        }

        fn statement(&self) -> Statement {
            Statement {
                sluse: Format::V1,
                zone: self.zone.clone(),
                room: self.room.clone(),
                transfer: self.transfer.clone(),
                time: Timestamp::from_unix(1_795_342_600),
                manifest_sha256: Sha256::of(b"manifest"),
                delivered: Sha256::of(b"receipt"),
            }
        }

        fn check(&self, text: &str, namespace: &str, by: u8) -> Result<Acknowledgement, BadAcknowledgement> {
            let signature = SigningKey::from_seed(&[by; 32]).unwrap().sign(namespace, text.as_bytes());
            let key = SigningKey::from_seed(&[1; 32]).unwrap().public();
            Acknowledgement::check(text.as_bytes(), &signature, &key, &self.delivered())
        }
    }

    #[test]
    fn what_the_rooms_key_signed_about_this_delivery_is_kept_as_it_stands() {
        let case = Case::new();
        let text = case.statement().to_text();
        let good = case.check(&text, NAMESPACE_ACKNOWLEDGEMENT, 1).unwrap();
        assert_eq!((good.statement, good.key.starts_with("ssh-ed25519 ")), (text, true));
    }

    #[test]
    fn another_signer_another_purpose_and_every_other_field_are_refused() {
        let case = Case::new();
        let text = case.statement().to_text();
        let signature = |bad| Err(BadAcknowledgement::Signature(bad));
        assert_eq!(case.check(&text, NAMESPACE_ACKNOWLEDGEMENT, 2), signature(BadSignature::OtherKey));
        assert_eq!(case.check(&text, NAMESPACE_RECEIPT, 1), signature(BadSignature::Namespace));
        let other = |change: fn(&mut Statement)| {
            let mut stated = case.statement();
            change(&mut stated);
            case.check(&stated.to_text(), NAMESPACE_ACKNOWLEDGEMENT, 1).unwrap_err()
        };
        assert_eq!(other(|stated| stated.zone = "nord".parse().unwrap()), BadAcknowledgement::Other("zone"));
        assert_eq!(other(|stated| stated.room = "lunge".parse().unwrap()), BadAcknowledgement::Other("room"));
        assert_eq!(
            other(|stated| stated.transfer = TransferId::new(Timestamp::from_unix(0), [1; 5])),
            BadAcknowledgement::Other("transfer")
        );
        assert_eq!(other(|stated| stated.manifest_sha256 = Sha256::of(b"x")), BadAcknowledgement::Other("manifest"));
        assert_eq!(other(|stated| stated.delivered = Sha256::of(b"x")), BadAcknowledgement::Other("delivery"));
    }

    #[test]
    fn what_is_no_statement_or_too_long_is_refused_although_it_is_signed() {
        let case = Case::new();
        let form = Err(BadAcknowledgement::Form);
        assert_eq!(case.check("{}", NAMESPACE_ACKNOWLEDGEMENT, 1), form);
        let more = case.statement().to_text().replace("\"sluse\"", "\"more\": 1, \"sluse\"");
        assert_eq!(case.check(&more, NAMESPACE_ACKNOWLEDGEMENT, 1), form);
        let long = case.statement().to_text() + &" ".repeat(MAX_BYTES);
        assert_eq!(case.check(&long, NAMESPACE_ACKNOWLEDGEMENT, 1), form);
    }
}
