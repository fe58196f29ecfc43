//! The framing of every control stream and role socket: a JSON head and an optional raw body.
//!
//! `u32 head length, u32 body length` (big endian), then the head, then the body. Both lengths are compared with
//! [`crate::limits`] before anything is allocated.

use crate::limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of the two lengths.
pub const PREFIX_BYTES: usize = 8;

/// A frame that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// A length over its bound.
    #[error("a frame's head or body is larger than allowed")]
    TooLarge,
    /// The head is not what belongs there.
    #[error("a frame's head is not a known message")]
    Head,
}

/// The lengths of a frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Bytes of the JSON head, at most [`MAX_HEAD_BYTES`].
    pub head: usize,
    /// Bytes of the body, at most [`MAX_BODY_BYTES`].
    pub body: usize,
}

impl Lengths {
    /// Reads and checks the prefix of a frame.
    ///
    /// # Errors
    /// When a length is over its bound.
    pub fn parse(prefix: [u8; PREFIX_BYTES]) -> Result<Self, BadFrame> {
        let [a, b, c, d, e, f, g, h] = prefix;
        let (head, body) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        if head > MAX_HEAD_BYTES || body > MAX_BODY_BYTES {
            return Err(BadFrame::TooLarge);
        }
        Ok(Self { head: head as usize, body: body as usize })
    }
}

/// Writes a frame: prefix, head and body in one buffer.
///
/// # Errors
/// When head or body are over their bounds.
pub fn encode(head: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, BadFrame> {
    let mut frame = encode_before(head, body.len())?;
    frame.extend_from_slice(body);
    Ok(frame)
}

/// Writes what stands before a body of `body` bytes: prefix and head in one buffer, for who sends the body from where it is.
///
/// # Errors
/// When head or body are over their bounds.
pub fn encode_before(head: &impl Serialize, body: usize) -> Result<Vec<u8>, BadFrame> {
    let head = serde_json::to_vec(head).map_err(|_| BadFrame::Head)?;
    let lengths = (u32::try_from(head.len()), u32::try_from(body));
    let (Ok(head_bytes), Ok(body_bytes)) = lengths else { return Err(BadFrame::TooLarge) };
    if head_bytes > MAX_HEAD_BYTES || body_bytes > MAX_BODY_BYTES {
        return Err(BadFrame::TooLarge);
    }
    let mut frame = Vec::with_capacity(PREFIX_BYTES + head.len());
    frame.extend_from_slice(&head_bytes.to_be_bytes());
    frame.extend_from_slice(&body_bytes.to_be_bytes());
    frame.extend_from_slice(&head);
    Ok(frame)
}

/// Reads the head of a frame.
///
/// # Errors
/// When it is not a `T`.
pub fn decode_head<T: DeserializeOwned>(head: &[u8]) -> Result<T, BadFrame> {
    serde_json::from_slice(head).map_err(|_| BadFrame::Head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_over_the_bound_is_refused_from_the_prefix_alone() {
        let prefix = |head: u32, body: u32| {
            let mut prefix = [0; 8];
            prefix[..4].copy_from_slice(&head.to_be_bytes());
            prefix[4..].copy_from_slice(&body.to_be_bytes());
            prefix
        };
        assert_eq!(Lengths::parse(prefix(u32::MAX, 0)), Err(BadFrame::TooLarge));
        assert_eq!(Lengths::parse(prefix(0, MAX_BODY_BYTES + 1)), Err(BadFrame::TooLarge));
        let largest = Lengths { head: MAX_HEAD_BYTES as usize, body: MAX_BODY_BYTES as usize };
        assert_eq!(Lengths::parse(prefix(MAX_HEAD_BYTES, MAX_BODY_BYTES)), Ok(largest));
    }

    #[test]
    fn a_frame_is_its_lengths_its_head_and_its_body() {
        assert_eq!(encode(&"hi", b"xyz").unwrap(), b"\0\0\0\x04\0\0\0\x03\"hi\"xyz");
        assert_eq!(encode(&(), &vec![0; MAX_BODY_BYTES as usize + 1]), Err(BadFrame::TooLarge));
    }
}
