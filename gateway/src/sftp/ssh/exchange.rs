//! Agreeing on keys: what both sides propose (RFC 4253 section 7), and Diffie-Hellman on a curve (RFC 5656, RFC 8731).

use super::cipher::{Cipher, Opening, Sealing};
use super::data::{Reader, Write as _};
use super::{Broken, HostKey, message};
use aws_lc_rs::agreement::{self, ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::rand::SystemRandom;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Curves, by their names, in the order of our preference; the client's counts.
const CURVES: [(&str, &agreement::Algorithm); 3] =
    [("curve25519-sha256", &X25519), ("curve25519-sha256@libssh.org", &X25519), ("ecdh-sha2-nistp256", &ECDH_P256)];

/// What tells the other side that packets are counted as OpenSSH's strict exchange has it, and that extensions are understood.
const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";
const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
const EXTENSIONS_CLIENT: &str = "ext-info-c";

/// What we propose.
///
/// # Errors
/// When the kernel gives no randomness.
pub fn proposal() -> std::io::Result<Vec<u8>> {
    let names = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>().join(",");
    let curves = names(&mut CURVES.iter().map(|(name, _)| *name).chain([STRICT_SERVER]));
    let ciphers = names(&mut Cipher::ALL.iter().map(|(name, _)| *name));
    // The ciphers authenticate by themselves; a list that names nothing would confuse clients.
    let codes = "hmac-sha2-256-etm@openssh.com";
    let mut proposal = vec![message::KEXINIT];
    proposal.extend_from_slice(&sluse_host::random::bytes::<16>()?[..]);
    for list in [&*curves, HostKey::ALGORITHM, &ciphers, &ciphers, codes, codes, "none", "none", "", ""] {
        proposal.put_string(list.as_bytes());
    }
    proposal.push(0);
    proposal.put_number(0);
    Ok(proposal)
}

/// What both sides can.
pub struct Agreed {
    curve: &'static agreement::Algorithm,
    /// What seals what the client sends.
    incoming: Cipher,
    /// What seals what we send.
    outgoing: Cipher,
    /// The client's next packet is a wrong guess, to be thrown away.
    pub wrong_guess: bool,
    /// Packets are counted from new keys on, and nothing else may come in between.
    pub strict: bool,
    /// The client understands extensions.
    pub extensions: bool,
}

/// Finds out what both sides can, from the client's proposal. Whether packets are counted strictly is settled by the first one;
/// later ones say nothing of it.
///
/// # Errors
/// When there is nothing, or it is no proposal.
pub fn agree(proposal: &[u8], settled: Option<bool>) -> Result<Agreed, Broken> {
    const BROKEN: Broken = Broken::Garbage("a proposal that cannot be read");
    let mut reader = Reader(proposal);
    reader.bytes(17).ok_or(BROKEN)?;
    let mut lists = [""; 10];
    for list in &mut lists {
        *list = reader.text().ok_or(BROKEN)?;
    }
    let guesses = reader.flag().ok_or(BROKEN)?;
    let [curves, host_keys, incoming, outgoing, _, _, compress_in, compress_out, ..] = lists;
    let has = |list: &str, name: &str| list.split(',').any(|one| one == name);
    let (_, curve) = first(curves, &CURVES).ok_or(Broken::Garbage("no key exchange in common"))?;
    if !has(host_keys, HostKey::ALGORITHM) {
        return Err(Broken::Garbage("no host key algorithm in common"));
    }
    let strict = settled.unwrap_or_else(|| has(curves, STRICT_CLIENT));
    // Whoever does not count strictly could lose packets of ChaCha20-Poly1305 without noticing (CVE-2023-48795).
    let ciphers: Vec<_> = Cipher::ALL.into_iter().filter(|(_, cipher)| strict || *cipher != Cipher::ChaCha).collect();
    let cipher = |list| first(list, &ciphers).ok_or(Broken::Garbage("no cipher in common"));
    if !has(compress_in, "none") || !has(compress_out, "none") {
        return Err(Broken::Garbage("no way without compression"));
    }
    // A guess is right if both prefer the same (RFC 4253 section 7).
    let guessed =
        curves.split(',').next() == Some(CURVES[0].0) && host_keys.split(',').next() == Some(HostKey::ALGORITHM);
    Ok(Agreed {
        curve,
        incoming: cipher(incoming)?.1,
        outgoing: cipher(outgoing)?.1,
        wrong_guess: guesses && !guessed,
        strict,
        extensions: has(curves, EXTENSIONS_CLIENT),
    })
}

/// The first that the client names and we have.
fn first<T: Copy>(list: &str, own: &[(&'static str, T)]) -> Option<(&'static str, T)> {
    list.split(',').find_map(|name| own.iter().find(|(own, _)| *own == name).copied())
}

/// What goes into the digest that both sides sign off: first lines and proposals.
pub struct Said<'a> {
    /// The client's first line.
    pub client: &'a [u8],
    /// Ours.
    pub server: &'a [u8],
    /// The client's proposal.
    pub client_proposal: &'a [u8],
    /// Ours.
    pub server_proposal: &'a [u8],
}

/// Secrets that were agreed on.
pub struct Secrets {
    /// What stands for this exchange; the first one's for the whole connection.
    pub digest: [u8; 32],
    shared: Zeroizing<Vec<u8>>,
    agreed: Agreed,
}

/// Answers the client's half of the exchange: the answer, and the secrets.
///
/// # Errors
/// When it is no half of one.
pub fn answer(agreed: Agreed, said: &Said<'_>, init: &[u8], host_key: &HostKey) -> Result<(Vec<u8>, Secrets), Broken> {
    const BROKEN: Broken = Broken::Garbage("a key exchange that cannot be finished");
    let mut reader = Reader(init);
    if reader.byte() != Some(message::ECDH_INIT) {
        return Err(BROKEN);
    }
    // The library would take other forms of a point too.
    let good = |point: &&[u8]| point.len() == 32 || (point.len() == 65 && point[0] == 4);
    let theirs = reader.string().filter(good).ok_or(BROKEN)?;
    let private = EphemeralPrivateKey::generate(agreed.curve, &SystemRandom::new()).map_err(|_| BROKEN)?;
    let ours = private.compute_public_key().map_err(|_| BROKEN)?;
    let peer = UnparsedPublicKey::new(agreed.curve, theirs);
    let shared = agreement::agree_ephemeral(private, peer, BROKEN, |secret| {
        let mut shared = Zeroizing::new(Vec::with_capacity(80));
        shared.put_positive(secret);
        Ok(shared)
    })?;
    let mut hashed = Vec::new();
    for part in [said.client, said.server, said.client_proposal, said.server_proposal] {
        hashed.put_string(part);
    }
    hashed.put_string(&host_key.public());
    hashed.put_string(theirs);
    hashed.put_string(ours.as_ref());
    let digest: [u8; 32] = Sha256::new().chain_update(&hashed).chain_update(&*shared).finalize().into();
    let mut answer = vec![message::ECDH_REPLY];
    answer.put_string(&host_key.public());
    answer.put_string(ours.as_ref());
    answer.put_string(&host_key.sign(&digest));
    Ok((answer, Secrets { digest, shared, agreed }))
}

impl Secrets {
    /// The keys for both directions, of a connection that `session` stands for.
    ///
    /// # Errors
    /// When the library refuses them.
    pub fn keys(&self, session: &[u8; 32]) -> Result<(Opening, Sealing), Broken> {
        const BROKEN: Broken = Broken::Garbage("keys that cannot be used");
        let (incoming, outgoing) = (self.agreed.incoming, self.agreed.outgoing);
        let key = |letter, bytes| self.derive(letter, session, bytes);
        let opening = Opening::new(incoming, &key(b'C', incoming.key_bytes()), &key(b'A', 12)).ok_or(BROKEN)?;
        let sealing = Sealing::new(outgoing, &key(b'D', outgoing.key_bytes()), &key(b'B', 12)).ok_or(BROKEN)?;
        Ok((opening, sealing))
    }

    fn derive(&self, letter: u8, session: &[u8; 32], bytes: usize) -> Zeroizing<Vec<u8>> {
        let begin = || Sha256::new().chain_update(&*self.shared).chain_update(self.digest);
        let mut key = Zeroizing::new(begin().chain_update([letter]).chain_update(session).finalize().to_vec());
        while key.len() < bytes {
            let more = begin().chain_update(&*key).finalize();
            key.extend_from_slice(&more);
        }
        key.truncate(bytes);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proposal_of(curves: &str, ciphers: &str) -> Vec<u8> {
        let mut proposal = vec![message::KEXINIT];
        proposal.extend([0; 16]);
        for list in [curves, "ssh-ed25519", ciphers, ciphers, "", "", "none,zlib", "none", "", ""] {
            proposal.put_string(list.as_bytes());
        }
        proposal.extend([0; 5]);
        proposal
    }

    #[test]
    fn the_clients_order_counts_and_chacha_is_for_those_who_count_strictly() {
        let all = "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com";
        let agreed = agree(&proposal_of("other,curve25519-sha256", all), None).unwrap();
        assert_eq!((agreed.incoming, agreed.strict, agreed.extensions), (Cipher::Aes128, false, false));
        let strict = "curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com";
        let agreed = agree(&proposal_of(strict, all), None).unwrap();
        assert_eq!((agreed.outgoing, agreed.strict, agreed.extensions), (Cipher::ChaCha, true, true));
        for (settled, agreed) in [(None, false), (Some(false), false), (Some(true), true)] {
            let later = agree(&proposal_of("curve25519-sha256", "chacha20-poly1305@openssh.com"), settled);
            assert_eq!(later.is_ok(), agreed, "{settled:?}");
        }
        assert!(agree(&proposal_of(strict, "chacha20-poly1305@openssh.com"), Some(false)).is_err());
        assert!(agree(&proposal_of("diffie-hellman-group14-sha1", all), None).is_err());
    }

    #[test]
    fn a_point_that_gives_away_the_secret_is_refused() {
        let host_key = HostKey::read(&HostKey::make().unwrap()).unwrap();
        let said = Said { client: b"", server: b"", client_proposal: b"", server_proposal: b"" };
        for point in [&[0; 32][..], &[0; 31], &[], &[0; 65]] {
            let agreed = agree(&proposal_of("curve25519-sha256", "aes128-gcm@openssh.com"), None).unwrap();
            let mut init = vec![message::ECDH_INIT];
            init.put_string(point);
            assert!(answer(agreed, &said, &init, &host_key).is_err(), "{point:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_proposed_is_agreed_on_or_refused(cut in 0usize..200, junk in prop::collection::vec(any::<u8>(), 0..60)) {
            let whole = proposal_of("curve25519-sha256", "aes128-gcm@openssh.com");
            let front = &whole[..cut.min(whole.len())];
            // Only the guess and four reserved bytes may be missing something.
            prop_assert_eq!(agree(front, None).is_ok(), front.len() > whole.len() - 5);
            let _ = agree(&[front, &junk].concat(), None);
        }
    }
}
