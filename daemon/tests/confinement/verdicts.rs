//! What each role must be able to do, and that all else is denied.

use crate::attempts::{self, As, Outcomes};
use crate::scene::{self, Scene};
use nix::libc::{EACCES, EPERM, EXDEV};
use sluse_protocol::roles::Role;
use slused::inspect::jail::Outside;
use std::collections::BTreeSet;

/// What a role must be able to do whatever it is.
const EVERY_ROLE: &[&str] = &["read trust", "signal itself", "start a thread", "make a pair of sockets"];

fn ended(outcomes: &Outcomes, wanted: impl Fn(i32) -> bool) -> BTreeSet<&str> {
    outcomes.iter().filter(|(_, number)| wanted(*number)).map(|(name, _)| name.as_str()).collect()
}

/// Without confinement every attempt succeeds: a denial in the other tests is confinement's.
pub fn unconfined() {
    let scene = Scene::new();
    let outcomes = attempts::of(As::default(), &scene);
    assert_eq!(outcomes.len(), attempts::names().count());
    assert_eq!(ended(&outcomes, |number| number != 0), BTreeSet::new());
}

fn check(role: Role, outside: Option<Outside>, permitted: &[&'static str]) {
    let user = As { role: Some(role), outside, ..As::default() };
    check_user(user, EVERY_ROLE.iter().chain(permitted).copied().collect());
}

fn check_user(user: As, permitted: BTreeSet<&str>) {
    let scene = Scene::new();
    let outcomes = attempts::of(user, &scene);
    assert_eq!(outcomes.len(), attempts::names().count(), "an attempt has no outcome");
    assert_eq!(ended(&outcomes, |number| number == 0), permitted, "what it may: left is, right must be");
    // Denied, and not failed for another reason.
    let denied = [EACCES, EPERM, EXDEV];
    assert_eq!(ended(&outcomes, |number| number != 0 && !denied.contains(&number)), BTreeSet::new());
}

/// `receive`: transfers that are not sealed, and its own key.
pub fn receive() {
    check(
        Role::Receive,
        None,
        &[
            "read the TLS key",
            "list receive's folder",
            "read an incoming chunk",
            "write an incoming chunk",
            "make an incoming folder",
            "rename an incoming chunk",
        ],
    );
}

/// `control`: its state and keys, its sockets' folder, the names of users.
pub fn control() {
    check(
        Role::Control,
        None,
        &[
            "read the database",
            "write the database",
            "read the authority's key",
            "read the signing key",
            "list control's folder",
            "list the sockets",
            "read the users",
        ],
    );
}

const INSPECT: &[&str] = &[
    "read the quarantine key",
    "read an identity",
    "make an identity",
    "list inspect's folder",
    "read an incoming chunk",
    "write an incoming chunk",
    "make an incoming folder",
    "rename an incoming chunk",
    "move a chunk to another transfer",
    "read a sealed chunk",
    "list a sealed transfer",
    "write to a sealed chunk",
    "add a sealed chunk",
    "seal a transfer",
    "unseal a transfer",
    "read a signature list",
];

/// `inspect`: the quarantine, its keys, the signatures; no socket.
pub fn inspect() {
    check(Role::Inspect, None, INSPECT);
}

/// `inspect` where an engine that is another program is configured: it is connected by the nursery.
pub fn inspect_with_engines() {
    check(Role::Inspect, Some(Outside::Clamd), INSPECT);
    check(Role::Inspect, Some(Outside::Icap), INSPECT);
}

/// `deliver`: ciphertext to read, rooms to write.
pub fn deliver() {
    check(
        Role::Deliver,
        None,
        &[
            "read deliver's key",
            "remember a delivery",
            "list deliver's folder",
            "read a sealed chunk",
            "list a sealed transfer",
            "read a room",
            "write a room",
            "move within the rooms",
        ],
    );
}

/// The nursery, with an engine: no file, no socket, no other program than its own; what it may do to itself its parsers must be able to.
pub fn nursery() {
    let user = As { nursery: true, ..As::default() };
    check_user(user, BTreeSet::from(["signal itself", "start a thread", "be traced again", "make a pair of sockets"]));
}

/// A thread that runs already would keep everything.
pub fn threads() {
    let scene = Scene::new();
    let zone = scene::zone(scene.folder.path(), None);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || stopped.recv().is_err());
    let refused = slused::confine::apply(Role::Deliver, &zone);
    assert!(matches!(refused, Err(slused::RoleError::Unsafe(_))), "{refused:?}");
    drop(stop);
    assert!(other.join().unwrap());
}

/// What holds for the thread that was confined holds for those that it starts, as the runtime's are.
pub fn later_threads() {
    let scene = Scene::new();
    for &role in Role::ALL {
        let user = As { role: Some(role), ..As::default() };
        assert_eq!(attempts::of(user, &scene), attempts::of(As { thread: true, ..user }, &scene));
    }
}
