//! What is read of the server's answers: tokens, and what it says of files that it has in part. Pure.
//!
//! Source: unioslo/tsd-file-api, `tsdfileapi/resumables.py` (`list_all`, `info`); unioslo/tsd-api-docs, `integration/auth-api.md`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Bytes of each piece of a file but its last one. The server calls them chunks.
pub const PIECE: u64 = 16 * 1024 * 1024;

/// A token is exchanged so many seconds before its end, or when half of its time has gone where that is less.
const MARGIN: i64 = 300;

/// A file of which the server has pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it calls the upload.
    pub id: String,
    /// The file's name, without folders.
    pub name: String,
    /// Its folders, without the group.
    pub key: String,
    /// How far it came; none where the server does not know how to go on.
    pub progress: Option<Progress>,
}

/// How far an upload came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Pieces that are there.
    pub pieces: u64,
    /// Where the last one begins.
    pub begins: u64,
    /// Where it ends.
    pub ends: u64,
    /// MD5 of the last one, hexadecimal, as the server has it on its disk.
    pub md5: String,
}

impl Progress {
    /// That of a file of so many bytes of which so many pieces are there, the last with that digest.
    pub fn of(bytes: u64, pieces: u64, md5: String) -> Self {
        Self { pieces, begins: pieces.saturating_sub(1).saturating_mul(PIECE), ends: end_of(bytes, pieces), md5 }
    }

    /// Whether an upload of a file of so many bytes can be gone on with from here: it has our pieces, and none was torn.
    pub fn fits(&self, bytes: u64) -> bool {
        let ours = Self::of(bytes, self.pieces, self.md5.clone());
        self.pieces > 0 && ours.begins < bytes && *self == ours
    }
}

fn end_of(bytes: u64, pieces: u64) -> u64 {
    pieces.saturating_mul(PIECE).min(bytes)
}

/// All uploads that a list tells of; none where it is no list.
pub fn held(body: &[u8]) -> Option<Vec<Held>> {
    let list: Value = serde_json::from_slice(body).ok()?;
    list["resumables"].as_array()?.iter().map(one).collect()
}

/// The upload that an answer tells of.
pub fn one_held(body: &[u8]) -> Option<Held> {
    one(&serde_json::from_slice(body).ok()?)
}

fn one(value: &Value) -> Option<Held> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let number = |name: &str| value[name].as_u64();
    let progress = || {
        let (pieces, begins, ends) = (number("max_chunk")?, number("previous_offset")?, number("next_offset")?);
        Some(Progress { pieces, begins, ends, md5: text("md5sum")?.to_ascii_lowercase() })
    };
    Some(Held { id: text("id")?, name: text("filename")?, key: text("key").unwrap_or_default(), progress: progress() })
}

/// What a piece that was stored is answered with: what the server calls the upload, and the piece's number.
pub fn stored(body: &[u8]) -> Option<(String, u64)> {
    let told: Value = serde_json::from_slice(body).ok()?;
    Some((told["id"].as_str()?.to_owned(), told["max_chunk"].as_u64()?))
}

/// The token that a key was exchanged for.
pub fn token(body: &[u8]) -> Option<String> {
    let told: Value = serde_json::from_slice(body).ok()?;
    let token = told["token"].as_str()?;
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then(|| token.to_owned())
}

/// When a token or a key ends by what stands in it (`exp` of RFC 7519), in seconds since 1970. Its signature is for others to check.
pub fn ends(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["exp"].as_i64()
}

/// When a token that ends at `end` and was given at `now` is exchanged for the next one.
pub fn next_exchange(end: i64, now: i64) -> i64 {
    end.saturating_sub(MARGIN.min(end.saturating_sub(now) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_read_with_how_far_they_came_or_that_nobody_knows() {
        let body = br#"{"resumables": [
            {"filename": "a.csv", "id": "u1", "key": "d/e", "group": "g", "chunk_size": 3, "max_chunk": 2, "md5sum": "AB",
             "previous_offset": 16777216, "next_offset": 16777219},
            {"filename": "b", "id": "u2", "key": null, "max_chunk": 1, "md5sum": "", "previous_offset": 0, "next_offset": "end"}]}"#;
        let read = held(body).unwrap();
        assert_eq!(read[0].progress, Some(Progress { pieces: 2, begins: PIECE, ends: PIECE + 3, md5: "ab".into() }));
        assert_eq!((read[1].key.as_str(), &read[1].progress), ("", &None));
        for odd in [&b"{}"[..], b"[]", b"<html>", b"{\"resumables\": [{}]}"] {
            assert_eq!(held(odd), None);
        }
    }

    #[test]
    fn what_is_there_is_gone_on_with_only_where_it_has_our_pieces() {
        let bytes = 2 * PIECE + 5;
        for pieces in 1..=3 {
            assert!(Progress::of(bytes, pieces, "ab".into()).fits(bytes), "{pieces}");
        }
        assert_eq!(Progress::of(bytes, 3, String::new()).ends, bytes);
        let odd = [
            Progress::of(bytes, 0, String::new()),
            Progress::of(bytes, 4, String::new()),
            // A piece that was torn: the server counts it, and not its bytes.
            Progress { pieces: 2, begins: 100, ends: PIECE, md5: String::new() },
            Progress { pieces: u64::MAX, begins: u64::MAX, ends: u64::MAX, md5: String::new() },
        ];
        for progress in odd {
            assert!(!progress.fits(bytes), "{progress:?}");
        }
        assert!(!Progress::of(0, 1, String::new()).fits(0));
    }

    #[test]
    fn a_tokens_end_is_read_and_it_is_exchanged_before() {
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(r#"{"exp": 1800000000, "proj": "p11"}"#));
        assert_eq!(ends(&token), Some(1_800_000_000));
        for odd in ["", "a.b.c", "a", "e30.e30.e30"] {
            assert_eq!(ends(odd), None, "{odd}");
        }
        assert_eq!((next_exchange(10_000, 0), next_exchange(100, 0), next_exchange(-5, 10)), (9_700, 50, 2));
        assert_eq!(super::token(br#"{"token": "a.b"}"#).as_deref(), Some("a.b"));
        assert_eq!(super::token(br#"{"token": "a\r\nb"}"#), None);
    }
}
