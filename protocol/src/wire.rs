//! What a source and a landing zone say to each other: `docs/protocol.md` as types.
//!
//! One QUIC connection, ALPN [`ALPN`]. The source opens one bidirectional *control stream* on which frames
//! ([`crate::frame`]) pass: [`Request`] one way, [`Reply`] the other. Chunks travel on unidirectional streams of the
//! source's, one chunk each: a [`ChunkHeader`], then the chunk's bytes, then the end of the stream.

use crate::digest::{ChunkDigest, Sha256};
use crate::document::Totals;
use crate::ids::{AgreementId, DatasetName, SourceName, TRANSFER_ID_BYTES, TransferId, ZoneName};
use crate::receipt::ReceiptKind;
use crate::refusal::Refusal;
use crate::sync::{Delta, Versions};
use crate::time::Timestamp;
use crate::transfer::State;
use serde::{Deserialize, Serialize};

/// The application protocol of the TLS handshake (RFC 7301).
pub const ALPN: &[u8] = b"sluse";

/// The versions of this protocol that this build speaks, ascending.
pub const VERSIONS: &[u16] = &[1, 2];

/// The first version that knows datasets which are kept in sync: [`Request::Versions`], and an offer's `delta`.
pub const SYNC_VERSION: u16 = 2;

/// The host name that a zone's TLS certificate carries, whatever its address: sources pin the zone's own authority.
pub const ZONE_HOST: &str = "zone.sluse.internal";

/// The highest version that both sides speak.
pub fn negotiate(ours: &[u16], theirs: &[u16]) -> Option<u16> {
    ours.iter().copied().filter(|version| theirs.contains(version)).max()
}

/// What a source asks on the control stream. The first is `Hello`; each is answered before the next is read, except that
/// [`Reply::Durable`] may come at any time after an offer was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who is there, in which versions, at what time. Answered by `Welcome`.
    Hello {
        /// Protocol versions that the source speaks.
        versions: Vec<u16>,
        /// Name and version of the source's software, at most 100 bytes.
        agent: String,
        /// The source's clock.
        clock: Timestamp,
    },
    /// Turns an invite into a certificate. Answered by `Enrolled`.
    Enrol {
        /// Shows that the source has the invite's secret: see [`crate::invite::code`].
        invite: Sha256,
        /// PKCS#10 request for the TLS certificate, PEM.
        request: String,
        /// The source's identity key, an OpenSSH public key line.
        identity: String,
        /// SSHSIG by the identity key over `request`, namespace [`crate::sshsig::NAMESPACE_ENROL`].
        proof: String,
    },
    /// Asks for another certificate over the one in force, in the second half of its life. Answered by `Renewed`.
    Renew {
        /// PKCS#10 request for the TLS certificate, PEM.
        request: String,
        /// SSHSIG by the source's identity key over `request`, namespace [`crate::sshsig::NAMESPACE_RENEW`].
        proof: String,
    },
    /// What the zone stated of its keys ([`crate::key_statement`]) after the statement of a number. Answered by `Keys`.
    Keys {
        /// The number of the last one that the source followed; 0 for none.
        after: u64,
    },
    /// Offers a dataset version; `plan_bytes` of plan follow in `Part` frames. Answered by `Accepted`.
    Offer {
        /// Under which agreement.
        agreement: AgreementId,
        /// The dataset's name.
        dataset: DatasetName,
        /// The idempotency key: the same key and plan is the same transfer, however often it is offered.
        key: Sha256,
        /// What the plan adds up to.
        totals: Totals,
        /// Bytes of the plan.
        plan_bytes: u64,
        /// SHA-256 of the plan's bytes.
        plan_sha256: Sha256,
        /// That it travels as its difference from a version that the zone holds; chunks carry that instead of the files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delta: Option<Delta>,
    },
    /// What the zone has of a dataset that is kept in sync. Answered by `Versions`.
    Versions {
        /// Under which agreement.
        agreement: AgreementId,
        /// The dataset.
        dataset: DatasetName,
    },
    /// The next bytes of a document, in the frame's body: at most [`crate::limits::PART_BYTES`]. Not answered.
    Part,
    /// Seals the transfer; `manifest_bytes` of manifest follow in `Part` frames. Answered by `Sealed`.
    Seal {
        /// The transfer.
        transfer: TransferId,
        /// Bytes of the manifest.
        manifest_bytes: u64,
        /// SHA-256 of the manifest's bytes.
        manifest_sha256: Sha256,
        /// SSHSIG of the manifest's bytes by the source's identity key, namespace
        /// [`crate::sshsig::NAMESPACE_MANIFEST`].
        signature: String,
    },
    /// The state of one of the source's transfers, when it is other than `unless` or `wait_seconds` have passed.
    /// Answered by `Status`.
    Status {
        /// The transfer.
        transfer: TransferId,
        /// Answer at once unless the transfer is in this state.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unless: Option<State>,
        /// How long to wait for another state, at most [`crate::limits::POLL_TIMEOUT`].
        #[serde(default)]
        wait_seconds: u16,
    },
    /// The source's latest transfers, newest first. Answered by `Transfers`.
    List {
        /// How many, at most 1000.
        limit: u16,
    },
    /// One receipt. Answered by `Receipt`, with the statement in the frame's body.
    Receipt {
        /// The transfer.
        transfer: TransferId,
        /// Which receipt.
        kind: ReceiptKind,
    },
}

/// What the zone answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// The connection is welcome.
    Welcome {
        /// The version that is spoken from here on.
        version: u16,
        /// The zone's name.
        zone: ZoneName,
        /// The source that the certificate belongs to; none for an invite's.
        source: Option<SourceName>,
        /// The zone's clock.
        clock: Timestamp,
    },
    /// The source is enrolled.
    Enrolled {
        /// Its name.
        source: SourceName,
        /// Its certificate, PEM.
        certificate: String,
        /// The zone's signing key as an `allowed_signers` line.
        signer: String,
    },
    /// The certificate is renewed; the one before stays good until it runs out.
    Renewed {
        /// The new certificate, PEM.
        certificate: String,
    },
    /// Statements of the zone's keys in the frame's body, a line of JSON each, as many as fit; none when there are no more.
    Keys,
    /// The offer is accepted, now or before. `durable` records of [`DurableRecord`] follow in `Part` frames when the
    /// transfer is still receiving.
    Accepted {
        /// The transfer.
        transfer: TransferId,
        /// Its state: anything after `receiving` means that it was sealed before.
        state: State,
        /// Bytes of a chunk.
        chunk_bytes: u32,
        /// Number of chunks that are durable already.
        durable: u32,
    },
    /// What the zone has of a dataset.
    Versions(Versions),
    /// The next bytes of what was announced, in the frame's body. One with an empty body ends it.
    Part,
    /// These chunks are durable: they survive a power cut. Numbers in the frame's body, a big-endian `u32` each.
    Durable {
        /// The transfer.
        transfer: TransferId,
    },
    /// The transfer is sealed; the *received* receipt's statement stands in the frame's body.
    Sealed {
        /// SSHSIG over the body, namespace [`crate::sshsig::NAMESPACE_RECEIPT`].
        signature: String,
    },
    /// The state of a transfer.
    Status(TransferStatus),
    /// The source's transfers.
    Transfers {
        /// Newest first.
        transfers: Vec<TransferStatus>,
    },
    /// A receipt; its statement stands in the frame's body.
    Receipt {
        /// SSHSIG over the body.
        signature: String,
    },
    /// The request is refused. Refusals of trust and protocol end the connection too.
    Refused(Refusal),
}

/// What a source may know of one of its transfers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferStatus {
    /// The transfer.
    pub transfer: TransferId,
    /// Its agreement.
    pub agreement: AgreementId,
    /// Its dataset.
    pub dataset: DatasetName,
    /// Its state.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Its files, folders and bytes.
    pub totals: Totals,
    /// Why it is refused, held, rejected or failed, in words meant for the source.
    pub reason: Option<Refusal>,
    /// The receipts that can be fetched.
    pub receipts: Vec<ReceiptKind>,
}

/// What begins a chunk's stream: 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHeader {
    /// The transfer, 24 bytes of ASCII.
    pub transfer: TransferId,
    /// The chunk's number from 0, big endian.
    pub index: u32,
    /// The chunk's length in bytes, big endian.
    pub length: u32,
    /// BLAKE3 of the chunk's bytes.
    pub digest: ChunkDigest,
}

impl ChunkHeader {
    /// Its size on the wire.
    pub const BYTES: usize = TRANSFER_ID_BYTES + 4 + 4 + 32;

    /// The header as it stands on the wire.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..24].copy_from_slice(self.transfer.as_str().as_bytes());
        bytes[24..28].copy_from_slice(&self.index.to_be_bytes());
        bytes[28..32].copy_from_slice(&self.length.to_be_bytes());
        bytes[32..].copy_from_slice(&self.digest.0);
        bytes
    }

    /// Reads a header; `None` when the transfer is no transfer's id.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (transfer, rest) = bytes.split_first_chunk::<24>()?;
        let (index, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            transfer: std::str::from_utf8(transfer).ok()?.parse().ok()?,
            index: u32::from_be_bytes(*index),
            length: u32::from_be_bytes(*length),
            digest: ChunkDigest(rest.try_into().ok()?),
        })
    }
}

/// One durable chunk as the zone names it to a source that comes back: 36 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableRecord {
    /// The chunk's number, big endian.
    pub index: u32,
    /// BLAKE3 of its bytes.
    pub digest: ChunkDigest,
}

impl DurableRecord {
    /// Its size on the wire.
    pub const BYTES: usize = 36;

    /// The record as it stands on the wire.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.index.to_be_bytes());
        bytes[4..].copy_from_slice(&self.digest.0);
        bytes
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let [a, b, c, d, digest @ ..] = *bytes;
        Self { index: u32::from_be_bytes([a, b, c, d]), digest: ChunkDigest(digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_spoken() {
        assert_eq!(negotiate(&[1, 2, 3], &[2, 1, 9]), Some(2));
        assert_eq!(negotiate(&[2], &[1]), None);
    }

    #[test]
    fn chunk_headers_read_back_and_foreign_bytes_are_none() {
        let header = ChunkHeader {
            transfer: TransferId::new(Timestamp::from_unix(0), [1; 5]),
            index: 7,
            length: 9,
            digest: ChunkDigest::of(b"x"),
        };
        assert_eq!(ChunkHeader::decode(&header.encode()), Some(header));
        assert_eq!(ChunkHeader::decode(&[0xff; 64]), None);
        let record = DurableRecord { index: 3, digest: ChunkDigest::of(b"y") };
        assert_eq!(DurableRecord::decode(&record.encode()), record);
    }
}
