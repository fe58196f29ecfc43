//! What another zone says of a transfer, in words for our operators; and what its receipts prove.

use crate::target::{Told, Trouble};
use sluse_protocol::courier::AtZone;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::ZoneName;
use sluse_protocol::receipt::{Receipt, ReceiptKind};
use sluse_protocol::refusal::Refusal;
use sluse_protocol::transfer::State;
use sluse_sender::{Error, Lost};

/// What a *delivered* receipt says of a bag, beside the *received* one of what was sent. That both are that zone's, of our source, agreement
/// and manifest, the sender's library has verified before it kept them.
///
/// # Errors
/// When they are not of the same bytes, or the bag does not stand there whole.
pub fn at_zone(received: &[u8], delivered: &[u8]) -> Told<AtZone> {
    let read = |statement: &[u8], kind: ReceiptKind| {
        let receipt = serde_json::from_slice::<Receipt>(statement).ok().filter(|receipt| receipt.kind == kind);
        receipt.ok_or_else(|| Trouble::new(format!("the zone's {kind} receipt is none")))
    };
    let (sent, stands) = (read(received, ReceiptKind::Received)?, read(delivered, ReceiptKind::Delivered)?);
    if let Some(part) = stands.part_of {
        let files = part.left_out.files;
        let sentence =
            format!("the zone {} let a part of it into its room only: {files} files are not there", sent.zone);
        return Err(Trouble::new(sentence));
    }
    let of = |receipt: &Receipt| {
        let Receipt { zone, source, transfer, agreement, dataset, manifest_sha256, chunk_list, totals, .. } = receipt;
        let named = (zone.clone(), source.clone(), transfer.clone(), agreement.clone(), dataset.clone());
        (named, *manifest_sha256, *chunk_list, *totals)
    };
    if of(&sent) != of(&stands) {
        return Err(Trouble::new("the zone's delivered receipt is not of what was sent"));
    }
    Ok(AtZone {
        zone: stands.zone,
        room: stands.room,
        transfer: stands.transfer,
        manifest_sha256: stands.manifest_sha256,
        time: stands.time,
        receipt_sha256: Sha256::of(delivered),
    })
}

/// Why a bag that the zone was sent does not stand in its room.
pub fn stands_not(zone: &ZoneName, state: State, reason: Option<&Refusal>) -> Trouble {
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Trouble::new(match state {
        State::Held => format!("the zone {zone} holds it: a person there must decide{why}"),
        State::Rejected => format!("the zone {zone} rejected it{why}"),
        state if state.is_lost() => format!("at the zone {zone} it is {state}{why}"),
        state if state.is_settled() => format!("the zone {zone} says {state}, and no receipt of it is here"),
        state => format!("the zone {zone} has it and is not done with it yet: {state}{why}"),
    })
}

/// Why the zone was not sent it.
pub fn not_sent(error: &Error) -> Trouble {
    Trouble::new(match error {
        Error::GaveUp { last, .. } => return not_sent(last),
        Error::Refused(refusal) => format!("the zone refuses it: {refusal}"),
        Error::Connection(Lost::Impostor(why)) => {
            format!("who answers is not the zone that we are enrolled at ({why})")
        }
        Error::Connection(lost) => format!("the zone cannot be reached: {lost}"),
        // These name files. What comes from `deliver` cannot be read a second time.
        Error::Unreadable { .. } | Error::Changed { .. } => {
            "the connection to the zone was lost; what is not there yet is sent in the next attempt".into()
        }
        Error::Unsendable(_) => "a name or the order of the bag's files is none that a zone takes".into(),
        Error::Evidence { what, error } => format!("the zone's {what} is not believed: {error}"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::refusal::Code;

    fn received() -> Receipt {
        let digest = Sha256::of(b"some").to_string();
        let algorithms = sluse_protocol::receipt::Algorithms::default();
        serde_json::from_value(serde_json::json!({
            "sluse": "receipt/1", "kind": "received", "zone": "trondheim", "time": "2026-11-23T01:00:00Z",
            "transfer": "20261123-010000-7f3k9a2m", "source": "st-olav", "agreement": "from-st-olav",
            "agreement_sha256": digest, "dataset": "extract", "room": "room",
            "totals": {"files": 3, "folders": 0, "bytes": 7}, "manifest_sha256": digest, "chunk_list": digest,
            "audit": {"size": 1, "root": digest}, "algorithms": algorithms,
        }))
        .unwrap()
    }

    fn delivered(change: impl FnOnce(&mut Receipt)) -> Vec<u8> {
        let mut receipt = Receipt { kind: ReceiptKind::Delivered, ..received() };
        change(&mut receipt);
        receipt.to_statement().into_bytes()
    }

    #[test]
    fn a_receipt_of_other_bytes_than_were_sent_proves_nothing() {
        let received = &received().to_statement().into_bytes()[..];
        let good = delivered(|_| {});
        let told = at_zone(received, &good).unwrap();
        assert_eq!((told.room.as_str(), told.receipt_sha256), ("room", Sha256::of(&good)));
        let changes: [fn(&mut Receipt); 5] = [
            |receipt| receipt.manifest_sha256 = Sha256::of(b"other"),
            |receipt| receipt.chunk_list = Sha256::of(b"other"),
            |receipt| receipt.totals.bytes += 1,
            |receipt| receipt.transfer = "20261123-010001-7f3k9a2n".parse().unwrap(),
            |receipt| receipt.zone = "other".parse().unwrap(),
        ];
        for change in changes {
            let error = at_zone(received, &delivered(change)).unwrap_err();
            assert!(error.to_string().contains("not of what was sent"), "{error}");
        }
        assert!(at_zone(received, received).is_err(), "received is not delivered");
        assert!(at_zone(received, b"{}").is_err());
    }

    #[test]
    fn a_part_of_it_is_not_all_of_it() {
        let part = |receipt: &mut Receipt| {
            let left_out = sluse_protocol::document::Totals { files: 2, folders: 0, bytes: 3 };
            receipt.part_of = Some(sluse_protocol::part::PartOf { manifest_sha256: receipt.manifest_sha256, left_out });
        };
        let error = at_zone(received().to_statement().as_bytes(), &delivered(part)).unwrap_err();
        assert!(error.to_string().contains("2 files are not there"), "{error}");
    }

    #[test]
    fn what_the_zone_says_is_passed_on_and_no_name_of_a_file_is() {
        let zone = "trondheim".parse().unwrap();
        let rejected = Refusal::new(Code::Rejected, "malware was found");
        let told = stands_not(&zone, State::Rejected, Some(&rejected)).to_string();
        assert_eq!(told, "the zone trondheim rejected it: malware was found (rejected)");
        let changed = Error::Changed { path: "data/ola.csv".into(), what: "was changed" };
        assert!(!not_sent(&changed).to_string().contains("ola"));
        let full = Error::GaveUp {
            after: std::time::Duration::ZERO,
            last: Box::new(Refusal::new(Code::NoSpace, "there is no room").into()),
        };
        assert_eq!(not_sent(&full).to_string(), "the zone refuses it: there is no room (no-space)");
    }
}
