//! Asks an S3-compatible store. Each request has a deadline, each answer a bound.

use super::sign::{Request, Signer, sha256};
use super::xml;
use crate::http::{agent, encode, why};
use crate::leash::Leash;
use crate::settings::S3;
use crate::target::{Told, Trouble};
use sluse_host::{clock, files};
use sluse_protocol::courier::STEP_BYTES;
use std::sync::Arc;
use ureq::{Agent, http};
use zeroize::Zeroizing;

/// Who is asked, in messages.
const STORE: &str = "the store";

/// Bytes of the longest list that is read.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;

/// Pages of one list.
const MOST_PAGES: usize = 2000;

/// A store, and who we are there.
pub struct Client {
    agent: Agent,
    way: S3,
    secret_key: Zeroizing<String>,
    host: String,
    leash: Arc<Leash>,
}

/// A part of a file that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: u32,
    /// Its bytes.
    pub size: u64,
    /// What the store calls it.
    pub etag: String,
}

/// What a store answered.
struct Answer {
    status: u16,
    length: Option<u64>,
    etag: Option<String>,
    body: Vec<u8>,
}

impl Client {
    /// Reads the key, and the certificates by which the store's own must be good.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(way: &S3, leash: Arc<Leash>) -> Told<Self> {
        let unread = |error| Trouble::new(format!("the secret key cannot be read: {error}"));
        let secret = files::read_private(&way.secret_key).map_err(unread)?;
        let secret_key = Zeroizing::new(String::from_utf8_lossy(&secret).trim().to_owned());
        let host = way.endpoint.split_once("://").map_or("", |(_, host)| host).to_owned();
        Ok(Self { agent: agent(way.authority.as_deref())?, way: way.clone(), secret_key, host, leash })
    }

    fn ask(
        &self,
        method: &str,
        key: Option<&str>,
        query: &[(&str, &str)],
        range: Option<(u64, u64)>,
        body: &[u8],
    ) -> Told<Answer> {
        self.leash.holds()?;
        let bucket = encode(&self.way.bucket, false);
        let path = match key {
            Some(key) => format!("/{bucket}/{}", encode(key, true)),
            None => format!("/{bucket}"),
        };
        let mut query: Vec<_> = query.iter().map(|(name, value)| (encode(name, false), encode(value, false))).collect();
        query.sort();
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = query.join("&");
        let digest = sha256(body);
        let signer =
            Signer { access_key: &self.way.access_key, secret_key: &self.secret_key, region: &self.way.region };
        let request = Request { method, host: &self.host, path: &path, query: &query, body: &digest };
        let signed = signer.sign(&request, clock::now());
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}{mark}{query}", self.way.endpoint))
            .header("x-amz-content-sha256", &digest)
            .header("x-amz-date", signed.date)
            .header("authorization", signed.authorization);
        if let Some((from, upto)) = range {
            request = request.header("range", format!("bytes={from}-{upto}"));
        }
        let unusable = |_| Trouble::new("the store's address cannot be used");
        let answer = match body {
            [] if method != "PUT" && method != "POST" => self.agent.run(request.body(()).map_err(unusable)?),
            body => self.agent.run(request.body(body).map_err(unusable)?),
        };
        read(answer.map_err(|error| Trouble::new(why(&error, STORE)))?)
    }

    /// The bytes of what has that key; none if nothing has.
    pub fn look(&self, key: &str) -> Told<Option<u64>> {
        let answer = self.ask("HEAD", Some(key), &[], None, &[])?;
        match answer.status {
            404 => Ok(None),
            _ => answer.well("looking for a file")?.length.map(Some).ok_or_else(odd),
        }
    }

    /// Stores a file whole.
    pub fn store(&self, key: &str, bytes: &[u8]) -> Told<()> {
        self.ask("PUT", Some(key), &[], None, bytes)?.well("storing a file").map(drop)
    }

    /// At most [`STEP_BYTES`] of a file; none at its end.
    pub fn read(&self, key: &str, offset: u64) -> Told<Vec<u8>> {
        let answer = self.ask("GET", Some(key), &[], Some((offset, offset + STEP_BYTES as u64 - 1)), &[])?;
        match answer.status {
            // Nothing begins behind the end.
            416 => Ok(Vec::new()),
            206 => Ok(answer.body),
            // All of a file that is no longer than what was asked for.
            200 if offset == 0 && answer.body.len() <= STEP_BYTES => Ok(answer.body),
            _ => answer.well("reading back").and_then(|_| Err(odd())),
        }
    }

    /// Begins to store a file in parts: what the store calls that.
    pub fn begin_parts(&self, key: &str) -> Told<String> {
        let answer = self.ask("POST", Some(key), &[("uploads", "")], None, &[])?.well("beginning a file")?;
        xml::text(&answer.text(), "UploadId").ok_or_else(odd)
    }

    /// Stores a part.
    pub fn store_part(&self, key: &str, upload: &str, number: u32, bytes: &[u8]) -> Told<Part> {
        let text = number.to_string();
        let answer = self.ask("PUT", Some(key), &[("partNumber", &text), ("uploadId", upload)], None, bytes)?;
        let etag = answer.well("storing a part")?.etag.ok_or_else(odd)?;
        Ok(Part { number, size: bytes.len() as u64, etag })
    }

    /// The parts that the store holds.
    pub fn parts(&self, key: &str, upload: &str) -> Told<Vec<Part>> {
        let (mut parts, mut after) = (Vec::new(), "0".to_owned());
        for _ in 0..MOST_PAGES {
            let query = [("part-number-marker", after.as_str()), ("uploadId", upload)];
            let xml = self.ask("GET", Some(key), &query, None, &[])?.well("listing parts")?.text();
            for part in xml::each(&xml, "Part") {
                let number = |name| xml::text(part, name).and_then(|text| text.parse::<u64>().ok()).ok_or_else(odd);
                let etag = xml::text(part, "ETag").ok_or_else(odd)?;
                let count = u32::try_from(number("PartNumber")?).map_err(|_| odd())?;
                parts.push(Part { number: count, size: number("Size")?, etag });
            }
            match next(&xml, "NextPartNumberMarker") {
                Some(marker) => after = marker,
                None => return Ok(parts),
            }
        }
        Err(odd())
    }

    /// Makes a file of its parts.
    pub fn finish_parts(&self, key: &str, upload: &str, parts: &[Part]) -> Told<()> {
        let each = |part: &Part| {
            let etag = part.etag.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", part.number)
        };
        let parts: String = parts.iter().map(each).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let answer =
            self.ask("POST", Some(key), &[("uploadId", upload)], None, body.as_bytes())?.well("ending a file")?;
        // A store may begin to answer well before it knows.
        if answer.text().contains("<Error>") { Err(Trouble::new("the store could not end a file")) } else { Ok(()) }
    }

    /// Files below `prefix` that were begun in parts and not ended: their keys, and what the store calls each.
    pub fn begun(&self, prefix: &str) -> Told<Vec<(String, String)>> {
        let mut begun = Vec::new();
        let (mut key_marker, mut upload_marker) = (String::new(), String::new());
        for _ in 0..MOST_PAGES {
            let mut query = vec![("prefix", prefix), ("uploads", "")];
            if !key_marker.is_empty() {
                query.extend([("key-marker", key_marker.as_str()), ("upload-id-marker", upload_marker.as_str())]);
            }
            let xml = self.ask("GET", None, &query, None, &[])?.well("listing what was begun")?.text();
            for upload in xml::each(&xml, "Upload") {
                let named = xml::text(upload, "Key").zip(xml::text(upload, "UploadId"));
                // Some stores do not look at the prefix.
                begun.extend(named.filter(|(key, _)| key.starts_with(prefix)));
            }
            match next(&xml, "NextKeyMarker") {
                Some(marker) => key_marker = marker,
                None => return Ok(begun),
            }
            upload_marker = xml::text(&xml, "NextUploadIdMarker").unwrap_or_default();
        }
        Err(odd())
    }

    /// Gives up a file that was begun in parts.
    pub fn give_up(&self, key: &str, upload: &str) -> Told<()> {
        let answer = self.ask("DELETE", Some(key), &[("uploadId", upload)], None, &[])?;
        if answer.status == 404 { Ok(()) } else { answer.well("removing what was begun").map(drop) }
    }

    /// The first keys below `prefix`, some hundreds; none when there is nothing.
    pub fn first_below(&self, prefix: &str) -> Told<Vec<String>> {
        let query = [("list-type", "2"), ("prefix", prefix)];
        let xml = self.ask("GET", None, &query, None, &[])?.well("listing files")?.text();
        let keys = xml::each(&xml, "Contents").into_iter().filter_map(|one| xml::text(one, "Key"));
        // Nothing else is ever removed, whatever a store lists.
        Ok(keys.filter(|key| key.starts_with(prefix)).collect())
    }

    /// Removes a file; one that is not there is as good.
    pub fn remove(&self, key: &str) -> Told<()> {
        let answer = self.ask("DELETE", Some(key), &[], None, &[])?;
        if answer.status == 404 { Ok(()) } else { answer.well("removing a file").map(drop) }
    }
}

/// Where a list goes on, if it does.
fn next(xml: &str, marker: &str) -> Option<String> {
    (xml::text(xml, "IsTruncated")? == "true").then(|| xml::text(xml, marker)).flatten()
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// That the store did what it was asked.
    fn well(self, what: &str) -> Told<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let code = xml::text(&self.text(), "Code").unwrap_or_default();
        let why = match (code.as_str(), self.status) {
            ("RequestTimeTooSkewed", _) => "the store's clock and ours differ too much".to_owned(),
            ("NoSuchBucket", _) => "the bucket is not there".to_owned(),
            ("XMinioStorageFull" | "QuotaExceeded" | "InsufficientStorage" | "InsufficientCapacity", _) | (_, 507) => {
                "the store is full".to_owned()
            }
            (_, 401 | 403) => "the store does not take our key for it: it is unknown there, has expired, or has not \
                the right"
                .to_owned(),
            ("SlowDown" | "ServiceUnavailable", _) | (_, 503) => "the store is busy".to_owned(),
            (_, status) => format!("the store answered {status}"),
        };
        Err(Trouble::new(format!("{what}: {why}")))
    }
}

fn read(mut answer: http::Response<ureq::Body>) -> Told<Answer> {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (length, etag) = (header("content-length").and_then(|text| text.parse().ok()), header("etag"));
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
    let body = body.map_err(|error| Trouble::new(why(&error, STORE)))?;
    Ok(Answer { status, length, etag, body })
}

fn odd() -> Trouble {
    Trouble::new("the store answers something else than was asked")
}
