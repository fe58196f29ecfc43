//! A stand-in for `control`: it accepts every offer, seals by renaming, and remembers what it was asked.

use sluse_host::layout::{Layout, transfer_folder};
use sluse_host::rpc;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::Totals;
use sluse_protocol::ids::{SourceName, TransferId};
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{ReceiveReply, ReceiveRequest};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use sluse_protocol::wire::TransferStatus;
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

pub struct Control {
    layout: Layout,
    recipient: String,
    state: Mutex<Remembered>,
    changed: Condvar,
}

#[derive(Default)]
struct Remembered {
    /// A certificate of `receive`, PEM.
    certified: Option<String>,
    links: Vec<UnixStream>,
    peers: HashMap<Sha256, Option<SourceName>>,
    documents: HashMap<u64, Vec<u8>>,
    transfers: HashMap<TransferId, Known>,
    progress: Vec<(TransferId, u32)>,
    changes: Vec<(Vec<SourceName>, Vec<TransferId>)>,
    dropped: usize,
    seals_wait: bool,
    sealing: usize,
}

struct Known {
    key: Sha256,
    source: SourceName,
    totals: Totals,
    state: State,
    manifest: Vec<u8>,
}

pub const RECEIPT: &[u8] = b"{\"sluse\": \"receipt\"}";

impl Control {
    pub fn new(layout: Layout, recipient: String) -> Self {
        Self { layout, recipient, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Answers on a role link, in a thread.
    pub fn answer(self: &Arc<Self>, link: UnixStream) {
        self.state.lock().unwrap().links.push(link.try_clone().unwrap());
        let control = Arc::clone(self);
        std::thread::spawn(move || {
            let handler = Arc::clone(&control);
            let _ = rpc::serve(link, move |request, body| handler.reply(request, body));
        });
    }

    /// What `receive` gets when it asks for a certificate of its own.
    pub fn certify(&self, pem: String) {
        self.state.lock().unwrap().certified = Some(pem);
    }

    pub fn hang_up(&self) {
        let mut state = self.state.lock().unwrap();
        state.seals_wait = false;
        for link in state.links.drain(..) {
            let _ = link.shutdown(std::net::Shutdown::Both);
        }
        drop(state);
        self.changed.notify_all();
    }

    pub fn enrol(&self, der: &[u8], source: Option<&str>) {
        let source = source.map(|name| name.parse().unwrap());
        self.state.lock().unwrap().peers.insert(Sha256::of(der), source);
    }

    pub fn revoke(&self, source: &str) {
        self.change(vec![source.parse().unwrap()], Vec::new());
    }

    pub fn end(&self, transfer: &TransferId, state: State) {
        self.state.lock().unwrap().transfers.get_mut(transfer).unwrap().state = state;
        self.change(Vec::new(), vec![transfer.clone()]);
    }

    fn change(&self, revoked: Vec<SourceName>, ended: Vec<TransferId>) {
        self.state.lock().unwrap().changes.push((revoked, ended));
        self.changed.notify_all();
    }

    /// Whether seals are answered only later.
    pub fn hold_seals(&self, hold: bool) {
        self.state.lock().unwrap().seals_wait = hold;
        self.changed.notify_all();
    }

    /// Number of seals that were asked for.
    pub fn sealing(&self) -> usize {
        self.state.lock().unwrap().sealing
    }

    pub fn manifest(&self, transfer: &TransferId) -> Vec<u8> {
        self.state.lock().unwrap().transfers[transfer].manifest.clone()
    }

    pub fn progress(&self) -> Vec<(TransferId, u32)> {
        self.state.lock().unwrap().progress.clone()
    }

    pub fn dropped(&self) -> usize {
        self.state.lock().unwrap().dropped
    }

    fn reply(&self, request: ReceiveRequest, body: Vec<u8>) -> (ReceiveReply, Vec<u8>) {
        if let ReceiveRequest::Changes { after } = request {
            return (self.changes(after), Vec::new());
        }
        let mut state = self.state.lock().unwrap();
        if matches!(request, ReceiveRequest::Seal { .. }) {
            state.sealing += 1;
            state = self.changed.wait_while(state, |state| state.seals_wait).unwrap();
        }
        match self.decide(&mut state, request, body) {
            Ok(answer) => answer,
            Err(code) => (ReceiveReply::Refused(Refusal::new(code, "said the stand-in")), Vec::new()),
        }
    }

    fn decide(
        &self,
        state: &mut Remembered,
        request: ReceiveRequest,
        body: Vec<u8>,
    ) -> Result<(ReceiveReply, Vec<u8>), Code> {
        let reply = match request {
            ReceiveRequest::Identify => {
                let source = state.peers.get(&Sha256::of(&body)).ok_or(Code::UnknownCertificate)?.clone();
                ReceiveReply::Peer { source }
            }
            ReceiveRequest::Enrol { invite, .. } if invite == Sha256::of(b"good") => ReceiveReply::Enrolled {
                source: "newcomer".parse().unwrap(),
                certificate: "a certificate".into(),
                signer: "a signer".into(),
            },
            ReceiveRequest::Enrol { .. } => return Err(Code::InviteUsed),
            ReceiveRequest::Certify => {
                ReceiveReply::Renewed { certificate: state.certified.clone().ok_or(Code::WrongState)? }
            }
            ReceiveRequest::Keys { .. } => ReceiveReply::Keys,
            ReceiveRequest::Renew { .. } => return Err(Code::WrongState),
            ReceiveRequest::Part { upload } => {
                state.documents.entry(upload).or_default().extend(body);
                ReceiveReply::Done
            }
            ReceiveRequest::Drop { upload } => {
                state.documents.remove(&upload);
                state.dropped += 1;
                ReceiveReply::Done
            }
            ReceiveRequest::Offer { source, upload, key, totals, plan_sha256, .. } => {
                let plan = state.documents.remove(&upload).unwrap_or_default();
                if Sha256::of(&plan) != plan_sha256 {
                    return Err(Code::BadDocument);
                }
                self.offer(state, source, key, totals)
            }
            ReceiveRequest::Seal { transfer, upload, manifest_sha256, .. } => {
                let manifest = state.documents.remove(&upload).unwrap_or_default();
                assert_eq!(Sha256::of(&manifest), manifest_sha256);
                let from = transfer_folder(&self.layout.incoming(), &transfer);
                std::fs::rename(from, transfer_folder(&self.layout.sealed(), &transfer)).unwrap();
                let known = state.transfers.get_mut(&transfer).unwrap();
                (known.manifest, known.state) = (manifest, State::Received);
                return Ok((ReceiveReply::Sealed { signature: "a signature".into() }, RECEIPT.to_vec()));
            }
            ReceiveRequest::Status { source, transfer, .. } => {
                ReceiveReply::Status(status(state, &source, &transfer).ok_or(Code::UnknownTransfer)?)
            }
            ReceiveRequest::List { source, .. } => {
                let transfers = state.transfers.keys().filter_map(|id| status(state, &source, id)).collect();
                ReceiveReply::Transfers { transfers }
            }
            ReceiveRequest::Receipt { source, transfer, kind: ReceiptKind::Received } => {
                status(state, &source, &transfer).ok_or(Code::UnknownTransfer)?;
                return Ok((ReceiveReply::Receipt { signature: "a signature".into() }, RECEIPT.to_vec()));
            }
            ReceiveRequest::Versions { .. } => return Err(Code::SyncNotAllowed),
            ReceiveRequest::Receipt { .. } => return Err(Code::UnknownTransfer),
            ReceiveRequest::Progress { transfer, chunks } => {
                state.progress.push((transfer, chunks));
                ReceiveReply::Done
            }
            ReceiveRequest::Changes { .. } => unreachable!("answered before"),
        };
        Ok((reply, Vec::new()))
    }

    fn offer(&self, state: &mut Remembered, source: SourceName, key: Sha256, totals: Totals) -> ReceiveReply {
        let known = state.transfers.iter().find(|(_, known)| known.key == key);
        let (transfer, now) = match known {
            Some((transfer, known)) => (transfer.clone(), known.state),
            None => {
                let random = [state.transfers.len() as u8; 5];
                let transfer = TransferId::new(Timestamp::from_unix(1_795_342_500), random);
                let known = Known { key, source, totals, state: State::Receiving, manifest: Vec::new() };
                state.transfers.insert(transfer.clone(), known);
                (transfer, State::Receiving)
            }
        };
        ReceiveReply::Accepted { transfer, state: now, recipient: self.recipient.clone(), bytes: totals.bytes }
    }

    fn changes(&self, after: u64) -> ReceiveReply {
        let state = self.state.lock().unwrap();
        let waited = self.changed.wait_timeout_while(state, Duration::from_secs(5), |state| {
            state.changes.len() as u64 <= after && !state.links.is_empty()
        });
        let (state, _) = waited.unwrap();
        let news = &state.changes[after as usize..];
        ReceiveReply::Changes {
            upto: state.changes.len() as u64,
            revoked: news.iter().flat_map(|(revoked, _)| revoked.clone()).collect(),
            ended: news.iter().flat_map(|(_, ended)| ended.clone()).collect(),
        }
    }
}

fn status(state: &Remembered, source: &SourceName, transfer: &TransferId) -> Option<TransferStatus> {
    let known = state.transfers.get(transfer).filter(|known| known.source == *source)?;
    Some(TransferStatus {
        transfer: transfer.clone(),
        agreement: "agreement".parse().unwrap(),
        dataset: "dataset".parse().unwrap(),
        state: known.state,
        since: Timestamp::from_unix(0),
        totals: known.totals,
        reason: None,
        receipts: Vec::new(),
    })
}
