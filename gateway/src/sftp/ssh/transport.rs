//! A connection whose packets are sealed: it agrees on keys at its beginning and whenever the client wants others.

use super::data::Write as _;
use super::exchange::{self, Said};
use super::packets::Packets;
use super::{Broken, ClientKey, HostKey, message};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Our first line, without its end.
const VERSION: &[u8] = b"SSH-2.0-Sluse";

/// A connection.
pub struct Transport {
    packets: Packets,
    host_key: Arc<HostKey>,
    client: Vec<u8>,
    /// What stands for this connection, once there are keys.
    session: Option<[u8; 32]>,
    strict: bool,
    logged_in: bool,
}

impl Transport {
    /// Greets whoever called, and agrees on keys.
    ///
    /// # Errors
    /// When that does not speak SSH as we do, hangs up, or takes longer than `greeting` until somebody has logged in.
    pub fn open(stream: TcpStream, host_key: Arc<HostKey>, greeting: Duration, idle: Duration) -> Result<Self, Broken> {
        let mut packets = Packets::new(stream, greeting, idle)?;
        packets.send_raw(&[VERSION, b"\r\n"].concat())?;
        let client = packets.line()?;
        if !client.starts_with(b"SSH-2.0-") {
            return Err(Broken::Garbage("not SSH 2"));
        }
        let mut transport = Self { packets, host_key, client, session: None, strict: false, logged_in: false };
        let proposal = transport.packets.receive()?;
        if proposal[0] != message::KEXINIT {
            return Err(Broken::Garbage("no proposal at the beginning"));
        }
        transport.exchange(&proposal)?;
        Ok(transport)
    }

    /// What stands for this connection: what clients sign.
    pub fn session(&self) -> [u8; 32] {
        self.session.unwrap_or_default()
    }

    /// Somebody logged in.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn logged_in(&mut self) -> Result<(), Broken> {
        self.logged_in = true;
        Ok(self.packets.logged_in()?)
    }

    /// The next message that is not the connection's own.
    ///
    /// # Errors
    /// When the connection ends, or what comes is against the protocol.
    pub fn receive(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            let message = self.packets.receive()?;
            match message[0] {
                message::DISCONNECT => return Err(Broken::HungUp),
                message::IGNORE | message::UNIMPLEMENTED | message::DEBUG | message::EXT_INFO => {}
                message::KEXINIT if self.logged_in => self.exchange(&message)?,
                message::KEXINIT => return Err(Broken::Garbage("other keys before anybody has logged in")),
                _ => return Ok(message),
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Broken> {
        self.packets.send(message)
    }

    /// Tells the client that a message means nothing here.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn unimplemented(&mut self) -> Result<(), Broken> {
        let mut answer = vec![message::UNIMPLEMENTED];
        answer.put_number(self.packets.received.wrapping_sub(1));
        self.send(&answer)
    }

    /// Says goodbye. Whoever is gone hears nothing.
    pub fn goodbye(&mut self, why: &str) {
        let mut goodbye = vec![message::DISCONNECT];
        goodbye.put_number(11);
        goodbye.put_string(why.as_bytes());
        goodbye.put_string(b"");
        let _ = self.send(&goodbye);
    }

    /// Agrees on keys. Until that is done, the client sends nothing else (RFC 4253 section 7.1).
    fn exchange(&mut self, theirs: &[u8]) -> Result<(), Broken> {
        let first = self.session.is_none();
        let ours = exchange::proposal()?;
        self.send(&ours)?;
        let agreed = exchange::agree(theirs, (!first).then_some(self.strict))?;
        let extensions = agreed.extensions && first;
        self.strict = agreed.strict;
        if agreed.wrong_guess {
            self.packets.receive()?;
        }
        let init = self.in_exchange(first)?;
        let said = Said { client: &self.client, server: VERSION, client_proposal: theirs, server_proposal: &ours };
        let (answer, secrets) = exchange::answer(agreed, &said, &init, &self.host_key)?;
        self.send(&answer)?;
        self.send(&[message::NEWKEYS])?;
        let session = *self.session.get_or_insert(secrets.digest);
        let (opening, sealing) = secrets.keys(&session)?;
        self.packets.sealing = sealing;
        if self.strict {
            self.packets.sent = 0;
        }
        if extensions {
            let mut message = vec![message::EXT_INFO];
            message.put_number(1);
            message.put_string(b"server-sig-algs");
            message.put_string(ClientKey::ALGORITHMS.join(",").as_bytes());
            self.send(&message)?;
        }
        if self.in_exchange(first)? != [message::NEWKEYS] {
            return Err(Broken::Garbage("something else than new keys"));
        }
        self.packets.opening = opening;
        self.packets.rekeyed();
        if self.strict {
            self.packets.received = 0;
        }
        Ok(())
    }

    /// The next message of an exchange. In the first one, if it is strict, nothing may come in between.
    fn in_exchange(&mut self, first: bool) -> Result<Vec<u8>, Broken> {
        loop {
            let message = self.packets.receive()?;
            match message[0] {
                message::DISCONNECT => return Err(Broken::HungUp),
                message::IGNORE | message::UNIMPLEMENTED | message::DEBUG if !(self.strict && first) => {}
                _ => return Ok(message),
            }
        }
    }
}
