//! Asks TSD's file API. The key is exchanged for a token that lasts an hour or so, and again before that ends, or when it is refused. Each
//! request has a deadline, each answer a bound.

use super::answers::{self, Held};
use super::names::{File, Folder, Import};
use crate::http::{agent, encode, why};
use crate::leash::Leash;
use crate::settings::Tsd;
use crate::target::{Told, Trouble};
use sluse_host::{clock, files};
use std::sync::Arc;
use ureq::{Agent, http};
use zeroize::Zeroizing;

/// Who is asked, in messages.
const TSD: &str = "TSD";

/// Bytes of the longest answer that is read: a list of uploads.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;

/// TSD, and who we are there.
pub struct Client {
    agent: Agent,
    endpoint: String,
    import: Import,
    key: Zeroizing<String>,
    token: Option<Token>,
    leash: Arc<Leash>,
}

/// What the key was exchanged for.
struct Token {
    text: Zeroizing<String>,
    /// When it is exchanged again, in seconds since 1970.
    until: Option<i64>,
}

/// What stands under an address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stands {
    /// Its bytes.
    pub bytes: u64,
    /// When it was changed, in seconds since 1970.
    pub mtime: Option<f64>,
}

/// A request.
struct Ask<'a> {
    method: &'a str,
    address: String,
    mtime: Option<i64>,
    /// None where the method has none.
    body: Option<&'a [u8]>,
}

/// What was answered.
struct Answer {
    status: u16,
    length: Option<u64>,
    mtime: Option<f64>,
    body: Vec<u8>,
}

impl Client {
    /// Reads the key, and the certificates by which TSD's own must be good.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(way: &Tsd, leash: Arc<Leash>) -> Told<Self> {
        let unread = |error| Trouble::new(format!("the key cannot be read: {error}"));
        let key = files::read_private(&way.api_key).map_err(unread)?;
        let key = Zeroizing::new(String::from_utf8_lossy(&key).trim().to_owned());
        let (agent, endpoint, import) = (agent(way.authority.as_deref())?, way.endpoint.clone(), way.import());
        Ok(Self { agent, endpoint, import, key, token: None, leash })
    }

    /// What stands there, a file or a folder; none if nothing does.
    pub fn look(&mut self, address: String) -> Told<Option<Stands>> {
        let answer = self.ask(&Ask { method: "HEAD", address, mtime: None, body: None })?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = answer.well("looking for a file")?;
        let bytes = answer.length.ok_or_else(odd)?;
        Ok(Some(Stands { bytes, mtime: answer.mtime }))
    }

    /// Stores an empty file whole.
    pub fn store_empty(&mut self, file: &File, mtime: i64) -> Told<()> {
        let ask = Ask { method: "PUT", address: file.stores(""), mtime: Some(mtime), body: Some(&[]) };
        self.ask(&ask)?.well("storing a file").map(drop)
    }

    /// Stores a piece of a file, the first one without what the server calls the upload; that.
    pub fn store_piece(&mut self, file: &File, upload: Option<&str>, number: u64, bytes: &[u8]) -> Told<String> {
        let upload_query = upload.map(|upload| format!("&id={}", encode(upload, false))).unwrap_or_default();
        let address = file.stores(&format!("&chunk={number}{upload_query}"));
        let answer =
            self.ask(&Ask { method: "PATCH", address, mtime: None, body: Some(bytes) })?.well("storing a piece")?;
        match answers::stored(&answer.body) {
            Some((id, last)) if last == number && upload.is_none_or(|upload| upload == id) => Ok(id),
            _ => Err(odd()),
        }
    }

    /// How far an upload came.
    pub fn upload(&mut self, file: &File, upload: &str) -> Told<Held> {
        let address =
            self.import.address(&format!("resumables/{}?id={}", encode(file.name(), false), encode(upload, false)));
        let answer = self.ask(&Ask { method: "GET", address, mtime: None, body: None })?.well("asking for a piece")?;
        answers::one_held(&answer.body).ok_or_else(odd)
    }

    /// All that was begun and not ended with this key.
    pub fn uploads(&mut self) -> Told<Vec<Held>> {
        let address = self.import.address("resumables");
        let answer =
            self.ask(&Ask { method: "GET", address, mtime: None, body: None })?.well("listing what was begun")?;
        answers::held(&answer.body).ok_or_else(odd)
    }

    /// Makes a file of its pieces. It stands under its name soon after the answer.
    pub fn finish(&mut self, file: &File, upload: &str, mtime: i64) -> Told<()> {
        let address = file.stores(&format!("&chunk=end&id={}", encode(upload, false)));
        let ask = Ask { method: "PATCH", address, mtime: Some(mtime), body: Some(&[]) };
        self.ask(&ask)?.well("ending a file").map(drop)
    }

    /// Gives up an upload.
    pub fn give_up(&mut self, held: &Held) -> Told<()> {
        let (name, id) = (encode(&held.name, false), encode(&held.id, false));
        let address = self.import.address(&format!("resumables/{name}?id={id}"));
        let answer = self.ask(&Ask { method: "DELETE", address, mtime: None, body: None })?;
        if answer.status == 404 { Ok(()) } else { answer.well("removing what was begun").map(drop) }
    }

    /// Removes a file, or a folder with all that is in it; nothing there is as good.
    pub fn remove(&mut self, address: String) -> Told<()> {
        let answer = self.ask(&Ask { method: "DELETE", address, mtime: None, body: None })?;
        if answer.status == 404 { Ok(()) } else { answer.well("removing a file").map(drop) }
    }

    /// The folder that is reached through `above`.
    pub fn folder(&self, above: &str) -> Told<Folder> {
        self.import.folder(above)
    }

    /// Whether the zone still waits.
    pub fn holds(&self) -> Told<()> {
        self.leash.holds()
    }

    /// Asks with a token; once more with another where one that was good is refused: it may have ended, or been taken back.
    fn ask(&mut self, ask: &Ask<'_>) -> Told<Answer> {
        let exchanged = self.token.is_none();
        let answer = self.ask_with_token(ask)?;
        if exchanged || !matches!(answer.status, 401 | 403) {
            return Ok(answer);
        }
        self.token = None;
        self.ask_with_token(ask)
    }

    fn ask_with_token(&mut self, ask: &Ask<'_>) -> Told<Answer> {
        let now = clock::now().unix();
        let token = match self.token.take() {
            Some(token) if token.until.is_none_or(|until| now < until) => token,
            _ => self.exchange(now)?,
        };
        let token = self.token.insert(token);
        send(&self.agent, &self.leash, &self.endpoint, ask, &token.text)
    }

    /// Exchanges the key for a token that may import.
    fn exchange(&self, now: i64) -> Told<Token> {
        let address = format!("/v1/{}/auth/basic/token?type=import", self.import.project);
        let ask = Ask { method: "POST", address, mtime: None, body: Some(b"{}") };
        let answer = send(&self.agent, &self.leash, &self.endpoint, &ask, &self.key)?;
        if (400..500).contains(&answer.status) {
            let ended = answers::ends(&self.key).is_some_and(|end| end <= now);
            return Err(Trouble::new(match ended {
                true => "our key at TSD has ended",
                false => {
                    "TSD does not take our key: it is unknown there, has ended, or this host's address is another than was agreed"
                }
            }));
        }
        let answer = answer.well("asking for a token")?;
        let text = answers::token(&answer.body).ok_or_else(odd)?;
        let until = answers::ends(&text).map(|end| answers::next_exchange(end, now));
        Ok(Token { text: Zeroizing::new(text), until })
    }
}

fn send(agent: &Agent, leash: &Leash, endpoint: &str, ask: &Ask<'_>, bearer: &str) -> Told<Answer> {
    leash.holds()?;
    let mut request = http::Request::builder()
        .method(ask.method)
        .uri(format!("{endpoint}{}", ask.address))
        .header("authorization", format!("Bearer {bearer}"));
    if let Some(mtime) = ask.mtime {
        request = request.header("modified-time", mtime.to_string());
    }
    if ask.method == "POST" {
        request = request.header("content-type", "application/json");
    }
    let unusable = |_| Trouble::new("TSD's address, or our key, cannot be used");
    let answer = match ask.body {
        None => agent.run(request.body(()).map_err(unusable)?),
        Some(body) => agent.run(request.body(body).map_err(unusable)?),
    };
    read(answer.map_err(|error| Trouble::new(why(&error, TSD)))?)
}

fn read(mut answer: http::Response<ureq::Body>) -> Told<Answer> {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let length = header("content-length").and_then(|text| text.parse().ok());
    let mtime = header("modified-time").and_then(|text| text.parse().ok());
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
    let body = body.map_err(|error| Trouble::new(why(&error, TSD)))?;
    Ok(Answer { status, length, mtime, body })
}

impl Answer {
    /// That the server did what it was asked.
    fn well(self, what: &str) -> Told<Self> {
        let why = match self.status {
            200..300 => return Ok(self),
            400 => "TSD refuses the name of a file, or pieces in that order (400)".to_owned(),
            401 | 403 => {
                "TSD does not take our token for it: our key has no right to it, or the group is not this project's"
                    .to_owned()
            }
            405 => "the project does not allow it".to_owned(),
            500 => "TSD answered 500; a disk that is full may be told so".to_owned(),
            503 => "TSD is closed, or the project's storage is being moved".to_owned(),
            507 => "the project's disk quota is used up".to_owned(),
            status => format!("TSD answered {status}"),
        };
        Err(Trouble::new(format!("{what}: {why}")))
    }
}

fn odd() -> Trouble {
    Trouble::new("TSD answers something else than was asked")
}
