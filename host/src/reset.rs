//! Stateless resets (RFC 9000, section 10.3) that outlive a process: a `receive` that was killed and started again tells the
//! peers of the earlier one that their connections are gone, instead of leaving them to wait for a time-out.
//!
//! A new process can do so only if it recognises the connection IDs that the earlier one gave out, and derives the same
//! token from each. Both follow from one lasting secret here: quinn's own generator has a key of its process alone, and
//! drops what it did not make itself.

use crate::{keys::Secret, random};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag, sign};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use quinn_proto::InvalidCid;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an ID that no other has: 64 bits, so that none comes again in a zone's life. A token that was told once must
/// not end another connection.
const UNIQUE: usize = 8;

/// Bytes by which the zone recognises an ID as one of its own.
const MARK: usize = 4;

/// The least time between two resets. What is not the zone's own gets none, so it need not be long; when a `receive` comes
/// back, all of its connections wait for theirs.
const INTERVAL: Duration = Duration::from_millis(1);

/// Settings of an endpoint whose resets hold beyond its process.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn endpoint_config(secret: &Secret) -> io::Result<EndpointConfig> {
    let secret = Key::new(HMAC_SHA256, &secret[..]);
    let derived = |purpose: &[u8]| Key::new(HMAC_SHA256, sign(&secret, purpose).as_ref());
    let ids = ConnectionIds {
        mark: derived(b"sluse connection id"),
        process: Key::new(HMAC_SHA256, &random::bytes::<32>()?[..]),
        made: 0,
    };
    let mut config = EndpointConfig::new(Arc::new(derived(b"sluse stateless reset")));
    config.cid_generator(move || Box::new(ids.clone())).min_reset_interval(INTERVAL);
    Ok(config)
}

/// IDs that the zone recognises, also when an earlier process made them, and nobody else can foresee or relate.
#[derive(Clone)]
struct ConnectionIds {
    mark: Key,
    /// Differs from process to process: with it, IDs are unlike any that were made before.
    process: Key,
    made: u64,
}

impl ConnectionIds {
    fn mark(&self, unique: &[u8]) -> Tag {
        sign(&self.mark, unique)
    }
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made += 1;
        let unique = sign(&self.process, &self.made.to_be_bytes());
        let unique = &unique.as_ref()[..UNIQUE];
        ConnectionId::new(&[unique, &self.mark(unique).as_ref()[..MARK]].concat())
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let (unique, mark) = id.split_at_checked(UNIQUE).ok_or(InvalidCid)?;
        // No secret hangs on how long this takes: a mark that is guessed buys one reset for a connection that is not there.
        if self.mark(unique).as_ref()[..MARK] == *mark { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        UNIQUE + MARK
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn ids(secret: u8) -> ConnectionIds {
        let mark = Key::new(HMAC_SHA256, &[secret; 32]);
        ConnectionIds { mark, process: Key::new(HMAC_SHA256, &random::bytes::<32>().unwrap()[..]), made: 0 }
    }

    #[test]
    fn a_later_process_with_the_same_secret_knows_the_ids_of_an_earlier_one_and_makes_others() {
        let (mut earlier, mut later, stranger) = (ids(1), ids(1), ids(2));
        for _ in 0..100 {
            let id = earlier.generate_cid();
            assert_eq!(id.len(), earlier.cid_len());
            assert!(later.validate(&id).is_ok() && stranger.validate(&id).is_err());
            assert_ne!(id, later.generate_cid());
        }
        assert!(later.validate(&ConnectionId::new(&[0; 3])).is_err());
    }

    #[test]
    fn a_secret_makes_an_endpoint_and_is_not_told() {
        let config = endpoint_config(&Zeroizing::new([0xab; 32])).unwrap();
        assert!(!format!("{config:?}").contains("171"));
    }
}
