//! Who looked at what: persons' reading of findings, of names of files and of the register stands in the audit log, once a day for each
//! person and thing, and before the answer leaves.

use super::failure::Failure;
use super::people::Person;
use super::shared::Control;
use super::store::Who;
use serde_json::json;
use sluse_protocol::ids::TransferId;
use sluse_protocol::operator::OperatorRequest;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Readings that are remembered; past them, one may be logged twice a day.
const MOST: usize = 100_000;

const DAY: i64 = 86_400;

/// What was logged today.
#[derive(Debug, Default)]
pub struct Readings(Mutex<Today>);

#[derive(Debug, Default)]
struct Today {
    day: i64,
    logged: HashSet<(u32, &'static str, Option<TransferId>)>,
}

/// What a request reads of what is confidential: the act in the log, and the transfer that it is about.
fn reads(request: &OperatorRequest) -> Option<(&'static str, Option<&TransferId>)> {
    match request {
        OperatorRequest::Show { transfer } => Some(("findings-read", Some(transfer))),
        OperatorRequest::Manifest { transfer, .. } => Some(("file-names-read", Some(transfer))),
        OperatorRequest::Register { .. } => Some(("register-read", None)),
        _ => None,
    }
}

/// Logs what a person reads by a request. Root and the user of `control` are no persons, and can read the database besides.
///
/// # Errors
/// When it cannot be logged: then it may not be read.
pub fn note(control: &Control, person: &Person, request: &OperatorRequest) -> Result<(), Failure> {
    let Some((act, transfer)) = reads(request).filter(|_| control.people.is_person(person.uid)) else { return Ok(()) };
    let day = control.store.now().unix().div_euclid(DAY);
    let mut today = control.readings.0.lock().unwrap_or_else(PoisonError::into_inner);
    if today.day != day || today.logged.len() >= MOST {
        *today = Today { day, logged: HashSet::new() };
    }
    let reading = (person.uid, act, transfer.cloned());
    if today.logged.contains(&reading) {
        return Ok(());
    }
    let who = Who::Operator(person.name.clone());
    control.store.write(|write| write.record(&who, act, transfer, json!({})))?;
    today.logged.insert(reading);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::testing::*;
    use sluse_protocol::operator::OperatorReply;
    use sluse_protocol::register::Filter;

    fn read(bench: &Bench) -> Vec<(String, String)> {
        let log = bench.audit().into_iter().filter(|entry| entry.act.ends_with("-read"));
        log.map(|entry| (entry.act, entry.actor)).collect()
    }

    #[test]
    fn each_person_and_thing_stands_in_the_log_once_a_day() {
        let bench = Bench::separated();
        let transfer = bench.held(&Dataset::default());
        let show = || OperatorRequest::Show { transfer: transfer.clone() };
        let names = || OperatorRequest::Manifest { transfer: transfer.clone(), part: false, offset: 0 };
        for _ in 0..3 {
            bench.ask_as("rita", show(), &[]);
        }
        bench.ask_as("aud", names(), &[]);
        bench.ask_as("aud", OperatorRequest::Register { after: 0, filter: Filter::default() }, &[]);
        let entry = |act: &str, name: &str| (act.to_owned(), format!("operator {name}"));
        let first = [entry("findings-read", "rita"), entry("file-names-read", "aud"), entry("register-read", "aud")];
        assert_eq!(read(&bench), first);
        let logged = bench.audit().into_iter().find(|entry| entry.act == "findings-read").unwrap();
        assert_eq!(logged.transfer, Some(transfer.clone()));
        bench.wait(super::DAY);
        bench.ask_as("rita", show(), &[]);
        assert_eq!(read(&bench).len(), 4);
    }

    #[test]
    fn what_was_refused_or_is_not_there_was_not_read() {
        let bench = Bench::separated();
        let transfer = bench.held(&Dataset::default());
        bench.ask_as("adam", OperatorRequest::Show { transfer }, &[]);
        let nothing = OperatorRequest::Show { transfer: "20261122-101500-7f3k9a2m".parse().unwrap() };
        assert!(matches!(bench.ask_as("rita", nothing, &[]).0, OperatorReply::Refused(_)));
        assert_eq!(read(&bench), []);
    }
}
