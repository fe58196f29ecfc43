//! What administrators say of rooms.

use super::acts::{check_reason, digest};
use crate::control::failure::{Failure, refuse};
use crate::control::shared::Control;
use crate::control::store::{Who, agreements, rooms};
use age::x25519::Recipient;
use serde_json::json;
use sluse_protocol::courier::Elsewhere;
use sluse_protocol::ids::RoomName;
use sluse_protocol::operator::RoomInfo;
use sluse_protocol::path::{self, DataPath, NameRule};
use sluse_protocol::policy;
use sluse_protocol::refusal::Code;
use sluse_protocol::sshsig::PublicKey;
use sluse_protocol::time::Timestamp;
use std::str::FromStr as _;

/// Makes a room known. Its folder is its own: not another's, nor above or below another's.
pub fn add(
    control: &Control,
    operator: &Who,
    name: RoomName,
    (folder, names): (String, NameRule),
    elsewhere: Option<Elsewhere>,
) -> Result<(), Failure> {
    let path: DataPath = match folder.parse() {
        Ok(path) => path,
        Err(problem) => return refuse(Code::Invalid, format!("the room's folder: {problem}")),
    };
    if path.components().any(|component| component.starts_with('.')) {
        return refuse(Code::Invalid, "the room's folder: a leading dot is for folders of our own");
    }
    let room = RoomInfo { name, folder, names, key: None, recipient: None, elsewhere };
    control.store.write(|write| {
        for other in rooms::all(&write.sql)? {
            let as_it_is = RoomInfo { key: other.key.clone(), recipient: other.recipient.clone(), ..room.clone() };
            if other == as_it_is {
                return Ok(());
            }
            if other.name == room.name {
                return refuse(Code::NameTaken, format!("there is a room {} with other settings", room.name));
            }
            if overlap(&path, &other.folder) {
                let message = format!("the folder is room {}'s, or lies above or below it", other.name);
                return refuse(Code::NameTaken, message);
            }
        }
        rooms::insert(write, &room)?;
        let details =
            json!({"room": room.name, "folder": room.folder, "names": room.names, "elsewhere": room.elsewhere});
        write.record(operator, "room-added", None, details)?;
        Ok(())
    })
}

fn overlap(path: &DataPath, other: &str) -> bool {
    let Ok(other) = other.parse::<DataPath>() else { return true };
    let (one, two) = (path::collision_key(path), path::collision_key(&other));
    let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below(&one, &two) || below(&two, &one)
}

/// Says by which key a room acknowledges, to which what is delivered there is encrypted, and until when one elsewhere is reached; or that
/// there is none. Not against what an agreement asks of the room.
pub fn change(
    control: &Control,
    operator: &Who,
    name: &RoomName,
    (key, recipient): (Option<String>, Option<String>),
    until: Option<Timestamp>,
    reason: &str,
) -> Result<(), Failure> {
    check_reason(reason)?;
    let key = match key.as_deref().map(PublicKey::from_openssh).transpose() {
        Ok(key) => key,
        Err(bad) => return refuse(Code::Invalid, format!("the room's key: {bad}")),
    };
    if recipient.as_ref().is_some_and(|recipient| Recipient::from_str(recipient).is_err()) {
        return refuse(Code::Invalid, "the room's recipient is not one of age's (X25519)");
    }
    control.store.write(|write| {
        let Some(room) = rooms::find(&write.sql, name)? else {
            return refuse(Code::UnknownName, format!("there is no room {name}"));
        };
        if room.elsewhere.is_none() && until.is_some() {
            return refuse(Code::Invalid, format!("room {name} is a folder of this host: it has no end"));
        }
        if room.elsewhere.is_some() && key.is_some() {
            return refuse(Code::Invalid, format!("room {name} is elsewhere: nobody looks there for acknowledgements"));
        }
        let elsewhere = room.elsewhere.map(|_| Elsewhere { until });
        // As it is kept: without a comment, which may name somebody.
        let changed = RoomInfo { key: key.map(|key| key.to_openssh()), recipient, elsewhere, ..room.clone() };
        if changed == room {
            return Ok(());
        }
        for stored in agreements::all(&write.sql)? {
            if stored.agreement.to == *name && stored.ended.is_none() {
                policy::check_room(&stored.agreement, &changed)?;
            }
        }
        rooms::change(write, &changed)?;
        let (fingerprint, recipient) = (key.map(|key| key.fingerprint()), changed.recipient);
        let details =
            json!({"room": name, "key": fingerprint, "recipient": recipient, "elsewhere": changed.elsewhere, "reason_sha256": digest(reason)});
        write.record(operator, "room-changed", None, details)?;
        Ok(())
    })
}
