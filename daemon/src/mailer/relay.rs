//! The relay that takes mails: a connection for each, with a time for everything.

use crate::RoleError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sluse_host::config::NotifySettings;
use sluse_host::files;
use sluse_protocol::smtp::{Letter, Next, Session};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long each address may take to answer, and each reply.
const CONNECT: Duration = Duration::from_secs(10);
const REPLY: Duration = Duration::from_secs(60);

/// How long handing over one mail may take.
const ALL: Duration = Duration::from_secs(180);

/// Addresses of the relay that are tried.
const ADDRESSES: usize = 4;

/// Bytes of the longest file of certificates.
const MAX_AUTHORITY: u64 = 1024 * 1024;

/// See the module.
pub struct Relay {
    address: String,
    host: String,
    port: u16,
    /// How its certificate is checked, where it is to be encrypted to.
    tls: Option<Arc<ClientConfig>>,
}

impl Relay {
    /// The relay of the settings; `authority` is the file of certificates by which its own must be good.
    ///
    /// # Errors
    /// When that cannot be used.
    pub fn new(settings: &NotifySettings, authority: Option<&Path>) -> Result<Self, RoleError> {
        let wrong = || RoleError::State(format!("notify.relay: {} is not host:port", settings.relay));
        let (host, port) = settings.relay.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = authority.map(trust).transpose()?;
        Ok(Self { address: settings.relay.clone(), host, port, tls })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Looks its name up; what comes of it does not matter yet.
    pub fn look_up_once(&self) {
        if let Err(error) = self.address.to_socket_addrs() {
            tracing::warn!(%error, "the relay's name is not known now");
        }
    }

    /// Hands a letter over.
    ///
    /// # Errors
    /// Why it was not taken: a sentence that names nobody.
    pub fn send(&self, letter: &Letter, hello: &str) -> Result<(), String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let mut stream = self.connect().map_err(failed("connecting to the relay"))?;
        let mut session = Session::new(letter, hello, self.tls.is_some());
        let deadline = Instant::now() + ALL;
        match converse(&mut stream, &mut session, None, deadline)? {
            Ended::Taken => Ok(()),
            Ended::Encrypt => {
                let mut stream = self.encrypt(stream).map_err(failed("encryption to the relay"))?;
                let next = session.encrypted();
                match converse(&mut stream, &mut session, Some(next), deadline)? {
                    Ended::Taken => Ok(()),
                    Ended::Encrypt => Err("the relay asks for encryption twice".into()),
                }
            }
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("its name has no address");
        for address in self.address.to_socket_addrs()?.take(ADDRESSES) {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(REPLY))?;
                    stream.set_write_timeout(Some(REPLY))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn encrypt(&self, stream: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let config = self.tls.clone().ok_or_else(|| io::Error::other("no authority is configured"))?;
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(StreamOwned::new(ClientConnection::new(config, name).map_err(io::Error::other)?, stream))
    }
}

fn trust(file: &Path) -> Result<Arc<ClientConfig>, RoleError> {
    let bytes = files::read_bounded(file, MAX_AUTHORITY).map_err(RoleError::io(file.display().to_string()))?;
    let unusable =
        |what: &dyn std::fmt::Display| RoleError::State(format!("notify.authority: {}: {what}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

enum Ended {
    Taken,
    Encrypt,
}

fn converse(
    stream: &mut (impl Read + Write),
    session: &mut Session<'_>,
    first: Option<Next>,
    deadline: Instant,
) -> Result<Ended, String> {
    let failed = |error: io::Error| format!("speaking with the relay: {error}");
    let mut next = first.unwrap_or(Next::Read);
    let mut buffer = [0; 4096];
    loop {
        match next {
            Next::Read => {}
            Next::Send(bytes) => {
                stream.write_all(&bytes).and_then(|()| stream.flush()).map_err(failed)?;
            }
            Next::Encrypt => return Ok(Ended::Encrypt),
            Next::Taken(bytes) => {
                // It has the mail; whether it hears the goodbye does not matter.
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                return Ok(Ended::Taken);
            }
        }
        if Instant::now() >= deadline {
            return Err("the relay takes too long".into());
        }
        let count = stream.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Err("the relay closed the connection".into());
        }
        next = session.take(&buffer[..count]).map_err(|refused| refused.to_string())?;
    }
}
