//! Persons of a zone with separated powers, without users of the system.

use super::{Bench, operators};
use crate::control::people::{Account, People};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::powers::Power;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Who has which account: by user id, the ids of the groups.
pub type Accounts = Arc<Mutex<BTreeMap<u32, Vec<u32>>>>;

/// Each power's group in a zone of separated powers.
pub const GROUPS: [(Power, u32); 4] =
    [(Power::Administrator, 1), (Power::Operator, 2), (Power::Reviewer, 3), (Power::Auditor, 4)];

/// People, and which group each is in at first.
pub const PEOPLE: [(&str, u32, u32); 8] = [
    ("adam", 1001, 1),
    ("olga", 1002, 2),
    ("ole", 1003, 2),
    ("rita", 1004, 3),
    ("roar", 1005, 3),
    ("rune", 1006, 3),
    ("aud", 1007, 4),
    ("nils", 1008, 9),
];

pub fn uid(name: &str) -> u32 {
    PEOPLE.iter().find(|(one, ..)| *one == name).unwrap().1
}

pub fn people(accounts: Accounts) -> People {
    let groups = GROUPS.iter().map(|(power, gid)| (*power, format!("{power}s"), *gid)).collect();
    let name = |uid: u32| PEOPLE.iter().find(|(_, one, _)| *one == uid).unwrap().0.to_owned();
    let directory = move |uid: u32| {
        match accounts.lock().unwrap().get(&uid) {
            // A directory that does not answer.
            Some(groups) if groups.is_empty() => Err(std::io::Error::other("no answer")),
            groups => Ok(groups.map(|groups| Account { name: name(uid), groups: groups.clone() })),
        }
    };
    People::with(1, groups, Box::new(directory))
}

impl Bench {
    /// The same as [`Bench::new`], and from then on with the separated powers of [`PEOPLE`].
    pub fn separated() -> Self {
        Self::new().separate()
    }

    /// The same zone with the separated powers of [`PEOPLE`].
    pub fn separate(self) -> Self {
        let accounts = PEOPLE.iter().map(|(_, uid, group)| (*uid, vec![*group])).collect();
        Self { accounts: Some(Arc::new(Mutex::new(accounts))), ..self }.restart()
    }

    /// Puts a person into groups, or takes the account away; of one who is in no group at all, the system cannot be asked.
    pub fn move_to(&self, name: &str, groups: Option<&[u32]>) {
        let mut accounts = self.accounts.as_ref().unwrap().lock().unwrap();
        match groups {
            Some(groups) => accounts.insert(uid(name), groups.to_vec()),
            None => accounts.remove(&uid(name)),
        };
    }

    /// Asks as one of [`PEOPLE`].
    pub fn ask_as(&self, name: &str, request: OperatorRequest, body: &[u8]) -> (OperatorReply, Vec<u8>) {
        operators::ask(&self.control, uid(name), request, body)
    }
}
