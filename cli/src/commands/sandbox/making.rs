//! What a sandbox has: sources, rooms, agreements, invites and something to send.

use super::cases::{self, Ask, Case};
use crate::commands::demo::extracts::test_virus;
use crate::failure::Failure;
use crate::landing_zone::LandingZone;
use sluse_protocol::ids::SourceName;
use sluse_protocol::operator::OperatorRequest;
use sluse_protocol::path::NameRule;
use sluse_protocol::refusal::Exit;
use std::path::Path;

/// What its configuration has besides any zone's.
pub const SETTINGS: &str = "\n[source.small-quota]\nmax_open_bytes = 1\n";

const AGREEMENT: &str = include_str!("agreement.toml");
const RESULTS: &[u8] = include_bytes!("../../../fixtures/lab-results.csv");

/// How long the invite of the newcomer is good: as long as one can be.
const HOURS: u16 = 720;

/// Where the newcomer's invite lies in the sandbox's folder.
pub fn newcomers_invite() -> String {
    format!("invite-{}.toml", cases::NEWCOMER)
}

/// Makes all of it.
///
/// # Errors
/// When the zone refuses, or a file cannot be written.
pub fn furnish(zone: &LandingZone, folder: &Path) -> Result<(), Failure> {
    write_samples(&folder.join("samples"))?;
    zone.add_room(&parsed("sandbox-room")?, NameRule::Posix)?;
    zone.add_room(&parsed(cases::WINDOWS_ROOM)?, NameRule::WindowsRefuse)?;
    for case in cases::all() {
        add_agreement(zone, &case)?;
    }
    for source in [cases::SMALL_QUOTA, cases::REVOKED, cases::NEWCOMER] {
        let from = ("from = \"sandbox\"", format!("from = \"{source}\""));
        zone.operator.ask(&OperatorRequest::AgreementAdd, text(source, [(from.0, from.1.as_str())]).as_bytes())?;
    }
    for source in [cases::SOURCE, cases::SMALL_QUOTA, cases::REVOKED] {
        zone.enrol(&parsed(source)?)?;
    }
    let revoked = OperatorRequest::SourceRevoke { name: parsed(cases::REVOKED)?, reason: "for the rehearsal".into() };
    zone.operator.act(&revoked, &[])?;
    let late: SourceName = parsed("late")?;
    zone.invite(&late, cases::EXPIRED_INVITE, HOURS)?;
    zone.invite(&late, "invite-late.toml", HOURS)?;
    zone.invite(&parsed(cases::NEWCOMER)?, &newcomers_invite(), HOURS)?;
    Ok(())
}

/// Adds the agreement of a case that has one of its own, and does with it what its id says.
fn add_agreement(zone: &LandingZone, case: &Case) -> Result<(), Failure> {
    let Ask::Agreement { id, sample, changes } = case.ask else { return Ok(()) };
    let is_the_sandboxs = id == cases::SOURCE;
    if id == "no-such-agreement" || (is_the_sandboxs && sample != "plain") {
        return Ok(());
    }
    zone.operator.ask(&OperatorRequest::AgreementAdd, text(id, changes.iter().copied()).as_bytes())?;
    let (id, reason) = (parsed(id)?, "for the rehearsal".to_owned());
    match case.answer {
        "agreement-inactive" => zone.operator.act(&OperatorRequest::AgreementEnd { id, reason }, &[]),
        "agreement-suspended" => zone.operator.act(&OperatorRequest::AgreementSuspend { id, reason }, &[]),
        _ => Ok(()),
    }
}

/// The sandbox's agreement with another id, and words changed.
fn text<'a>(id: &str, changes: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let own = AGREEMENT.replace("\"ID\"", &format!("\"{id}\"")).replace("Sandbox: ID", &format!("Sandbox: {id}"));
    changes.into_iter().fold(own, |text, (from, to)| text.replace(from, to))
}

fn write_samples(folder: &Path) -> Result<(), Failure> {
    let virus = test_virus();
    let files: [(&str, &[u8]); 5] = [
        ("plain/results.csv", RESULTS),
        ("malware/readme.txt", &virus),
        ("windows-path/results 12:00.csv", RESULTS),
        ("path-collision/Results.csv", RESULTS),
        ("path-collision/results.csv", RESULTS),
    ];
    let make = |place: &Path| {
        std::fs::create_dir_all(place).map_err(|error| Failure::file(Exit::Fault, "make", place, &error))
    };
    make(&folder.join("empty"))?;
    for (name, bytes) in files {
        let path = folder.join(name);
        make(path.parent().unwrap_or(folder))?;
        std::fs::write(&path, bytes).map_err(|error| Failure::file(Exit::Fault, "write", &path, &error))?;
    }
    Ok(())
}

fn parsed<T: std::str::FromStr<Err: std::error::Error + 'static>>(name: &str) -> Result<T, Failure> {
    name.parse().map_err(|error| Failure::new(Exit::Fault, format!("the name {name}")).because(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluse_protocol::agreement;

    #[test]
    fn each_agreement_is_one_and_each_of_its_changes_changes_it() {
        for case in cases::all() {
            let Ask::Agreement { id, changes, .. } = case.ask else { continue };
            assert!(agreement::read(&text(id, changes.iter().copied())).is_ok(), "{id}");
            for (from, to) in changes {
                assert!(AGREEMENT.contains(from) && from != to, "{id}: {from}");
            }
        }
    }
}
