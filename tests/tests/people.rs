//! People with separated powers, as users and groups of the system. Needs root.

use sluse_tests::data;
use sluse_tests::own_etc::with_own_etc;
use sluse_tests::site::{SETUP, Site, system};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

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
