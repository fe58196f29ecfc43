//! Certificates of outside authorities: enrolled once, mapped by their subject, revoked by lists, checked in every way.

use sluse_tests::bundle::Maker;
use sluse_tests::command::{Ended, run, sluse};
use sluse_tests::data;
use sluse_tests::pki::{Authority, Certified, Wanted, subject_of};
use sluse_tests::source::Source;
use sluse_tests::zone::{Zone, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A zone that takes the certificates of an authority below a root.
struct Site {
    zone: Zone,
    root: Authority,
    issuing: Authority,
}

const DAY: u32 = 86_400;

impl Site {
    /// `sources` stands below `[authority.pki]`.
    fn prepare(sources: &str) -> Self {
        let zone = Zone::prepare();
        let root = Authority::root(zone.folder.path().join("root"), "/C=NO/CN=Root");
        let issuing = root.below(zone.folder.path().join("issuing"), "/C=NO/CN=Issuing");
        fs::create_dir(zone.root().join("authorities")).unwrap();
        let site = Self { zone, root, issuing };
        site.put("pki.pem", &(site.issuing.certificate() + &site.root.certificate()));
        site.put("lists.pem", &(site.root.list(DAY) + &site.issuing.list(DAY)));
        let settings = "certificates = \"authorities/pki.pem\"\nrevocation_lists = [\"authorities/lists.pem\"]";
        site.zone.configure(|text| format!("{text}\n[authority.pki]\n{settings}\n{sources}\n"));
        site
    }

    /// One whose organisation is the source `epic`.
    fn start() -> Self {
        let mut site = Self::prepare("[authority.pki.source.epic]\norganisation = \"983974899\"");
        site.zone.run();
        site
    }

    /// Replaces a file of the authority in one step.
    fn put(&self, name: &str, content: &str) {
        let folder = self.zone.root().join("authorities");
        fs::write(folder.join("new"), content).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }

    /// Replaces the lists, and waits until both roles that read them have.
    fn put_lists(&self, content: &str) {
        let read = || self.zone.log().matches("an outside authority's files were read").count();
        let before = read();
        self.put("lists.pem", content);
        self.zone.eventually("the lists are read", || (read() >= before + 2).then_some(()));
    }

    fn try_enrol(&self, name: &str, certified: &Certified) -> (Source, Ended) {
        self.zone.agree(name, name, |text| text);
        let (invite, identity) = (self.zone.invite(name), self.zone.folder.path().join(format!("identity-{name}")));
        let words = ["enroll", text(&invite), "--identity", text(&identity)];
        let own = ["--certificate", text(&certified.certificate), "--key", text(&certified.key)];
        (Source { identity: identity.clone(), agreement: name.to_owned() }, run(sluse(&[&words[..], &own].concat())))
    }

    fn enrol(&self, name: &str, certified: &Certified) -> Source {
        let (source, ended) = self.try_enrol(name, certified);
        ended.expect(0);
        source
    }

    fn file(&self, seed: u64) -> PathBuf {
        let path = self.zone.folder.path().join(format!("{seed}.csv"));
        fs::write(&path, data::csv(seed, 100)).unwrap();
        path
    }

    fn health(&self) -> String {
        self.zone.operate(&["health", "--json"]).stdout
    }
}

/// Puts a certificate where the one before it lies, as who renews it would.
fn replace(by: &Certified, place: &Certified) {
    fs::copy(&by.certificate, &place.certificate).unwrap();
    fs::copy(&by.key, &place.key).unwrap();
}

fn status(source: &Source) -> Ended {
    run(sluse(&["status", "--identity", text(&source.identity)]))
}

#[test]
fn an_organisations_own_certificate_is_enrolled_once_and_may_be_replaced_by_another_of_its_subject() {
    let site = Site::start();
    let rsa = Wanted { key: ["rsa:3072", ""], ..Wanted::default() };
    let first = site.issuing.issue("first", &rsa);
    let source = site.enrol("epic", &first);
    site.zone.wait_for_state(&source.deliver(&site.file(1), "one"), "delivered");
    let listed = site.zone.operate(&["source", "list", "--json"]).expect(0).json();
    assert_eq!((&listed[0]["status"], &listed[0]["expires"]), (&"enrolled".into(), &serde_json::Value::Null));
    replace(&site.issuing.issue("second", &Wanted::default()), &first);
    source.deliver(&site.file(2), "two");
    // The certificate was enough to be let in; the invite was not good for a certificate of the zone.
    assert!(!source.identity.join("tls.crt").exists());
}

#[test]
fn a_certificate_is_only_its_own_source_and_an_invite_for_another_does_not_change_that() {
    let sources = "[authority.pki.source.epic]\norganisation = \"983974899\"\n\
                   [authority.pki.source.lab]\nserial_number = \"12\"";
    let mut site = Site::prepare(sources);
    site.zone.run();
    let epic = site.issuing.issue("epic", &Wanted::default());
    let (_, refused) = site.try_enrol("lab", &epic);
    assert!(refused.expect(4).stderr.contains("configured for another source"));
    let lab = site.issuing.issue("lab", &Wanted { subject: "/C=NO/serialNumber=12/CN=Lab", ..Wanted::default() });
    let source = site.enrol("lab", &lab);
    source.deliver(&site.file(1), "lab");
    // With the folder of the one and the certificate of the other, one is the other, who is not enrolled.
    replace(&epic, &lab);
    assert!(status(&source).expect(4).stderr.contains("not enrolled yet"));
}

#[test]
fn what_is_wrong_with_a_certificate_is_refused_and_named() {
    let site = Site::start();
    let good = site.issuing.issue("good", &Wanted::default());
    let source = site.enrol("epic", &good);
    let forger = Authority::root(site.zone.folder.path().join("forger"), "/C=NO/CN=Issuing");
    let issue = |name: &str, wanted: Wanted<'_>| site.issuing.issue(name, &wanted);
    let revoked = issue("revoked", Wanted::default());
    site.issuing.revoke(&revoked);
    site.put_lists(&(site.root.list(DAY) + &site.issuing.list(DAY)));
    let lab = "/C=NO/organizationIdentifier=NTRNO-974706490/CN=Epic";
    // Kinds of a serial number that look like an organisation do not count beside an organisation's identifier.
    let both = "/C=NO/organizationIdentifier=NTRNO-974706490/serialNumber=983974899/CN=Epic";
    let cases = [
        ("certificate-expired", issue("expired", Wanted { validity: (-7200, -60), ..Wanted::default() })),
        ("certificate-not-yet-valid", issue("early", Wanted { validity: (1200, 7200), ..Wanted::default() })),
        ("wrong-purpose", issue("server", Wanted { usage: "serverAuth", ..Wanted::default() })),
        ("wrong-purpose", issue("silent", Wanted { usage: "", ..Wanted::default() })),
        ("weak-key", issue("short", Wanted { key: ["rsa:2048", ""], ..Wanted::default() })),
        ("weak-key", issue("curve", Wanted { key: ["ec", "ec_paramgen_curve:P-521"], ..Wanted::default() })),
        ("weak-key", issue("other", Wanted { key: ["ed25519", ""], ..Wanted::default() })),
        ("unknown-subject", issue("lab", Wanted { subject: lab, ..Wanted::default() })),
        ("unknown-subject", issue("both", Wanted { subject: both, ..Wanted::default() })),
        ("certificate-revoked", revoked),
        ("bad-chain", forger.issue("forged", &Wanted::default())),
        (
            "unknown-issuer",
            site.root.below(site.zone.folder.path().join("unlisted"), "/CN=Unlisted").issue("x", &Wanted::default()),
        ),
    ];
    for (code, certified) in cases {
        replace(&certified, &good);
        if code == "certificate-revoked" {
            // The new list is read when a certificate is shown, a second after the one before was looked at.
            site.zone.eventually("the list is in force", || (status(&source).code != 0).then_some(()));
        }
        let before = site.zone.log().len();
        let told = status(&source);
        let log = site.zone.log();
        assert!(log[before..].contains(code), "{code}, {}: {}\n{told:?}", certified.key.display(), &log[before..]);
        assert!(told.code != 0, "{code}");
    }
    let again = issue("again", Wanted::default());
    replace(&again, &good);
    source.deliver(&site.file(1), "again");
}

#[test]
fn a_revocation_list_that_ran_out_refuses_everybody_loudly_until_there_is_a_new_one() {
    let site = Site::start();
    let source = site.enrol("epic", &site.issuing.issue("good", &Wanted::default()));
    site.put("lists.pem", &(site.root.list(DAY) + &site.issuing.list(2)));
    site.zone.eventually("the list ran out", || site.health().contains("revocation-list-expired").then_some(()));
    let refused = status(&source).expect(6);
    assert!(refused.stderr.contains("cannot tell whether this certificate was taken back"), "{}", refused.stderr);
    assert!(site.zone.log().contains("revocation-list-expired"));
    // A file that cannot be read does not make the zone forget.
    site.put("lists.pem", "nonsense");
    site.zone.eventually("it is told", || site.health().contains("authority-unusable").then_some(()));
    status(&source).expect(6);
    site.put("lists.pem", &(site.root.list(DAY) + &site.issuing.list(DAY)));
    site.zone.eventually("it is let in", || (status(&source).code == 0).then_some(()));
    site.zone.eventually("all is well", || (!site.health().contains("revocation-list-expired")).then_some(()));
    // Without the root's list nobody knows of the authority below it.
    site.put("lists.pem", &site.issuing.list(DAY));
    site.zone.eventually("it is not let in", || (status(&source).code == 6).then_some(()));
    site.zone.eventually("it is told", || site.health().contains("revocation-unknown").then_some(()));
}

#[test]
fn a_certificate_that_is_taken_back_ends_its_running_transfer_and_the_next_one_goes_on_with_it() {
    let site = Site::start();
    let first = site.issuing.issue("first", &Wanted::default());
    let source = site.enrol("epic", &first);
    let file = site.zone.folder.path().join("large.bin");
    fs::File::create(&file).unwrap().set_len(384 << 20).unwrap();
    let settings = source.identity.join("identity.toml");
    let unbounded = fs::read_to_string(&settings).unwrap();
    // Much longer than what follows takes.
    fs::write(&settings, format!("{unbounded}\n[network]\nmax_bytes_per_second = 8000000\n")).unwrap();
    let mut sending = source.sending(&file, "large", "delivered");
    let sending = sending.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let transfers = || site.zone.operate(&["transfers", "--json"]).expect(0).json();
    let running = site.zone.eventually("some of it is durable", || {
        let running = transfers()[0].clone();
        running["durable_bytes"].as_u64().is_some_and(|durable| durable > 0).then_some(running)
    });
    site.issuing.revoke(&first);
    site.put_lists(&(site.root.list(DAY) + &site.issuing.list(DAY)));
    let ended = sending.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{told}\n{}", site.zone.log());
    assert!(told.contains("took the certificate back"), "{told}");
    assert_eq!(transfers()[0]["status"]["state"], "receiving");
    fs::write(&settings, unbounded).unwrap();
    replace(&site.issuing.issue("second", &Wanted::default()), &first);
    assert_eq!(running["status"]["transfer"], source.deliver(&file, "large").as_str());
}

#[test]
fn an_older_list_never_replaces_a_newer_one() {
    let site = Site::start();
    let good = site.issuing.issue("good", &Wanted::default());
    let source = site.enrol("epic", &good);
    let older = site.root.list(DAY) + &site.issuing.list(DAY);
    site.issuing.revoke(&good);
    site.put_lists(&(site.root.list(DAY) + &site.issuing.list(DAY)));
    status(&source).expect(4);
    site.put_lists(&older);
    let health = site.health();
    assert!(health.contains("revocation-list-older") && health.contains("older than the one in force"), "{health}");
    status(&source).expect(4);
    // Nor when there was none in between.
    site.put_lists(&site.root.list(DAY));
    site.put_lists(&older);
    status(&source).expect(4);
    // A newer one does.
    site.put_lists(&(site.root.list(DAY) + &site.issuing.list(DAY)));
    assert!(!site.health().contains("revocation-list-older"));
    status(&source).expect(4);
    replace(&site.issuing.issue("again", &Wanted::default()), &good);
    status(&source).expect(0);
}

#[test]
fn a_list_that_comes_as_an_update_is_in_force_at_once() {
    let site = Site::start();
    let good = site.issuing.issue("good", &Wanted::default());
    let source = site.enrol("epic", &good);
    let maker = Maker::new(site.zone.folder.path().join("maker"));
    let settings = format!("[updates]\nkeys = [\"{}\"]\n", maker.key());
    site.zone.configure(|before| before + &settings);
    status(&source).expect(0);
    site.issuing.revoke(&good);
    let lists = site.root.list(DAY) + &site.issuing.list(DAY);
    let bundle = maker.bundle("1.tar", "revocations", 1, &[("lists.pem", lists.as_bytes())]);
    site.zone.operate(&["update", "import", text(&bundle)]).expect(0);
    site.zone.eventually("it is shut out", || (status(&source).code == 4).then_some(()));
    let other = maker.bundle("2.tar", "revocations", 2, &[("others.pem", lists.as_bytes())]);
    let refused = site.zone.operate(&["update", "import", text(&other)]).expect(4);
    assert!(refused.stderr.contains("(update-no-place)"), "{}", refused.stderr);
}

#[test]
fn a_list_counts_only_with_its_issuers_signature_and_only_one_of_each_issuer() {
    let site = Site::start();
    let good = site.issuing.issue("good", &Wanted::default());
    let source = site.enrol("epic", &good);
    let forger = Authority::root(site.zone.folder.path().join("forger"), "/C=NO/CN=Issuing");
    let (root, issuing) = (site.root.list(DAY), site.issuing.list(DAY));
    for (lists, said) in [
        (root.clone() + &forger.list(DAY), "the signature of the list of C=NO, CN=Issuing does not hold"),
        (root.clone() + &issuing + &site.issuing.list(DAY), "a second list of C=NO, CN=Issuing"),
    ] {
        site.put("lists.pem", &lists);
        site.zone.eventually(said, || site.health().contains(said).then_some(()));
        // What was read before stays in force.
        status(&source).expect(0);
        assert!(site.zone.operate(&["zone", "check"]).expect(3).stdout.contains(said));
    }
    // A zone that begins with such files takes nobody's certificate.
    let mut site = site;
    site.zone.stop();
    site.zone.run();
    let said = "a second list of C=NO, CN=Issuing";
    assert!(site.health().contains(said), "{}", site.health());
    assert!(status(&source).code != 0);
    site.put("lists.pem", &(root + &site.issuing.list(DAY)));
    site.zone.eventually("it is let in", || (status(&source).code == 0).then_some(()));
}

#[test]
fn a_source_that_is_shut_out_stays_out_with_its_good_certificate() {
    let site = Site::start();
    let good = site.issuing.issue("good", &Wanted::default());
    let source = site.enrol("epic", &good);
    source.deliver(&site.file(1), "one");
    site.zone.operate(&["source", "invite", "epic", "--out", text(&site.zone.folder.path().join("x"))]).expect(4);
    site.zone.operate(&["source", "revoke", "epic", "--reason", "stolen"]).expect(0);
    assert!(status(&source).expect(4).stderr.contains("shut out"));
    let source = site.enrol("epic", &good);
    source.deliver(&site.file(2), "two");
}

#[test]
fn clocks_up_to_five_minutes_apart_are_tolerated_and_named() {
    let site = Site::start();
    let early = site.issuing.issue("early", &Wanted { validity: (200, 7200), ..Wanted::default() });
    let source = site.enrol("epic", &early);
    source.deliver(&site.file(1), "early");
    assert!(site.zone.log().contains("the authority's clock is ahead of the zone's"));
}

#[test]
fn a_whole_subject_is_compared_as_openssl_prints_it() {
    let scratch = tempfile::tempdir().unwrap();
    let other = Authority::root(scratch.path().join("root"), "/CN=Scratch");
    let subject = "/C=NO/O=Sjukehuset Ålesund, avd. \"Nord\"+OU=<a;b>/DC=x/CN=#1 Epic";
    let same = other.issue("same", &Wanted { subject, ..Wanted::default() });
    let name = subject_of(&same.certificate);
    let mut site = Site::prepare(&format!("[authority.pki.source.epic]\nsubject = '{name}'"));
    site.zone.run();
    let source = site.enrol("epic", &site.issuing.issue("good", &Wanted { subject, ..Wanted::default() }));
    source.deliver(&site.file(1), "one");
}

#[test]
fn zone_check_says_what_is_wrong_with_an_authority() {
    let mut site = Site::prepare("[authority.pki.source.epic]\norganisation = \"983974899\"");
    site.zone.run();
    let check = || site.zone.operate(&["zone", "check"]);
    assert!(!check().stdout.contains("authority pki"), "{}", check().stdout);
    let pem = site.zone.root().join("authorities/pki.pem");
    let whole = fs::read_to_string(&pem).unwrap();
    let leaf = site.issuing.issue("leaf", &Wanted::default());
    let leaf = fs::read_to_string(leaf.certificate).unwrap();
    for (content, said) in [
        (site.issuing.certificate(), "no root is among the certificates"),
        (site.root.certificate(), "which is not among the certificates"),
        (whole.clone() + &leaf, "is no authority's certificate"),
        ("nonsense".to_owned(), "nothing of the right kind is in it"),
    ] {
        site.put("pki.pem", &content);
        assert!(check().expect(3).stdout.contains(said), "{said}: {}", check().stdout);
    }
    site.put("pki.pem", &whole);
    site.put("lists.pem", &site.root.list(DAY));
    assert!(check().expect(3).stdout.contains("there is no revocation list of C=NO, CN=Issuing"), "{}", check().stdout);
    site.put("lists.pem", &(site.root.list(DAY) + &site.issuing.list(DAY)));
    fs::set_permissions(&pem, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert!(check().expect(3).stdout.contains("may be written by its group or anybody"));
    fs::remove_file(&pem).unwrap();
    assert!(check().expect(3).stdout.contains("pki.pem"));
    let wrong = |settings: &str, said: &str| {
        let path: &Path = &site.zone.root().join("sluse.toml");
        let before = fs::read_to_string(path).unwrap();
        fs::write(path, format!("{before}\n{settings}\n")).unwrap();
        let found = check().expect(3).stdout;
        assert!(found.contains(said), "{said}: {found}");
        fs::write(path, before).unwrap();
    };
    wrong(
        "[authority.b]\ncertificates = \"ca.pem\"\n[authority.b.source.x]\nsubject = \"CN=x\"",
        "the zone's own folder",
    );
    wrong(
        "[authority.b]\ncertificates = \"control/ca.pem\"\n[authority.b.source.x]\nsubject = \"CN=x\"",
        "belongs to the zone",
    );
    wrong("[authority.b]\ncertificates = \"a/ca.pem\"", "source");
    wrong("[authority.b]\ncertificates = \"a/b\"\n[authority.b.source.x]\norganisation = \"12\"", "nine digits");
    wrong(
        "[authority.b]\ncertificates = \"a/b\"\n[authority.b.source.x]\nsubject = \"CN=x\"\n[authority.b.source.y]\nsubject = \"CN=x\"",
        "with the same subject",
    );
}
