//! Every refusal and verdict on request, through the real binaries.

use serde_json::Value;
use sluse_tests::command::{binaries, run, sluse};
use sluse_tests::sandbox::Sandbox;
use sluse_tests::zone::{PATIENCE, Zone, eventually, text};
use std::fs;
use std::sync::Mutex;

#[test]
fn each_answer_is_what_the_command_that_the_sandbox_names_for_it_ends_with() {
    let sandbox = Sandbox::start();
    assert!(sandbox.answers().len() > 50);
    // Some wait for a minute: they wait side by side, and fewer at a time than one source may have connections.
    let left = Mutex::new(sandbox.answers().iter());
    let next = || left.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(answer) = next() {
                    assert_answered(&sandbox, answer);
                }
            });
        }
    });
    let listed = run(sluse(&["status", "--json", "--identity", text(&sandbox.path("identity"))])).expect(0).json();
    let transfers = listed.as_array().unwrap();
    let of = |state: &str| transfers.iter().filter(|transfer| transfer["state"] == state).count();
    assert_eq!((of("delivered"), of("rejected"), of("held"), of("cancelled"), of("expired")), (4, 3, 1, 1, 1));
    assert_eq!(transfers.len(), 10, "a refused offer is no transfer: {listed}");
    let identity = sandbox.path("identity");
    for transfer in transfers.iter().filter(|transfer| transfer["state"] != "delivered" && transfer["state"] != "held")
    {
        let id = transfer["transfer"].as_str().unwrap();
        let shown = run(sluse(&["status", id, "--identity", text(&identity)])).expect(0);
        assert!(shown.stdout.contains(transfer["reason"]["code"].as_str().unwrap()), "{shown:?}");
    }
    assert_eq!(sandbox.stop(), Some(0));
}

#[track_caller]
fn assert_answered(sandbox: &Sandbox, answer: &Value) {
    let exit = answer["exit"].as_i64().unwrap();
    // Until it is held it is not decided either: the command gives up after a time.
    let ended = eventually(&format!("{answer}"), PATIENCE, String::new, || {
        Some(sandbox.ask(answer)).filter(|ended| !(exit == 8 && ended.code == 6))
    });
    assert_eq!(i64::from(ended.code), exit, "{answer}: {ended:?}");
    let Some(code) = answer["code"].as_str() else { return };
    // A sender whose files have changed offers them anew by itself.
    if code != "chunk-conflict" {
        assert!(ended.stderr.contains(&format!("({code})")), "{answer}: {ended:?}");
        assert!(ended.stderr.contains("Hint:"), "{ended:?}");
    }
}

#[test]
fn an_outbox_meets_the_same_answers() {
    let sandbox = Sandbox::start();
    let place = |name: &str| sandbox.place().join(name);
    let mut config = format!(
        "[watch]\nstate = \"state\"\nidentity = {:?}\npoll_seconds = 1\n",
        sandbox.path("identity").display().to_string()
    );
    for (outbox, agreement) in [
        ("good", "sandbox"),
        ("content", "content-rejected"),
        ("suspended", "agreement-suspended"),
        ("large", "dataset-too-large"),
    ] {
        fs::create_dir(place(outbox)).unwrap();
        config += &format!(
            "[outbox.{outbox}]\nfolder = \"{outbox}\"\nagreement = \"{agreement}\"\ncomplete = \"rename\"\nafter_hours = 0\n"
        );
        fs::write(place("being-written"), "pseudonym,value\nP0001,1\n").unwrap();
        fs::rename(place("being-written"), place(outbox).join("extract.csv")).unwrap();
    }
    fs::create_dir(place("state")).unwrap();
    fs::write(place("watch.toml"), config).unwrap();
    let mut watch = sluse(&["watch", "--config", text(&place("watch.toml"))]);
    let mut watch = watch.stderr(fs::File::create(place("log")).unwrap()).spawn().unwrap();
    let log = || fs::read_to_string(place("log")).unwrap();
    let put_away = |outbox: &str, under: &str| {
        let records = fs::read_dir(place(outbox).join(under)).into_iter().flatten().flatten();
        records.map(|record| record.path()).find(|record| record.join("extract.csv").exists())
    };
    let why = |outbox: &str| {
        eventually(outbox, PATIENCE, log, || fs::read_to_string(put_away(outbox, "_rejected")?.join("WHY.txt")).ok())
    };
    assert!(why("content").contains("rejected"));
    assert!(why("large").contains("dataset-too-large"));
    eventually("delivered", PATIENCE, log, || put_away("good", "_delivered"));
    let problem = place("suspended/_PROBLEM.txt");
    let problem = eventually("suspended", PATIENCE, log, || fs::read_to_string(&problem).ok());
    assert!(problem.contains("agreement-suspended"), "{problem}");
    assert!(place("suspended/extract.csv").exists());
    use nix::sys::signal::{Signal, kill};
    kill(nix::unistd::Pid::from_raw(i32::try_from(watch.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0), "{}", log());
}

#[test]
fn only_a_supervisor_makes_a_sandbox_and_only_of_a_zone_that_is_called_so() {
    let zone = Zone::prepare();
    let slused = |words: &[&str]| {
        let mut command = std::process::Command::new(binaries().join("slused"));
        command.args(words).args(["--config", text(&zone.root().join("sluse.toml"))]);
        run(command)
    };
    let refused = slused(&["all", "--sandbox"]).expect(4);
    assert!(refused.stderr.contains("none to rehearse in"), "{}", refused.stderr);
    // As a unit would start it.
    let refused = slused(&["control", "--sandbox"]).expect(2);
    assert!(refused.stderr.contains("--supervisor-fd"), "{}", refused.stderr);
    zone.configure(|settings| settings.replace("[zone]", "[zone]\nsandbox = true"));
    slused(&["all"]).expect(3);
}
