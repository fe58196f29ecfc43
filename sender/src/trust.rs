//! The zone's keys change in its life. At each connection it is asked what it stated of them since; statements are followed from the
//! keys that are known here, and only then kept. A signing key to which none leads is not believed, and nothing is sent.

use crate::connection::Link;
use crate::error::{BadEvidence, Error};
use crate::identity::{self, Identity};
use sluse_host::{files, keys};
use sluse_protocol::key_statement::{MAX_CHAIN_BYTES, Signed, Trust};
use sluse_protocol::wire::{Reply, Request};
use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

/// How often another process of this host is waited for, and how long each time: ten seconds in all.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Follows the zone's statements over a connection.
///
/// # Errors
/// When the connection is lost, a statement cannot be believed or kept.
pub(crate) async fn follow(identity: &Identity, link: &mut Link) -> Result<(), Error> {
    let statements = ask(identity, link).await?;
    if statements.is_empty() {
        return Ok(());
    }
    let _alone = alone(identity).await?;
    let newest = Identity::load(identity.folder())?;
    let mut trust = newest.trust();
    let followed = trust.follow(&statements);
    let followed = followed.map_err(|error| Error::evidence("signing key", BadEvidence::Statement(error)))?;
    if followed.is_empty() {
        identity.take_over(newest);
        return Ok(());
    }
    keep(identity, &trust, &followed)?;
    tracing::info!(number = trust.number(), "the zone exchanged a key: followed");
    identity.take_over(Identity::load(identity.folder())?);
    Ok(())
}

/// Waits until no other process of this host follows in this folder. A few small files are written: whoever is at it is done at once.
async fn alone(identity: &Identity) -> Result<File, Error> {
    let path = identity.folder().join(identity::FOLLOWING);
    let lock = File::create(&path).map_err(Error::file(&path))?;
    for _ in 0..LOCK_ATTEMPTS {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(Error::file(&path)(error)),
        }
    }
    Err(Error::file(&path)(io::Error::other("another process holds it")))
}

/// Asks for what is newer than what was followed, page by page.
async fn ask(identity: &Identity, link: &mut Link) -> Result<Vec<Signed>, Error> {
    let after = identity.trust().number();
    let (mut statements, mut bytes) = (Vec::new(), 0);
    loop {
        let request = Request::Keys { after: after + statements.len() as u64 };
        let (Reply::Keys, body) = link.ask(&request).await? else {
            return Err(Error::Protocol("an answer that does not belong to the request"));
        };
        bytes += body.len() as u64;
        if bytes > MAX_CHAIN_BYTES {
            return Err(Error::Protocol("more statements of its keys than a zone can have"));
        }
        if body.is_empty() {
            return Ok(statements);
        }
        let text =
            std::str::from_utf8(&body).map_err(|_| Error::Protocol("statements of its keys that are no text"))?;
        let page = Signed::of_lines(text);
        statements.extend(page.map_err(|error| Error::evidence("signing key", BadEvidence::Statement(error)))?);
    }
}

/// Writes down what is trusted now. The signers come after the authorities, since they decide which statement is the next to be
/// followed; the statements last: what they would show is followed once more.
fn keep(identity: &Identity, trust: &Trust, followed: &[Signed]) -> Result<(), Error> {
    let folder = identity.folder();
    let path = folder.join(identity::STATEMENTS);
    let kept = keys::read_statements(&path)?;
    let statements: String = kept.iter().chain(followed).map(Signed::to_line).collect();
    let texts = [
        (identity::AUTHORITY, trust.authorities().concat()),
        (identity::ALLOWED_SIGNERS, trust.allowed_signers()),
        (identity::STATEMENTS, statements),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        files::replace(&path, text.as_bytes(), 0o600).map_err(Error::file(&path))?;
    }
    Ok(())
}
