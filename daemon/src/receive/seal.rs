//! The seal: everything durable, every file closed, and only then `control` asked for the receipt.

use super::control::{Upload, broken, unexpected};
use super::frames::Inbox;
use super::intake::Intake;
use super::refusals::{Stop, panicked, storage};
use super::session::Session;
use super::stored::{Encrypted, Whole};
use super::transfer::Transfer;
use sha2::Digest as _;
use sluse_host::layout;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::limits::MAX_DOCUMENT_BYTES;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::wire::Reply;
use std::sync::Arc;

/// What a source seals: see [`sluse_protocol::wire::Request::Seal`].
#[derive(Debug)]
pub struct Seal {
    /// The transfer.
    pub transfer: TransferId,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// SHA-256 of the manifest.
    pub manifest_sha256: Sha256,
    /// SSHSIG over the manifest.
    pub signature: String,
}

/// Answers a seal.
///
/// # Errors
/// When it is refused.
pub async fn answer(intake: &Arc<Intake>, session: &Arc<Session>, inbox: &mut Inbox, seal: Seal) -> Result<(), Stop> {
    inbox.announce(seal.manifest_bytes);
    let transfer = session.transfer_named(&seal.transfer);
    let transfer =
        transfer.ok_or_else(|| Refusal::new(Code::UnknownTransfer, "this connection has not offered that transfer"))?;
    if seal.manifest_bytes > MAX_DOCUMENT_BYTES {
        return Err(Refusal::new(Code::TooLarge, "the manifest is larger than the protocol allows").into());
    }
    let _announced = intake.documents.announce(session.source(), seal.manifest_bytes)?;
    let complete = Arc::clone(&transfer);
    let chunk_list = intake.pool.run(transfer.share(), 0, move || complete.chunk_list()).await.map_err(panicked)?;
    let chunk_list = chunk_list.ok_or_else(|| Refusal::new(Code::MissingChunks, "not every chunk is durable"))?;
    let upload = take_manifest(intake, &transfer, inbox, &seal).await?;
    let (_, chunks) = transfer.progress();

    let mut claim = intake.registry.claim(&seal.transfer)?;
    claim.take_over(session).await?;
    session.set_transfer(None);
    drop(transfer);
    let request = ReceiveRequest::Seal {
        source: session.source().clone(),
        transfer: seal.transfer,
        upload: upload.keep(),
        manifest_sha256: seal.manifest_sha256,
        signature: seal.signature,
        chunks,
        chunk_list,
    };
    let control = Arc::clone(&intake.control);
    // The claim lives until `control` has answered, also when the connection ends before: until then nobody may open the
    // folder, which is just being taken over.
    let asked = tokio::spawn(async move {
        let answer = control.ask(request, Vec::new()).await;
        drop(claim);
        answer
    });
    match asked.await.map_err(|_| broken("a seal was not asked for"))?? {
        (ReceiveReply::Sealed { signature }, statement) => {
            tracing::info!(source = %session.source(), "sealed");
            session.outbox().send(&Reply::Sealed { signature }, &statement).await
        }
        (other, _) => Err(unexpected(&other).into()),
    }
}

/// Passes the manifest on to `control` and stores it, encrypted and durable, beside the chunks.
async fn take_manifest(
    intake: &Arc<Intake>,
    transfer: &Arc<Transfer>,
    inbox: &mut Inbox,
    seal: &Seal,
) -> Result<Upload, Stop> {
    let upload = intake.control.upload();
    let mut manifest = create(intake, transfer, seal.manifest_bytes).await?;
    while let Some(part) = inbox.part().await? {
        let copy = part.clone();
        let stored = intake.pool.run(transfer.share(), copy.len(), move || manifest.write(&copy));
        let (stored, sent) = tokio::join!(stored, upload.part(part));
        manifest = stored.map_err(panicked)??;
        sent?;
    }
    if manifest.digest() != seal.manifest_sha256 {
        return Err(Refusal::new(Code::DigestMismatch, "the manifest does not have the announced digest").into());
    }
    let finished = tokio::task::spawn_blocking(move || manifest.finish()).await;
    finished.map_err(|_| broken("a manifest was not finished"))??;
    Ok(upload)
}

async fn create(intake: &Arc<Intake>, transfer: &Arc<Transfer>, bytes: u64) -> Result<Manifest, Stop> {
    let slot = transfer.slot().await?;
    let shared = Arc::clone(intake);
    let created = intake.pool.run(transfer.share(), 0, move || {
        shared.check_room(bytes)?;
        let file = Encrypted::create(slot, layout::MANIFEST.to_owned())?;
        Ok::<_, Refusal>(Manifest { file, hash: sha2::Sha256::new() })
    });
    Ok(created.await.map_err(panicked)??)
}

/// The manifest's file and the digest of what went into it.
struct Manifest {
    file: Encrypted,
    hash: sha2::Sha256,
}

impl Manifest {
    fn write(mut self, bytes: &[u8]) -> Result<Self, Refusal> {
        self.hash.update(bytes);
        self.file.write(bytes)?;
        Ok(self)
    }

    fn digest(&self) -> Sha256 {
        Sha256(self.hash.clone().finalize().into())
    }

    /// Bytes, name, folder: each durable before the next.
    fn finish(self) -> Result<(), Refusal> {
        let Whole { file, slot, .. } = self.file.finish()?;
        file.sync_all().map_err(|error| storage("make a manifest durable", &error))?;
        slot.transfer().folder().sync().map_err(|error| storage("make a transfer's folder durable", &error))
    }
}
