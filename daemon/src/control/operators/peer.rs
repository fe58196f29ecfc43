//! Who is at the other end of the operators' socket, by the kernel's word.

use crate::RoleError;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use std::ffi::CString;
use std::os::unix::net::UnixStream;

/// Who may ask.
#[derive(Debug)]
pub struct Operators {
    ours: Uid,
    group: Option<Gid>,
}

/// Someone who may not.
#[derive(Debug, thiserror::Error)]
pub enum Stranger {
    /// The kernel does not say who it is.
    #[error("the socket's peer is not known: {0}")]
    Unknown(nix::Error),
    /// A user who is no operator.
    #[error("user {0} is not in the operators' group")]
    NoOperator(String),
}

impl Operators {
    /// The operators of a zone.
    ///
    /// # Errors
    /// When the group is not known to the system.
    pub fn new(group: Option<&str>) -> Result<Self, RoleError> {
        let group = match group {
            None => None,
            Some(name) => match Group::from_name(name) {
                Ok(Some(group)) => Some(group.gid),
                _ => return Err(RoleError::State(format!("control.operators_group: there is no group {name}"))),
            },
        };
        let ours = geteuid();
        // The system's user database is asked once before confinement, so that what its modules load is loaded.
        let _ = person(ours);
        Ok(Self { ours, group })
    }

    /// The operators' group.
    pub fn group(&self) -> Option<u32> {
        self.group.map(Gid::as_raw)
    }

    /// The name of the person at the other end.
    ///
    /// # Errors
    /// When he or she is no operator.
    pub fn identify(&self, stream: &UnixStream) -> Result<String, Stranger> {
        let credentials = getsockopt(stream, PeerCredentials).map_err(Stranger::Unknown)?;
        let (uid, gid) = (Uid::from_raw(credentials.uid()), Gid::from_raw(credentials.gid()));
        let name = person(uid);
        if uid.is_root() || uid == self.ours || self.is_member(&name, gid) {
            return Ok(name);
        }
        Err(Stranger::NoOperator(name))
    }

    fn is_member(&self, name: &str, primary: Gid) -> bool {
        let Some(group) = self.group else { return false };
        let Ok(name) = CString::new(name) else { return false };
        primary == group || getgrouplist(&name, primary).is_ok_and(|groups| groups.contains(&group))
    }
}

/// A user's name, or `uid-N` where the system has none; without what could not stand in a log line.
fn person(uid: Uid) -> String {
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_else(|| format!("uid-{uid}"));
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_that_control_runs_as_is_an_operator_and_is_named() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let name = Operators::new(None).unwrap().identify(&ours).unwrap();
        assert_eq!(name, person(geteuid()));
    }

    #[test]
    fn another_user_is_a_stranger_unless_a_member_of_the_group() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let gid = nix::unistd::getegid();
        let other = Uid::from_raw(geteuid().as_raw() ^ 1);
        if geteuid().is_root() {
            // Root is always answered; what is left to test is membership.
            assert!(Operators { ours: other, group: Some(gid) }.is_member("root", gid));
            assert!(!Operators { ours: other, group: Some(Gid::from_raw(54_321)) }.is_member("root", gid));
            return;
        }
        assert!(Operators { ours: other, group: None }.identify(&ours).is_err());
        assert!(Operators { ours: other, group: Some(gid) }.identify(&ours).is_ok());
    }

    #[test]
    fn a_group_that_does_not_exist_is_a_fault_of_the_configuration() {
        assert!(Operators::new(Some("no-such-group-here")).is_err());
    }
}
