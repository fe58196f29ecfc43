//! People with separated powers, as users and groups of the system. Needs root.

use sluse_tests::command::{Ended, binaries, run};
use sluse_tests::data;
use sluse_tests::own_etc::with_own_etc;
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// The groups of the commented configuration, and a person or more in each.
const SETUP: &str = "
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
struct Site {
    zone: Zone,
}

impl Site {
    fn start() -> Self {
        let mut zone = Zone::prepare();
        fs::set_permissions(zone.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(binaries().join("sluse"), zone.folder.path().join("sluse")).unwrap();
        zone.configure(|text| {
            let groups = ["operators", "reviewers", "auditors", "administrators"];
            groups.iter().fold(text, |text, one| text.replace(&format!("# {one}_group ="), &format!("{one}_group =")))
        });
        zone.run();
        Self { zone }
    }

    /// Runs an operator's command as a person.
    fn as_person(&self, name: &str, words: &[&str]) -> Ended {
        let sluse = self.zone.folder.path().join("sluse");
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={name}"), &format!("--regid={name}"), "--init-groups"]);
        command.arg(sluse).args(words).args(["--zone", text(&self.zone.root())]).current_dir("/");
        run(command)
    }

    #[track_caller]
    fn done(&self, name: &str, words: &[&str]) -> Ended {
        self.as_person(name, words).expect(0)
    }

    #[track_caller]
    fn forbidden(&self, name: &str, words: &[&str], why: &str) {
        let ended = self.as_person(name, words).expect(4);
        assert!(ended.stderr.contains("forbidden") && ended.stderr.contains(why), "{}", ended.stderr);
    }

    /// A file with an agreement's text.
    fn agreement(&self, id: &str, change: impl FnOnce(String) -> String) -> String {
        let path = self.zone.folder.path().join(format!("{id}.toml"));
        fs::write(&path, change(sluse_tests::zone::agreement(id, "lab"))).unwrap();
        text(&path).to_owned()
    }

    /// Adds an agreement by one operator, and has another put it in force.
    #[track_caller]
    fn agree(&self, id: &str, file: &str) {
        self.done("t-olga", &["agreement", "add", file]);
        let activate = ["agreement", "activate", id, "--version", "1", "--reason", "compared with the letter"];
        self.forbidden("t-olga", &activate, "does not put it in force");
        self.done("t-ole", &activate);
    }

    fn state(&self, transfer: &str) -> String {
        let listed = self.zone.operate(&["transfers", "--json"]).expect(0).json();
        let mut all = listed.as_array().unwrap().iter();
        let found = all.find(|one| one["status"]["transfer"] == transfer).unwrap();
        found["status"]["state"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn wait_for(&self, transfer: &str, state: &str) {
        self.zone.eventually(&format!("{transfer} is {state}"), || (self.state(transfer) == state).then_some(()));
    }

    /// Sends a small dataset that is held.
    fn held(&self, source: &Source, dataset: &str) -> String {
        let file = self.zone.folder.path().join(format!("{dataset}.csv"));
        fs::write(&file, data::csv(dataset.len() as u64, 3000)).unwrap();
        let sent = source.send(&file, dataset, "received").expect(0).json();
        let transfer = sent["transfer"].as_str().unwrap().to_owned();
        self.wait_for(&transfer, "held");
        transfer
    }
}

/// Runs a command of the system that changes users or groups.
fn system(words: &[&str]) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    run(command).expect(0);
}

#[test]
fn a_persons_groups_say_what_he_or_she_may_and_leaving_one_counts_at_once() {
    with_own_etc("a_persons_groups_say_what_he_or_she_may_and_leaving_one_counts_at_once", SETUP, || {
        let site = Site::start();
        let text = site.agreement("lab", |text| text.replace("automatic", "one-reviewer"));
        site.forbidden("t-rita", &["agreement", "add", &text], "only operator may do this, not reviewer");
        site.forbidden("t-adam", &["agreement", "add", &text], "only operator may do this, not administrator");
        site.agree("lab", &text);
        site.forbidden("t-olga", &["source", "invite", "pacs"], "only administrator");
        let open = site.zone.folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        site.done("t-adam", &["source", "invite", "pacs", "--out", sluse_tests::zone::text(&open.join("pacs.toml"))]);
        site.done("t-aud", &["audit", "verify"]);
        site.done("t-aud", &["register", "export", "--format", "json"]);
        site.forbidden("t-nils", &["health"], "none of the zone's groups");

        let source = site.zone.enrol("lab");
        let transfer = site.held(&source, "first");
        site.done("t-aud", &["show", &transfer]);
        for (person, why) in [("t-olga", "not operator"), ("t-adam", "not administrator"), ("t-aud", "not auditor")] {
            site.forbidden(person, &["release", &transfer, "--reason", "I say so"], why);
        }
        let root = site.zone.operate(&["release", &transfer, "--reason", "I am root"]).expect(4);
        assert!(root.stderr.contains("not administrator"), "{}", root.stderr);
        site.done("t-rita", &["release", &transfer, "--reason", "looked at it"]);
        site.wait_for(&transfer, "delivered");

        let transfer = site.held(&source, "second");
        system(&["usermod", "-aG", "sluse-operators", "t-rita"]);
        site.forbidden("t-rita", &["release", &transfer, "--reason", "x"], "exclude each other");
        let checked = site.zone.operate(&["zone", "check"]);
        assert!(format!("{checked:?}").contains("t-rita is in the groups"), "{checked:?}");
        system(&["gpasswd", "--delete", "t-rita", "sluse-operators"]);
        system(&["gpasswd", "--delete", "t-rita", "sluse-reviewers"]);
        site.forbidden("t-rita", &["release", &transfer, "--reason", "x"], "none of the zone's groups");
        system(&["usermod", "-aG", "sluse-reviewers", "t-nils"]);
        site.done("t-nils", &["reject", &transfer, "--reason", "not what was agreed"]);
        assert_eq!(site.state(&transfer), "rejected");
    });
}

#[test]
fn two_reviewers_are_two_users_of_the_system_and_neither_sees_the_others_choice_first() {
    with_own_etc("two_reviewers_are_two_users_of_the_system_and_neither_sees_the_others_choice_first", SETUP, || {
        let site = Site::start();
        let lacking = site.agreement("lab", |text| {
            text.replace("automatic", "two-reviewers").replace("[dpia]\nreference = \"2\"\n", "")
        });
        let drafted = site.done("t-olga", &["agreement", "add", &lacking]);
        assert!(format!("{drafted:?}").contains("lacks its protection impact assessment"), "{drafted:?}");
        let source = site.zone.enrol("lab");
        let file = site.zone.folder.path().join("early.csv");
        fs::write(&file, data::csv(1, 300)).unwrap();
        let early = source.send(&file, "early", "received").expect(4);
        assert!(early.stderr.contains("agreement-draft"), "{}", early.stderr);
        let whole = site.agreement("lab", |text| text.replace("automatic", "two-reviewers"));
        site.done("t-olga", &["agreement", "change", &whole, "--reason", "the DPIA is there"]);
        site.done("t-ole", &["agreement", "activate", "lab", "--version", "2", "--reason", "read it"]);

        let transfer = site.held(&source, "sensitive");
        let release = ["release", &transfer, "--reason", "counts are large enough"];
        let first = site.done("t-rita", &release);
        assert!(format!("{first:?}").contains("until 1 more has chosen"), "{first:?}");
        let seen = site.done("t-roar", &["show", &transfer, "--json"]).json();
        assert_eq!(
            (&seen["reviews"][0]["by"], &seen["reviews"][0]["choice"]),
            (&"t-rita".into(), &serde_json::Value::Null)
        );
        site.forbidden("t-rita", &release, "chosen already");
        for person in ["t-olga", "t-adam", "t-aud"] {
            site.forbidden(person, &release, "only reviewer");
        }
        // Rita's second account, and root, are no second person.
        system(&["useradd", "--non-unique", "--uid", &uid("t-rita"), "--no-create-home", "--user-group", "t-rita2"]);
        system(&["usermod", "-aG", "sluse-reviewers", "t-rita2"]);
        site.forbidden("t-rita2", &release, "chosen already");
        site.zone.operate(&release).expect(4);
        assert_eq!(site.state(&transfer), "held");
        site.done("t-roar", &release);
        site.wait_for(&transfer, "delivered");
        let shown = site.done("t-aud", &["show", &transfer, "--json"]).json();
        assert_eq!(shown["decision"]["by"], "t-rita, t-roar");

        // A reviewer whose account goes between the two choices.
        let transfer = site.held(&source, "later");
        let reject = ["reject", &transfer, "--reason", "a column too many"];
        site.done("t-rita", &["release", &transfer, "--reason", "fine"]);
        system(&["userdel", "--force", "t-rita2"]);
        system(&["userdel", "--force", "t-rita"]);
        let third = site.done("t-roar", &reject);
        assert!(format!("{third:?}").contains("until 1 more"), "{third:?}");
        let fourth = site.done("t-rune", &["release", &transfer, "--reason", "fine"]);
        assert!(format!("{fourth:?}").contains("is rejected"), "{fourth:?}");
        assert_eq!(site.state(&transfer), "rejected");
        site.done("t-aud", &["audit", "verify"]);
    });
}

fn uid(name: &str) -> String {
    nix::unistd::User::from_name(name).unwrap().unwrap().uid.to_string()
}
