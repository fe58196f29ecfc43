//! Out of a room: its export is looked at by two persons, as users of the system, and goes to another institution as it was looked at, or not at
//! all. Needs root.

use sluse_tests::command::{program, run, sluse};
use sluse_tests::data;
use sluse_tests::own_etc::with_own_etc;
use sluse_tests::site::{SETUP, Site, system};
use sluse_tests::source::Source;
use sluse_tests::zone::text;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the room `heart` sends from, and where `ntnu`, another institution's, receives.
struct Rooms {
    site: Site,
    heart: Source,
}

const EXPORT: &str = "\n[export]\noutput = [\"aggregate-tables\", \"text\"]\n";

/// The text of an agreement out of the room `heart` to another institution.
fn out_of_heart(text: String) -> String {
    let text = text.replace("from = \"lab\"", "from = \"heart-out\"").replace("to = \"room\"", "to = \"ntnu\"");
    text.replace("automatic", "two-reviewers") + EXPORT
}

impl Rooms {
    /// Two rooms of two institutions, one of them enrolled as a source, and the agreement between them in force.
    fn start() -> Self {
        let site = Site::start();
        for room in ["heart", "ntnu"] {
            site.zone.operate(&["room", "add", room, "--names", "posix"]).expect(0);
        }
        let heart = site.zone.enrol_of_room("heart-out", "heart");
        let file = site.agreement("heart-out", out_of_heart);
        site.agree("heart-out", &file);
        Self { site, heart }
    }

    /// Sends what a researcher wants out; it is held.
    fn offered(&self, dataset: &str) -> (String, PathBuf) {
        let tree = self.site.zone.folder.path().join(dataset);
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("paper.txt"), format!("What we found about {dataset}.\n")).unwrap();
        fs::write(tree.join("regions.csv"), "region,antall\nnord,40\nsør,3\nvest,4\n").unwrap();
        fs::write(tree.join("years.csv"), "year,antall\n2024,61\n2025,73\n").unwrap();
        let sent = self.heart.send(&tree, dataset, "received").expect(0).json();
        let transfer = sent["transfer"].as_str().unwrap().to_owned();
        self.site.wait_for(&transfer, "held");
        (transfer, tree)
    }

    fn bag(&self, dataset: &str, transfer: &str) -> PathBuf {
        self.site.zone.root().join("rooms/ntnu").join(dataset).join(transfer)
    }
}

/// The words by which a reviewer releases a transfer.
fn release<'a>(transfer: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["release", transfer, "--reason", "counts are too small in one"], more].concat()
}

#[test]
fn an_export_lives_by_two_reviewers_and_who_tries_to_pass_as_two_is_refused() {
    with_own_etc("an_export_lives_by_two_reviewers_and_who_tries_to_pass_as_two_is_refused", SETUP, || {
        let rooms = Rooms::start();
        let site = &rooms.site;
        let (transfer, _) = rooms.offered("results");
        // The reviewers are pointed to small counts, and see no value.
        let shown = site.done("t-rita", &["show", &transfer]).stdout;
        let told =
            "small-cells (file-type): regions.csv: column 2 (antall): 2 × a count from 1 to 4, the first in row 3";
        assert!(shown.contains(told) && !shown.contains("years.csv"), "{shown}");
        let release = |more: &[&'static str]| release(&transfer, more);
        site.done("t-rita", &release(&["--without", "regions.csv"]));

        // Nobody is two persons: not by asking again, not by a second account, not by sudo, not by another power.
        site.forbidden("t-rita", &release(&["--without", "regions.csv"]), "chosen already");
        let uid = nix::unistd::User::from_name("t-rita").unwrap().unwrap().uid.to_string();
        system(&["useradd", "--non-unique", "--uid", &uid, "--no-create-home", "--user-group", "t-rita2"]);
        system(&["usermod", "-aG", "sluse-reviewers", "t-rita2"]);
        site.forbidden("t-rita2", &release(&["--without", "regions.csv"]), "chosen already");
        for person in ["t-olga", "t-adam", "t-aud"] {
            site.forbidden(person, &release(&[]), "only reviewer");
        }
        site.zone.operate(&release(&[])).expect(4);
        system(&["gpasswd", "--delete", "t-olga", "sluse-operators"]);
        system(&["usermod", "-aG", "sluse-reviewers", "t-olga"]);
        site.forbidden("t-olga", &release(&[]), "wrote or activated the agreement");
        system(&["userdel", "--force", "t-rita2"]);

        // The second would let all of it out: they have to agree first.
        let differing = site.done("t-roar", &release(&[]));
        assert!(format!("{differing:?}").contains("not the same files"), "{differing:?}");
        assert_eq!(site.state(&transfer), "held");
        let seen = site.done("t-roar", &["show", &transfer, "--json"]).json();
        assert_eq!(
            (&seen["reviews"][0]["by"], &seen["reviews"][0]["part"]["left_out"]["files"]),
            (&"t-rita".into(), &1.into())
        );
        site.done("t-roar", &release(&["--without", "regions.csv"]));
        let second = site.done("t-rita", &release(&["--without", "regions.csv"]));
        assert!(format!("{second:?}").contains("in part: 2 files without 1"), "{second:?}");
        site.wait_for(&transfer, "delivered");
        let bag = rooms.bag("results", &transfer);
        assert_eq!(data::tree(&bag.join("data")).into_keys().collect::<Vec<_>>(), ["paper.txt", "years.csv"]);
        let signers = site.zone.signers();
        run(sluse(&["bag", "verify", text(&bag), "--signer", text(&signers)])).expect(0);
        let register = site.done("t-aud", &["register", "export", "--format", "json"]).json();
        let record = &register["records"][0]["record"];
        assert_eq!(record["approval"]["by"], "t-roar, t-rita");
        assert_eq!(record["terms"]["output"], serde_json::json!(["aggregate-tables", "text"]));
        assert_eq!((&record["source"], &record["room"]), (&"heart-out".into(), &"ntnu".into()));

        // A rejected export: the researcher hears why, and nothing leaves.
        let (transfer, tree) = rooms.offered("drafts");
        site.done("t-rita", &["release", &transfer, "--reason", "looks fine"]);
        let last = site.done("t-roar", &["reject", &transfer, "--reason", "counts under 5 by region"]);
        assert!(format!("{last:?}").contains("is rejected"), "{last:?}");
        let heard = rooms.heart.send(&tree, "drafts", "released").expect(7);
        assert!(heard.stderr.contains("counts under 5 by region"), "{}", heard.stderr);
        assert!(!rooms.bag("drafts", &transfer).exists());
        site.done("t-aud", &["audit", "verify"]);
    });
}

#[test]
fn what_leaves_a_room_does_so_under_an_agreement_of_exports_alone() {
    with_own_etc("what_leaves_a_room_does_so_under_an_agreement_of_exports_alone", SETUP, || {
        let rooms = Rooms::start();
        let site = &rooms.site;
        let ordinary = site.agreement("sideways", |text| out_of_heart(text).replace(EXPORT, ""));
        site.done("t-olga", &["agreement", "add", &ordinary]);
        let activate = ["agreement", "activate", "sideways", "--version", "1", "--reason", "read it"];
        site.forbidden("t-ole", &activate, "is of room heart");
        // Nor does a text that asks for one reviewer become one of exports.
        let one = site.agreement("one", |text| out_of_heart(text).replace("two-reviewers", "one-reviewer"));
        let wrong = site.as_person("t-olga", &["agreement", "add", &one]).expect(3);
        assert!(wrong.stderr.contains("released by two reviewers"), "{}", wrong.stderr);
        // A source is not taken out of its room by a new invite.
        site.zone.operate(&["source", "revoke", "heart-out", "--reason", "a new host"]).expect(0);
        let out = site.zone.folder.path().join("again.toml");
        let again = site.zone.operate(&["source", "invite", "heart-out", "--out", text(&out)]).expect(2);
        assert!(again.stderr.contains("is of room heart, and stays so"), "{}", again.stderr);
    });
}

#[test]
fn what_was_changed_between_review_and_release_is_not_delivered() {
    with_own_etc("what_was_changed_between_review_and_release_is_not_delivered", SETUP, || {
        let rooms = Rooms::start();
        let site = &rooms.site;
        let (transfer, _) = rooms.offered("results");
        let release = ["release", &transfer, "--reason", "looked at it"];
        site.done("t-rita", &release);
        // Somebody who can write to the disk puts other bytes in the place of those that were looked at, encrypted as they were: the public half of
        // the transfer's identity is no secret.
        let identity =
            site.done("t-aud", &["show", &transfer, "--json"]).json()["identity"].as_str().unwrap().to_owned();
        let chunk = site.zone.root().join("quarantine/sealed").join(&transfer).join("0000000.age");
        let (plain, sealed) = (site.zone.folder.path().join("other"), site.zone.folder.path().join("other.age"));
        fs::write(&plain, "region,antall\nnord,1\n").unwrap();
        program("age", &[&"-r", &identity, &"-o", &sealed, &plain], Path::new("/"), b"").expect(0);
        fs::write(&chunk, fs::read(&sealed).unwrap()).unwrap();
        site.done("t-roar", &release);
        site.wait_for(&transfer, "failed");
        assert!(!rooms.bag("results", &transfer).exists());
        let left = data::tree(&site.zone.root().join("rooms/ntnu"));
        assert!(left.values().all(Option::is_none), "{left:?}");
        let register = site.done("t-aud", &["register", "export", "--format", "json"]).json();
        assert_eq!(register["records"][0]["outcome"]["disclosed"], "withdrawn");
        let problems = site.done("t-aud", &["show", &transfer, "--json"]).json();
        assert_eq!(problems["info"]["status"]["reason"]["code"], "digest-mismatch");
    });
}
