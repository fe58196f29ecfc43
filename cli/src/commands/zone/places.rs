//! Every folder and file of a new zone: its mode, and whose it is. `zone init` makes them so, `zone check` compares.
//!
//! A role's own folder is closed to everybody else (0700), its keys too (0600); `trust` is open to all (0755, 0644). The
//! quarantine is handed on between roles. `incoming` is `receive`'s; its group lets `inspect` take a sealed transfer away
//! (2770: what is made there keeps the group). `sealed` is `inspect`'s; its group lets `deliver` in (2750), and nobody
//! else, `receive` among them, can enter. What `receive` writes has its own group, so that `inspect` and `deliver`, which are
//! in it, can read. Where all roles are one user, the modes are the same and only the owner differs.

use super::sealed;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::ffi::CString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

/// Who owns a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Whoever made the zone.
    Maker,
    /// The role's user, where there is one.
    Role(Role),
}

/// What must stand in a zone's folder.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its permission bits in a new zone. A role's places keep exactly these; for the others it is enough that strangers
    /// cannot write there.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// Its group, where that is not the owner's own.
    pub group: Option<&'static str>,
    /// Whether a site may share it with others, as it does with rooms.
    pub shared: bool,
    /// Whether a new one does as well: a key that nothing was encrypted to or signed with.
    pub renewable: bool,
    /// Where it lies encrypted for this host, if it does: then it is not to lie in the clear.
    pub credential: Option<PathBuf>,
}

/// The group of what `receive` writes and `inspect` takes over.
pub const QUARANTINE_GROUP: &str = "sluse-quarantine";

/// The group of what `inspect` holds and `deliver` reads: that user's own.
pub const SEALED_GROUP: &str = "sluse-deliver";

/// Who must be in which group besides its own: [`QUARANTINE_GROUP`], and that of what `receive` wrote.
const MEMBERS: [(Role, &[&str]); 3] = [
    (Role::Receive, &[QUARANTINE_GROUP]),
    (Role::Inspect, &[QUARANTINE_GROUP, "sluse-receive"]),
    (Role::Deliver, &["sluse-receive"]),
];

/// Every place of the zone, folders before what lies in them.
pub fn all(zone: &Zone) -> Vec<Place> {
    let layout = &zone.layout;
    let owned = |role: Role| Owner::Role(role);
    let place = |path, folder, mode, owner| Place {
        path,
        folder,
        mode,
        owner,
        group: None,
        shared: false,
        renewable: false,
        credential: None,
    };
    let folder = |path, mode, owner| place(path, true, mode, owner);
    let file = |path, mode, owner| place(path, false, mode, owner);
    let mut places = vec![
        folder(layout.root().to_owned(), 0o755, Owner::Maker),
        file(layout.config(), 0o644, Owner::Maker),
        folder(layout.trust(), 0o755, Owner::Maker),
        folder(zone.signatures(), 0o755, Owner::Maker),
        folder(layout.run(), 0o755, owned(Role::Control)),
        Place { shared: true, ..folder(zone.rooms(), 0o750, owned(Role::Deliver)) },
        folder(layout.quarantine(), 0o755, Owner::Maker),
        Place { group: Some(QUARANTINE_GROUP), ..folder(layout.incoming(), 0o2770, owned(Role::Receive)) },
        Place { group: Some(SEALED_GROUP), ..folder(layout.sealed(), 0o2750, owned(Role::Inspect)) },
    ];
    places.extend(Role::ALL.iter().map(|role| folder(layout.role(*role), 0o700, owned(*role))));
    places.push(folder(layout.documents(), 0o700, owned(Role::Control)));
    places.push(folder(layout.identities(), 0o700, owned(Role::Inspect)));
    let public = [
        layout.ca_certificate(),
        layout.signer(),
        layout.allowed_signers(),
        layout.quarantine_recipient(),
        layout.deliver_recipient(),
    ];
    places.extend(public.map(|path| file(path, 0o644, Owner::Maker)));
    // Not there before the first rotation.
    let statements = Some(layout.key_statements()).filter(|path| path.exists());
    places.extend(statements.map(|path| file(path, 0o644, Owner::Maker)));
    let key = |path: PathBuf, role| {
        let credential = sealed::credential(layout, &path);
        Place { credential, ..file(path, 0o600, owned(role)) }
    };
    places.extend([
        file(layout.tls_certificate(), 0o644, owned(Role::Receive)),
        key(layout.tls_key(), Role::Receive),
        Place { renewable: true, ..key(layout.reset_key(), Role::Receive) },
        key(layout.ca_key(), Role::Control),
        key(layout.signing_key(), Role::Control),
        key(layout.quarantine_key(), Role::Inspect),
        key(layout.deliver_key(), Role::Deliver),
    ]);
    places
}

/// The system's users and groups for the roles, as far as they exist.
#[derive(Debug)]
pub struct Accounts {
    users: Vec<(Role, Option<User>)>,
    groups: Vec<(&'static str, Option<Group>)>,
}

impl Accounts {
    /// Looks them up.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn look_up() -> nix::Result<Self> {
        let users = Role::ALL.iter().map(|role| Ok((*role, User::from_name(&user_name(*role))?)));
        let groups = [QUARANTINE_GROUP, SEALED_GROUP].into_iter().map(|name| Ok((name, Group::from_name(name)?)));
        Ok(Self { users: users.collect::<nix::Result<_>>()?, groups: groups.collect::<nix::Result<_>>()? })
    }

    /// Names of users and groups that do not exist.
    pub fn missing(&self) -> Vec<String> {
        let users = self.users.iter().filter(|(_, user)| user.is_none());
        let users = users.map(|(role, _)| format!("user {}", user_name(*role)));
        let groups = self.groups.iter().filter(|(_, group)| group.is_none()).map(|(name, _)| format!("group {name}"));
        users.chain(groups).collect()
    }

    /// Whether each role has a user of its own.
    pub fn complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// Role users who are not in a group that they need, as `(user, group)`.
    pub fn outside(&self) -> Vec<(String, &'static str)> {
        let groups = |role: Role| {
            let user = self.users.iter().find(|(of, _)| *of == role).and_then(|(_, user)| user.as_ref())?;
            getgrouplist(&CString::new(user.name.as_bytes()).ok()?, user.gid).ok()
        };
        let mut outside = Vec::new();
        for (role, wanted) in MEMBERS {
            let Some(has) = groups(role) else { continue };
            let wanted = wanted.iter().filter(|name| {
                let group = Group::from_name(name).ok().flatten();
                !group.is_some_and(|group| has.contains(&group.gid))
            });
            outside.extend(wanted.map(|name| (user_name(role), *name)));
        }
        outside
    }

    /// The owner and group that a place should have; `None` for what should stay as it is.
    pub fn of(&self, place: &Place) -> (Option<Uid>, Option<Gid>) {
        let user = match place.owner {
            Owner::Maker => None,
            Owner::Role(role) => self.users.iter().find(|(of, _)| *of == role).and_then(|(_, user)| user.as_ref()),
        };
        let group = match place.group {
            Some(name) => self.groups.iter().find(|(of, _)| *of == name).and_then(|(_, group)| group.as_ref()),
            None => None,
        };
        (user.map(|user| user.uid), group.map(|group| group.gid).or(user.map(|user| user.gid)))
    }
}

/// The name of a role's system user.
pub fn user_name(role: Role) -> String {
    format!("sluse-{role}")
}

impl Place {
    /// Gives an existing place its mode and, when this process is root, its owner.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn settle(&self, accounts: &Accounts) -> io::Result<()> {
        if Uid::effective().is_root() {
            let (user, group) = accounts.of(self);
            nix::unistd::chown(&self.path, user, group)?;
        }
        // After the owner: a change of owner takes the set-group-id bit away.
        std::fs::set_permissions(&self.path, Permissions::from_mode(self.mode))
    }

    /// How to mend that it is missing.
    fn replacement(&self, accounts: &Accounts) -> String {
        if !self.renewable {
            return "restore it from the backup".into();
        }
        let path = self.path.display();
        let make = format!("(umask 077; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' > {path})");
        match accounts.of(self) {
            (Some(user), Some(group)) => format!("{make}; chown {user}:{group} {path}"),
            _ => make,
        }
    }

    /// What is wrong with the place and how to mend it; `None` when nothing is.
    pub fn problem(&self, accounts: &Accounts) -> Option<(String, String)> {
        let path = self.path.display();
        let found = match (std::fs::symlink_metadata(&self.path), &self.credential) {
            (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => return None,
            (Err(error), Some(_)) if error.kind() == io::ErrorKind::NotFound => return None,
            (Ok(_), Some(credential)) => {
                let problem = format!("{path} lies there in the clear beside {}", credential.display());
                return Some((problem, "sluse-setup --encrypt".into()));
            }
            (Err(error), _) => return Some((format!("{path}: {error}"), self.replacement(accounts))),
            (Ok(found), None) => found,
        };
        if found.is_dir() != self.folder {
            let wanted = if self.folder { "a folder" } else { "a file" };
            return Some((format!("{path} is not {wanted}"), format!("make {path} {wanted}")));
        }
        let (mode, wanted) = (found.permissions().mode() & 0o7777, self.mode);
        if self.owner == Owner::Maker || self.shared {
            let problem = format!("{path} may be written by anybody (mode {mode:04o})");
            return (mode & 0o002 != 0).then(|| (problem, format!("chmod o-w {path}")));
        }
        if mode != wanted {
            let problem = format!("{path} has mode {mode:04o}, not {wanted:04o}");
            return Some((problem, format!("chmod {wanted:04o} {path}")));
        }
        if !accounts.complete() {
            return None;
        }
        let (user, group) = accounts.of(self);
        let wrong = user.is_some_and(|user| user.as_raw() != found.uid())
            || group.is_some_and(|group| group.as_raw() != found.gid());
        let (user, group) = (user?, group?);
        wrong.then(|| {
            let problem = format!("{path} belongs to {}:{}, not to {user}:{group}", found.uid(), found.gid());
            (problem, format!("chown {user}:{group} {path} && chmod {wanted:04o} {path}"))
        })
    }
}
