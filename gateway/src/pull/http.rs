//! Asking a server of the hospital's network: with deadlines, without redirects, and without telling one server another's secret.

use super::{form, smart};
use crate::Error;
use crate::spool::NotStored;
use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sluse_host::{clock, files};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// How long a server may take to be connected to, and to say the next thing.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);

/// Bounds of the pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Bytes of the longest answer that is held in memory.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Bytes of the longest file of authorities.
const MAX_AUTHORITIES: u64 = 4 * 1024 * 1024;

/// What a form's body is.
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Whom this host trusts, where nothing else is said.
const HOSTS_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why a pull ended without what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The same may go well later.
    #[error("{0}")]
    Later(String),
    /// The server refuses, or says what cannot be taken.
    #[error("{0}")]
    Refused(String),
    /// The spool does not take it.
    #[error(transparent)]
    Spool(#[from] NotStored),
}

/// Why one try failed.
enum Miss {
    /// Is tried again, after what the server asked for.
    Again(String, Option<Duration>),
    /// Is not.
    Ended(Failure),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// `GET`, `POST`, `DELETE`.
    pub method: &'static str,
    /// Where.
    pub url: Uri,
    /// Headers besides the usual.
    pub headers: Vec<(&'static str, &'static str)>,
    /// What is posted: may hold a secret.
    pub body: Zeroizing<Vec<u8>>,
    /// Whether the server's secret is told.
    pub with_secret: bool,
}

impl Ask {
    /// Gets `url`, with the secret.
    pub fn get(url: Uri, accept: &'static str) -> Self {
        let headers = vec![("accept", accept)];
        Self { method: "GET", url, headers, body: Zeroizing::default(), with_secret: true }
    }
}

/// What a server said.
#[derive(Debug)]
pub struct Said {
    /// How it went.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, in memory.
    pub body: Vec<u8>,
}

/// Takes the bytes of a file, and is told when it has to begin anew.
pub trait Taking {
    /// From the beginning.
    fn begin(&mut self) -> Result<(), Failure>;
    /// The next bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure>;
}

/// What a server is told, so that it answers.
pub enum Secret {
    /// Nothing.
    None,
    /// A bearer token.
    Token(Zeroizing<String>),
    /// A bearer token that is asked for, and exchanged when it ends.
    Asked(Box<smart::Client>),
}

/// A server, and the secret that it is asked with.
pub struct Server {
    origin: Uri,
    /// What is told now, and until when that is good.
    told: Mutex<Option<(HeaderValue, Option<Instant>)>>,
    client: Option<Box<smart::Client>>,
    /// None where the server is on loopback, and nothing need be encrypted.
    tls: Option<TlsConnector>,
    until: Instant,
}

impl Server {
    /// The server of `origin`, asked until `patience` is over. `secret` is told to it alone; `authority` is a PEM file of who signed its
    /// certificate, where this host does not know.
    ///
    /// # Errors
    /// When the authorities cannot be read, or the token cannot stand in a header.
    pub fn new(origin: &Uri, secret: Secret, authority: Option<&Path>, patience: Duration) -> Result<Self, Error> {
        let (told, client) = match secret {
            Secret::None => (None, None),
            Secret::Token(token) => (Some((bearer(&token)?, None)), None),
            Secret::Asked(client) => (None, Some(client)),
        };
        let encrypted = origin.scheme_str() == Some("https") || authority.is_some();
        let tls = encrypted.then(|| trust(authority.unwrap_or(Path::new(HOSTS_AUTHORITIES)))).transpose()?;
        Ok(Self { origin: origin.clone(), told: Mutex::new(told), client, tls, until: Instant::now() + patience })
    }

    /// One request, tried again until it is answered otherwise than with "later".
    ///
    /// # Errors
    /// When the server refuses, or was not done in time.
    pub async fn ask(&self, ask: &Ask) -> Result<Said, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.ask_once(ask).await {
                Ok(said) => return Ok(said),
                Err(miss) => pause = self.rest(miss, pause).await?,
            }
        }
    }

    /// Fetches a file, from its beginning again where that breaks off.
    ///
    /// # Errors
    /// When the server refuses, was not done in time, or the bytes cannot be taken.
    pub async fn fetch(&self, ask: &Ask, into: &mut impl Taking) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.fetch_once(ask, into).await {
                Ok(()) => return Ok(()),
                Err(miss) => pause = self.rest(miss, pause).await?,
            }
        }
    }

    /// One request whose answer does not matter much; whether it went well.
    pub async fn try_once(&self, ask: &Ask) -> bool {
        matches!(tokio::time::timeout(CONNECT, self.ask_once(ask)).await, Ok(Ok(_)))
    }

    /// Waits, unless that takes too long.
    ///
    /// # Errors
    /// When it would.
    pub async fn wait(&self, pause: Duration, why: &str) -> Result<(), Failure> {
        if Instant::now() + pause > self.until {
            return Err(Failure::Later(format!("the server was not done in time; last: {why}")));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn rest(&self, miss: Miss, pause: Duration) -> Result<Duration, Failure> {
        match miss {
            Miss::Ended(failure) => Err(failure),
            Miss::Again(why, asked) => {
                tracing::info!("a server is asked again: {why}");
                self.wait(asked.unwrap_or(pause), &why).await?;
                Ok((pause * 2).min(LONGEST_PAUSE))
            }
        }
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Said, Miss> {
        let response = self.send(ask).await?;
        let (head, body) = response.into_parts();
        Ok(Said { status: head.status, headers: head.headers, body: read_all(body).await? })
    }

    async fn fetch_once(&self, ask: &Ask, into: &mut impl Taking) -> Result<(), Miss> {
        let response = self.send(ask).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(&format!("the server answered {} for a file", response.status())));
        }
        into.begin().map_err(Miss::Ended)?;
        let mut body = response.into_body();
        while let Some(bytes) = next(&mut body).await? {
            if Instant::now() > self.until {
                return Err(Miss::Ended(Failure::Later("the server was not done in time".into())));
            }
            into.take(&bytes).map_err(Miss::Ended)?;
        }
        Ok(())
    }

    /// Sends a request; what is no success is sorted.
    async fn send(&self, ask: &Ask) -> Result<Response<Incoming>, Miss> {
        let secret = if ask.with_secret { self.secret(&ask.url).await? } else { None };
        let response = self.exchange(&ask.url, request(ask, secret)?).await?;
        let status = response.status();
        match status.as_u16() {
            200..300 => Ok(response),
            429 | 500 | 502 | 503 | 504 => {
                Err(Miss::Again(format!("the server answered {status}"), retry_after(response.headers())))
            }
            // A token that ended is another one the next time; what was fetched stays.
            401 | 403 => Err(Miss::Ended(Failure::Later(format!("the server does not take the token: {status}")))),
            // What it says may name persons, and is not repeated.
            _ => Err(refused(&format!("the server refused: {status}"))),
        }
    }

    /// What `url` is told: none where there is no secret.
    async fn secret(&self, url: &Uri) -> Result<Option<HeaderValue>, Miss> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let good = told.filter(|(_, until)| until.is_none_or(|until| Instant::now() < until)).map(|(secret, _)| secret);
        if good.is_none() && self.client.is_none() {
            return Ok(None);
        }
        if !same_origin(url, &self.origin) {
            return Err(refused("the server names another one, which would be told the credential"));
        }
        match (good, &self.client) {
            (None, Some(client)) => self.token(client).await.map(Some),
            (good, _) => Ok(good),
        }
    }

    /// Asks for a token.
    async fn token(&self, client: &smart::Client) -> Result<HeaderValue, Miss> {
        let fields = client.form(clock::now()).map_err(Miss::Ended)?;
        let body = form::encode(fields.iter().map(|(name, value)| (*name, value.as_str())));
        let headers = vec![FORM, ("accept", "application/json")];
        let ask = Ask { method: "POST", url: client.endpoint.clone(), headers, body, with_secret: false };
        let response = self.exchange(&ask.url, request(&ask, None)?).await?;
        match response.status().as_u16() {
            200 => {}
            429 | 500.. => return Err(again("the server gives no token now")),
            _ => return Err(refused(&format!("the server gave no token: {}", response.status()))),
        }
        let answer = Zeroizing::new(read_all(response.into_body()).await?);
        let given = smart::given(&answer).map_err(Miss::Ended)?;
        let secret = bearer(&given.token).map_err(|error| refused(&error.to_string()))?;
        let until = Some(Instant::now() + given.good_for);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((secret.clone(), until));
        Ok(secret)
    }

    async fn exchange(&self, url: &Uri, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Miss> {
        let response = tokio::time::timeout(SILENCE, self.connect_and_send(url, request)).await;
        response.map_err(|_| again("it does not answer"))?
    }

    async fn connect_and_send(&self, url: &Uri, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Miss> {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let encrypted = url.scheme_str() == Some("https");
        // Only a server that is asked so anyway may name others of this host.
        let plain = is_loopback(&host) && self.origin.scheme_str() == Some("http");
        if !(encrypted || plain) {
            return Err(refused("the server names an address that is not asked over TLS"));
        }
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await;
        let stream = connecting.map_err(|_| again("it cannot be reached"))?.map_err(|error| again(&error))?;
        let lost = |error: hyper::Error| again(&error);
        if !encrypted {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
            tokio::spawn(connection);
            return sender.send_request(request).await.map_err(lost);
        }
        let name = ServerName::try_from(host).map_err(|_| refused("an address without a host"))?;
        let tls = self.tls.as_ref().ok_or_else(|| refused("the server names another one, over TLS"))?;
        let stream = tls.connect(name, stream).await.map_err(|error| distrusted(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(lost)
    }
}

/// A server that is not who it should be is not asked again at once; one whose connection broke is.
fn distrusted(error: &std::io::Error) -> Miss {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Miss::Ended(Failure::Later(format!("the server is not who it should be: {why:?}")))
        }
        _ => again(error),
    }
}

fn again(why: &(impl std::fmt::Display + ?Sized)) -> Miss {
    Miss::Again(format!("no answer: {why}"), None)
}

fn refused(why: &str) -> Miss {
    Miss::Ended(Failure::Refused(why.to_owned()))
}

fn request(ask: &Ask, secret: Option<HeaderValue>) -> Result<Request<Full<Bytes>>, Miss> {
    let target = ask.url.path_and_query().map_or("/", |it| it.as_str());
    let host = ask.url.authority().ok_or_else(|| refused("an address without a host"))?;
    let mut request = Request::builder().method(ask.method).uri(target).header(HOST, host.as_str());
    request = request.header(USER_AGENT, concat!("sluse-gateway/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &ask.headers {
        request = request.header(*name, *value);
    }
    if let Some(secret) = secret {
        request = request.header(AUTHORIZATION, secret);
    }
    let body = Full::new(Bytes::copy_from_slice(&ask.body));
    request.body(body).map_err(|_| refused("a request that cannot be sent"))
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let secret = HeaderValue::from_str(&Zeroizing::new(format!("Bearer {token}")));
    let mut secret = secret.map_err(|_| Error::Key {
        what: "the token has characters that no header has".into(),
        hint: "A token is one line of plain characters.",
    })?;
    secret.set_sensitive(true);
    Ok(secret)
}

async fn read_all(mut body: Incoming) -> Result<Vec<u8>, Miss> {
    let mut read = Vec::new();
    while let Some(bytes) = next(&mut body).await? {
        if read.len() + bytes.len() > LONGEST_ANSWER {
            return Err(refused("the server's answer is too long"));
        }
        read.extend(bytes);
    }
    Ok(read)
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Miss> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let frame = tokio::time::timeout(SILENCE, frame).await.map_err(|_| again("it fell silent"))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(again(&error)),
            // Trailers say nothing here.
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// How long a server wants to be left alone: a second at least, and five minutes at most. A date is as good as nothing said.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(FIRST_PAUSE, LONGEST_PAUSE))
}

/// The address that a server names, whole or as a path of its own.
pub fn join(base: &Uri, place: &str) -> Option<Uri> {
    if !place.starts_with('/') {
        return place.parse().ok().filter(|uri: &Uri| uri.host().is_some() && is_web(uri));
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(place.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether an address is one of HTTP.
pub fn is_web(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
}

/// Whether a host is this one, to which nothing need be encrypted.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback())
}

/// Whether two addresses are of one server.
pub fn same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        (uri.scheme_str().map(str::to_owned), uri.host().map(str::to_ascii_lowercase), uri.port_u16().unwrap_or(usual))
    };
    origin(one) == origin(other)
}

fn trust(file: &Path) -> Result<TlsConnector, Error> {
    let unusable = |why: &dyn std::fmt::Display| Error::Key {
        what: format!("the authorities in {} cannot be used: {why}", file.display()),
        hint: "Name a PEM file of who signed the server's certificate: `authority`.",
    };
    let bytes = files::read_bounded(file, MAX_AUTHORITIES).map_err(|error| unusable(&error))?;
    let mut roots = RootCertStore::empty();
    // Bundles of hosts have certificates that nobody can use any more.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).flatten());
    if roots.is_empty() {
        return Err(unusable(&"no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| unusable(&error))?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn a_server_names_addresses_whole_or_as_paths_of_its_own() {
        let base = uri("https://fhir.example.org:8443/fhir/$export?x=1");
        let cases = [
            ("/jobs/7?a=b", Some("https://fhir.example.org:8443/jobs/7?a=b")),
            ("https://other.example.org/f", Some("https://other.example.org/f")),
            ("jobs/7", None),
            ("ftp://other.example.org/f", None),
            ("", None),
            ("https://", None),
        ];
        for (place, wanted) in cases {
            assert_eq!(join(&base, place), wanted.map(uri), "{place}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let one = uri("https://a.example.org/x");
        for (other, same) in [
            ("https://A.example.org:443/y", true),
            ("http://a.example.org/x", false),
            ("https://a.example.org:8443/x", false),
            ("https://a.example.org.evil/x", false),
        ] {
            assert_eq!(same_origin(&one, &uri(other)), same, "{other}");
        }
    }
}
