//! Signs requests as S3 asks for it (AWS Signature Version 4). Pure: the time comes in.

use aws_lc_rs::{digest, hmac};
use sluse_protocol::time::Timestamp;

/// Who signs, and for where.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The key's name.
    pub access_key: &'a str,
    /// The key.
    pub secret_key: &'a str,
    /// The store's region.
    pub region: &'a str,
}

/// What is signed of a request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, ….
    pub method: &'a str,
    /// The host, with the port where it is named.
    pub host: &'a str,
    /// The path, encoded.
    pub path: &'a str,
    /// The query, encoded and in order, without the question mark.
    pub query: &'a str,
    /// SHA-256 of the body, hexadecimal.
    pub body: &'a str,
}

/// The headers that a signed request has besides its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `x-amz-date`.
    pub date: String,
    /// `authorization`.
    pub authorization: String,
}

impl Signer<'_> {
    /// Signs a request made at `time`.
    pub fn sign(&self, request: &Request<'_>, time: Timestamp) -> Signed {
        // 2026-11-22T10:15:00Z
        let date: String = time.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let day = &date[..8];
        let names = "host;x-amz-content-sha256;x-amz-date";
        let Request { method, host, path, query, body } = request;
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{body}\nx-amz-date:{date}\n\n{names}\n{body}"
        );
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let first = format!("AWS4{}", self.secret_key).into_bytes();
        let key = [day, self.region, "s3", "aws4_request"].iter().fold(first, |key, part| mac(&key, part.as_bytes()));
        let signature = hex(&mac(&key, text.as_bytes()));
        let credential = format!("{}/{scope}", self.access_key);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        Signed { date, authorization }
    }
}

/// SHA-256, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::encode;

    #[test]
    fn a_signature_is_the_one_of_an_independent_signer() {
        // Made with botocore 1.x's S3SigV4Auth for the same request, key and time.
        let signer = Signer { access_key: "AKIAEXAMPLE", secret_key: "c2VjcmV0", region: "eu-north-1" };
        let body = sha256(b"hello");
        let path = format!("/bucket/{}", encode("a b/ø%.csv", true));
        let request = Request {
            method: "PUT",
            host: "127.0.0.1:9000",
            path: &path,
            query: "partNumber=1&uploadId=x",
            body: &body,
        };
        let signed = signer.sign(&request, "2026-11-22T10:15:00Z".parse().unwrap());
        assert_eq!(signed.date, "20261122T101500Z");
        assert_eq!(signed.authorization.rsplit('=').next(), Some(BOTOCORE));
        assert_eq!(path, "/bucket/a%20b/%C3%B8%25.csv");
    }

    const BOTOCORE: &str = "5ffc9bd4f2b760273d88a07ec8a3635193c88e71505ba3d941a95696fb385bad";
}
