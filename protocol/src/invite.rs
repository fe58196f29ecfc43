//! How a source shows that it has an invite's secret without giving it away.
//!
//! `receive` ends TLS and reads what is asked. Were it broken into and the secret itself sent, it could enrol keys of its own in the
//! source's place. So the source sends a code that is good for its own keys alone.

use crate::digest::Sha256;
use aws_lc_rs::hmac;

/// The code: HMAC-SHA-256 (RFC 2104) whose key is the SHA-256 of the invite's `token` as it stands in its file, over
/// `sluse-invite`, the SHA-256 of `identity` and that of `request` in hexadecimal, each with a line feed behind it.
pub fn code(secret: &Sha256, identity: &str, request: &str) -> Sha256 {
    let mut code = [0; 32];
    code.copy_from_slice(hmac::sign(&key(secret), &message(identity, request)).as_ref());
    Sha256(code)
}

/// Whether `code` was made with the secret for these keys.
pub fn is_good(code: &Sha256, secret: &Sha256, identity: &str, request: &str) -> bool {
    hmac::verify(&key(secret), &message(identity, request), &code.0).is_ok()
}

fn key(secret: &Sha256) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &secret.0)
}

fn message(identity: &str, request: &str) -> Vec<u8> {
    let [identity, request] = [identity, request].map(|text| Sha256::of(text.as_bytes()));
    format!("sluse-invite\n{identity}\n{request}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_for_its_secret_and_keys_alone() {
        let (secret, other) = (Sha256::of(b"secret"), Sha256::of(b"other"));
        let made = code(&secret, "identity", "request");
        assert!(is_good(&made, &secret, "identity", "request"));
        assert!(!is_good(&made, &other, "identity", "request"));
        assert!(!is_good(&made, &secret, "identity2", "request"));
        assert!(!is_good(&made, &secret, "identity", "request2"));
        assert!(!is_good(&made, &secret, "request", "identity"));
    }

    #[test]
    fn the_code_is_the_one_that_others_compute() {
        // python3: hmac.new(sha256(b"secret").digest(), b"sluse-invite\n%s\n%s\n" % (sha256(b"identity").hexdigest(), ...))
        let made = code(&Sha256::of(b"secret"), "identity", "request");
        assert_eq!(made.to_string(), "ab7dd33a9694bfacd1c8bb309db0f710496a32fc1fe043783b799478dace33d7");
    }
}
