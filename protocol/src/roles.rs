//! What the roles may ask of each other. Each pair that talks has a socket and a request type of its own, so that what a
//! pair may not ask does not even decode there; [`PERMITTED`] is the same as a table for people and tests.
//!
//! `control` answers; the others ask. Work for `inspect` and `deliver` is fetched by a long poll (`Next`), so that a role
//! that was killed finds its work again when it comes back.

mod deliver;
mod inspect;
mod receive;

pub use deliver::*;
pub use inspect::*;
pub use receive::*;

use serde::{Deserialize, Serialize};

/// The four roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Faces the network.
    Receive,
    /// Faces the operators; holds state, audit log and signing key.
    Control,
    /// Faces quarantined content; holds the quarantine's private key.
    Inspect,
    /// Faces the rooms.
    Deliver,
}

impl Role {
    /// Every role, in the order in which they are started; they are stopped in the reverse order.
    pub const ALL: &[Role] = &[Role::Control, Role::Inspect, Role::Deliver, Role::Receive];

    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Receive => "receive",
            Role::Control => "control",
            Role::Inspect => "inspect",
            Role::Deliver => "deliver",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Which requests pass on which socket: from, to, requests.
pub const PERMITTED: &[(Role, Role, &[&str])] = &[
    (
        Role::Receive,
        Role::Control,
        &[
            "identify", "enrol", "renew", "part", "drop", "offer", "seal", "versions", "status", "list", "receipt",
            "progress", "changes",
        ],
    ),
    (Role::Inspect, Role::Control, &["engines", "identities", "next", "taken", "inspected", "wrapped", "purged"]),
    (
        Role::Deliver,
        Role::Control,
        &[
            "recipient",
            "next",
            "document",
            "sign",
            "checked",
            "delivered",
            "acknowledged",
            "laid",
            "looked",
            "withdrawn",
        ],
    ),
];
