//! Who calls (RFC 4252): by a public key, and nothing else.

use super::data::{Reader, Write as _};
use super::{Broken, ClientKey, Transport, message};

/// Requests that one connection may make: clients offer one key after the other.
const MAX_REQUESTS: usize = 20;

const CONNECTION: &str = "ssh-connection";

/// Waits until somebody has logged in, and returns who: a place in what `keys` knows. `keys` gives the keys of a name, with that
/// place; whoever has none is told the same as one with a wrong key.
///
/// # Errors
/// When nobody does, or the connection ends.
pub fn login<'a, K>(transport: &mut Transport, keys: K) -> Result<usize, Broken>
where
    K: Fn(&str) -> Option<(usize, &'a [ClientKey])>,
{
    let request = transport.receive()?;
    if Reader(&request[1..]).text() != Some("ssh-userauth") || request[0] != message::SERVICE_REQUEST {
        return Err(Broken::Garbage("no request to log in"));
    }
    let mut accept = vec![message::SERVICE_ACCEPT];
    accept.put_string(b"ssh-userauth");
    transport.send(&accept)?;
    for _ in 0..MAX_REQUESTS {
        let request = transport.receive()?;
        let read = Request::read(&request).ok_or(Broken::Garbage("a request to log in that cannot be read"))?;
        let found = keys(read.user).and_then(|(who, keys)| Some((who, read.find(keys)?)));
        match (found, &read.offer) {
            (Some((who, key)), Some(Offer { algorithm, blob, signature: Some(signature) }))
                if key.verifies(algorithm, &signed(&transport.session(), &read, algorithm, blob), signature) =>
            {
                transport.send(&[message::USERAUTH_SUCCESS])?;
                transport.logged_in()?;
                return Ok(who);
            }
            (Some(_), Some(Offer { algorithm, blob, signature: None })) => {
                let mut answer = vec![message::USERAUTH_PK_OK];
                answer.put_string(algorithm.as_bytes());
                answer.put_string(blob);
                transport.send(&answer)?;
            }
            _ => {
                let mut answer = vec![message::USERAUTH_FAILURE];
                answer.put_string(b"publickey");
                answer.push(0);
                transport.send(&answer)?;
            }
        }
    }
    transport.goodbye("too many keys were tried");
    Err(Broken::Garbage("nobody logged in"))
}

/// What a client asks for.
struct Request<'a> {
    user: &'a str,
    service: &'a str,
    /// None where it asks by another method than a public key.
    offer: Option<Offer<'a>>,
}

struct Offer<'a> {
    algorithm: &'a str,
    blob: &'a [u8],
    signature: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(message);
        if reader.byte()? != message::USERAUTH_REQUEST {
            return None;
        }
        let (user, service, method) = (reader.text()?, reader.text()?, reader.text()?);
        if method != "publickey" {
            return Some(Self { user, service, offer: None });
        }
        let signs = reader.flag()?;
        let (algorithm, blob) = (reader.text()?, reader.string()?);
        let signature = if signs { Some(reader.string()?) } else { None };
        Some(Self { user, service, offer: Some(Offer { algorithm, blob, signature }) })
    }

    fn find<'k>(&self, keys: &'k [ClientKey]) -> Option<&'k ClientKey> {
        let offer = self.offer.as_ref().filter(|_| self.service == CONNECTION)?;
        keys.iter().find(|key| key.is(offer.blob) && key.signs_with(offer.algorithm))
    }
}

/// What the client must have signed.
fn signed(session: &[u8; 32], request: &Request<'_>, algorithm: &str, blob: &[u8]) -> Vec<u8> {
    let mut signed = Vec::new();
    signed.put_string(session);
    signed.push(message::USERAUTH_REQUEST);
    for text in [request.user, request.service, "publickey"] {
        signed.put_string(text.as_bytes());
    }
    signed.push(1);
    signed.put_string(algorithm.as_bytes());
    signed.put_string(blob);
    signed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_comes_is_a_request_or_none(junk in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut request = vec![message::USERAUTH_REQUEST];
            for text in ["anna", CONNECTION, "publickey"] {
                request.put_string(text.as_bytes());
            }
            request.extend_from_slice(&junk);
            let read = Request::read(&request);
            prop_assert!(read.is_none_or(|read| read.user == "anna" && read.offer.is_some()));
            prop_assert!(Request::read(&junk).is_none_or(|_| junk[0] == message::USERAUTH_REQUEST));
        }
    }
}
