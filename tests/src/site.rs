//! A zone whose powers are separated, and people in its groups: users of the system. Needs root.

use crate::command::{Ended, binaries, run};
use crate::data;
use crate::source::Source;
use crate::zone::{Zone, text};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// The groups of the commented configuration, and a person or more in each.
pub const SETUP: &str = "
for group in sluse-operators sluse-reviewers sluse-auditors sluse-admins; do groupadd --force --system $group; done
person() { useradd --no-create-home --user-group --groups \"$2\" \"$1\"; }
person t-adam sluse-admins
person t-olga sluse-operators
person t-ole sluse-operators
person t-rita sluse-reviewers
person t-roar sluse-reviewers
person t-rune sluse-reviewers
person t-aud sluse-auditors
useradd --no-create-home --user-group t-nils";

/// A running zone whose powers are separated, and a way to ask it as a person.
#[derive(Debug)]
pub struct Site {
    /// The zone; asked through it, root asks.
    pub zone: Zone,
}

impl Site {
    /// Starts one. Within [`crate::own_etc::with_own_etc`] and [`SETUP`].
    pub fn start() -> Self {
        let mut zone = Zone::prepare();
        fs::set_permissions(zone.folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::copy(binaries().join("sluse"), zone.folder.path().join("sluse")).expect("the binary is built");
        zone.configure(|text| {
            let groups = ["operators", "reviewers", "auditors", "administrators"];
            groups.iter().fold(text, |text, one| text.replace(&format!("# {one}_group ="), &format!("{one}_group =")))
        });
        zone.run();
        Self { zone }
    }

    /// Runs an operator's command as a person.
    pub fn as_person(&self, name: &str, words: &[&str]) -> Ended {
        let sluse = self.zone.folder.path().join("sluse");
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={name}"), &format!("--regid={name}"), "--init-groups"]);
        command.arg(sluse).args(words).args(["--zone", text(&self.zone.root())]).current_dir("/");
        run(command)
    }

    /// The same, which must succeed.
    #[track_caller]
    pub fn done(&self, name: &str, words: &[&str]) -> Ended {
        self.as_person(name, words).expect(0)
    }

    /// The same, which must be forbidden.
    #[track_caller]
    pub fn forbidden(&self, name: &str, words: &[&str], why: &str) {
        let ended = self.as_person(name, words).expect(4);
        assert!(ended.stderr.contains("forbidden") && ended.stderr.contains(why), "{}", ended.stderr);
    }

    /// A file with an agreement's text.
    pub fn agreement(&self, id: &str, change: impl FnOnce(String) -> String) -> String {
        let path = self.zone.folder.path().join(format!("{id}.toml"));
        fs::write(&path, change(crate::zone::agreement(id, "lab"))).expect("an agreement can be written");
        text(&path).to_owned()
    }

    /// Adds an agreement by one operator, and has another put it in force.
    #[track_caller]
    pub fn agree(&self, id: &str, file: &str) {
        self.done("t-olga", &["agreement", "add", file]);
        let activate = ["agreement", "activate", id, "--version", "1", "--reason", "compared with the letter"];
        self.forbidden("t-olga", &activate, "does not put it in force");
        self.done("t-ole", &activate);
    }

    /// A transfer's state.
    pub fn state(&self, transfer: &str) -> String {
        let listed = self.zone.operate(&["transfers", "--json"]).expect(0).json();
        let mut all = listed.as_array().expect("a list").iter();
        let found = all.find(|one| one["status"]["transfer"] == transfer).expect("the transfer is listed");
        found["status"]["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until a transfer is in `state`.
    #[track_caller]
    pub fn wait_for(&self, transfer: &str, state: &str) {
        self.zone.eventually(&format!("{transfer} is {state}"), || (self.state(transfer) == state).then_some(()));
    }

    /// Sends a small dataset that is held.
    pub fn held(&self, source: &Source, dataset: &str) -> String {
        let file = self.zone.folder.path().join(format!("{dataset}.csv"));
        fs::write(&file, data::csv(dataset.len() as u64, 3000)).expect("a file can be written");
        let sent = source.send(&file, dataset, "received").expect(0).json();
        let transfer = sent["transfer"].as_str().expect("a transfer's id").to_owned();
        self.wait_for(&transfer, "held");
        transfer
    }
}

/// Runs a command of the system that changes users or groups.
pub fn system(words: &[&str]) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    run(command).expect(0);
}
