//! What a restore tells the zone that it made: [`crate::audit`] positions and transfers that are newer than the backup.

use crate::audit::Position;
use crate::ids::TransferId;
use serde::{Deserialize, Serialize};

/// The act of the first audit entry after a restore.
pub const RESTORED: &str = "zone-restored";

/// The note that `sluse zone restore` leaves for the first start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The person who restored.
    pub by: String,
    /// Where the backup's audit log ends.
    pub backup: Position,
    /// The furthest that anything that was shown attests; none when nothing was, or nothing newer.
    pub attested: Option<Position>,
    /// Transfers of which something newer than the backup was shown.
    pub newer: Vec<TransferId>,
}
