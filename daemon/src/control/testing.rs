//! A zone in a temporary folder with a clock of its own, driven as the other roles and operators would drive it, without
//! sockets.

use super::live::LinkId;
use super::operators;
use super::people::Person;
use super::shared::Control;
use super::{authority, links};
use sluse_host::config::{Settings, Zone};
use sluse_host::layout::Layout;
use sluse_protocol::digest::{ChunkDigest, Sha256, chunk_list_digest};
use sluse_protocol::document::{Entry, Header, Kind, Totals};
use sluse_protocol::finding::Action;
use sluse_protocol::finding::{Class, EngineReport, Finding, Report};
use sluse_protocol::ids::{SourceName, TransferId};
use sluse_protocol::invite;
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::operator::{OperatorReply, OperatorRequest, TransferDetails};
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::roles::{
    DeliverOutcome, DeliverReply, DeliverRequest, InspectOutcome, InspectReply, InspectRequest, ReceiveReply,
    ReceiveRequest, Role,
};
use sluse_protocol::sshsig::{NAMESPACE_ENROL, NAMESPACE_MANIFEST, SigningKey};
use sluse_protocol::sync::Delta;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

mod persons;
pub use persons::*;

pub const START: i64 = 1_800_000_000;
pub const DAY: i64 = 86_400;

pub struct Bench {
    pub folder: tempfile::TempDir,
    pub control: Arc<Control>,
    pub receive: links::receive::Link,
    pub inspect: LinkId,
    pub deliver: LinkId,
    /// Who has an account, where powers are separated: the ids of their groups.
    pub accounts: Option<Accounts>,
    clock: Arc<AtomicI64>,
}

/// What a test sends: files with a size each.
#[derive(Clone)]
pub struct Dataset {
    pub name: &'static str,
    pub source: &'static str,
    pub agreement: &'static str,
    pub files: Vec<(&'static str, u64)>,
    pub key: u8,
    pub free_bytes: u64,
}

impl Default for Dataset {
    fn default() -> Self {
        Self {
            name: "extract",
            source: "lab",
            agreement: "lab",
            files: vec![("a.csv", 10), ("b/c.csv", 5)],
            key: 0,
            free_bytes: 1 << 40,
        }
    }
}

impl Dataset {
    fn entries(&self, digests: bool) -> Vec<Entry> {
        let sha256 = digests.then(|| Sha256::of(b"content"));
        let entry = |(path, size): &(&str, u64)| Entry {
            path: path.parse().unwrap(),
            kind: Kind::File,
            size: *size,
            mtime: 1,
            mtime_ns: 0,
            executable: false,
            sha256,
        };
        self.files.iter().map(entry).collect()
    }

    pub fn totals(&self) -> Totals {
        self.entries(false).iter().fold(Totals::default(), |totals, entry| totals.plus(entry).unwrap())
    }

    pub fn plan(&self) -> String {
        let header = Header::Plan { totals: self.totals() };
        header.to_line() + &self.entries(false).iter().map(Entry::to_line).collect::<String>()
    }

    pub fn chunks(&self) -> u32 {
        self.totals().chunks(CHUNK_BYTES) as u32
    }

    pub fn chunk_list(&self) -> Sha256 {
        chunk_list_digest(vec![ChunkDigest::of(b"chunk"); self.chunks() as usize])
    }

    pub fn manifest_header(&self, transfer: &TransferId) -> Header {
        Header::Manifest {
            transfer: transfer.clone(),
            source: self.source.parse().unwrap(),
            agreement: self.agreement.parse().unwrap(),
            dataset: self.name.parse().unwrap(),
            plan: Sha256::of(self.plan().as_bytes()),
            totals: self.totals(),
            chunk_bytes: CHUNK_BYTES,
            chunks: self.chunks(),
            chunk_list: self.chunk_list(),
            delta: None,
        }
    }

    pub fn manifest(&self, header: &Header) -> String {
        header.to_line() + &self.entries(true).iter().map(Entry::to_line).collect::<String>()
    }
}

pub fn lab() -> SourceName {
    "lab".parse().unwrap()
}

pub fn identity_key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

pub fn someone() -> Person {
    Person { uid: 1000, name: "kari".into() }
}

/// Something with the form of an age recipient.
pub fn recipient(number: usize) -> String {
    format!("age1{number:058}")
}

pub fn agreement(id: &str) -> String {
    format!(
        r#"id = "{id}"
title = "Test"
project = "test"
controller = "Helse Midt-Norge"
purpose = "testing"
identifiability = "pseudonymised"
valid_from = "2020-01-01T00:00:00Z"
valid_to = "2099-01-01T00:00:00Z"
from = "lab"
to = "room"

[legal_basis]
kind = "consent"
authority = "REK"
reference = "1"
valid_from = "2020-01-01T00:00:00Z"
valid_to = "2099-01-01T00:00:00Z"
periodic = true

[dpia]
reference = "2"

[processing_agreement]
reference = "3"

[limits]
max_bytes = 1_000_000_000
max_files = 1000
max_open_bytes = 1_000_000_000

[content]
engines = ["file-type", "signatures"]

[release]
rule = "automatic"

[retention]
quarantine_days = 30
hold_days = 60
"#
    )
}

impl Bench {
    /// A zone with a room, the source `lab` enrolled, its agreement of the same name, and identities.
    pub fn new() -> Self {
        let bench = Self::empty();
        bench.enrol("lab");
        bench.operate(OperatorRequest::RoomAdd {
            name: "room".parse().unwrap(),
            folder: "room".into(),
            names: NameRule::WindowsRefuse,
            elsewhere: None,
        });
        bench.agree(&agreement("lab"));
        bench.mint(0..40);
        bench
    }

    /// A zone as `zone init` makes it.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path());
        let clock = Arc::new(AtomicI64::new(START));
        let control = open(folder.path(), &clock).unwrap();
        Self::with(folder, control, clock, None)
    }

    fn with(
        folder: tempfile::TempDir,
        mut control: Control,
        clock: Arc<AtomicI64>,
        accounts: Option<Accounts>,
    ) -> Self {
        if let Some(accounts) = &accounts {
            control.people = people(Arc::clone(accounts));
        }
        let control = Arc::new(control);
        let receive = links::receive::Link::new(Arc::clone(&control));
        let (inspect, deliver) = (control.live.connect(Role::Inspect), control.live.connect(Role::Deliver));
        control.work.open(inspect);
        control.work.open(deliver);
        Self { folder, control, receive, inspect, deliver, clock, accounts }
    }

    /// The process dies and starts again.
    pub fn restart(self) -> Self {
        let (clock, accounts) = (Arc::clone(&self.clock), self.accounts.clone());
        let folder = self.stop();
        let control = open(folder.path(), &clock).unwrap();
        Self::with(folder, control, clock, accounts)
    }

    /// The process dies; what stays is its folder.
    pub fn stop(self) -> tempfile::TempDir {
        let Self { folder, control, receive, .. } = self;
        drop(receive);
        drop(Arc::into_inner(control).expect("nobody else has it"));
        folder
    }

    /// Starts in the folder of a process that died.
    pub fn reopen(folder: tempfile::TempDir) -> Result<Self, crate::RoleError> {
        let clock = Arc::new(AtomicI64::new(START));
        let control = open(folder.path(), &clock)?;
        Ok(Self::with(folder, control, clock, None))
    }

    pub fn layout(&self) -> Layout {
        Layout::new(self.folder.path())
    }

    pub fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn enrol(&self, name: &str) {
        let (reply, invite) = self
            .ask_operator(OperatorRequest::SourceInvite { name: name.parse().unwrap(), hours: 24, room: None }, &[]);
        assert!(matches!(reply, OperatorReply::Invite { .. }), "{reply:?}");
        let reply = self.enrol_with(&String::from_utf8(invite).unwrap());
        assert!(matches!(reply, ReceiveReply::Enrolled { .. }), "{reply:?}");
    }

    /// Enrols with an invite's text.
    pub fn enrol_with(&self, invite: &str) -> ReceiveReply {
        let invite: toml::Table = invite.parse().unwrap();
        let field = |name: &str| invite[name].as_str().unwrap().to_owned();
        let (request, identity) = (certificate_request(), identity_key().public().to_openssh());
        let (_, pem) = x509_parser::pem::parse_x509_pem(field("certificate").as_bytes()).unwrap();
        let enrol = ReceiveRequest::Enrol {
            certificate: Sha256::of(&pem.contents),
            invite: invite::code(&Sha256::of(field("token").as_bytes()), &identity, &request),
            proof: identity_key().sign(NAMESPACE_ENROL, request.as_bytes()),
            request,
            identity,
        };
        self.ask(enrol).0
    }

    pub fn agree(&self, text: &str) {
        let (reply, _) = self.ask_operator(OperatorRequest::AgreementAdd, text.as_bytes());
        assert!(matches!(reply, OperatorReply::Agreement(info) if info.draft.is_none()));
    }

    pub fn mint(&self, numbers: std::ops::Range<usize>) {
        let recipients = numbers.map(recipient).collect();
        assert_eq!(self.inspect(InspectRequest::Identities { recipients }, &[]), InspectReply::Done);
    }

    pub fn ask(&self, request: ReceiveRequest) -> (ReceiveReply, Vec<u8>) {
        self.receive.answer(request, &[])
    }

    pub fn ask_operator(&self, request: OperatorRequest, body: &[u8]) -> (OperatorReply, Vec<u8>) {
        operators::answer(&self.control, &someone(), request, body)
    }

    pub fn operate(&self, request: OperatorRequest) -> OperatorReply {
        self.ask_operator(request, &[]).0
    }

    pub fn inspect(&self, request: InspectRequest, body: &[u8]) -> InspectReply {
        links::inspect::answer(&self.control, self.inspect, request, body).0
    }

    pub fn deliver(&self, request: DeliverRequest) -> (DeliverReply, Vec<u8>) {
        self.deliver_with(request, &[])
    }

    pub fn deliver_with(&self, request: DeliverRequest, body: &[u8]) -> (DeliverReply, Vec<u8>) {
        links::deliver::answer(&self.control, self.deliver, request, body)
    }

    pub fn upload(&self, upload: u64, bytes: &[u8]) {
        for part in bytes.chunks(100) {
            assert_eq!(self.receive.answer(ReceiveRequest::Part { upload }, part).0, ReceiveReply::Done);
        }
    }

    pub fn offer(&self, dataset: &Dataset) -> ReceiveReply {
        self.offer_plan(dataset, &dataset.plan())
    }

    /// Offers with any text as the plan.
    pub fn offer_plan(&self, dataset: &Dataset, plan: &str) -> ReceiveReply {
        self.offer_with(dataset, plan, None)
    }

    /// The same of a version of which only the difference from another is carried.
    pub fn offer_delta(&self, dataset: &Dataset, delta: Delta) -> ReceiveReply {
        self.offer_with(dataset, &dataset.plan(), Some(delta))
    }

    fn offer_with(&self, dataset: &Dataset, plan: &str, delta: Option<Delta>) -> ReceiveReply {
        self.upload(1, plan.as_bytes());
        let offer = ReceiveRequest::Offer {
            source: dataset.source.parse().unwrap(),
            upload: 1,
            agreement: dataset.agreement.parse().unwrap(),
            dataset: dataset.name.parse().unwrap(),
            key: Sha256::of(&[dataset.key]),
            totals: dataset.totals(),
            plan_sha256: Sha256::of(plan.as_bytes()),
            delta,
            free_bytes: dataset.free_bytes,
        };
        self.ask(offer).0
    }

    pub fn accepted(&self, dataset: &Dataset) -> TransferId {
        match self.offer(dataset) {
            ReceiveReply::Accepted { transfer, state: State::Receiving, .. } => transfer,
            other => panic!("{other:?}"),
        }
    }

    /// Seals, with `inspect` answering at once.
    pub fn seal(&self, dataset: &Dataset, transfer: &TransferId) -> (ReceiveReply, Vec<u8>) {
        self.seal_with(dataset, transfer, None)
    }

    pub fn seal_with(
        &self,
        dataset: &Dataset,
        transfer: &TransferId,
        refused: Option<Refusal>,
    ) -> (ReceiveReply, Vec<u8>) {
        let request = self.sealing(dataset, transfer);
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| self.ask(request));
            // Told without being asked, so that other tasks stay where they are.
            let noted = || self.show(transfer).manifest_sha256.is_some();
            while !noted() && !answer.is_finished() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let taken = InspectRequest::Taken { transfer: transfer.clone(), refused };
            assert_eq!(self.inspect(taken, &[]), InspectReply::Done);
            answer.join().unwrap()
        })
    }

    /// A good seal, its manifest uploaded.
    pub fn sealing(&self, dataset: &Dataset, transfer: &TransferId) -> ReceiveRequest {
        let manifest = dataset.manifest(&dataset.manifest_header(transfer));
        self.sealing_manifest(dataset, transfer, &manifest)
    }

    pub fn sealing_manifest(&self, dataset: &Dataset, transfer: &TransferId, manifest: &str) -> ReceiveRequest {
        self.upload(2, manifest.as_bytes());
        ReceiveRequest::Seal {
            source: dataset.source.parse().unwrap(),
            transfer: transfer.clone(),
            upload: 2,
            manifest_sha256: Sha256::of(manifest.as_bytes()),
            signature: identity_key().sign(NAMESPACE_MANIFEST, manifest.as_bytes()),
            chunks: dataset.chunks(),
            chunk_list: dataset.chunk_list(),
        }
    }

    pub fn next_task(&self) -> InspectReply {
        self.inspect(InspectRequest::Next, &[])
    }

    pub fn received(&self, dataset: &Dataset) -> TransferId {
        let transfer = self.accepted(dataset);
        let (reply, _) = self.seal(dataset, &transfer);
        assert!(matches!(reply, ReceiveReply::Sealed { .. }), "{reply:?}");
        transfer
    }

    pub fn inspecting(&self, dataset: &Dataset) -> TransferId {
        let transfer = self.received(dataset);
        assert!(matches!(self.next_task(), InspectReply::Inspect { transfer: next, .. } if next == transfer));
        transfer
    }

    pub fn report(&self, dataset: &Dataset, transfer: &TransferId) -> Report {
        let files = dataset.totals().files;
        let engine = |name: &str| EngineReport {
            engine: name.into(),
            version: "1".into(),
            signatures: String::new(),
            files,
            above_limit: None,
        };
        Report {
            transfer: transfer.clone(),
            manifest: Sha256::of(dataset.manifest(&dataset.manifest_header(transfer)).as_bytes()),
            files,
            engines: vec![engine("file-type"), engine("signatures")],
            counts: Default::default(),
            findings: Vec::new(),
        }
    }

    /// Reports findings of some classes.
    pub fn inspected(&self, dataset: &Dataset, transfer: &TransferId, classes: &[Class]) -> InspectReply {
        let finding = |class: &Class| Finding {
            engine: "signatures".into(),
            class: *class,
            file: Some("a.csv".parse().unwrap()),
            offset: None,
            message: "something".into(),
        };
        let findings: Vec<Finding> = classes.iter().map(finding).collect();
        let outcome = InspectOutcome::Report { report: self.report(dataset, transfer) };
        let request = InspectRequest::Inspected { transfer: transfer.clone(), outcome };
        self.inspect(request, &serde_json::to_vec(&findings).unwrap())
    }

    pub fn held(&self, dataset: &Dataset) -> TransferId {
        let transfer = self.inspecting(dataset);
        assert_eq!(Class::TypeUnknown.default_action(), Action::Hold);
        assert_eq!(self.inspected(dataset, &transfer, &[Class::TypeUnknown]), InspectReply::Done);
        assert_eq!(self.state(&transfer), State::Held);
        transfer
    }

    pub fn released(&self, dataset: &Dataset) -> TransferId {
        let transfer = self.inspecting(dataset);
        assert_eq!(self.inspected(dataset, &transfer, &[]), InspectReply::Done);
        assert_eq!(self.state(&transfer), State::Released);
        transfer
    }

    pub fn wrap(&self, transfer: &TransferId) {
        let task = self.next_task();
        assert!(matches!(task, InspectReply::Wrap { .. }), "{task:?}");
        let request = InspectRequest::Wrapped { transfer: transfer.clone() };
        assert_eq!(self.inspect(request, b"wrapped"), InspectReply::Done);
    }

    pub fn delivering(&self, dataset: &Dataset) -> TransferId {
        let transfer = self.released(dataset);
        self.wrap(&transfer);
        let (reply, identity) = self.deliver(DeliverRequest::Next);
        assert!(matches!(reply, DeliverReply::Deliver { .. }), "{reply:?}");
        assert_eq!(identity, b"wrapped");
        transfer
    }

    pub fn delivered(&self, dataset: &Dataset) -> TransferId {
        let transfer = self.delivering(dataset);
        let (reply, _) = self.visible(&transfer);
        assert!(matches!(reply, DeliverReply::Receipt { .. }), "{reply:?}");
        transfer
    }

    pub fn visible(&self, transfer: &TransferId) -> (DeliverReply, Vec<u8>) {
        let outcome =
            DeliverOutcome::Visible { bag: "extract/x".into(), tagmanifest: Sha256::of(b"tags"), stored: None };
        self.deliver(DeliverRequest::Delivered { transfer: transfer.clone(), outcome })
    }

    pub fn show(&self, transfer: &TransferId) -> TransferDetails {
        match self.operate(OperatorRequest::Show { transfer: transfer.clone() }) {
            OperatorReply::Transfer(details) => *details,
            other => panic!("{other:?}"),
        }
    }

    pub fn state(&self, transfer: &TransferId) -> State {
        self.show(transfer).info.status.state
    }

    /// The audit log's acts.
    pub fn acts(&self) -> Vec<String> {
        self.audit().iter().map(|entry| entry.act.clone()).collect()
    }

    pub fn audit(&self) -> Vec<sluse_protocol::audit::Entry> {
        let (reply, lines) = self.ask_operator(OperatorRequest::AuditLines { from: 0 }, &[]);
        assert!(matches!(reply, OperatorReply::Audit { .. }));
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn init(root: &Path) {
    let layout = Layout::new(root);
    let folders = [layout.role(Role::Control), layout.trust(), layout.run()];
    folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let made = authority::create(&"zone".parse().unwrap(), Timestamp::from_unix(START)).unwrap();
    std::fs::write(layout.ca_certificate(), &made.ca_certificate).unwrap();
    sluse_host::files::write_new(&layout.ca_key(), made.ca_key.as_bytes(), 0o600).unwrap();
    sluse_host::keys::create_signing_key(&layout.signing_key()).unwrap();
    std::fs::write(layout.deliver_recipient(), recipient(999)).unwrap();
}

pub fn settings() -> Settings {
    let receive = "[receive]\nlisten = \"127.0.0.1:1\"\nadvertise = [\"h:1\"]\nkeep_free_bytes = 1000\n";
    Settings::parse(&format!("[zone]\nname = \"zone\"\n{receive}")).unwrap()
}

pub fn open(root: &Path, clock: &Arc<AtomicI64>) -> Result<Control, crate::RoleError> {
    let zone = Zone { settings: settings(), layout: Layout::new(root) };
    let clock = Arc::clone(clock);
    Control::load(&zone, Box::new(move || Timestamp::from_unix(clock.load(Ordering::SeqCst))))
}

pub fn certificate_request() -> String {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
}

#[track_caller]
pub fn assert_refused(reply: &ReceiveReply, code: Code) {
    assert!(matches!(reply, ReceiveReply::Refused(refusal) if refusal.code == code), "{code}: {reply:?}");
}

#[track_caller]
pub fn assert_operator_refused(reply: &OperatorReply, code: Code) {
    assert!(matches!(reply, OperatorReply::Refused(refusal) if refusal.code == code), "{code}: {reply:?}");
}
