//! What all of `control`'s threads share.

use super::acknowledgements::Looks;
use super::alerts::Board;
use super::authority::Authority;
use super::documents::Documents;
use super::keys;
use super::last_checkpoint::LastCheckpoint;
use super::live::Live;
use super::people::People;
use super::progress::Progress;
use super::readings::Readings;
use super::refused::RefusedOffers;
use super::rehearsal::Rehearsal;
use super::restored;
use super::server_certificate::Renewals;
use super::snapshot::Snapshots;
use super::store::{Clock, Store, register};
use super::work::Work;
use crate::RoleError;
use crate::outside::Outside;
use sluse_host::config::{Settings, Zone};
use sluse_host::files;
use sluse_host::keys::read_signing_key;
use sluse_host::layout::Layout;
use std::path::Path;

/// Bytes of the longest age recipient line that is read.
const MAX_RECIPIENT_FILE: u64 = 4096;

/// The role's state: what is durable in `store` and `documents`, what is true of now in the rest.
pub struct Control {
    /// The zone's settings.
    pub settings: Settings,
    /// The state.
    pub store: Store,
    /// The audit log's last checkpoint, outside of the database.
    pub last_checkpoint: LastCheckpoint,
    /// Who may ask what at the operators' socket.
    pub people: People,
    /// Plans and manifests.
    pub documents: Documents,
    /// Copies of the database for backups.
    pub snapshots: Snapshots,
    /// Who issues certificates.
    pub authority: Authority,
    /// What it issued to `receive` since the start.
    pub renewals: Renewals,
    /// Who else's certificates are taken, and whose they are.
    pub outside: Outside,
    /// The public half of `deliver`'s key: what transfer identities are re-wrapped to.
    pub deliver_recipient: String,
    /// Which roles are connected, and which engines are there.
    pub live: Live,
    /// What the roles are working on.
    pub work: Work,
    /// What is wrong, as it was looked at last.
    pub board: Board,
    /// How far rooms were looked at for acknowledgements.
    pub looks: Looks,
    /// How far receiving transfers are.
    pub progress: Progress,
    /// What persons read today.
    pub readings: Readings,
    /// Refused offers of the last minute.
    pub refused: RefusedOffers,
    /// What a sandbox does on request; no other zone has it.
    pub rehearsal: Option<Rehearsal>,
}

impl Control {
    /// Loads keys and state.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(zone: &Zone, clock: Clock) -> Result<Self, RoleError> {
        let layout = &zone.layout;
        let key = read_signing_key(&layout.signing_key())?;
        let signer = keys::signer(layout, zone.settings.zone.name.clone(), key)?;
        let last_checkpoint = LastCheckpoint::find(layout, &signer)?;
        let store = Store::open(&layout.database(), signer, clock, last_checkpoint.witness())?;
        last_checkpoint.settle(&store)?;
        restored::settle(layout, &store)?;
        keys::settle(layout, &store)?;
        store.write(register::catch_up).map_err(|failure| RoleError::State(failure.to_string()))?;
        Ok(Self {
            settings: zone.settings.clone(),
            people: People::new(&zone.settings.control)?,
            last_checkpoint,
            documents: Documents::open(layout, &store)?,
            snapshots: Snapshots::open(layout).map_err(RoleError::io(layout.snapshot().display().to_string()))?,
            authority: Authority::load(layout)?,
            renewals: Renewals::default(),
            outside: Outside::new(zone),
            deliver_recipient: read_recipient(layout)?,
            live: Live::default(),
            work: Work::default(),
            board: Board::default(),
            looks: Looks::default(),
            progress: Progress::default(),
            readings: Readings::default(),
            refused: RefusedOffers::default(),
            rehearsal: None,
            store,
        })
    }
}

fn read_recipient(layout: &Layout) -> Result<String, RoleError> {
    let path = layout.deliver_recipient();
    let read = |path: &Path| files::read_bounded(path, MAX_RECIPIENT_FILE);
    let bytes = read(&path).map_err(RoleError::io(path.display().to_string()))?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    if is_recipient(&text) {
        return Ok(text);
    }
    Err(RoleError::State(format!("{}: not an age recipient", path.display())))
}

/// Whether a text has the form of an age recipient (X25519): `age1` and 58 characters of bech32.
pub fn is_recipient(text: &str) -> bool {
    let data = text.strip_prefix("age1").unwrap_or_default();
    data.len() == 58 && data.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
