//! What clients are told.

use super::body::NotTaken;
use super::uploads::Upload;
use super::words::{self, Unfit};
use crate::spool::NotStored;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use sluse_protocol::time::Timestamp;

/// An answer: a status, headers, and one line for people.
pub type Answer = Response<Full<Bytes>>;

/// After so many seconds a client that was told to come again may do so.
const COME_AGAIN: &str = "30";

/// An answer with one line.
pub fn said(status: StatusCode, line: &str) -> Answer {
    let body = if line.is_empty() { Bytes::new() } else { Bytes::from(format!("{line}\n")) };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    if !line.is_empty() {
        set(&mut answer, "content-type", "text/plain; charset=utf-8");
    }
    set(&mut answer, "tus-resumable", words::VERSION);
    answer
}

/// An answer without a body.
pub fn done(status: StatusCode) -> Answer {
    said(status, "")
}

/// The same with a header. What cannot stand in one is left out: all of ours can.
pub fn set(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// The same with how an upload stands, and until when it is known.
pub fn standing(mut answer: Answer, upload: &Upload, expires: Timestamp) -> Answer {
    set(&mut answer, "upload-offset", &upload.offset.to_string());
    set(&mut answer, "upload-expires", &expires.mail().replace("+0000", "GMT"));
    set(&mut answer, "cache-control", "no-store");
    answer
}

/// The client has to wait for what will be over.
pub fn later(status: StatusCode, line: &str) -> Answer {
    let mut answer = said(status, line);
    set(&mut answer, "retry-after", COME_AGAIN);
    answer
}

/// A request that cannot be taken.
pub fn unfit(why: Unfit) -> Answer {
    said(StatusCode::BAD_REQUEST, &why.to_string())
}

/// The spool does not take it.
pub fn not_stored(why: &NotStored) -> Answer {
    match why {
        NotStored::Full => {
            tracing::warn!("an upload has to wait: {why}");
            later(StatusCode::INSUFFICIENT_STORAGE, "there is too little space: come again later")
        }
        NotStored::Fault(cause) => {
            tracing::error!("an upload has to wait: {why}: {cause}");
            later(StatusCode::INTERNAL_SERVER_ERROR, "it cannot be stored now: come again later")
        }
    }
}

/// The bytes were not, or not all, taken.
pub fn not_taken(why: &NotTaken) -> Answer {
    match why {
        NotTaken::TooMuch => said(StatusCode::PAYLOAD_TOO_LARGE, &why.to_string()),
        // tus has a status of its own for it.
        NotTaken::Mismatch => said(StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST), &why.to_string()),
        NotTaken::Broken => said(StatusCode::REQUEST_TIMEOUT, &why.to_string()),
        NotTaken::Spool(why) => not_stored(why),
    }
}
