//! Who calls, and what is agreed with him (PS3.8 section 9.3.2 and annex D).

use super::documents::{self, Outcome, Proposed, Rejection, Request};
use super::wire::MAX_PDU;
use crate::settings::{Dicom, Entity};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The class of C-ECHO.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Names this implementation.
pub const IMPLEMENTATION_UID: &str = "2.25.213846527461938572019384756120394857612";
/// And in words.
pub const IMPLEMENTATION_NAME: &str = "SLUSE";

/// What the standard itself defines begins so; of it only storage is served.
const STANDARD: &str = "1.2.840.10008.";
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";
const TRANSFER_SYNTAX: &str = "1.2.840.10008.1.2";
const IMPLICIT_LITTLE_ENDIAN: &str = TRANSFER_SYNTAX;

/// What was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Which entity is called.
    pub entity: Entity,
    /// Who calls.
    pub calling: String,
    /// The presentation contexts that were accepted.
    pub contexts: BTreeMap<u8, Context>,
}

/// A presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// What is done in it: the class of its images.
    pub class: String,
    /// How their data sets are encoded.
    pub syntax: String,
}

/// Answers a request for an association: what was agreed, where it was, and the PDU that the caller is told by.
pub fn answer(request: &Request, peer: IpAddr, settings: &Dicom, full: bool) -> (Option<Agreed>, Vec<u8>) {
    let entity = match entity(request, peer, settings, full) {
        Ok(entity) => entity,
        Err(why) => return (None, documents::reject(why)),
    };
    let mut contexts = BTreeMap::new();
    let mut results = Vec::with_capacity(request.contexts.len());
    for proposed in &request.contexts {
        match context(proposed) {
            Ok(syntax) => {
                let (class, own) = (proposed.class.clone(), syntax.to_owned());
                contexts.insert(proposed.id, Context { class, syntax: own });
                results.push((proposed.id, Outcome::Accepted, syntax));
            }
            Err(outcome) => results.push((proposed.id, outcome, IMPLICIT_LITTLE_ENDIAN)),
        }
    }
    let accepted = documents::accept(request, &results, MAX_PDU, IMPLEMENTATION_UID, IMPLEMENTATION_NAME);
    (Some(Agreed { entity: entity.clone(), calling: request.calling.clone(), contexts }), accepted)
}

/// Who is called, if the caller may.
fn entity<'a>(request: &Request, peer: IpAddr, settings: &'a Dicom, full: bool) -> Result<&'a Entity, Rejection> {
    let entity = settings.entities.iter().find(|entity| entity.title == request.called);
    let entity = entity.ok_or(Rejection::CalledNotRecognized)?;
    if !entity.calling.contains(&request.calling) || !entity.peers.iter().any(|peers| peers.contains(peer)) {
        return Err(Rejection::CallingNotRecognized);
    }
    if full { Err(Rejection::TooMany) } else { Ok(entity) }
}

/// The transfer syntax in which a proposed context is accepted: the first that the caller names, since images are not converted.
fn context(proposed: &Proposed) -> Result<&str, Outcome> {
    let class = proposed.class.as_str();
    // Classes that a vendor made are storage as a rule; what is not stored is refused when it comes.
    if !(class == VERIFICATION || class.starts_with(STORAGE) || !class.starts_with(STANDARD)) {
        return Err(Outcome::ClassNotSupported);
    }
    let known = |syntax: &&String| {
        let rest = syntax.strip_prefix(TRANSFER_SYNTAX);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    proposed.syntaxes.iter().find(known).map(String::as_str).ok_or(Outcome::SyntaxesNotSupported)
}
