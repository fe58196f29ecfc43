//! Who is at the other end of the operators' socket, by the kernel's word, and what that person may do, by the system's groups as they
//! are at that moment.

use crate::RoleError;
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Group, Uid, User, geteuid, getgrouplist};
use serde::{Deserialize, Serialize};
use sluse_host::config::ControlSettings;
use sluse_protocol::operator::OperatorRequest;
use sluse_protocol::powers::{self, Power};
use sluse_protocol::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the journal says nothing more of a user who was refused, …
const QUIET: Duration = Duration::from_secs(60);

/// … and of how many users it speaks in that time.
const MAX_TOLD: usize = 64;

/// A person who may ask something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The user id: who has two names is still one person.
    pub uid: u32,
    /// The name in the log.
    pub name: String,
}

/// What the system says of a user id.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// The ids of its groups, the primary one included.
    pub groups: Vec<u32>,
}

/// Asks the system for a user id; none where it has no such user. That it cannot be asked is an error, and says of nobody that
/// he or she is none any more.
pub type Directory = Box<dyn Fn(u32) -> io::Result<Option<Account>> + Send + Sync>;

/// Who has which power.
pub struct People {
    ours: u32,
    separated: bool,
    /// Each power's group: its name, and its id.
    groups: Vec<(Power, String, u32)>,
    /// The group whose members may read the numbers for monitoring, besides whoever has a power.
    monitors: Option<u32>,
    directory: Directory,
    /// When the journal last said of a user that he or she was refused.
    told: Mutex<BTreeMap<u32, Instant>>,
}

/// Someone who may ask nothing.
#[derive(Debug, thiserror::Error)]
pub enum Stranger {
    /// A user without any power.
    #[error("user {0} is in none of the zone's groups")]
    Powerless(String),
    /// Nobody knows: the system cannot be asked who it is.
    #[error("the system cannot say now who user {0} is: {1}")]
    Unknown(u32, io::Error),
    /// A user whose powers exclude each other. Nobody guesses which of them is meant.
    #[error(
        "user {name} is in the groups {one} and {other}, which exclude each other: nothing is allowed until one is left"
    )]
    Torn {
        /// Who.
        name: String,
        /// A group.
        one: String,
        /// Another one.
        other: String,
    },
}

impl Stranger {
    /// What he or she is told.
    pub fn refusal(&self) -> Refusal {
        let code = if matches!(self, Stranger::Unknown(..)) { Code::Unavailable } else { Code::Forbidden };
        Refusal::new(code, self.to_string())
    }
}

impl People {
    /// The people of a zone.
    ///
    /// # Errors
    /// When the system does not know a group.
    pub fn new(settings: &ControlSettings) -> Result<Self, RoleError> {
        let group = |setting: &str, name: &str| match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            _ => Err(RoleError::State(format!("control.{setting}: there is no group {name}"))),
        };
        let mut groups = Vec::new();
        for (power, name) in settings.groups() {
            groups.push((power, name.to_owned(), group(power.setting(), name)?));
        }
        let monitors = settings.monitors_group.as_deref().map(|name| group("monitors_group", name)).transpose()?;
        let ours = geteuid().as_raw();
        // The system's user database is asked once before confinement, so that what its modules load is loaded.
        let _ = system(ours);
        let directory = Box::new(system);
        Ok(Self { ours, separated: settings.separated(), groups, monitors, directory, told: Mutex::default() })
    }

    /// The people of a zone with separated powers, as tests have them.
    #[cfg(test)]
    pub fn with(ours: u32, groups: Vec<(Power, String, u32)>, directory: Directory) -> Self {
        Self { ours, separated: true, groups, monitors: Some(5), directory, told: Mutex::default() }
    }

    /// Whether persons have the powers of their groups, and nobody has all.
    pub fn separated(&self) -> bool {
        self.separated
    }

    /// The operators' group.
    pub fn operators(&self) -> Option<u32> {
        self.groups.iter().find(|(power, ..)| *power == Power::Operator).map(|(.., gid)| *gid)
    }

    /// Whether a user id is somebody's, not root's nor that of `control`.
    pub fn is_person(&self, uid: u32) -> bool {
        uid != 0 && uid != self.ours
    }

    /// The person behind a user id, and the powers that he or she has now.
    ///
    /// # Errors
    /// When there are none, or they exclude each other.
    pub fn look_up(&self, uid: u32) -> Result<(Person, Vec<Power>), Stranger> {
        let account = match (self.directory)(uid) {
            Ok(account) => account,
            // Who may mend the directory needs no groups.
            Err(_) if !self.is_person(uid) => None,
            Err(error) => return Err(Stranger::Unknown(uid, error)),
        };
        let name = account.as_ref().map_or_else(|| format!("uid-{uid}"), |account| account.name.clone());
        // It stands in log lines.
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let person = Person { uid, name: name.clone() };
        if !self.is_person(uid) {
            // Whoever may become these could be two people otherwise.
            let powers = if self.separated { vec![Power::Administrator] } else { Power::ALL.to_vec() };
            return Ok((person, powers));
        }
        let member = |gid: &u32| account.as_ref().is_some_and(|account| account.groups.contains(gid));
        let powers: Vec<Power> = self.groups.iter().filter(|(.., gid)| member(gid)).map(|(power, ..)| *power).collect();
        if powers.is_empty() {
            return Err(Stranger::Powerless(name));
        }
        if !self.separated {
            return Ok((person, Power::ALL.to_vec()));
        }
        match powers::conflict(&powers) {
            Some((one, other)) => Err(Stranger::Torn { name, one: self.group(one), other: self.group(other) }),
            None => Ok((person, powers)),
        }
    }

    fn group(&self, power: Power) -> String {
        self.groups.iter().find(|(one, ..)| *one == power).map(|(_, name, _)| name.clone()).unwrap_or_default()
    }

    /// The person who asks, if he or she may ask this now.
    ///
    /// # Errors
    /// [`Code::Forbidden`], with the reason; [`Code::Unavailable`] when the system cannot be asked.
    pub fn admit(&self, uid: u32, request: &OperatorRequest) -> Result<Person, Refusal> {
        let (person, powers) = self.look_up(uid).map_err(|stranger| stranger.refusal())?;
        powers::check(&powers, request)?;
        if let Some(reason) = powers::of_the_host(request, self.separated).filter(|_| self.is_person(uid)) {
            return Err(Refusal::new(Code::Forbidden, format!("only root may do this: {reason}")));
        }
        Ok(person)
    }

    /// Whether there is a group of monitors.
    pub fn has_monitors(&self) -> bool {
        self.monitors.is_some()
    }

    /// Whether a user may read the numbers for monitoring: who has a power, and the monitors' group.
    pub fn may_monitor(&self, uid: u32) -> bool {
        let is_monitor = |account: Account| self.monitors.is_some_and(|monitors| account.groups.contains(&monitors));
        self.look_up(uid).is_ok() || (self.directory)(uid).is_ok_and(|account| account.is_some_and(is_monitor))
    }

    /// Whether the journal is to say that a user was refused: once a minute each, since anybody may ask as often as he or she likes.
    pub fn is_news(&self, uid: u32, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, time| now.duration_since(*time) < QUIET);
        if told.len() >= MAX_TOLD || told.contains_key(&uid) {
            return false;
        }
        told.insert(uid, now);
        true
    }

    /// Whether a person still has a power. An account under the same user id with another name is somebody else: the id was given
    /// to a newcomer.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the system cannot be asked.
    pub fn still(&self, person: &Person, power: Power) -> Result<bool, Refusal> {
        match self.look_up(person.uid) {
            Ok((now, powers)) => Ok(now == *person && powers.contains(&power)),
            Err(unknown @ Stranger::Unknown(..)) => Err(unknown.refusal()),
            Err(Stranger::Powerless(_) | Stranger::Torn { .. }) => Ok(false),
        }
    }
}

/// The user id at the other end of a socket.
///
/// # Errors
/// When the kernel does not say.
pub fn peer(stream: &UnixStream) -> nix::Result<u32> {
    Ok(getsockopt(stream, PeerCredentials)?.uid())
}

fn system(uid: u32) -> io::Result<Option<Account>> {
    // The library takes files that cannot be read for empty ones.
    for file in ["/etc/passwd", "/etc/group"] {
        File::open(file)?;
    }
    let user = match User::from_uid(Uid::from_raw(uid)) {
        // A service besides the files, of whose users nobody is known here: the role's confinement keeps it from asking.
        Err(Errno::EACCES | Errno::EPERM) => None,
        asked => asked?,
    };
    let Some(user) = user else { return Ok(None) };
    let name = CString::new(user.name.as_bytes())?;
    let groups = getgrouplist(&name, user.gid)?;
    Ok(Some(Account { name: user.name, groups: groups.into_iter().map(|gid| gid.as_raw()).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(operators: &str) -> ControlSettings {
        ControlSettings { operators_group: Some(operators.to_owned()), ..ControlSettings::default() }
    }

    /// A zone of separated powers whose users are in the groups that their ids' digits say.
    fn zone() -> People {
        let group = |power, gid| (power, format!("group-{gid}"), gid);
        let groups = vec![
            group(Power::Administrator, 1),
            group(Power::Operator, 2),
            group(Power::Reviewer, 3),
            group(Power::Auditor, 4),
        ];
        let digits = |uid: u32| uid.to_string().bytes().map(|digit| u32::from(digit - b'0')).collect();
        People::with(
            99,
            groups,
            Box::new(move |uid| match uid {
                97 => Err(io::Error::other("no answer")),
                98 => Ok(None),
                uid => Ok(Some(Account { name: format!("u{uid}"), groups: digits(uid) })),
            }),
        )
    }

    #[test]
    fn the_user_that_control_runs_as_is_known_and_named() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let people = People::new(&ControlSettings::default()).unwrap();
        let (person, powers) = people.look_up(peer(&ours).unwrap()).unwrap();
        let name = User::from_uid(geteuid()).unwrap().map_or_else(|| format!("uid-{}", geteuid()), |user| user.name);
        assert_eq!((person.uid, person.name), (geteuid().as_raw(), name));
        assert_eq!(powers, Power::ALL);
    }

    #[test]
    fn a_group_that_does_not_exist_is_a_fault_of_the_configuration() {
        assert!(People::new(&settings("no-such-group-here")).is_err());
    }

    #[test]
    fn each_group_gives_its_power_and_root_is_an_administrator() {
        let powers = |uid| zone().look_up(uid).map(|(_, powers)| powers).unwrap_or_default();
        assert_eq!(powers(1), [Power::Administrator]);
        assert_eq!(powers(2), [Power::Operator]);
        assert_eq!(powers(3), [Power::Reviewer]);
        assert_eq!(powers(4), [Power::Auditor]);
        assert_eq!(powers(21), [Power::Administrator, Power::Operator]);
        assert_eq!(powers(5), []);
        assert_eq!((powers(0), powers(99)), (vec![Power::Administrator], vec![Power::Administrator]));
    }

    #[test]
    fn who_is_in_groups_that_exclude_each_other_may_nothing_and_hears_which() {
        for uid in [13, 23, 24, 34, 14, 123] {
            let stranger = zone().look_up(uid).unwrap_err().to_string();
            assert!(stranger.contains("exclude each other"), "{stranger}");
            assert_eq!(zone().admit(uid, &OperatorRequest::Health).unwrap_err().code, Code::Forbidden);
        }
        assert!(zone().look_up(23).unwrap_err().to_string().contains("group-2 and group-3"));
    }

    fn person(uid: u32) -> Person {
        Person { uid, name: format!("u{uid}") }
    }

    #[test]
    fn numbers_are_for_who_has_a_power_and_for_monitors() {
        for uid in [1, 2, 3, 4, 5, 15, 0, 99] {
            assert!(zone().may_monitor(uid), "{uid}");
        }
        // In no group, in none of ours, without an account, and of whom nobody can tell.
        for uid in [6, 66, 98, 97] {
            assert!(!zone().may_monitor(uid), "{uid}");
        }
        assert!(zone().admit(5, &OperatorRequest::Health).is_err(), "a monitor has no power");
    }

    #[test]
    fn who_has_no_account_any_more_may_nothing() {
        assert!(zone().look_up(98).is_err());
        let still = |uid, power| zone().still(&person(uid), power).map_err(|refusal| refusal.code);
        assert_eq!((still(98, Power::Reviewer), still(3, Power::Reviewer)), (Ok(false), Ok(true)));
        assert_eq!(still(3, Power::Operator), Ok(false));
        let newcomer = Person { name: "somebody else".into(), ..person(3) };
        assert_eq!(zone().still(&newcomer, Power::Reviewer), Ok(false), "the id was given to another account");
    }

    #[test]
    fn of_whom_the_system_cannot_be_asked_nothing_is_said() {
        assert_eq!(zone().still(&person(97), Power::Reviewer).map_err(|refusal| refusal.code), Err(Code::Unavailable));
        assert_eq!(zone().admit(97, &OperatorRequest::Health).unwrap_err().code, Code::Unavailable);
    }

    #[test]
    fn of_each_user_who_is_refused_the_journal_speaks_once_a_minute() {
        let (zone, now) = (zone(), Instant::now());
        assert!(zone.is_news(5, now) && zone.is_news(6, now));
        assert!(!zone.is_news(5, now + Duration::from_secs(59)));
        assert!(zone.is_news(5, now + Duration::from_secs(60)));
    }

    #[test]
    fn copies_of_the_database_are_for_root_where_powers_are_separated() {
        for request in [OperatorRequest::Snapshot, OperatorRequest::SnapshotBytes { offset: 0 }] {
            assert_eq!(zone().admit(1, &request).unwrap_err().code, Code::Forbidden);
            assert!(zone().admit(0, &request).is_ok() && zone().admit(99, &request).is_ok());
        }
    }
}
