//! What happens while a dataset is sent, for whoever wants to show it.

use serde::{Serialize, Serializer};
use sluse_protocol::document::Totals;
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::transfer::State;
use std::path::PathBuf;
use std::time::Duration;

/// One thing that happened. As JSON it is one object with the kind under `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Progress {
    /// The paths were walked.
    Planned {
        /// What they hold.
        totals: Totals,
    },
    /// The zone accepted the offer, now or before.
    Accepted {
        /// The transfer.
        transfer: TransferId,
        /// Its state.
        state: State,
    },
    /// So many bytes are durable at the zone.
    Durable {
        /// Of all bytes.
        bytes: u64,
    },
    /// Everything is durable; the manifest is on its way.
    Sealing,
    /// A receipt was verified and written.
    Receipt {
        /// Which.
        kind: ReceiptKind,
        /// Its file; the signature lies beside it.
        file: PathBuf,
    },
    /// The transfer's state, when it changed.
    State {
        /// The new state.
        state: State,
    },
    /// Something failed that may go well later.
    Retrying {
        /// What failed.
        why: String,
        /// When it is tried again; in JSON `after_milliseconds`.
        #[serde(rename = "after_milliseconds", serialize_with = "milliseconds")]
        after: Duration,
    },
    /// This host's clock and the zone's are more than half a minute apart.
    Clock {
        /// Seconds that ours is ahead; negative when it is behind.
        ahead_seconds: i64,
    },
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
