//! Landlock: which files a role may open, and how; no TCP; no signals to, and no abstract sockets of, anybody else.

use crate::RoleError;
use crate::outside::Outside;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope, make_bitflags,
};
use sluse_host::config::Zone;
use sluse_protocol::roles::Role;
use std::path::PathBuf;

/// The least that must hold: files, and renames between folders (Linux 5.19).
const REQUIRED: ABI = ABI::V2;

/// What is asked for beyond it where the kernel has it: truncation (6.2), TCP (6.7), devices (6.10), signals and abstract
/// sockets (6.12).
const WANTED: ABI = ABI::V6;

/// One entry of a role's table.
struct Allowed {
    path: PathBuf,
    access: BitFlags<AccessFs>,
    /// A path that need not be there.
    optional: bool,
}

fn read_file() -> BitFlags<AccessFs> {
    AccessFs::ReadFile.into()
}

fn read() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

/// Files and folders made, written, renamed within their folder, removed.
fn write() -> BitFlags<AccessFs> {
    read() | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile | MakeDir | RemoveDir})
}

/// The same, and moved between folders for which this is granted.
fn write_and_move() -> BitFlags<AccessFs> {
    write() | AccessFs::Refer
}

fn must(path: PathBuf, access: BitFlags<AccessFs>) -> Allowed {
    Allowed { path, access, optional: false }
}

fn may(path: impl Into<PathBuf>, access: BitFlags<AccessFs>) -> Allowed {
    Allowed { path: path.into(), access, optional: true }
}

/// Everything that a role may open. What stands nowhere here is closed to it: other roles' folders, the configuration,
/// programs, devices, `/proc`.
fn allowed(role: Role, zone: &Zone) -> Vec<Allowed> {
    let layout = &zone.layout;
    let mut allowed = vec![
        // Public halves of keys.
        must(layout.trust(), read()),
    ];
    if matches!(role, Role::Receive | Role::Control) {
        // Certificates and revocation lists of outside authorities: read again when they change.
        allowed.extend(Outside::folders(zone).into_iter().map(|folder| may(folder, read())));
    }
    if role == Role::Control {
        allowed.extend(who_is_who(zone));
    }
    allowed.extend(match role {
        Role::Receive => vec![
            // Its TLS key and certificate.
            must(layout.role(role), read()),
            // Chunks, indices and manifests of transfers that are not sealed. It reads back its own index when a source
            // comes again; chunks are encrypted to a key that it does not have. Nothing can be moved out of a transfer.
            must(layout.incoming(), write()),
        ],
        Role::Control => vec![
            // Database, documents, keys.
            must(layout.role(role), write_and_move()),
            // Its sockets: made anew at each start.
            must(layout.run(), make_bitflags!(AccessFs::{ReadDir | MakeSock | RemoveFile})),
        ],
        Role::Inspect => vec![
            // The quarantine's key and the transfers' identities.
            must(layout.role(role), write_and_move()),
            // Sealing is a move from the one to the other; purging removes from both.
            must(layout.incoming(), write_and_move()),
            must(layout.sealed(), write_and_move()),
            // Signatures for the built-in engine.
            may(zone.signatures(), read()),
        ],
        Role::Deliver => vec![
            // Its key.
            must(layout.role(role), read()),
            // Deliveries whose receipt is not in the room yet.
            must(layout.pending(), write()),
            // Of deliveries to rooms elsewhere that are not whole: the bag's own files, and how far they came.
            may(layout.elsewhere(), write()),
            // Ciphertext of what was sealed; it opens what was released to its key.
            must(layout.sealed(), read()),
            // Bags, under a temporary name and then in their place.
            must(zone.rooms(), write_and_move()),
        ],
    });
    allowed
}

/// The names of the people at the operators' socket, for the audit log, and the groups that give them their powers. These files are
/// replaced when somebody joins or leaves a group, and a rule stays with the file that it was made for: where there are
/// groups, it is one for their folder, of which the role's user may read what everybody may.
fn who_is_who(zone: &Zone) -> Vec<Allowed> {
    let paths: &[&str] = match zone.settings.control.groups().is_empty() {
        true => &["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"],
        false => &["/etc"],
    };
    paths.iter().map(|path| may(*path, read_file())).collect()
}

/// Restricts this thread and those that it starts; says how much of it the kernel enforces.
///
/// # Errors
/// When the kernel enforces less than [`REQUIRED`] and the zone does not allow that; when a path is missing.
pub fn restrict(role: Role, zone: &Zone) -> Result<String, RoleError> {
    enforce(&format!("the role {role}"), allowed(role, zone), zone.settings.zone.allow_unconfined)
}

/// The same for the nursery, which starts this program again and again.
///
/// # Errors
/// As [`restrict`].
pub fn restrict_nursery(allow_unconfined: bool) -> Result<String, RoleError> {
    let execute = make_bitflags!(AccessFs::{Execute | ReadFile});
    let mut allowed = vec![must("/proc/self/exe".into(), execute), may("/etc/ld.so.cache", read_file())];
    allowed.extend(["/lib", "/lib64", "/usr/lib", "/usr/lib64"].map(|libraries| may(libraries, execute)));
    enforce("the nursery of parsers", allowed, allow_unconfined)
}

/// The same for the process that takes leases: it opens nothing.
///
/// # Errors
/// As [`restrict`].
pub fn restrict_lease(allow_unconfined: bool) -> Result<String, RoleError> {
    enforce("the process that takes leases", Vec::new(), allow_unconfined)
}

/// The same for the process that mails alerts: who is who among hosts, and connections to `port`.
///
/// # Errors
/// As [`restrict`].
pub fn restrict_mailer(port: u16, allow_unconfined: bool) -> Result<String, RoleError> {
    // Of /etc its user may read what everybody may: which of its files say where names are found is the system's matter.
    let allowed = ["/etc", "/run/systemd/resolve"].map(|folder| may(folder, read_file()));
    enforce_with("the process that mails alerts", allowed.into(), &[port], allow_unconfined)
}

/// The same for a parser: no file at all.
///
/// # Errors
/// As [`restrict`].
pub fn restrict_parser(allow_unconfined: bool) -> Result<String, RoleError> {
    enforce("a parser", Vec::new(), allow_unconfined)
}

fn enforce(who: &str, allowed: Vec<Allowed>, allow_unconfined: bool) -> Result<String, RoleError> {
    enforce_with(who, allowed, &[], allow_unconfined)
}

/// `ports`: to which it may connect by TCP.
fn enforce_with(who: &str, allowed: Vec<Allowed>, ports: &[u16], allow_unconfined: bool) -> Result<String, RoleError> {
    let failed = |error: RulesetError| {
        if allow_unconfined {
            tracing::warn!(%error, "{who} may open any file: [zone] allow_unconfined is set");
            return Ok("none".to_owned());
        }
        Err(RoleError::Unsafe(format!(
            "the kernel cannot confine {who} to its files, which needs Linux 5.19 with Landlock: {error}"
        )))
    };
    let ruleset = match ruleset() {
        Ok(ruleset) => ruleset,
        Err(error) => return failed(error),
    };
    let mut created = match ruleset.create() {
        Ok(created) => created,
        Err(error) => return failed(error),
    };
    for entry in allowed {
        let path = match PathFd::new(&entry.path) {
            Ok(path) => path,
            Err(_) if entry.optional => continue,
            Err(error) => return Err(RoleError::State(error.to_string())),
        };
        let rule = PathBeneath::new(path, entry.access);
        created = created.add_rule(rule).map_err(|error| RoleError::State(error.to_string()))?;
    }
    for port in ports {
        let rule = NetPort::new(*port, AccessNet::ConnectTcp);
        created = created.add_rule(rule).map_err(|error| RoleError::State(error.to_string()))?;
    }
    match created.restrict_self() {
        Ok(status) => Ok(describe(status.landlock)),
        Err(error) => failed(error),
    }
}

fn ruleset() -> Result<Ruleset, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))
}

fn describe(status: LandlockStatus) -> String {
    match status {
        LandlockStatus::Available { effective_abi, .. } => format!("ABI {effective_abi}"),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => "none".to_owned(),
    }
}
