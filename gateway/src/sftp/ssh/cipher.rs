//! Packets, sealed and opened: AES-GCM (RFC 5647, with OpenSSH's names) and ChaCha20-Poly1305 as OpenSSH has it. Both
//! authenticate what they encrypt. Before keys are agreed on, packets go in the clear.

use super::Broken;
use aws_lc_rs::aead::chacha20_poly1305_openssh as chacha;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::io::{self, Read};

/// Bytes of the longest packet without its tag: the data of one message and what is around it.
pub const MAX_PACKET: usize = 40_000;

/// Bytes of a tag.
const TAG: usize = 16;

/// Bytes of padding that are in each packet at least.
const MIN_PADDING: usize = 4;

/// A cipher that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES-GCM with keys of 16 bytes.
    Aes128,
    /// AES-GCM with keys of 32 bytes.
    Aes256,
    /// ChaCha20-Poly1305.
    ChaCha,
}

impl Cipher {
    /// All, by their names.
    pub const ALL: [(&'static str, Self); 3] = [
        ("aes256-gcm@openssh.com", Self::Aes256),
        ("aes128-gcm@openssh.com", Self::Aes128),
        ("chacha20-poly1305@openssh.com", Self::ChaCha),
    ];

    /// Bytes of its keys.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
            Self::ChaCha => chacha::KEY_LEN,
        }
    }
}

/// A key for one direction; `K` is how ChaCha20-Poly1305 has it.
enum Key<K> {
    None,
    Aes(LessSafeKey, Counter),
    ChaCha(K),
}

/// What seals packets.
pub struct Sealing(Key<chacha::SealingKey>);

/// What opens packets.
pub struct Opening(Key<chacha::OpeningKey>);

/// A nonce of AES-GCM: four bytes that stay, and a counter.
struct Counter([u8; 4], u64);

impl Counter {
    fn next(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.0);
        nonce[4..].copy_from_slice(&self.1.to_be_bytes());
        // It may begin anywhere and goes around.
        self.1 = self.1.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }
}

fn aes(cipher: Cipher, key: &[u8], iv: &[u8]) -> Option<(LessSafeKey, Counter)> {
    let algorithm = if cipher == Cipher::Aes128 { &AES_128_GCM } else { &AES_256_GCM };
    let (fixed, rest) = iv.split_first_chunk()?;
    let counter = u64::from_be_bytes(*rest.first_chunk()?);
    Some((LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?), Counter(*fixed, counter)))
}

impl Sealing {
    /// In the clear.
    pub fn none() -> Self {
        Self(Key::None)
    }

    /// With a key, and for AES-GCM an initialisation vector of 12 bytes; none where they are not as long as they must be.
    pub fn new(cipher: Cipher, key: &[u8], iv: &[u8]) -> Option<Self> {
        Some(Self(match cipher {
            Cipher::ChaCha => Key::ChaCha(chacha::SealingKey::new(key.try_into().ok()?)),
            _ => aes(cipher, key, iv).map(|(key, counter)| Key::Aes(key, counter))?,
        }))
    }

    /// A packet as it is sent.
    ///
    /// # Errors
    /// When the library fails.
    pub fn seal(&mut self, sequence: u32, payload: &[u8]) -> Result<Vec<u8>, Broken> {
        // What is a multiple of a block: in the clear the length too, else what is behind it.
        let (block, head) = match self.0 {
            Key::None => (8, 5),
            Key::Aes(..) => (16, 1),
            Key::ChaCha(_) => (8, 1),
        };
        let mut padding = block - (payload.len() + head) % block;
        if padding < MIN_PADDING {
            padding += block;
        }
        let length = u32::try_from(1 + payload.len() + padding).map_err(|_| Broken::Garbage("a long message"))?;
        let mut packet = Vec::with_capacity(4 + length as usize + TAG);
        packet.extend(length.to_be_bytes());
        packet.push(padding as u8);
        packet.extend_from_slice(payload);
        // Nobody sees what padding is: it is encrypted too, and before there are keys nothing is secret.
        packet.resize(4 + length as usize, 0);
        match &mut self.0 {
            Key::None => {}
            Key::Aes(key, counter) => {
                let aad = Aad::from(length.to_be_bytes());
                let tag = key.seal_in_place_separate_tag(counter.next(), aad, &mut packet[4..]);
                packet.extend_from_slice(tag.map_err(|_| Broken::Garbage("sealing failed"))?.as_ref());
            }
            Key::ChaCha(key) => {
                let mut tag = [0; TAG];
                key.seal_in_place(sequence, &mut packet, &mut tag);
                packet.extend_from_slice(&tag);
            }
        }
        Ok(packet)
    }
}

impl Opening {
    /// In the clear.
    pub fn none() -> Self {
        Self(Key::None)
    }

    /// As [`Sealing::new`].
    pub fn new(cipher: Cipher, key: &[u8], iv: &[u8]) -> Option<Self> {
        Some(Self(match cipher {
            Cipher::ChaCha => Key::ChaCha(chacha::OpeningKey::new(key.try_into().ok()?)),
            _ => aes(cipher, key, iv).map(|(key, counter)| Key::Aes(key, counter))?,
        }))
    }

    /// Reads the packet whose length in the stream is `head`, and opens it: its payload.
    ///
    /// # Errors
    /// When the stream ends, or what comes is too long, or was not sealed with this key.
    pub fn open(&mut self, sequence: u32, head: [u8; 4], input: &mut impl Read) -> Result<Vec<u8>, Broken> {
        const FORGED: Broken = Broken::Garbage("a packet that was not sealed with the key that was agreed on");
        let length = match &self.0 {
            Key::ChaCha(key) => key.decrypt_packet_length(sequence, head),
            _ => head,
        };
        let length = u32::from_be_bytes(length) as usize;
        if !(1 + MIN_PADDING..=MAX_PACKET).contains(&length) {
            return Err(Broken::Garbage("a packet that is too long or too short"));
        }
        let tag = if matches!(self.0, Key::None) { 0 } else { TAG };
        let mut packet = vec![0; 4 + length + tag];
        packet[..4].copy_from_slice(&head);
        input.read_exact(&mut packet[4..]).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Broken::HungUp,
            _ => Broken::Io(error),
        })?;
        match &mut self.0 {
            Key::None => {}
            Key::Aes(key, counter) => {
                key.open_in_place(counter.next(), Aad::from(head), &mut packet[4..]).map_err(|_| FORGED)?;
            }
            Key::ChaCha(key) => {
                let (sealed, tag) = packet.split_at_mut(4 + length);
                let tag: &[u8; TAG] = (&*tag).try_into().map_err(|_| FORGED)?;
                key.open_in_place(sequence, sealed, tag).map_err(|_| FORGED)?;
            }
        }
        let end = (4 + length).checked_sub(usize::from(packet[4])).filter(|end| *end > 5);
        packet.truncate(end.ok_or(Broken::Garbage("a packet of nothing but padding"))?);
        packet.drain(..5);
        Ok(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Vec<(Sealing, Opening)> {
        let with = |(_, cipher): (&str, Cipher)| {
            let key = vec![7; cipher.key_bytes()];
            (Sealing::new(cipher, &key, &[9; 12]).unwrap(), Opening::new(cipher, &key, &[9; 12]).unwrap())
        };
        Cipher::ALL.into_iter().map(with).chain([(Sealing::none(), Opening::none())]).collect()
    }

    fn open(opening: &mut Opening, sequence: u32, packet: &[u8]) -> Result<Vec<u8>, Broken> {
        opening.open(sequence, packet[..4].try_into().unwrap(), &mut &packet[4..])
    }

    #[test]
    fn what_was_sealed_is_opened_whatever_its_length() {
        for (mut sealing, mut opening) in pairs() {
            for length in 1..200 {
                let payload = vec![length as u8; length];
                let packet = sealing.seal(length as u32, &payload).unwrap();
                assert_eq!(open(&mut opening, length as u32, &packet).unwrap(), payload);
            }
        }
    }

    #[test]
    fn what_was_changed_or_comes_in_another_order_is_refused() {
        for changed in 4..50 {
            for (number, (mut sealing, mut opening)) in pairs().into_iter().enumerate().take(3) {
                let mut packet = sealing.seal(0, &[1; 30]).unwrap();
                packet[changed] ^= 1;
                assert!(open(&mut opening, 0, &packet).is_err(), "{number} {changed}");
            }
        }
        for (mut sealing, mut opening) in pairs().into_iter().take(3) {
            let (_, second) = (sealing.seal(0, &[1; 30]).unwrap(), sealing.seal(1, &[2; 30]).unwrap());
            assert!(open(&mut opening, 0, &second).is_err());
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_read() {
        let mut opening = Opening::none();
        for length in [0u32, 4, MAX_PACKET as u32 + 1, u32::MAX] {
            assert!(matches!(opening.open(0, length.to_be_bytes(), &mut io::empty()), Err(Broken::Garbage(_))));
        }
        assert!(opening.open(0, [0, 0, 0, 8], &mut &[8, 0, 0, 0, 0, 0, 0, 0][..]).is_err(), "only padding");
    }
}
