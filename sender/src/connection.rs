//! A connection to the zone: dialling, the hello, and the control stream on which requests are asked and answered.

use crate::error::{Error, Lost};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use sluse_host::network::Network;
use sluse_protocol::frame::{self, Lengths, PREFIX_BYTES};
use sluse_protocol::ids::{SourceName, TransferId, ZoneName};
use sluse_protocol::limits;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::time::Timestamp;
use sluse_protocol::wire::{self, Reply, Request};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long one address of the zone may take to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(8);

/// How long the zone may take over one request: a large plan or manifest is checked line by line before it is answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(150);

/// Answers that wait to be taken; the zone sends no more than it is asked for, and durable notices.
const MAX_UNREAD: usize = 16;

/// How long we listen for the zone's last words on a connection that ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a goodbye may take to leave.
const GOODBYE: Duration = Duration::from_millis(5);

/// An answer and its body.
pub(crate) type Answer = (Reply, Vec<u8>);

/// An open connection, welcomed by the zone.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: Endpoint,
    connection: Connection,
    requests: SendStream,
    replies: mpsc::Receiver<Result<Answer, Error>>,
    /// Chunks named durable while an answer was awaited.
    durable: Vec<u32>,
    /// Signs of life whose answers have not come yet.
    pings: u32,
    /// The version of the protocol that is spoken.
    version: u16,
    zone: ZoneName,
    source: Option<SourceName>,
    /// The zone's clock and ours when it welcomed us.
    clocks: (Timestamp, Timestamp),
}

impl Link {
    /// Connects to the first of `addresses` that answers, and says hello.
    pub async fn open(addresses: &[String], tls: &quinn::ClientConfig, network: &Network) -> Result<Self, Error> {
        let mut failure = None;
        for address in addresses {
            match dial(address, tls, network).await {
                Ok((endpoint, connection)) => return Self::greet(endpoint, connection).await,
                // The first failure tells most: later addresses are spare ones.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Lost::Silent("any address".into()).into()))
    }

    async fn greet(endpoint: Endpoint, connection: Connection) -> Result<Self, Error> {
        let (requests, replies) = connection.open_bi().await.map_err(|error| ended(&error))?;
        let (sender, receiver) = mpsc::channel(MAX_UNREAD);
        tokio::spawn(read_replies(connection.clone(), replies, sender));
        let mut link = Self {
            endpoint,
            connection,
            requests,
            replies: receiver,
            durable: Vec::new(),
            pings: 0,
            // Replaced by what the welcome says.
            version: 0,
            zone: "unknown".parse().map_err(|_| Error::Protocol("no name"))?,
            source: None,
            clocks: (sluse_host::clock::now(), sluse_host::clock::now()),
        };
        let hello = Request::Hello {
            versions: wire::VERSIONS.to_vec(),
            agent: concat!("sluse ", env!("CARGO_PKG_VERSION")).into(),
            clock: sluse_host::clock::now(),
        };
        let welcome = timeout(limits::HELLO_TIMEOUT, link.ask(&hello)).await.map_err(|_| Lost::Unanswered)?;
        match welcome?.0 {
            Reply::Welcome { version, zone, source, clock } if wire::VERSIONS.contains(&version) => {
                (link.version, link.zone, link.source) = (version, zone, source);
                link.clocks = (clock, sluse_host::clock::now());
                Ok(link)
            }
            _ => Err(Error::Protocol("no welcome in a version that was offered")),
        }
    }

    /// The version of the protocol that is spoken.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The zone's name, as it says.
    pub fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// What the zone's clock showed when it welcomed us.
    pub fn zone_clock(&self) -> Timestamp {
        self.clocks.0
    }

    /// Seconds that this host's clock is ahead of the zone's; negative when it is behind.
    pub fn clock_ahead(&self) -> i64 {
        self.clocks.1.unix().saturating_sub(self.clocks.0.unix())
    }

    /// For whom the zone takes us; none for an invite's certificate.
    pub fn source(&self) -> Option<&SourceName> {
        self.source.as_ref()
    }

    /// The connection, for chunk streams.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Asks, and waits for the answer; a refusal is an error.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, Error> {
        self.send(request, &[]).await?;
        self.answer().await
    }

    /// Sends a document's lines as `Part` frames.
    pub async fn send_document(&mut self, lines: impl Iterator<Item = String>) -> Result<(), Error> {
        let mut part = Vec::with_capacity(limits::PART_BYTES);
        for line in lines {
            let mut rest = line.as_bytes();
            while part.len() + rest.len() > limits::PART_BYTES {
                let (fits, left) = rest.split_at(limits::PART_BYTES - part.len());
                part.extend_from_slice(fits);
                self.send(&Request::Part, &part).await?;
                part.clear();
                rest = left;
            }
            part.extend_from_slice(rest);
        }
        if part.is_empty() { Ok(()) } else { self.send(&Request::Part, &part).await }
    }

    /// Sends a request without waiting for an answer.
    pub async fn send(&mut self, request: &Request, body: &[u8]) -> Result<(), Error> {
        let frame = frame::encode(request, body).map_err(|_| Error::Protocol("a request is too large"))?;
        let written = timeout(ANSWER_TIMEOUT, self.requests.write_all(&frame)).await.map_err(|_| Lost::Unanswered)?;
        match written {
            Ok(()) => Ok(()),
            // A zone that refuses in the middle of a document stops reading: its refusal is on its way.
            Err(_) => Err(self.why_ended().await),
        }
    }

    /// The next answer that is no durable notice.
    pub async fn answer(&mut self) -> Result<Answer, Error> {
        let deadline = tokio::time::Instant::now() + ANSWER_TIMEOUT;
        loop {
            let next = tokio::time::timeout_at(deadline, self.replies.recv()).await.map_err(|_| Lost::Unanswered)?;
            match next {
                None => return Err(self.closed()),
                Some(Err(error)) => return Err(error),
                Some(Ok((Reply::Refused(refusal), _))) => return Err(refusal.into()),
                Some(Ok((Reply::Durable { .. }, body))) => take_numbers(&body, &mut self.durable)?,
                Some(Ok((Reply::Status(_), _))) if self.pings > 0 => self.pings -= 1,
                Some(Ok(answer)) => return Ok(answer),
            }
        }
    }

    /// Says that we are there, though there is nothing to send.
    pub async fn ping(&mut self, transfer: &TransferId) -> Result<(), Error> {
        self.pings += 1;
        self.send(&Request::Status { transfer: transfer.clone(), unless: None, wait_seconds: 0 }, &[]).await
    }

    /// Waits for the next notice while nothing is asked: chunks that became durable, maybe none, or why the connection
    /// ends. Safe to be dropped while it waits.
    pub async fn notice(&mut self) -> Result<Vec<u32>, Error> {
        if !self.durable.is_empty() {
            return Ok(std::mem::take(&mut self.durable));
        }
        match self.replies.recv().await {
            None => Err(self.closed()),
            Some(Err(error)) => Err(error),
            Some(Ok((Reply::Refused(refusal), _))) => Err(refusal.into()),
            Some(Ok((Reply::Durable { .. }, body))) => {
                let mut numbers = Vec::new();
                take_numbers(&body, &mut numbers)?;
                Ok(numbers)
            }
            Some(Ok((Reply::Status(_), _))) if self.pings > 0 => {
                self.pings -= 1;
                Ok(Vec::new())
            }
            Some(Ok(_)) => Err(Error::Protocol("an answer to nothing that was asked")),
        }
    }

    /// Why a stream ended: what the zone said last, or what became of the connection.
    pub async fn why_ended(&mut self) -> Error {
        match timeout(LAST_WORDS, self.last_words()).await {
            Ok(error) => error,
            Err(_) => self.closed(),
        }
    }

    async fn last_words(&mut self) -> Error {
        loop {
            match self.notice().await {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    fn closed(&self) -> Error {
        match self.connection.close_reason() {
            Some(reason) => ended(&reason),
            None => Lost::Ended("the zone ended the conversation".into()).into(),
        }
    }

    /// Closes the connection without waiting.
    pub fn close(&self) {
        self.connection.close(VarInt::from_u32(0), b"done");
    }

    /// Closes the connection and lets the zone know, so that it need not wait for a time-out.
    pub async fn finish(self) {
        self.close();
        // A courtesy: QUIC would wait longer, to say it again to a zone that did not hear it. That notices the silence too.
        let _ = timeout(GOODBYE, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

/// Connects to one `host:port`, by the first of its addresses that answers.
async fn dial(address: &str, tls: &quinn::ClientConfig, network: &Network) -> Result<(Endpoint, Connection), Error> {
    let unknown = |reason: String| Lost::Name { address: address.to_owned(), reason };
    let found = tokio::net::lookup_host(address).await.map_err(|error| unknown(error.to_string()))?;
    let mut failure = unknown("none found".into()).into();
    for found in found {
        let endpoint = endpoint(found, network)?;
        let connecting = endpoint
            .connect_with(tls.clone(), found, wire::ZONE_HOST)
            .map_err(|error| Lost::Ended(error.to_string()))?;
        failure = match timeout(DIAL_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => return Ok((endpoint, connection)),
            Ok(Err(error)) => ended(&error),
            Err(_) => Lost::Silent(address.to_owned()).into(),
        };
    }
    Err(failure)
}

fn endpoint(peer: SocketAddr, network: &Network) -> Result<Endpoint, Error> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let made = UdpSocket::bind(any).and_then(|socket| sluse_host::quic::endpoint(network, socket, None));
    made.map_err(|error| Error::Fault { what: "opening a UDP socket".into(), error })
}

/// Reads answers until the stream or whoever listens ends.
async fn read_replies(connection: Connection, mut stream: RecvStream, replies: mpsc::Sender<Result<Answer, Error>>) {
    loop {
        let read = read_frame(&connection, &mut stream).await;
        let last = read.is_err();
        if replies.send(read).await.is_err() || last {
            return;
        }
    }
}

async fn read_frame(connection: &Connection, stream: &mut RecvStream) -> Result<Answer, Error> {
    let lost = |error| match error {
        quinn::ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => ended(&error),
        _ => match connection.close_reason() {
            Some(reason) => ended(&reason),
            None => Lost::Ended("the zone ended the conversation".into()).into(),
        },
    };
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await.map_err(lost)?;
    let lengths = Lengths::parse(prefix).map_err(|_| Error::Protocol("a frame is too large"))?;
    let mut head = vec![0; lengths.head];
    stream.read_exact(&mut head).await.map_err(lost)?;
    let mut body = vec![0; lengths.body];
    stream.read_exact(&mut body).await.map_err(lost)?;
    let reply = frame::decode_head(&head).map_err(|_| Error::Protocol("an unknown answer"))?;
    Ok((reply, body))
}

fn take_numbers(body: &[u8], numbers: &mut Vec<u32>) -> Result<(), Error> {
    let (whole, rest) = body.as_chunks::<4>();
    if !rest.is_empty() || numbers.len() + whole.len() > limits::MAX_CHUNKS as usize {
        return Err(Error::Protocol("a list of durable chunks is malformed"));
    }
    numbers.extend(whole.iter().map(|number| u32::from_be_bytes(*number)));
    Ok(())
}

/// What the end of a connection means. TLS alerts arrive here, since a client's handshake succeeds before the zone has seen
/// the client's certificate.
pub(crate) fn ended(error: &ConnectionError) -> Error {
    match error {
        ConnectionError::ApplicationClosed(close) => match code_of(&close.reason) {
            Some(code) => Refusal::new(code, "the zone closed the connection").into(),
            None => Lost::Ended("the zone closed the connection".into()).into(),
        },
        ConnectionError::TransportError(error) if is_tls(error.code) => Lost::Impostor(error.reason.clone()).into(),
        ConnectionError::ConnectionClosed(close) => match alert_of(close.error_code) {
            Some(code) => Refusal::new(code, "the zone does not take this certificate").into(),
            None if is_undecided(close.error_code) => {
                let what = "the zone cannot tell whether this certificate was taken back";
                Refusal::new(Code::Unavailable, what)
                    .hint("Its operators must renew the authority's revocation list.")
                    .into()
            }
            None => Lost::Ended(error.to_string()).into(),
        },
        ConnectionError::Reset => Lost::Restarted.into(),
        ConnectionError::TimedOut => Lost::Ended("nothing was heard from the zone for too long".into()).into(),
        other => Lost::Ended(other.to_string()).into(),
    }
}

/// A zone closes with a refusal's code as the reason, where it has one.
fn code_of(reason: &[u8]) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str().as_bytes() == reason)
}

fn is_tls(code: quinn::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

/// The alert `bad_certificate_status_response`.
fn is_undecided(code: quinn::TransportErrorCode) -> bool {
    u64::from(code) == 0x100 + 113
}

/// What a TLS alert (RFC 8446, 6.2) of the zone says of our certificate or version.
fn alert_of(code: quinn::TransportErrorCode) -> Option<Code> {
    match u64::from(code).checked_sub(0x100)? {
        44 => Some(Code::RevokedSource),
        45 => Some(Code::CertificateExpired),
        40 | 70 | 71 | 109 | 120 => Some(Code::ProtocolVersion),
        42 | 43 | 46 | 48 | 49 | 51 | 116 => Some(Code::UnknownCertificate),
        _ => None,
    }
}
