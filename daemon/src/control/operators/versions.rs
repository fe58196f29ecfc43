//! How an agreement's text comes into force: each is a version with its author and reason, and somebody else puts it in force. Where
//! powers are not separated there is nobody else, and what lacks nothing is in force at once.

use super::Answer;
use super::acts::{check_reason, digest};
use super::agreements::under;
use super::questions;
use crate::control::failure::{Failure, refuse};
use crate::control::people::Person;
use crate::control::releases;
use crate::control::reviews;
use crate::control::shared::Control;
use crate::control::store::{Who, Write, agreements, rooms, sources, versions};
use serde_json::json;
use sluse_protocol::agreement::{self, Agreement, Draft, Lack, Problem};
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::policy;
use sluse_protocol::refusal::{Code, Refusal};
use sluse_protocol::transfer::State;

/// Bytes of an agreement's text.
const MAX_AGREEMENT_BYTES: usize = 64 * 1024;

/// Problems of an agreement's text that are told at once.
const MAX_PROBLEMS: usize = 20;

/// Adds an agreement. The same text once more changes nothing.
pub fn add(control: &Control, person: &Person, body: &[u8]) -> Answer {
    let (draft, text) = read(body)?;
    let id = &draft.head.id;
    control.store.write(|write| {
        let Some(latest) = versions::latest(&write.sql, id)? else {
            return keep(control, write, person, &draft, text, None);
        };
        check_not_ended(write, id, Code::NameTaken)?;
        if latest.text == text {
            return Ok(());
        }
        let refusal = Refusal::new(Code::NameTaken, format!("agreement {id} has another text"));
        Err(refusal.hint("`sluse agreement change FILE --reason TEXT` makes a new version of it.").into())
    })?;
    questions::agreement(control, id, None)
}

/// Makes a new version of an agreement.
pub fn change(control: &Control, person: &Person, reason: &str, body: &[u8]) -> Answer {
    check_reason(reason)?;
    let (draft, text) = read(body)?;
    let head = &draft.head;
    control.store.write(|write| {
        let Some(latest) = versions::latest(&write.sql, &head.id)? else {
            return refuse(Code::UnknownName, format!("there is no agreement {}", head.id));
        };
        check_not_ended(write, &head.id, Code::WrongState)?;
        if (&latest.head.from, &latest.head.to) != (&head.from, &head.to) {
            return refuse(
                Code::Invalid,
                "a new version has the same source and room: another flow is another agreement",
            );
        }
        if latest.text == text {
            return Ok(());
        }
        keep(control, write, person, &draft, text, Some(reason))
    })?;
    questions::agreement(control, &head.id, None)
}

/// Puts an agreement's latest version in force.
pub fn activate(
    control: &Control,
    person: &Person,
    id: &AgreementId,
    version: u32,
    reason: &str,
) -> Result<(), Failure> {
    check_reason(reason)?;
    control.store.write(|write| {
        let Some(latest) = versions::latest(&write.sql, id)? else {
            return refuse(Code::UnknownName, format!("there is no agreement {id}"));
        };
        check_not_ended(write, id, Code::WrongState)?;
        if latest.activated.is_some() || latest.number != version {
            let message = format!("version {version} of agreement {id} is not a draft, or not the latest");
            return refuse(Code::WrongState, message);
        }
        if !latest.lacks.is_empty() {
            let refusal = Refusal::new(Code::AgreementDraft, format!("agreement {id} {}", lacking(&latest.lacks)));
            return Err(refusal.hint("Write it in a new version: `sluse agreement change FILE --reason TEXT`.").into());
        }
        if control.people.separated() && latest.author.as_ref().is_none_or(|author| author.uid == person.uid) {
            let refusal = Refusal::new(Code::Forbidden, "who wrote a version does not put it in force");
            return Err(refusal.hint("Another operator must read and activate it.").into());
        }
        let Ok(agreement) = agreement::parse(&latest.text) else {
            return Err(Failure::broken(format!("version {version} of agreement {id} cannot be read")));
        };
        let details = json!({
            "agreement": id, "version": version, "sha256": Sha256::of(latest.text.as_bytes()),
            "reason_sha256": digest(reason),
        });
        write.record(&Who::Operator(person.name.clone()), "agreement-activated", None, details)?;
        put_in_force(write, person, &agreement, &latest.text, version)
    })
}

/// What an agreement lacks, as a sentence's end.
fn lacking(lacks: &[Lack]) -> String {
    let names: Vec<String> = lacks.iter().map(Lack::to_string).collect();
    format!("lacks its {}: it stays a draft", names.join(", and its "))
}

fn check_not_ended(write: &Write<'_>, id: &AgreementId, code: Code) -> Result<(), Failure> {
    match agreements::find(&write.sql, id)? {
        Some(stored) if stored.ended.is_some() => refuse(code, format!("agreement {id} was ended")),
        _ => Ok(()),
    }
}

/// Keeps a new version, which is in force at once where there is nobody else to say so.
fn keep(
    control: &Control,
    write: &mut Write<'_>,
    person: &Person,
    draft: &Draft,
    text: &str,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let head = &draft.head;
    if let Ok(agreement) = &draft.agreement {
        reviews::check_possible(agreement.release.rule, control.people.separated())?;
    }
    let number = versions::insert(write, draft, text, person, reason)?;
    let at_once = draft.agreement.as_ref().ok().filter(|_| !control.people.separated());
    let mut details = json!({
        "agreement": head.id, "version": number, "from": head.from, "to": head.to, "sha256": Sha256::of(text.as_bytes()),
        "draft": at_once.is_none(),
    });
    let act = match reason {
        None => "agreement-added",
        Some(reason) => {
            details["reason_sha256"] = json!(digest(reason));
            "agreement-changed"
        }
    };
    write.record(&Who::Operator(person.name.clone()), act, None, details)?;
    match at_once {
        Some(agreement) => put_in_force(write, person, agreement, text, number),
        None => Ok(()),
    }
}

/// What is not delivered yet is decided anew under the new version, and inspected anew where other content is allowed.
fn put_in_force(
    write: &mut Write<'_>,
    person: &Person,
    agreement: &Agreement,
    text: &str,
    version: u32,
) -> Result<(), Failure> {
    let id = &agreement.id;
    // A room that is not known yet is looked at when something is offered.
    if let Some(room) = rooms::find(&write.sql, &agreement.to)? {
        policy::check_room(agreement, &room)?;
    }
    // So is a source.
    if let Some(source) = sources::find(&write.sql, &agreement.from)? {
        policy::check_direction(agreement, source.room.as_ref())?;
    }
    let before = agreements::find(&write.sql, id)?;
    let inspect = before.is_some_and(|before| before.agreement.content != agreement.content);
    let delivering = under(write, id, State::Delivering)?.len();
    let inspecting = if inspect { under(write, id, State::Inspecting)?.len() } else { 0 };
    if delivering + inspecting > 0 {
        let message = format!(
            "{delivering} deliveries and {inspecting} inspections under agreement {id} were begun under the version in force"
        );
        return Err(Refusal::new(Code::WrongState, message).hint("They come to their end: try again then.").into());
    }
    agreements::put(write, agreement, text)?;
    versions::set_activated(write, id, version, person)?;
    let operator = Who::Operator(person.name.clone());
    let waiting = [under(write, id, State::Released)?, under(write, id, State::Held)?].concat();
    waiting.iter().try_for_each(|transfer| releases::begin_anew(write, &operator, transfer, inspect))
}

fn read(body: &[u8]) -> Result<(Draft, &str), Failure> {
    if body.len() > MAX_AGREEMENT_BYTES {
        return refuse(Code::TooLarge, format!("an agreement has at most {MAX_AGREEMENT_BYTES} bytes"));
    }
    let Ok(text) = std::str::from_utf8(body) else { return refuse(Code::Invalid, "the agreement is not UTF-8") };
    let draft = agreement::read(text).map_err(|problems| wrong(&problems))?;
    Ok((draft, text))
}

/// Each problem with its line; the first one's hint.
fn wrong(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems
        .iter()
        .take(MAX_PROBLEMS)
        .map(|problem| match problem.line {
            0 => problem.message.clone(),
            line => format!("line {line}: {}", problem.message),
        })
        .collect();
    let hint = problems.first().map(|problem| problem.hint.clone()).filter(|hint| !hint.is_empty());
    let refusal = Refusal::new(Code::Invalid, format!("the agreement cannot be used: {}", lines.join("; ")));
    match hint {
        Some(hint) => refusal.hint(hint).into(),
        None => refusal.into(),
    }
}
