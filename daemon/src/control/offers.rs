//! Offers: may this dataset version come, and is there room for it?

use super::documents::{Entries, Which};
use super::failure::{Failure, refuse};
use super::releases;
use super::shared::Control;
use super::store::transfers::{self, Offered, Transfer};
use super::store::{Who, Write, agreements, identities, rooms, sources, transition, versions};
use super::syncs::{self, changes};
use super::uploads::Arrived;
use serde_json::json;
use sluse_host::random;
use sluse_protocol::agreement::Agreement;
use sluse_protocol::digest::Sha256;
use sluse_protocol::document::{Header, Totals};
use sluse_protocol::ids::{AgreementId, DatasetName, SourceName, TransferId};
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::operator::RoomInfo;
use sluse_protocol::path::NameRule;
use sluse_protocol::policy::{self, OfferFacts, PathCheck};
use sluse_protocol::refusal::Code;
use sluse_protocol::roles::ReceiveReply;
use sluse_protocol::sync::Delta;
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::{Event, State};
use std::time::Duration;

/// How long an offer waits for `inspect` to make an identity when none is left: a burst of small transfers outruns the
/// pool for a moment.
const IDENTITY_PATIENCE: Duration = Duration::from_secs(15);

/// Transfers of one source that are received at the same time: every offer looks at all that are, and every one takes an
/// identity, a folder and entries of the log, however few bytes it has.
const MAX_RECEIVING: u64 = 1000;

/// How often an id is drawn that follows another one of the same second: each time the odds are even at first.
const ID_ATTEMPTS: u32 = 1000;

/// What a source offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Who.
    pub source: SourceName,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// The dataset.
    pub dataset: DatasetName,
    /// The idempotency key.
    pub key: Sha256,
    /// What the plan adds up to.
    pub totals: Totals,
    /// SHA-256 of the plan.
    pub plan_sha256: Sha256,
    /// That it travels as its difference from another version.
    pub delta: Option<Delta>,
    /// Free bytes of the quarantine's file system now.
    pub free_bytes: u64,
}

/// Decides on an offer whose plan arrived. The same offer again is the same transfer, in whatever state it is.
///
/// # Errors
/// The refusal, which is in the audit log.
pub fn offer(control: &Control, offer: &Offer, plan: Result<Arrived, Failure>) -> Result<ReceiveReply, Failure> {
    control.live.set_free_bytes(offer.free_bytes);
    let decided = plan.and_then(|plan| decide(control, offer, &plan));
    if let Err(Failure::Refused(refusal)) = &decided {
        control.refused.note(&control.store, &offer.source, &offer.agreement, refusal)?;
    }
    decided
}

fn decide(control: &Control, offer: &Offer, plan: &Arrived) -> Result<ReceiveReply, Failure> {
    let known = control.store.read(|sql| {
        sources::enrolled(sql, &offer.source)?;
        transfers::by_key(sql, &offer.source, &offer.key)
    })?;
    if let Some(rehearsal) = &control.rehearsal {
        rehearsal.check(&offer.dataset, &offer.key)?;
    }
    let now = control.store.now();
    if let Some(transfer) = known {
        return control.store.read(|sql| again(control, sql, offer, transfer, now));
    }
    // What can be said without the plan's entries is said before they are read.
    let (agreement, room) = control.store.read(|sql| judge(control, sql, offer, now))?;
    check_plan(plan, offer, &agreement, room.names)?;
    changes::check_deletions(control, plan, offer, &agreement)?;
    plan.sync()?;
    accept(control, offer, plan)
}

/// An offer that was made before. What is not sealed yet goes on only while its agreement allows anything, and in its hours; what
/// is there whole may be sealed at any.
fn again(
    control: &Control,
    sql: &rusqlite::Connection,
    offer: &Offer,
    transfer: Transfer,
    now: Timestamp,
) -> Result<ReceiveReply, Failure> {
    let same = transfer.plan_sha256 == offer.plan_sha256
        && transfer.agreement == offer.agreement
        && transfer.dataset == offer.dataset
        && transfer.delta == offer.delta;
    if !same {
        return refuse(Code::KeyReused, "this key came with another plan, agreement or dataset before");
    }
    if transfer.state == State::Receiving && transfer.seal.is_some() {
        return refuse(Code::Unavailable, "the transfer is being sealed");
    }
    if transfer.state == State::Receiving {
        releases::check_in_force(sql, &transfer, now)?;
        if control.progress.of(&transfer) < transfer.chunks() {
            policy::check_hours(&control.settings.hours(&offer.source, &offer.agreement), now)?;
        }
    }
    Ok(accepted(transfer))
}

fn accepted(transfer: Transfer) -> ReceiveReply {
    ReceiveReply::Accepted {
        bytes: transfer.carried(),
        transfer: transfer.id,
        state: transfer.state,
        recipient: transfer.identity,
    }
}

/// What policy says of an offer.
fn judge(
    control: &Control,
    sql: &rusqlite::Connection,
    offer: &Offer,
    now: Timestamp,
) -> Result<(Agreement, RoomInfo), Failure> {
    let Some(stored) = agreements::find(sql, &offer.agreement)? else {
        let draft = versions::latest(sql, &offer.agreement)?;
        if draft.is_some_and(|draft| draft.head.from == offer.source) {
            return refuse(Code::AgreementDraft, format!("agreement {} was not activated yet", offer.agreement));
        }
        return refuse(Code::UnknownAgreement, "no such agreement for this source");
    };
    let room = rooms::find(sql, &stored.agreement.to)?;
    let source = sources::enrolled(sql, &offer.source)?;
    let facts = OfferFacts {
        source: &offer.source,
        of_room: source.room.as_ref(),
        standing: stored.standing(),
        room: room.as_ref().map(|room| &room.name),
        totals: offer.totals,
        open_bytes: transfers::open_bytes(sql, &offer.agreement)?,
        delivered: transfers::disclosures(sql, &offer.agreement, None)?,
        now,
    };
    policy::check_offer(&stored.agreement, &facts)?;
    syncs::check_delta(sql, &stored.agreement, offer)?;
    policy::check_hours(&control.settings.hours(&offer.source, &offer.agreement), now)?;
    check_quota(control, sql, offer)?;
    match room {
        Some(room) => {
            policy::check_room(&stored.agreement, &room)?;
            policy::check_until(&room, now)?;
            Ok((stored.agreement, room))
        }
        None => refuse(Code::ForbiddenRoom, "the agreement's room is not known"),
    }
}

/// Reads the plan: well-formed, as announced, every path allowed.
fn check_plan(plan: &Arrived, offer: &Offer, agreement: &Agreement, names: NameRule) -> Result<(), Failure> {
    let mut entries = Entries::open(plan.path())?;
    let mut paths = PathCheck::new(agreement, names);
    let mut number = 0;
    while let Some(entry) = entries.next()? {
        number += 1;
        paths.path(number, &entry.path, entry.kind)?;
    }
    let ended = entries.finish()?;
    let Header::Plan { totals } = ended.header else {
        return refuse(Code::BadDocument, "an offer's document is a plan");
    };
    if totals != offer.totals {
        return refuse(Code::BadDocument, "the plan adds up to other totals than the offer announces");
    }
    if ended.sha256 != offer.plan_sha256 {
        return refuse(Code::BadDocument, "the plan's digest is another than the offer announces");
    }
    Ok(())
}

/// Reserves space and an identity, keeps the plan, and commits, waiting a moment when identities have run out.
fn accept(control: &Control, offer: &Offer, plan: &Arrived) -> Result<ReceiveReply, Failure> {
    let wake = &control.store.wake;
    let accepted = wake.wait_for(IDENTITY_PATIENCE, IDENTITY_PATIENCE, || match commit(control, offer, plan) {
        Err(Failure::Refused(refusal)) if refusal.code == Code::NoIdentity => Ok(None),
        other => other.map(Some),
    })?;
    accepted.map_or_else(|| refuse(Code::NoIdentity, "no transfer key is ready"), Ok)
}

fn commit(control: &Control, offer: &Offer, plan: &Arrived) -> Result<ReceiveReply, Failure> {
    let mut kept = None;
    let committed = control.store.write(|write| {
        sources::enrolled(&write.sql, &offer.source)?;
        if let Some(transfer) = transfers::by_key(&write.sql, &offer.source, &offer.key)? {
            return again(control, &write.sql, offer, transfer, write.now);
        }
        let (agreement, room) = judge(control, &write.sql, offer, write.now)?;
        check_count(&write.sql, &offer.source)?;
        check_space(control, write, offer, plan.bytes)?;
        let id = fresh_id(write, offer, &agreement)?;
        let Some(identity) = identities::take(write, &id)? else {
            return refuse(Code::NoIdentity, "no transfer key is ready");
        };
        insert(write, offer, &id, room, plan.bytes, identity)?;
        // The plan stands there durably before the state says so; without the commit it is a leftover.
        kept = Some(id.clone());
        control.documents.keep(write, plan.path(), &id, Which::Plan)?;
        Ok(accepted(transfers::get(&write.sql, &id)?))
    });
    if let (Err(_), Some(id)) = (&committed, kept) {
        control.documents.remove(&id, Which::Plan)?;
    }
    committed
}

/// An id that no transfer has. Those of a dataset that is kept in sync ascend, also within a second: which version is the later one
/// follows from that.
fn fresh_id(write: &Write<'_>, offer: &Offer, agreement: &Agreement) -> Result<TransferId, Failure> {
    let before = match agreement.sync {
        Some(_) => transfers::latest_of(&write.sql, &offer.source, &offer.agreement, &offer.dataset)?,
        None => None,
    };
    for _ in 0..ID_ATTEMPTS {
        let random = random::bytes::<5>().map_err(Failure::io("random bytes"))?;
        let id = TransferId::new(write.now, *random);
        let same_second = |before: &Transfer| before.offered == write.now;
        if before.as_ref().filter(|before| same_second(before)).is_none_or(|before| before.id < id) {
            return Ok(id);
        }
    }
    refuse(Code::Busy, "too many transfers of this dataset within a second")
}

/// What the zone's own settings allow the source to have open.
fn check_quota(control: &Control, sql: &rusqlite::Connection, offer: &Offer) -> Result<(), Failure> {
    let most = control.settings.source(&offer.source).and_then(|settings| settings.max_open_bytes);
    let Some(most) = most else { return Ok(()) };
    let open = transfers::open_bytes_of(sql, &offer.source)?;
    if open.saturating_add(offer.totals.bytes) <= most {
        return Ok(());
    }
    refuse(Code::QuotaExceeded, format!("{open} bytes of this source are open, and {most} are allowed at once"))
}

fn check_count(sql: &rusqlite::Connection, source: &SourceName) -> Result<(), Failure> {
    if transfers::count_receiving(sql, source)? < MAX_RECEIVING {
        return Ok(());
    }
    refuse(Code::QuotaExceeded, format!("{MAX_RECEIVING} transfers of this source are being received already"))
}

fn insert(
    write: &mut Write<'_>,
    offer: &Offer,
    id: &TransferId,
    room: RoomInfo,
    plan_bytes: u64,
    identity: String,
) -> Result<(), Failure> {
    let by = Who::Source(offer.source.clone());
    let offered = Offered {
        id: id.clone(),
        source: offer.source.clone(),
        agreement: offer.agreement.clone(),
        room: room.name,
        dataset: offer.dataset.clone(),
        key: offer.key,
        plan_sha256: offer.plan_sha256,
        plan_bytes,
        totals: offer.totals,
        delta: offer.delta.clone(),
        identity,
    };
    transfers::insert(write, &offered)?;
    let mut details = json!({
        "agreement": offered.agreement,
        "room": offered.room,
        "plan": offered.plan_sha256,
        "files": offered.totals.files,
        "folders": offered.totals.folders,
        "bytes": offered.totals.bytes,
        "identity": offered.identity,
    });
    if let Some(delta) = &offered.delta {
        details["base"] = delta.base.as_str().into();
    }
    write.record(&by, "transfer-offered", Some(id), details)?;
    transition::apply(write, id, Event::Accept, &Who::Control, json!({}))?;
    Ok(())
}

/// Whether the quarantine has room for this and for the rest of what was promised before.
fn check_space(control: &Control, write: &Write<'_>, offer: &Offer, plan_bytes: u64) -> Result<(), Failure> {
    let receiving = transfers::all_in(&write.sql, &[State::Receiving])?;
    let promised: u64 = receiving.iter().map(|transfer| outstanding(control, transfer)).sum();
    let keep_free = control.settings.receive.keep_free_bytes;
    let needed = stored_bytes(&offer.totals, offer.delta.as_ref(), plan_bytes);
    let usable = offer.free_bytes.saturating_sub(promised).saturating_sub(keep_free);
    if usable < needed {
        return refuse(Code::NoSpace, format!("{needed} bytes are needed, {usable} are free for it"));
    }
    Ok(())
}

/// What a receiving transfer was promised and has not written yet.
fn outstanding(control: &Control, transfer: &Transfer) -> u64 {
    let durable = u64::from(control.progress.of(transfer)) * u64::from(CHUNK_BYTES);
    let promised = stored_bytes(&transfer.totals, transfer.delta.as_ref(), transfer.plan_bytes);
    promised.saturating_sub(durable.min(transfer.carried()))
}

/// Bytes on disk: age adds 16 bytes to each 64 KiB and a header to each chunk; plan and manifest are kept by `control`, and
/// the manifest, which has a digest more for each file, in the quarantine too. A difference lies beside the version that is put together
/// from it.
fn stored_bytes(totals: &Totals, delta: Option<&Delta>, plan_bytes: u64) -> u64 {
    let difference = delta.map_or(0, Delta::bytes);
    let chunks = totals.chunks(CHUNK_BYTES) + difference.div_ceil(u64::from(CHUNK_BYTES));
    let manifest = plan_bytes.saturating_add(totals.files.saturating_mul(80));
    let documents = plan_bytes.saturating_add(manifest.saturating_mul(2));
    let plain = totals.bytes.saturating_add(difference);
    plain.saturating_add(plain / 1000).saturating_add(chunks * 300).saturating_add(documents)
}
