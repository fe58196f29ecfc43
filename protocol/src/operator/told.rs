//! What an operator is told: sources, rooms, agreements, transfers, and how the zone is.

use crate::agreement::{Ending, Lack};
use crate::archive::Fixity;
use crate::audit::Position;
use crate::courier::{Elsewhere, Remains, Stored};
use crate::digest::Sha256;
use crate::finding::{EngineReport, Report};
use crate::ids::{AgreementId, RoomName, SourceName, TransferId, ZoneName};
use crate::part::Part;
use crate::path::NameRule;
use crate::receipt::DecisionRecord;
use crate::review::Choice;
use crate::roles::{EngineFailure, Role};
use crate::time::Timestamp;
use crate::transfer::State;
use crate::wire::TransferStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A source as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Its name.
    pub name: SourceName,
    /// `invited`, `enrolled` or `revoked`.
    pub status: String,
    /// The room out of which it exports, where it is a room's.
    pub room: Option<RoomName>,
    /// Since when.
    pub since: Timestamp,
    /// When its invite or its certificate of this zone runs out; none where it has a certificate of an outside authority.
    pub expires: Option<Timestamp>,
}

/// A room as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// Its name.
    pub name: RoomName,
    /// Its folder below `deliver`'s folder of rooms.
    pub folder: String,
    /// How it takes names.
    pub names: NameRule,
    /// By which key it acknowledges what was delivered there, an OpenSSH public key line.
    pub key: Option<String>,
    /// The age recipient to which each file is encrypted there.
    pub recipient: Option<String>,
    /// That it is no folder of this host: its courier takes what goes there.
    pub elsewhere: Option<Elsewhere>,
}

/// An archived bag as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveInfo {
    /// The transfer that brought it.
    pub transfer: TransferId,
    /// Its room.
    pub room: RoomName,
    /// Its folder, relative to the room's.
    pub bag: String,
    /// When it was delivered.
    pub delivered: Timestamp,
    /// When it was read again last.
    pub checked: Option<Timestamp>,
    /// What was found then.
    pub fixity: Option<Fixity>,
    /// Since when it is read no more.
    pub ended: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
}

/// An agreement as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementInfo {
    /// Its id.
    pub id: AgreementId,
    /// What it is about.
    pub title: String,
    /// Who sends.
    pub from: SourceName,
    /// Who receives.
    pub to: RoomName,
    /// From when.
    pub valid_from: Timestamp,
    /// Until when, the approvals' ends included.
    pub valid_to: Timestamp,
    /// `draft`, `active`, `not-yet-valid`, `expired`, `suspended` or `ended`.
    pub status: String,
    /// The latest version, where it is not in force yet.
    pub draft: Option<DraftInfo>,
    /// Its versions, the first one first; not in lists.
    pub versions: Vec<VersionInfo>,
    /// That it is suspended.
    pub suspended: Option<Suspended>,
    /// That it ends soon.
    pub ending: Option<Ending>,
    /// SHA-256 of its text.
    pub sha256: Sha256,
}

/// A version of an agreement that is to be put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftInfo {
    /// Its number.
    pub version: u32,
    /// What it cannot be in force without.
    pub lacks: Vec<Lack>,
}

/// A version of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionInfo {
    /// Its number, from 1.
    pub version: u32,
    /// SHA-256 of its text.
    pub sha256: Sha256,
    /// Since when it is there.
    pub added: Timestamp,
    /// Who wrote it, where that is known.
    pub author: Option<String>,
    /// Why it was changed.
    pub reason: Option<String>,
    /// Since when it is, or was, in force.
    pub activated: Option<Timestamp>,
    /// Who put it in force.
    pub activated_by: Option<String>,
}

/// That an agreement allows nothing until it is resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspended {
    /// Since when.
    pub since: Timestamp,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A transfer in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferInfo {
    /// What the source may know too.
    pub status: TransferStatus,
    /// Who sends.
    pub source: SourceName,
    /// Where it goes.
    pub room: RoomName,
    /// Bytes that are durable, while it is receiving.
    pub durable_bytes: u64,
    /// When it was offered.
    pub offered: Timestamp,
}

/// Everything about one transfer; findings come beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferDetails {
    /// What stands in a list.
    pub info: TransferInfo,
    /// SHA-256 of its manifest, once sealed.
    pub manifest_sha256: Option<Sha256>,
    /// The public half of its identity.
    pub identity: Option<String>,
    /// What the inspection reported, without findings.
    pub report: Option<Report>,
    /// How it was decided.
    pub decision: Option<DecisionRecord>,
    /// What of it was released, where files were left out.
    pub part: Option<Part>,
    /// The bag's folder, relative to the room's, once delivered.
    pub bag: Option<String>,
    /// How it was stored, where the room is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// What may be left in its room elsewhere, where the delivery was given up since that could not be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remains: Option<Remains>,
    /// When the bag was removed from its room: of a version, once newer ones stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
    /// When key and bytes are to be destroyed, once it is settled.
    pub purge_after: Option<Timestamp>,
    /// That they are not, until somebody lifts it.
    pub retained: Option<Retained>,
    /// What persons chose of it. While it is undecided, what was chosen is shown to those alone who chose.
    pub reviews: Vec<ReviewInfo>,
    /// Each state that it was in, and since when.
    pub history: Vec<(State, Timestamp)>,
}

/// What a person chose of a held transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewInfo {
    /// Who.
    pub by: String,
    /// When.
    pub time: Timestamp,
    /// What, where that may be seen.
    pub choice: Option<Choice>,
    /// Why, where that may be seen.
    pub reason: Option<String>,
    /// What of it the person would release, where files are left out and that may be seen.
    pub part: Option<Part>,
    /// Why it does not count any more.
    pub void: Option<String>,
}

/// That a transfer is kept although its time is over: a legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retained {
    /// Since when.
    pub since: Timestamp,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// How the zone is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The zone.
    pub zone: ZoneName,
    /// Its clock.
    pub time: Timestamp,
    /// What is wrong; none is healthy.
    pub problems: Vec<HealthProblem>,
    /// What works, but a person should know.
    pub warnings: Vec<HealthProblem>,
    /// Roles that are connected.
    pub roles: Vec<Role>,
    /// Engines that are there.
    pub engines: Vec<EngineReport>,
    /// Engines that are not.
    pub failing_engines: Vec<EngineFailure>,
    /// Number of transfers in each state.
    pub transfers: BTreeMap<String, u64>,
    /// The audit log.
    pub audit: Position,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthProblem {
    /// A stable code.
    pub code: String,
    /// How many things it is about.
    pub count: u64,
    /// A sentence.
    pub message: String,
    /// What to do.
    pub hint: String,
}
