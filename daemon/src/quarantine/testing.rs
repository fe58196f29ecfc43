//! Synthetic sealed transfers for tests: what `receive` and `control` leave behind, made in a temporary folder.

use super::identity::{self, RoleKey};
use age::x25519::Identity;
use sluse_host::config::{Settings, Zone};
use sluse_host::layout::{CHUNK_INDEX, Layout, MANIFEST, chunk_file, delta_folder, transfer_folder};
use sluse_protocol::agreement;
use sluse_protocol::chunk_index::Record;
use sluse_protocol::digest::{ChunkDigest, Sha256, chunk_list_digest};
use sluse_protocol::document::{Entry, Header, Kind, Totals};
use sluse_protocol::finding::Report;
use sluse_protocol::ids::TransferId;
use sluse_protocol::part::Part;
use sluse_protocol::policy::{Cleared, decide_by_reviews};
use sluse_protocol::review::{Choice, Review};
use sluse_protocol::roles::Role;
use sluse_protocol::sshsig::{NAMESPACE_RECEIPT, SigningKey};
use sluse_protocol::sync::Delta;
use sluse_protocol::sync::recipe::{self, Step};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Bytes of a chunk in these transfers.
pub const CHUNK: u32 = 100_000;

/// A zone's folder with the keys that `inspect` and `deliver` need.
pub struct TestZone {
    _folder: TempDir,
    pub zone: Zone,
    pub quarantine: Identity,
    pub deliver: Identity,
    pub signer: SigningKey,
}

impl TestZone {
    /// The quarantine's key, as the role has it.
    pub fn key(&self) -> RoleKey {
        RoleKey::read(&self.layout().quarantine_key()).unwrap()
    }

    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().canonicalize().unwrap());
        let folders = [layout.role(Role::Inspect), layout.role(Role::Deliver), layout.identities(), layout.trust()];
        for path in folders.iter().chain(&[layout.quarantine(), layout.incoming(), layout.sealed()]) {
            fs::create_dir_all(path).unwrap();
        }
        for path in ["signatures", "rooms", "rooms/lab"] {
            fs::create_dir_all(layout.root().join(path)).unwrap();
        }
        let (quarantine, deliver) = (Identity::generate(), Identity::generate());
        write_key(&layout.quarantine_key(), &quarantine);
        write_key(&layout.deliver_key(), &deliver);
        fs::write(layout.deliver_recipient(), format!("{}\n", deliver.to_public())).unwrap();
        let signer = SigningKey::from_seed(&[7; 32]).unwrap();
        fs::write(layout.signer(), signer.public().to_openssh() + "\n").unwrap();
        let allowed = signer.public().to_allowed_signer(settings().zone.name.as_str(), &[NAMESPACE_RECEIPT]);
        fs::write(layout.allowed_signers(), allowed).unwrap();
        Self { _folder: folder, zone: Zone { settings: settings(), layout }, quarantine, deliver, signer }
    }

    pub fn layout(&self) -> &Layout {
        &self.zone.layout
    }

    /// Puts a transfer of `files` into `incoming`, its identity wrapped where `inspect` keeps it.
    pub fn incoming(&self, id: &str, files: &[TestFile]) -> TestTransfer {
        let transfer = TestTransfer::write(&self.layout().incoming(), id, files);
        let wrapped = identity::wrap(&transfer.identity, &self.quarantine.to_public()).unwrap();
        fs::write(self.layout().identity(&transfer.recipient()), wrapped).unwrap();
        transfer
    }

    /// The same in `sealed`.
    pub fn sealed(&self, id: &str, files: &[TestFile]) -> TestTransfer {
        let mut transfer = self.incoming(id, files);
        let sealed = transfer_folder(&self.layout().sealed(), &transfer.id);
        fs::rename(&transfer.folder, &sealed).unwrap();
        transfer.folder = sealed;
        transfer
    }

    /// What came of a version of `files` as its difference from that of `base`: the recipe `steps`, and `literals` behind it.
    pub fn difference(
        &self,
        id: &str,
        base: &str,
        files: &[TestFile],
        steps: &[Step],
        literals: &[u8],
    ) -> TestTransfer {
        let id: TransferId = id.parse().unwrap();
        let folder = delta_folder(&self.layout().sealed(), &id);
        fs::create_dir(&folder).unwrap();
        let recipe = recipe::encode(steps);
        let (recipe_bytes, literal_bytes) = (recipe.len() as u64, literals.len() as u64);
        let delta = Delta { base: base.parse().unwrap(), recipe_bytes, literal_bytes };
        let entries: Vec<Entry> = files.iter().map(entry).collect();
        let carried = [recipe, literals.to_vec()].concat();
        let mut transfer = TestTransfer::write_carried(folder, id, &carried, &entries, Some(delta));
        let wrapped = identity::wrap(&transfer.identity, &self.quarantine.to_public()).unwrap();
        fs::write(self.layout().identity(&transfer.recipient()), wrapped).unwrap();
        transfer.folder = transfer_folder(&self.layout().sealed(), &transfer.id);
        transfer
    }

    /// A sealed transfer whose file `b` is not what its manifest says, though its chunks are.
    pub fn sealed_with_wrong_digest(&self, id: &str) -> TestTransfer {
        let files = [file("a", "1"), file("b", "2"), file("c", "3")];
        let mut entries: Vec<Entry> = files.iter().map(entry).collect();
        entries[1].sha256 = Some(Sha256::of(b"other"));
        let id: TransferId = id.parse().unwrap();
        let folder = transfer_folder(&self.layout().sealed(), &id);
        fs::create_dir(&folder).unwrap();
        let transfer = TestTransfer::write_entries(folder, id, &files, &entries);
        let wrapped = identity::wrap(&transfer.identity, &self.quarantine.to_public()).unwrap();
        fs::write(self.layout().identity(&transfer.recipient()), wrapped).unwrap();
        transfer
    }
}

fn write_key(path: &Path, key: &Identity) {
    use age::secrecy::ExposeSecret as _;
    fs::write(path, format!("{}\n", key.to_string().expose_secret())).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn settings() -> Settings {
    Settings::parse("[zone]\nname = \"test\"\n[receive]\nlisten = \"127.0.0.1:1\"\nadvertise = [\"h:1\"]\n").unwrap()
}

/// A file of a synthetic dataset, or an empty folder.
pub struct TestFile {
    pub path: String,
    pub bytes: Option<Vec<u8>>,
    pub executable: bool,
}

/// A file.
pub fn file(path: &str, bytes: impl AsRef<[u8]>) -> TestFile {
    TestFile { path: path.into(), bytes: Some(bytes.as_ref().to_vec()), executable: false }
}

/// An empty folder.
pub fn folder(path: &str) -> TestFile {
    TestFile { path: path.into(), bytes: None, executable: false }
}

/// Bytes that do not repeat.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
    bytes
}

/// A synthetic transfer.
pub struct TestTransfer {
    pub id: TransferId,
    pub folder: PathBuf,
    pub identity: Identity,
    pub totals: Totals,
    pub manifest: Sha256,
    pub chunks: u32,
    pub chunk_list: Sha256,
}

impl TestTransfer {
    pub fn write(parent: &Path, id: &str, files: &[TestFile]) -> Self {
        let id: TransferId = id.parse().unwrap();
        let folder = transfer_folder(parent, &id);
        fs::create_dir(&folder).unwrap();
        let entries: Vec<Entry> = files.iter().map(entry).collect();
        Self::write_entries(folder, id, files, &entries)
    }

    fn write_entries(folder: PathBuf, id: TransferId, files: &[TestFile], entries: &[Entry]) -> Self {
        let stream: Vec<u8> = files.iter().flat_map(|file| file.bytes.clone().unwrap_or_default()).collect();
        Self::write_carried(folder, id, &stream, entries, None)
    }

    fn write_carried(folder: PathBuf, id: TransferId, carried: &[u8], entries: &[Entry], delta: Option<Delta>) -> Self {
        let identity = Identity::generate();
        let totals = entries.iter().fold(Totals::default(), |totals, entry| totals.plus(entry).unwrap());
        let digests = write_chunks(&folder, &identity, carried);
        let header = Header::Manifest {
            transfer: id.clone(),
            source: "lab-system".parse().unwrap(),
            agreement: "a-1".parse().unwrap(),
            dataset: "extract".parse().unwrap(),
            plan: Sha256::of(b"plan"),
            totals,
            chunk_bytes: CHUNK,
            chunks: digests.len() as u32,
            chunk_list: chunk_list_digest(&digests),
            delta,
        };
        let text: String = std::iter::once(header.to_line()).chain(entries.iter().map(Entry::to_line)).collect();
        fs::write(folder.join(MANIFEST), encrypt(&identity, text.as_bytes())).unwrap();
        let (manifest, chunks, chunk_list) =
            (Sha256::of(text.as_bytes()), digests.len() as u32, chunk_list_digest(&digests));
        Self { id, folder, identity, totals, manifest, chunks, chunk_list }
    }

    pub fn recipient(&self) -> String {
        self.identity.to_public().to_string()
    }

    /// The word that it may be released.
    pub fn cleared(&self) -> Cleared {
        self.cleared_part(None)
    }

    /// The word that a part of it may be.
    pub fn cleared_part(&self, part: Option<Part>) -> Cleared {
        let report = Report {
            transfer: self.id.clone(),
            manifest: self.manifest,
            files: self.totals.files,
            engines: Vec::new(),
            counts: Default::default(),
            findings: Vec::new(),
        };
        let agreement = agreement::parse(include_str!("../../../config/agreements/epic-nightly.toml")).unwrap();
        let review = Review { by: 1, choice: Choice::Release, manifest: self.manifest, part };
        decide_by_reviews(&agreement, self.manifest, self.totals.files, &report, &[review]).unwrap()
    }

    /// Its manifest.
    pub fn manifest_text(&self) -> String {
        let sealed = fs::read(self.folder.join(MANIFEST)).unwrap();
        String::from_utf8(age::decrypt(&self.identity, &sealed).unwrap()).unwrap()
    }

    /// The path of a chunk's file.
    pub fn chunk(&self, number: u32) -> PathBuf {
        self.folder.join(chunk_file(number))
    }

    /// A chunk's plain bytes.
    pub fn plain(&self, number: u32) -> Vec<u8> {
        age::decrypt(&self.identity, &fs::read(self.chunk(number)).unwrap()).unwrap()
    }

    /// Puts other bytes in a chunk's place: encrypted to the right identity, and as long as what was sealed, so that nothing but
    /// a digest can tell.
    pub fn exchange(&self, number: u32, plain: &[u8]) {
        let length = fs::read(self.chunk(number)).unwrap().len();
        // age pads its header at random; in so many attempts each length comes.
        let sealed = (0..100_000).map(|_| encrypt(&self.identity, plain)).find(|sealed| sealed.len() == length);
        fs::write(self.chunk(number), sealed.expect("as long")).unwrap();
    }
}

/// Encrypts to an identity's public half, as `receive` does.
pub fn encrypt(identity: &Identity, plain: &[u8]) -> Vec<u8> {
    age::encrypt(&identity.to_public(), plain).unwrap()
}

fn write_chunks(folder: &Path, identity: &Identity, stream: &[u8]) -> Vec<ChunkDigest> {
    let mut index = Vec::new();
    let mut digests = Vec::new();
    for (number, plain) in stream.chunks(CHUNK as usize).enumerate() {
        let sealed = encrypt(identity, plain);
        let digest = ChunkDigest::of(plain);
        let record = Record { index: number as u32, stored: sealed.len() as u32, digest };
        index.extend_from_slice(&record.encode());
        digests.push(digest);
        fs::write(folder.join(chunk_file(number as u32)), sealed).unwrap();
    }
    fs::write(folder.join(CHUNK_INDEX), index).unwrap();
    digests
}

fn entry(file: &TestFile) -> Entry {
    let bytes = file.bytes.as_deref();
    Entry {
        path: file.path.parse().unwrap(),
        kind: if bytes.is_some() { Kind::File } else { Kind::Folder },
        size: bytes.map_or(0, |bytes| bytes.len() as u64),
        mtime: 1_700_000_000,
        mtime_ns: 5,
        executable: file.executable,
        sha256: bytes.map(Sha256::of),
    }
}
