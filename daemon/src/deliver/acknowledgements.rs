//! Looks for what rooms drop: a statement that they have a bag, and its signature. Who writes there is not trusted: what lies under the
//! two names is read up to a bound and given to `control`, which knows the room's key.

use super::place::Place;
use super::receipt;
use crate::control_link::Link;
use crate::zone_signers::ZoneSigners;
use sluse_host::rpc::CallError;
use sluse_protocol::acknowledgement::{FOLDER, MAX_BYTES, file_name};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::roles::{AwaitedBag, DeliverReply, DeliverRequest};
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::sync::{Mutex, PoisonError};

/// Transfers of which it is remembered what was of no use; with more, it is asked and said once more.
const MOST_REMEMBERED: usize = 10_000;

/// What was dropped for a transfer and was of no use, by its digest: not asked about, and not said, again and again.
#[derive(Debug, Default)]
pub struct Useless(Mutex<BTreeMap<TransferId, Sha256>>);

/// What was dropped for a transfer.
struct Dropped {
    statement: Vec<u8>,
    signature: String,
}

impl Dropped {
    fn sha256(&self) -> Sha256 {
        Sha256::of(&[self.statement.as_slice(), b"\0", self.signature.as_bytes()].concat())
    }
}

/// Looks at each bag's room, and lays the receipt of what is acknowledged beside its bag.
///
/// # Errors
/// When the link to `control` is lost.
pub fn look(
    rooms: &Place,
    bags: &[AwaitedBag],
    link: &Link<DeliverRequest, DeliverReply>,
    signers: &ZoneSigners,
    useless: &Useless,
) -> Result<(), CallError> {
    let mut open: Option<(&str, Option<Place>)> = None;
    for bag in bags {
        if open.as_ref().is_none_or(|(folder, _)| *folder != bag.room_folder) {
            // A room that is away, or never had such a folder, has dropped nothing.
            open = Some((&bag.room_folder, rooms.folder(&format!("{}/{FOLDER}", bag.room_folder)).ok()));
        }
        let Some((_, Some(folder))) = &open else { continue };
        let Some(dropped) = read(folder, &bag.transfer) else { continue };
        if !useless.is_new(&bag.transfer, &dropped) {
            continue;
        }
        take(rooms, bag, dropped, link, signers, useless)?;
    }
    Ok(())
}

fn take(
    rooms: &Place,
    bag: &AwaitedBag,
    dropped: Dropped,
    link: &Link<DeliverRequest, DeliverReply>,
    signers: &ZoneSigners,
    useless: &Useless,
) -> Result<(), CallError> {
    let transfer = &bag.transfer;
    let request = DeliverRequest::Acknowledged { transfer: transfer.clone(), signature: dropped.signature.clone() };
    match link.ask(&request, &dropped.statement)? {
        (DeliverReply::Receipt { signature }, statement) => {
            let receipt = (statement.as_slice(), signature.as_str());
            let kind = ReceiptKind::Acknowledged;
            match receipt::lay_beside(rooms, &bag.room_folder, &bag.bag, kind, receipt, signers) {
                Ok(()) => link.tell(&DeliverRequest::Laid { transfer: transfer.clone() }, &[])?,
                Err(error) => tracing::error!(%transfer, %error, "the acknowledged receipt is not in the room yet"),
            }
        }
        (DeliverReply::Refused(refusal), _) if refusal.is_temporary() => {
            tracing::warn!(%transfer, code = %refusal.code, "control could not take an acknowledgement yet");
        }
        (DeliverReply::Refused(refusal), _) => {
            tracing::warn!(%transfer, code = %refusal.code, reason = refusal.message, "an acknowledgement was refused");
            useless.add(transfer, &dropped);
        }
        _ => tracing::error!(%transfer, "control answered an acknowledgement with what is no receipt"),
    }
    Ok(())
}

/// What lies in the folder for a transfer; none where one of the two is missing, no plain file, too long or no text.
fn read(folder: &Place, transfer: &TransferId) -> Option<Dropped> {
    let name = file_name(transfer);
    let statement = read_bounded(folder, &name).ok()?;
    let signature = String::from_utf8(read_bounded(folder, &format!("{name}.sig")).ok()?).ok()?;
    Some(Dropped { statement, signature })
}

fn read_bounded(folder: &Place, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    folder.file(name)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

impl Useless {
    fn is_new(&self, transfer: &TransferId, dropped: &Dropped) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(transfer).is_none_or(|known| *known != dropped.sha256())
    }

    fn add(&self, transfer: &TransferId, dropped: &Dropped) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(transfer.clone(), dropped.sha256());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::time::Timestamp;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_two_plain_short_files_are_a_drop() {
        let room = tempfile::tempdir().unwrap();
        let place = Place::root(room.path()).unwrap();
        let transfer = TransferId::new(Timestamp::from_unix(0), [1; 5]);
        let path = |end: &str| room.path().join(format!("{transfer}.json{end}"));
        assert!(read(&place, &transfer).is_none());
        fs::write(path(""), "statement").unwrap();
        assert!(read(&place, &transfer).is_none(), "no signature");
        fs::write(path(".sig"), "signature").unwrap();
        assert_eq!(read(&place, &transfer).unwrap().statement, b"statement");
        fs::write(path(""), vec![b' '; MAX_BYTES + 1]).unwrap();
        assert!(read(&place, &transfer).is_none(), "too long");
        fs::remove_file(path("")).unwrap();
        fs::write(room.path().join("elsewhere"), "statement").unwrap();
        symlink("elsewhere", path("")).unwrap();
        assert!(read(&place, &transfer).is_none(), "a link");
        fs::remove_file(path("")).unwrap();
        nix::unistd::mkfifo(&path(""), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&place, &transfer).is_none(), "a pipe, which would never end");
    }

    #[test]
    fn what_was_of_no_use_is_taken_up_again_only_when_it_is_another() {
        let (useless, transfer) = (Useless::default(), TransferId::new(Timestamp::from_unix(0), [1; 5]));
        let dropped = |statement: &str| Dropped { statement: statement.into(), signature: "s".into() };
        assert!(useless.is_new(&transfer, &dropped("one")));
        useless.add(&transfer, &dropped("one"));
        assert!(!useless.is_new(&transfer, &dropped("one")) && useless.is_new(&transfer, &dropped("two")));
    }
}
