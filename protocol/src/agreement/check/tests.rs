use super::*;
use crate::agreement::Output;

const EPIC: &str = include_str!("../../../../config/agreements/epic-nightly.toml");

/// The problems of the example after `old` was replaced by `new`, as a person sees them.
#[track_caller]
fn told(old: &str, new: &str) -> String {
    assert!(EPIC.contains(old), "{old}");
    problems(&EPIC.replace(old, new))
}

#[track_caller]
fn problems(text: &str) -> String {
    let problems = parse(text).expect_err("it must be refused");
    problems.iter().map(|problem| format!("{}: {} | {}\n", problem.line, problem.message, problem.hint)).collect()
}

#[test]
fn the_shipped_examples_are_agreements() {
    let epic = parse(EPIC).unwrap();
    assert_eq!((epic.id.as_str(), epic.from.as_str(), epic.to.as_str()), ("hjerte-epic", "epic", "hjerte"));
    assert_eq!(epic.content.action(Class::Malformed), Action::Block);
    assert_eq!(epic.content.action(Class::Malware), Action::Block);
    let pacs = parse(include_str!("../../../../config/agreements/pacs-study.toml")).unwrap();
    assert_eq!(pacs.release.rule, ReleaseRule::OneReviewer);
    let genome = parse(include_str!("../../../../config/agreements/genome-once.toml")).unwrap();
    assert!(!genome.legal_basis.periodic);
    let trial = parse(include_str!("../../../../config/agreements/trial-archive.toml")).unwrap();
    assert_eq!((trial.delivery, epic.delivery), (Delivery::Archive, Delivery::Bag));
    assert!(told("to = \"hjerte\"\n", "to = \"hjerte\"\ndelivery = \"archiv\"\n").contains("\"archive\""));
    let export = parse(EXPORT).unwrap();
    assert_eq!(export.export.unwrap().output, [Output::AggregateTables, Output::Figures, Output::Text]);
    assert_eq!((export.content.small_cells, epic.export, epic.content.small_cells), (Some(5), None, None));
}

const EXPORT: &str = include_str!("../../../../config/agreements/export.toml");

#[test]
fn an_export_is_released_by_two_reviewers_and_comes_in_the_types_of_its_output() {
    let told = |old: &str, new: &str| {
        assert!(EXPORT.contains(old), "{old}");
        problems(&EXPORT.replacen(old, new, 1))
    };
    for rule in ["one-reviewer", "automatic"] {
        let told = told("\"two-reviewers\"", &format!("\"{rule}\""));
        assert!(told.contains("released by two reviewers") && told.contains("`rule = \"two-reviewers\"`"), "{told}");
    }
    assert!(
        told("output = [\"aggregate-tables\", \"figures\", \"text\"]", "output = []").contains("nothing may leave")
    );
    assert!(told("\"figures\"", "\"figure\"").contains("\"figures\""));
    assert!(told("small_cells = 5", "small_cells = 0").contains("small_cells"));
    assert!(told("\"file-type\", ", "").contains("lacks \"file-type\""));
    assert!(told("[content]", "[content]\ntypes = [\"csv\", \"dicom\"]").contains("\"dicom\", in which no output"));
    let types = |text: &str| parse(text).unwrap().content.types;
    let by_itself = types(EXPORT);
    assert!(by_itself.contains(&"csv".to_owned()) && by_itself.contains(&"png".to_owned()), "{by_itself:?}");
    assert!(!by_itself.contains(&"dicom".to_owned()) && !by_itself.contains(&"zip".to_owned()), "{by_itself:?}");
    assert_eq!(types(&EXPORT.replace("[content]", "[content]\ntypes = [\"zip\", \"csv\"]")), ["zip", "csv"]);
    let quiet = parse(&EXPORT.replace("small_cells = 5\n", "")).unwrap();
    assert_eq!(quiet.content.small_cells, Some(5), "it starts at 5");
    let json = serde_json::to_string(&quiet).unwrap();
    assert_eq!(serde_json::from_str::<Agreement>(&json).unwrap(), quiet);
}

#[test]
fn a_room_is_waited_for_at_most_as_long_as_the_zone_keeps_its_own_copy() {
    let waits = |days: u32| format!("{EPIC}\n[acknowledgement]\nwithin_days = {days}\n");
    assert_eq!(parse(&waits(14)).unwrap().acknowledgement, Some(Awaited { within_days: 14 }));
    assert_eq!(parse(EPIC).unwrap().acknowledgement, None);
    assert!(problems(&waits(15)).contains("more than `retention.quarantine_days`"), "{}", problems(&waits(15)));
    assert!(problems(&waits(0)).contains("within_days"));
}

#[test]
fn versions_are_kept_as_the_agreement_says_and_an_archive_keeps_all() {
    let keeps = |more: &str| format!("{EPIC}\n[sync]\ndeletions = false\n{more}\n");
    let keep = |more: &str| parse(&keeps(more)).unwrap().sync.unwrap().keep;
    assert_eq!(keep(""), None);
    assert_eq!(keep("keep_days = 0"), Some(KeepVersions { versions: None, days: Some(0) }));
    assert_eq!(keep("keep_versions = 3\nkeep_days = 90"), Some(KeepVersions { versions: Some(3), days: Some(90) }));
    assert!(problems(&keeps("keep_versions = 0")).contains("keep_versions"), "the current one stays");
    let archive = keeps("keep_versions = 3").replacen("from = ", "delivery = \"archive\"\nfrom = ", 1);
    assert!(problems(&archive).contains("an archive keeps what it was given"), "{}", problems(&archive));
}

#[test]
fn everything_missing_is_named_with_what_it_is_for() {
    let expected = "\
0: `id` is missing | add `id = \"hjerte-epic\"`
0: `title` is missing | add `title = \"Nightly extract for the heart registry\"`
0: `project` is missing | add `project = \"Hjerte 2026\"`
0: `controller` is missing | add `controller = \"St. Olavs hospital HF\"`
0: `purpose` is missing | add `purpose = \"Research on …\"`
0: `identifiability` is missing | add `identifiability = \"pseudonymised\"`
0: `from` is missing | add `from = \"epic\"`
0: `to` is missing | add `to = \"hjerte\"`
0: `valid_from` is missing | add `valid_from = \"2026-01-01T00:00:00Z\"`
0: `valid_to` is missing | add `valid_to = \"2028-12-31T23:59:59Z\"`
0: [legal_basis] is missing | nothing is disclosed without one: add `[legal_basis]` with kind, authority, reference, valid_from, valid_to and periodic
0: [dpia] is missing | the protection impact assessment (GDPR 35): add `[dpia]` with its `reference` below
0: [processing_agreement] is missing | the agreement with the data processor (GDPR 28): add `[processing_agreement]` with its `reference` below
0: [release] is missing | add `[release]` with `rule = \"automatic\"` below
0: [retention] is missing | add `[retention]` with `quarantine_days = 30` and `hold_days = 30` below
";
    assert_eq!(problems(""), expected);
    assert_eq!(
        told("kind = \"exemption\"\nauthority = \"Helsedataservice\"\n", ""),
        "\
28: `legal_basis.kind` is missing | add `kind = \"exemption\"`
28: `legal_basis.authority` is missing | add `authority = \"Helsedataservice\"`
"
    );
}

#[test]
fn each_mistake_is_told_with_its_line_and_what_to_write_instead() {
    let cases = [
        (
            "id = \"hjerte-epic\"",
            "id = \"Hjerte Epic\"",
            "7: `id` is not taken: a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit | write for example `id = \"hjerte-epic\"`",
        ),
        (
            "identifiability =",
            "identifyability =",
            "15: unknown field `identifyability` | did you mean `identifiability`?",
        ),
        (
            "\"pseudonymised\"",
            "\"pseudonymized\"",
            "15: `identifiability` does not know \"pseudonymized\" | did you mean \"pseudonymised\"?",
        ),
        ("from = \"epic\"", "from = 7", "20: `from` is a number, not text | write for example `from = \"epic\"`"),
        (
            "title = \"Nightly extract for the heart failure study\"",
            "title = \" \"",
            "8: `title` is empty | write for example `title = \"Nightly extract for the heart registry\"`",
        ),
        (
            "valid_from = \"2026-01-01T00:00:00Z\"",
            "valid_from = \"1 January\"",
            "24: `valid_from` is not a UTC time such as 2026-11-22T10:00:00Z | write for example `valid_from = \"2026-01-01T00:00:00Z\"`\n33: `legal_basis.valid_from` is not a UTC time such as 2026-11-22T10:00:00Z | write for example `valid_from = \"2026-01-01T00:00:00Z\"`",
        ),
        ("[legal_basis]", "[legal_bases]", "28: unknown field `legal_bases` | did you mean `legal_basis`?"),
        (
            "periodic = true",
            "periodic = \"yes\"",
            "36: `legal_basis.periodic` is text, not true or false | write for example `periodic = true`",
        ),
        (
            "max_bytes = 20_000_000_000",
            "max_bytes = 0",
            "52: `limits.max_bytes` is not between 1 and 4398046511104 | write for example `max_bytes = 200_000_000_000`",
        ),
        (
            "max_files = 500",
            "max_files = 2_000_000",
            "53: `limits.max_files` is not between 1 and 1000000 | write for example `max_files = 200_000`",
        ),
        (
            "max_files = 500",
            "max_files = -5",
            "53: `limits.max_files` is not between 1 and 1000000 | write for example `max_files = 200_000`",
        ),
        (
            "max_open_bytes = 60_000_000_000",
            "max_open_bytes = 5",
            "54: `limits.max_open_bytes` is less than `limits.max_bytes`: the largest transfer would never fit | write at least 20000000000",
        ),
        ("\"parquet\", ", "\"parqet\", ", "58: `content.types` does not know \"parqet\" | did you mean \"parquet\"?"),
        (
            "\"signatures\", \"clamd\"",
            "\"clamav\"",
            "61: `content.engines` does not know \"clamav\" | did you mean \"clamd\"?",
        ),
        (
            "[\"file-type\", \"signatures\", \"clamd\"]",
            "[]",
            "61: `content.engines` is empty: nothing would be inspected | write `engines = [\"file-type\", \"signatures\"]`",
        ),
        (
            "\"file-type\", ",
            "",
            "61: `content.types` is not checked by any engine that the agreement requires | add \"file-type\" to `engines`",
        ),
        (
            "\"**/~*\"",
            "\"/tmp/*\"",
            "63: `content.forbidden_paths` begins with a slash: paths in a dataset never do | write \"tmp/*\"",
        ),
        (
            "malformed = \"block\"",
            "malware = \"warn\"",
            "74: `content.actions.malware` would let malware into the room | write \"block\", or \"hold\" where a person is to decide",
        ),
        (
            "malformed = \"block\"",
            "malfromed = \"reject\"",
            "74: unknown field `content.actions.malfromed` | did you mean `malformed`?",
        ),
        (
            "malformed = \"block\"",
            "malformed = \"reject\"",
            "74: `content.actions.malformed` does not know \"reject\" | one of: allow, warn, hold, block",
        ),
        (
            "[release]",
            "[content.above_limit]\nicap = [\"signatures\"]\n[release]",
            "84: `content.above_limit.icap` is there, but `content.engines` does not require icap | leave it out, or add \"icap\" to `engines`",
        ),
        (
            "[release]",
            "[content.above_limit]\nclamd = [\"file-type\"]\n[release]",
            "84: `content.above_limit.clamd` names no other engine that looks for malware | write for example `clamd = [\"file-type\", \"signatures\"]`",
        ),
        (
            "[release]",
            "[content.above_limit]\nclamd = [\"signatures\", \"clamd\"]\n[release]",
            "84: `content.above_limit.clamd` names no other engine that looks for malware | write for example `clamd = [\"file-type\", \"signatures\"]`",
        ),
        (
            "[release]",
            "[content.above_limit]\nsignatures = [\"clamd\"]\n[release]",
            "84: unknown field `content.above_limit.signatures` | known here: clamd, icap",
        ),
        (
            "rule = \"automatic\"",
            "rule = \"auto\"",
            "85: `release.rule` does not know \"auto\" | one of: automatic, one-reviewer, two-reviewers",
        ),
        (
            "hold_days = 30",
            "hold_days = 0",
            "90: `retention.hold_days` is not between 1 and 3653 | write for example `hold_days = 30`",
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(told(old, new).trim_end(), expected, "{new}");
    }
}

#[test]
fn times_that_allow_nothing_are_told() {
    let reversed = EPIC.replacen("valid_to = \"2030", "valid_to = \"2020", 1);
    assert_eq!(problems(&reversed), "25: `valid_to` is not after `valid_from` | write a later time\n");
}

#[test]
fn an_agreement_longer_than_any_is_not_even_read() {
    assert_eq!(problems(&"#".repeat(300_000)), "0: longer than 262144 bytes | this is not the file that was meant\n");
}

#[test]
fn times_may_be_written_as_toml_times() {
    let plain = EPIC.replace("\"2026-01-01T00:00:00Z\"", "2026-01-01T00:00:00Z");
    assert_eq!(parse(&plain), parse(EPIC));
}

#[test]
fn identifiers_are_forbidden_unless_the_data_is_identifiable() {
    let epic = parse(EPIC).unwrap();
    assert!(epic.content.forbid_identifiers);
    let genome = include_str!("../../../../config/agreements/genome-once.toml");
    assert!(!parse(genome).unwrap().content.forbid_identifiers);
    let forbids = genome.replace("[content]", "[content]\nforbid_identifiers = true");
    assert!(parse(&forbids).unwrap().content.forbid_identifiers);
    let told = told("forbid_identifiers = true", "forbid_identifiers = false");
    assert!(told.contains("`identifiability` says that nobody is named"), "{told}");
}

/// The example without its rules for identifiers, columns and patterns.
fn without_rules() -> String {
    let rule = |line: &&str| ["forbid_identifiers", "columns", "patterns"].iter().any(|name| line.starts_with(name));
    EPIC.lines().filter(|line| !rule(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_agreement_names_pseudonyms_patterns_and_columns() {
    let text = without_rules().replace(
        "[content]",
        "[content]\npseudonym = \"P[0-9]{6}\"\ncolumns = [\"a\", \"b\"]\nprivate_elements = true\n\
         patterns = [{ name = \"mrn\", pattern = \"MRN[0-9]{7}\" }]",
    );
    let content = parse(&text).unwrap().content;
    assert_eq!(content.pseudonym.as_ref().map(Pattern::as_str), Some("P[0-9]{6}"));
    assert_eq!((content.columns.len(), content.private_elements), (2, true));
    assert_eq!((content.patterns[0].name.as_str(), content.patterns[0].pattern.as_str()), ("mrn", "MRN[0-9]{7}"));
    let json = serde_json::to_string(&content).unwrap();
    assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content);
}

#[test]
fn a_pattern_that_is_none_is_told() {
    let cases = [
        ("pseudonym = \"P[\"", "no regular expression"),
        ("pseudonym = \"x*\"", "matches the empty text"),
        ("patterns = [\"x\"]", "is a list of"),
        ("patterns = [{ name = \"a\" }]", "lacks"),
        ("patterns = [{ name = \"a\", pattern = \"(\" }]", "no regular expression"),
        ("patterns = [{ name = \"a\", pattern = \"b\", flag = 1 }]", "unknown field `flag`"),
        ("patterns = [{ name = \"a\", pattern = \"b\" }, { name = \"a\", pattern = \"c\" }]", "two patterns"),
    ];
    for (line, expected) in cases {
        let told = problems(&without_rules().replace("[content]", &format!("[content]\n{line}")));
        assert!(told.contains(expected), "{line}: {told}");
    }
}
