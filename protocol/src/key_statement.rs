//! What a zone states of its own keys, each time that one is exchanged: a chain of signed statements, from 1 on, each signed with the
//! signing key in force before it. Whoever knows one signing key of the zone, or its authorities, follows the chain to those of now;
//! a key to which no chain leads is not the zone's.

use crate::audit::Entry;
use crate::ids::ZoneName;
use crate::signers::AllowedSigner;
use crate::sshsig::{
    self, BadSignature, NAMESPACE_CHECKPOINT, NAMESPACE_KEYS, NAMESPACE_RECEIPT, PublicKey, SigningKey,
};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Bytes of the longest signed statement as a line: some certificates of 700 bytes each.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Bytes of all statements of a zone: some thousands.
pub const MAX_CHAIN_BYTES: u64 = 16 * 1024 * 1024;

/// Authorities that a zone may have in force at once.
pub const MAX_AUTHORITIES: usize = 8;

/// `act` of the audit entry of a statement.
pub const KEY_ROTATED: &str = "key-rotated";

/// A key of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneKey {
    /// The certificate authority's.
    Ca,
    /// `receive`'s TLS key.
    Tls,
    /// The quarantine's age key.
    Quarantine,
    /// What receipts, grants and checkpoints are signed with.
    Signing,
    /// `deliver`'s age key.
    Deliver,
    /// The secret of stateless resets.
    Reset,
}

impl ZoneKey {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Tls => "tls",
            Self::Quarantine => "quarantine",
            Self::Signing => "signing",
            Self::Deliver => "deliver",
            Self::Reset => "reset",
        }
    }
}

impl std::fmt::Display for ZoneKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A new one is in force.
    Rotated,
    /// The old one beside it is good for nothing any more.
    Ended,
    /// A new one is in force that the old one could not introduce, since it was lost.
    Replaced,
}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Version 1.
    #[serde(rename = "keys/1")]
    V1,
}

/// What a zone states of its keys: what changed, and what others trust from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyStatement {
    /// `keys/1`.
    pub sluse: Format,
    /// Its number, from 1 without gaps.
    pub number: u64,
    /// Whose keys.
    pub zone: ZoneName,
    /// From when on.
    pub time: Timestamp,
    /// Which key changed.
    pub key: ZoneKey,
    /// How.
    pub change: Change,
    /// Who did it.
    pub by: String,
    /// What names the new key in public: an OpenSSH line, an age recipient, SHA-256 of a certificate; nothing for a secret.
    pub public: Option<String>,
    /// The signing key in force before, an OpenSSH line: it signs this.
    pub before: String,
    /// The signing key in force from now on.
    pub signer: String,
    /// The zone's certificate authorities from now on, PEM, the one that issues first.
    pub authorities: Vec<String>,
}

/// A statement's bytes and the signature over them, as they are kept and passed on: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// A [`KeyStatement`] as JSON: its bytes count as they stand.
    pub statement: String,
    /// SSHSIG over it, namespace [`NAMESPACE_KEYS`].
    pub signature: String,
}

/// Why a statement is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStatement {
    /// It cannot be read, or says what none can say.
    #[error("a statement of the zone's keys is malformed: {0}")]
    Form(&'static str),
    /// It is another zone's.
    #[error("a statement of the zone's keys is another zone's")]
    Zone,
    /// The key in force did not sign it.
    #[error("statement {number} of the zone's keys: {error}")]
    Signature {
        /// Its number.
        number: u64,
        /// What is wrong.
        #[source]
        error: BadSignature,
    },
    /// The zone signs with a key to which no statement leads from those that are known.
    #[error("the zone has a signing key that no key known here introduced")]
    Unannounced,
    /// A statement is missing.
    #[error("statement {0} of the zone's keys is missing")]
    Gap(u64),
}

impl Signed {
    /// Signs a statement.
    pub fn new(statement: &KeyStatement, key: &SigningKey) -> Self {
        // Serialising cannot fail: no maps, no fallible implementations.
        let statement = serde_json::to_string(statement).unwrap_or_default();
        let signature = key.sign(NAMESPACE_KEYS, statement.as_bytes());
        Self { statement, signature }
    }

    /// What it says; the signature is not looked at.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Read, BadStatement> {
        let form = |_| BadStatement::Form("it is not JSON of its form");
        let statement: KeyStatement = serde_json::from_str(&self.statement).map_err(form)?;
        let key = |text: &str| PublicKey::from_openssh(text).map_err(|_| BadStatement::Form("a key is none"));
        let (before, signer) = (key(&statement.before)?, key(&statement.signer)?);
        if statement.authorities.is_empty() || statement.authorities.len() > MAX_AUTHORITIES {
            return Err(BadStatement::Form("the number of authorities"));
        }
        Ok(Read { statement, before, signer })
    }

    /// The line, with its line feed.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads lines.
    ///
    /// # Errors
    /// When one is too long, or cannot be read.
    pub fn of_lines(text: &str) -> Result<Vec<Self>, BadStatement> {
        let read = |line: &str| {
            if line.len() > MAX_LINE_BYTES {
                return Err(BadStatement::Form("it is too long"));
            }
            serde_json::from_str(line).map_err(|_| BadStatement::Form("its line is not JSON of its form"))
        };
        text.lines().map(read).collect()
    }

    /// The statement that an audit entry carries.
    ///
    /// # Errors
    /// When the entry is one of a statement, and has none.
    pub fn of_entry(entry: &Entry) -> Result<Option<Self>, BadStatement> {
        if entry.act != KEY_ROTATED {
            return Ok(None);
        }
        let text = |name| entry.details.get(name).and_then(|it| it.as_str()).map(str::to_owned);
        let both = text("statement").zip(text("signature"));
        let (statement, signature) = both.ok_or(BadStatement::Form("its audit entry has none"))?;
        Ok(Some(Self { statement, signature }))
    }
}

/// A statement that was read, with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What it says.
    pub statement: KeyStatement,
    /// The signing key in force before.
    pub before: PublicKey,
    /// The one from then on.
    pub signer: PublicKey,
}

impl Read {
    /// Checks that the key in force before signed it; where that was lost, that the new one did.
    fn check(&self, signed: &Signed) -> Result<(), BadStatement> {
        let by = if self.statement.change == Change::Replaced { &self.signer } else { &self.before };
        sshsig::verify(by, NAMESPACE_KEYS, signed.statement.as_bytes(), &signed.signature)
            .map_err(|error| BadStatement::Signature { number: self.statement.number, error })
    }
}

/// What somebody outside trusts of a zone: its signing keys, the last in force, and its authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    zone: ZoneName,
    signers: Vec<AllowedSigner>,
    authorities: Vec<String>,
    number: u64,
}

impl Trust {
    /// What was learnt by a trusted way, up to the statement of `number`; the last of `signers` is in force. `None` without any.
    pub fn pinned(zone: ZoneName, signers: Vec<AllowedSigner>, authorities: Vec<String>, number: u64) -> Option<Self> {
        (!signers.is_empty()).then_some(Self { zone, signers, authorities, number })
    }

    /// Follows a zone's statements, in their order; those that were followed. What came before the keys that are known says nothing
    /// to those who know later ones, and is passed over.
    ///
    /// # Errors
    /// When one is not good, or they end with a signing key to which none leads.
    pub fn follow(&mut self, statements: &[Signed]) -> Result<Vec<Signed>, BadStatement> {
        let (mut followed, mut last) = (Vec::new(), None);
        for signed in statements {
            let read = signed.read()?;
            if read.statement.zone != self.zone {
                return Err(BadStatement::Zone);
            }
            last = Some(read.signer);
            let next = read.statement.number > self.number && Some(read.before) == self.in_force();
            if next && read.statement.change != Change::Replaced {
                read.check(signed)?;
                self.take(read);
                followed.push(signed.clone());
            }
        }
        match last {
            Some(last) if Some(last) != self.in_force() => Err(BadStatement::Unannounced),
            _ => Ok(followed),
        }
    }

    fn take(&mut self, read: Read) {
        let time = read.statement.time;
        if Some(read.signer) != self.in_force() {
            if let Some(old) = self.signers.last_mut() {
                old.valid_before = Some(time);
            }
            self.signers.push(AllowedSigner { key: read.signer, valid_after: Some(time), valid_before: None });
        }
        self.authorities = read.statement.authorities;
        self.number = read.statement.number;
    }

    /// The signing key in force.
    fn in_force(&self) -> Option<PublicKey> {
        self.signers.last().map(|signer| signer.key)
    }

    /// Every signing key, the one in force last.
    pub fn signers(&self) -> &[AllowedSigner] {
        &self.signers
    }

    /// The authorities, PEM, the one that issues first.
    pub fn authorities(&self) -> &[String] {
        &self.authorities
    }

    /// Number of the last statement that was followed.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The signers as an `allowed_signers` file.
    pub fn allowed_signers(&self) -> String {
        allowed_signers(&self.zone, &self.signers)
    }
}

/// A zone's signers as the text of an `allowed_signers` file.
pub fn allowed_signers(zone: &ZoneName, signers: &[AllowedSigner]) -> String {
    let namespaces = [NAMESPACE_RECEIPT, NAMESPACE_CHECKPOINT];
    signers.iter().map(|signer| signer.to_line(zone.as_str(), &namespaces)).collect()
}

/// Since when the authority that issues does so, if another one did before: the time of the last such statement.
pub fn authority_since(statements: &[Signed]) -> Option<Timestamp> {
    let read = statements.iter().rev().filter_map(|signed| signed.read().ok()).map(|read| read.statement);
    let mut rotated = read.filter(|stated| stated.key == ZoneKey::Ca && stated.change == Change::Rotated);
    rotated.next().map(|stated| stated.time)
}

/// A zone's own statements, as far as they are in force: up to the last that names the key with which it signs. What follows was
/// begun and never finished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    statements: Vec<Signed>,
    signers: Vec<AllowedSigner>,
}

impl Chain {
    /// The chain of the zone that signs with `own`, out of all statements that it kept.
    ///
    /// # Errors
    /// When one is not good, or `own` is a key that none of them leads to.
    pub fn in_force(zone: &ZoneName, own: PublicKey, kept: &[Signed]) -> Result<Self, BadStatement> {
        let read = kept.iter().map(Signed::read).collect::<Result<Vec<_>, _>>()?;
        let length = match read.iter().rposition(|read| read.signer == own) {
            Some(last) => last + 1,
            None if read.first().is_none_or(|first| first.before == own) => 0,
            None => return Err(BadStatement::Unannounced),
        };
        let mut signers: Vec<AllowedSigner> = Vec::new();
        for ((signed, read), number) in kept.iter().zip(&read).take(length).zip(1..) {
            if read.statement.zone != *zone {
                return Err(BadStatement::Zone);
            }
            if read.statement.number != number || signers.last().is_some_and(|last| last.key != read.before) {
                return Err(BadStatement::Gap(number));
            }
            read.check(signed)?;
            if signers.is_empty() {
                signers.push(AllowedSigner::always(read.before));
            }
            if read.signer != read.before {
                let time = Some(read.statement.time);
                if let Some(old) = signers.last_mut() {
                    old.valid_before = time;
                }
                signers.push(AllowedSigner { key: read.signer, valid_after: time, valid_before: None });
            }
        }
        if signers.is_empty() {
            signers.push(AllowedSigner::always(own));
        }
        Ok(Self { statements: kept[..length].to_vec(), signers })
    }

    /// The statements.
    pub fn statements(&self) -> &[Signed] {
        &self.statements
    }

    /// Every signing key that the zone has had, the one in force last.
    pub fn signers(&self) -> &[AllowedSigner] {
        &self.signers
    }

    /// Since when the authority that issues does so, if another one did before.
    pub fn authority_since(&self) -> Option<Timestamp> {
        authority_since(&self.statements)
    }

    /// The statements with the next one after them.
    pub fn and(&self, next: Signed) -> Vec<Signed> {
        self.statements.iter().cloned().chain([next]).collect()
    }

    /// The number of the next one.
    pub fn next_number(&self) -> u64 {
        self.statements.len() as u64 + 1
    }
}

#[cfg(test)]
mod tests;
