//! Man pages and completions, through the real binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn generate(folder: &Path) {
    let ended = Command::new(env!("CARGO_BIN_EXE_sluse")).arg("generate").arg(folder).output().expect("sluse runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The commands that `sluse COMMAND… --help` lists.
fn listed(words: &[&str]) -> Vec<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_sluse")).args(words).arg("--help").output().expect("sluse runs");
    let help = String::from_utf8_lossy(&help.stdout);
    let Some((_, after)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = after.lines().take_while(|line| !line.is_empty());
    let commands = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    commands
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_that_help_lists_has_a_page_with_its_options() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path());
    let pages = names(&folder.path().join("share/man/man1"));
    let commands = listed(&[]);
    assert!(commands.len() >= 20 && commands.contains(&"watch".to_owned()), "{commands:?}");
    for command in &commands {
        assert!(pages.contains(&format!("sluse-{command}.1")), "{command}: {pages:?}");
        for below in listed(&[command]) {
            assert!(pages.contains(&format!("sluse-{command}-{below}.1")), "{command} {below}: {pages:?}");
        }
    }
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
    let page = |name: &str| fs::read_to_string(folder.path().join("share/man").join(name)).unwrap();
    for option in ["\\-\\-config", "\\-\\-check", "\\-\\-events"] {
        assert!(page("man1/sluse-watch.1").contains(option), "{option}");
    }
    assert!(page("man1/sluse.1").contains("Exit codes: 0 done"));
    assert!(page("man8/slused.8").contains("slused") && page("man8/slused-receive.8").contains("\\-\\-config"));
    for process in ["intake", "forward", "keys"] {
        assert!(page(&format!("man8/sluse-gateway-{process}.8")).contains("\\-\\-config"), "{process}");
    }
}

#[test]
fn completions_are_scripts_that_bash_takes_and_that_name_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path());
    for binary in ["sluse", "slused", "sluse-gateway"] {
        let script = folder.path().join("share/bash-completion/completions").join(format!("{binary}.bash"));
        let checked = Command::new("bash").arg("-n").arg(&script).output().expect("bash is there");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        for (place, name) in
            [("zsh/site-functions", format!("_{binary}")), ("fish/vendor_completions.d", format!("{binary}.fish"))]
        {
            assert!(folder.path().join("share").join(place).join(&name).is_file(), "{name}");
        }
    }
    // As bash asks when a person types `sluse wat` and presses the tabulator.
    let script = folder.path().join("share/bash-completion/completions/sluse.bash");
    let ask = "source \"$1\"; COMP_WORDS=(sluse wat); COMP_CWORD=1; _sluse sluse wat sluse; echo \"${COMPREPLY[@]}\"";
    let told = Command::new("bash").args(["-c", ask, "bash"]).arg(&script).output().expect("bash is there");
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "watch", "{}", String::from_utf8_lossy(&told.stderr));
}
