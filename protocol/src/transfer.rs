//! The life of a transfer: its states, and the one table of what may change them.

use serde::{Deserialize, Serialize};

/// Where a transfer is in its life. Stored as its lower-case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A source named agreement, dataset and plan; nothing is decided.
    Offered,
    /// Chunks arrive.
    Receiving,
    /// Sealed: the source has its receipt, and `receive` can no longer write there.
    Received,
    /// Inspectors read every file.
    Inspecting,
    /// A person must decide.
    Held,
    /// Allowed into its room.
    Released,
    /// Being written into its room.
    Delivering,
    /// Visible in its room, verified.
    Delivered,
    /// The room confirmed it.
    Acknowledged,
    /// Identity and bytes are destroyed.
    Purged,
    /// The offer was not acceptable.
    Refused,
    /// Not allowed out of quarantine, by rule or by a person.
    Rejected,
    /// Waited too long.
    Expired,
    /// Ended by its source or an operator.
    Cancelled,
    /// Integrity: what arrived is not what was declared.
    Failed,
}

/// What happens to a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The offer satisfies its agreement, and space is reserved.
    Accept,
    /// The offer does not satisfy its agreement.
    Refuse,
    /// The manifest agrees with plan, chunks and signature, and `inspect` has taken the bytes over.
    Seal,
    /// `inspect` begins to read.
    Inspect,
    /// The verdict or the release rule asks for a person.
    Hold,
    /// The findings are settled and the release rule is satisfied.
    Release,
    /// A rule or a person keeps it out.
    Reject,
    /// An operator wants it inspected once more, with engines that were missing.
    InspectAgain,
    /// `deliver` begins to write.
    Deliver,
    /// The bag is visible in the room and was read back.
    Delivered,
    /// The room confirms.
    Acknowledge,
    /// Retention is over: identity and bytes are destroyed.
    Purge,
    /// The source or an operator ends it.
    Cancel,
    /// A deadline passed.
    Expire,
    /// Digests do not agree, or a restored zone does not have its bytes any more.
    Fail,
}

/// Who causes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The sending system, by way of `receive`.
    Source,
    /// A person at the operators' socket.
    Operator,
    /// `control` itself, by rule or clock.
    Control,
    /// The `inspect` role.
    Inspect,
    /// The `deliver` role.
    Deliver,
    /// The receiving room.
    Room,
}

/// An event that the table does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} by {actor:?} is not allowed for a transfer that is {from}")]
pub struct Illegal {
    /// The state that the transfer is in.
    pub from: State,
    /// What was attempted.
    pub event: Event,
    /// By whom.
    pub actor: Actor,
}

/// Every allowed transition: from, event, who may cause it, to.
pub const TRANSITIONS: &[(State, Event, &[Actor], State)] = {
    use Actor::*;
    use Event as E;
    use State::*;
    &[
        (Offered, E::Accept, &[Control], Receiving),
        (Offered, E::Refuse, &[Control], Refused),
        (Offered, E::Expire, &[Control], Expired),
        (Receiving, E::Seal, &[Source], Received),
        (Receiving, E::Cancel, &[Source, Operator], Cancelled),
        (Receiving, E::Expire, &[Control], Expired),
        (Received, E::Inspect, &[Inspect], Inspecting),
        (Received, E::Cancel, &[Operator], Cancelled),
        (Inspecting, E::Hold, &[Control], Held),
        (Inspecting, E::Release, &[Control], Released),
        (Inspecting, E::Reject, &[Control], Rejected),
        (Inspecting, E::Fail, &[Inspect], Failed),
        (Inspecting, E::Cancel, &[Operator], Cancelled),
        (Held, E::Release, &[Operator], Released),
        (Held, E::Reject, &[Operator], Rejected),
        (Held, E::InspectAgain, &[Operator], Received),
        (Held, E::Cancel, &[Operator], Cancelled),
        (Held, E::Expire, &[Control], Expired),
        (Released, E::Deliver, &[Deliver], Delivering),
        (Released, E::Hold, &[Control], Held),
        (Released, E::Cancel, &[Operator], Cancelled),
        (Delivering, E::Delivered, &[Deliver], Delivered),
        (Delivering, E::Cancel, &[Operator], Cancelled),
        (Delivering, E::Expire, &[Control], Expired),
        (Delivering, E::Fail, &[Deliver, Control], Failed),
        (Delivered, E::Acknowledge, &[Room], Acknowledged),
        (Delivered, E::Purge, &[Control], Purged),
        (Acknowledged, E::Purge, &[Control], Purged),
        (Rejected, E::Purge, &[Control], Purged),
        (Expired, E::Purge, &[Control], Purged),
        (Cancelled, E::Purge, &[Control], Purged),
        (Failed, E::Purge, &[Control], Purged),
    ]
};

impl State {
    /// Every state.
    pub const ALL: &[State] = &[
        State::Offered,
        State::Receiving,
        State::Received,
        State::Inspecting,
        State::Held,
        State::Released,
        State::Delivering,
        State::Delivered,
        State::Acknowledged,
        State::Purged,
        State::Refused,
        State::Rejected,
        State::Expired,
        State::Cancelled,
        State::Failed,
    ];

    /// The state after `event` caused by `actor`.
    ///
    /// # Errors
    /// When the table has no such transition.
    pub fn apply(self, event: Event, actor: Actor) -> Result<State, Illegal> {
        TRANSITIONS
            .iter()
            .find(|(from, on, actors, _)| *from == self && *on == event && actors.contains(&actor))
            .map(|(.., to)| *to)
            .ok_or(Illegal { from: self, event, actor })
    }

    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Offered => "offered",
            State::Receiving => "receiving",
            State::Received => "received",
            State::Inspecting => "inspecting",
            State::Held => "held",
            State::Released => "released",
            State::Delivering => "delivering",
            State::Delivered => "delivered",
            State::Acknowledged => "acknowledged",
            State::Purged => "purged",
            State::Refused => "refused",
            State::Rejected => "rejected",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
            State::Failed => "failed",
        }
    }

    /// Whether the dataset can no longer reach its room from here.
    pub fn is_lost(self) -> bool {
        matches!(self, State::Refused | State::Rejected | State::Expired | State::Cancelled | State::Failed)
    }

    /// Whether the transfer waits for nothing more than its purge.
    pub fn is_settled(self) -> bool {
        self.is_lost() || matches!(self, State::Delivered | State::Acknowledged | State::Purged)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The text is no state's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such state")]
pub struct UnknownState;

impl std::str::FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        State::ALL.iter().copied().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_state_and_event_has_two_outcomes() {
        for (at, (from, event, ..)) in TRANSITIONS.iter().enumerate() {
            let again = TRANSITIONS[at + 1..].iter().any(|(f, e, ..)| f == from && e == event);
            assert!(!again, "{from} {event:?}");
        }
    }

    #[test]
    fn names_read_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{state}\""));
        }
    }

    #[test]
    fn nothing_but_a_purge_leaves_a_lost_state_and_nothing_leaves_purged() {
        for (from, event, _, to) in TRANSITIONS {
            assert!(!from.is_lost() || (*event == Event::Purge && *to == State::Purged));
            assert_ne!(*from, State::Purged);
        }
    }

    proptest! {
        #[test]
        fn no_sequence_of_events_reaches_a_room_without_seal_inspection_and_release(
            steps in proptest::collection::vec((0..TRANSITIONS.len(), 0..6usize), 0..400)
        ) {
            let actors = [Actor::Source, Actor::Operator, Actor::Control, Actor::Inspect, Actor::Deliver, Actor::Room];
            let mut state = State::Offered;
            let mut passed = Vec::new();
            for (event, actor) in steps {
                let event = TRANSITIONS[event].1;
                if let Ok(next) = state.apply(event, actors[actor]) {
                    passed.push(event);
                    state = next;
                }
                if matches!(state, State::Released | State::Delivering | State::Delivered) {
                    let order = [Event::Accept, Event::Seal, Event::Inspect, Event::Release];
                    let mut seen = passed.iter();
                    prop_assert!(order.iter().all(|needed| seen.any(|event| event == needed)));
                }
            }
        }
    }
}
