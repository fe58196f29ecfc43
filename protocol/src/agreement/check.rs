//! Reading and checking an agreement's text, with line and hint for everything that is wrong.

use super::export::export;
use super::{
    Agreement, Awaited, Content, Delivery, Identifiability, KeepVersions, LegalBasis, LegalBasisKind, Limits,
    NamedPattern, Pattern, Reference, Rek, Release, ReleaseRule, Retention, Sync,
};
use crate::finding::{Action, Class};
use crate::limits::{CHUNK_BYTES, MAX_CHUNKS, MAX_ENTRIES};
use crate::time::Timestamp;
use crate::toml_text::{
    self, Fields, Problem, Read, Value, Wrong, choice, flag, list, number, parsed, text, time, unknown_word,
};
use crate::types::FileType;
use std::collections::{BTreeMap, HashSet};

/// Bytes of the longest agreement: it must fit into the body of a frame.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// The engines that an agreement may require.
pub const ENGINES: [&str; 4] = ["file-type", "signatures", "clamd", "icap"];

/// Those of them that take no file above a size.
const LIMITED: [&str; 2] = ["clamd", "icap"];

/// Bytes of a name or reference, and of a sentence.
const NAME: usize = 300;
const SENTENCE: usize = 2000;

/// Days of retention: ten years.
const MAX_DAYS: u64 = 3653;

/// Reads an agreement's TOML text and checks every field.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn parse(text: &str) -> Result<Agreement, Vec<Problem>> {
    toml_text::read(text, MAX_TEXT_BYTES, agreement)
}

fn agreement(file: &Fields<'_>) -> Option<Agreement> {
    let id = file.need("id", "\"hjerte-epic\"", parsed);
    let title = file.need("title", "\"Nightly extract for the heart registry\"", text(NAME));
    let project = file.need("project", "\"Hjerte 2026\"", text(NAME));
    let controller = file.need("controller", "\"St. Olavs hospital HF\"", text(NAME));
    let purpose = file.need("purpose", "\"Research on …\"", text(SENTENCE));
    let identifiability = file.need("identifiability", "\"pseudonymised\"", choice(IDENTIFIABILITY));
    let variables = file.may("variables", "[\"age\", \"diagnosis\"]", list(10_000, text(NAME)));
    let (from, to) = (file.need("from", "\"epic\"", parsed), file.need("to", "\"hjerte\"", parsed));
    let delivery = file.may("delivery", "\"archive\"", choice(DELIVERIES));
    let (valid_from, valid_to) = validity(file);
    let legal_basis = file.need_table(
        "legal_basis",
        "nothing is disclosed without one: add `[legal_basis]` with kind, authority, reference, valid_from, valid_to and \
         periodic",
        legal_basis,
    );
    let rek = file.may_table("rek", |fields| {
        let reference = fields.need("reference", "\"2026/12345\"", text(NAME));
        let expires = fields.need("expires", "\"2028-12-31T23:59:59Z\"", time);
        Some(Rek { reference: reference?, expires: expires? })
    });
    let dpia = file.need_table(
        "dpia",
        "the protection impact assessment (GDPR 35): add `[dpia]` with its `reference` below",
        reference,
    );
    let processing_agreement = file.need_table(
        "processing_agreement",
        "the agreement with the data processor (GDPR 28): add `[processing_agreement]` with its `reference` below",
        reference,
    );
    let limits = file.may_table("limits", limits);
    let identifiable = identifiability == Some(Identifiability::Identifiable);
    let content = file.may_table("content", |fields| content(fields, identifiable));
    let no_content = || Content { forbid_identifiers: !identifiable, ..Content::default() };
    let release = file.need_table("release", "add `[release]` with `rule = \"automatic\"` below", |fields| {
        Some(Release { rule: fields.need("rule", "\"one-reviewer\"", choice(RULES))? })
    });
    let mut content = content.unwrap_or_else(no_content);
    let export = file.may_table("export", |fields| export(fields, release.as_ref(), &mut content));
    let retention = file.need_table(
        "retention",
        "add `[retention]` with `quarantine_days = 30` and `hold_days = 30` below",
        retention,
    );
    let acknowledgement = file.may_table("acknowledgement", |fields| {
        let days = retention.as_ref().map_or(MAX_DAYS, |retention| u64::from(retention.quarantine_days));
        acknowledgement(fields, days)
    });
    let archived = delivery == Some(Delivery::Archive);
    let sync = file.may_table("sync", |fields| sync(fields, archived));
    if let (Some(from), Some(to), Some(basis)) = (valid_from, valid_to, &legal_basis)
        && (basis.valid_to < from || basis.valid_from > to)
    {
        file.wrong_at(
            "valid_from",
            "the legal basis does not hold while the agreement is valid",
            "compare their times",
        );
    }
    Some(Agreement {
        id: id?,
        title: title?,
        project: project?,
        controller: controller?,
        purpose: purpose?,
        identifiability: identifiability?,
        variables: variables.unwrap_or_default(),
        valid_from: valid_from?,
        valid_to: valid_to?,
        from: from?,
        to: to?,
        delivery: delivery.unwrap_or_default(),
        export,
        legal_basis: legal_basis?,
        rek,
        dpia: dpia?,
        processing_agreement: processing_agreement?,
        limits: limits.unwrap_or_default(),
        content,
        release: release?,
        retention: retention?,
        acknowledgement,
        sync,
    })
}

const IDENTIFIABILITY: &[(&str, Identifiability)] = &[
    ("anonymous", Identifiability::Anonymous),
    ("pseudonymised", Identifiability::Pseudonymised),
    ("identifiable", Identifiability::Identifiable),
];

const DELIVERIES: &[(&str, Delivery)] = &[("bag", Delivery::Bag), ("archive", Delivery::Archive)];

const KINDS: &[(&str, LegalBasisKind)] =
    &[("consent", LegalBasisKind::Consent), ("exemption", LegalBasisKind::Exemption), ("law", LegalBasisKind::Law)];

const RULES: &[(&str, ReleaseRule)] = &[
    ("automatic", ReleaseRule::Automatic),
    ("one-reviewer", ReleaseRule::OneReviewer),
    ("two-reviewers", ReleaseRule::TwoReviewers),
];

const ACTIONS: &[(&str, Action)] =
    &[("allow", Action::Allow), ("warn", Action::Warn), ("hold", Action::Hold), ("block", Action::Block)];

fn validity(fields: &Fields<'_>) -> (Option<Timestamp>, Option<Timestamp>) {
    let from = fields.need("valid_from", "\"2026-01-01T00:00:00Z\"", time);
    let to = fields.need("valid_to", "\"2028-12-31T23:59:59Z\"", time);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        fields.wrong_at("valid_to", "`valid_to` is not after `valid_from`", "write a later time");
        return (None, None);
    }
    (from, to)
}

fn legal_basis(fields: &Fields<'_>) -> Option<LegalBasis> {
    let kind = fields.need("kind", "\"exemption\"", choice(KINDS));
    let authority = fields.need("authority", "\"Helsedataservice\"", text(NAME));
    let reference = fields.need("reference", "\"HDS/2026/123\"", text(NAME));
    let conditions = fields.may("conditions", "[\"only pseudonymised\"]", list(100, text(SENTENCE)));
    let (valid_from, valid_to) = validity(fields);
    let periodic = fields.need("periodic", "true", flag);
    Some(LegalBasis {
        kind: kind?,
        authority: authority?,
        reference: reference?,
        conditions: conditions.unwrap_or_default(),
        valid_from: valid_from?,
        valid_to: valid_to?,
        periodic: periodic?,
    })
}

fn reference(fields: &Fields<'_>) -> Option<Reference> {
    Some(Reference { reference: fields.need("reference", "\"2026/12345\"", text(NAME))? })
}

fn limits(fields: &Fields<'_>) -> Option<Limits> {
    let default = Limits::default();
    let most = u64::from(MAX_CHUNKS) * u64::from(CHUNK_BYTES);
    let max_bytes = fields.may("max_bytes", "200_000_000_000", number(1..=most));
    let max_files = fields.may("max_files", "200_000", number(1..=MAX_ENTRIES));
    let max_open = fields.may("max_open_bytes", "400_000_000_000", number(1..=1 << 60));
    if let (Some(open), Some(one)) = (max_open, max_bytes)
        && open < one
    {
        let message = "`limits.max_open_bytes` is less than `limits.max_bytes`: the largest transfer would never fit";
        fields.wrong_at("max_open_bytes", message, format!("write at least {one}"));
    }
    // Where only one of the two is written, the other's default gives way.
    Some(Limits {
        max_bytes: max_bytes.unwrap_or(default.max_bytes.min(max_open.unwrap_or(u64::MAX))),
        max_files: max_files.unwrap_or(default.max_files),
        max_open_bytes: max_open.unwrap_or(default.max_open_bytes.max(max_bytes.unwrap_or_default())),
    })
}

fn content(fields: &Fields<'_>, identifiable: bool) -> Option<Content> {
    let default = Content::default();
    let types = fields.may("types", "[\"csv\", \"parquet\"]", list(200, file_type)).unwrap_or_default();
    let engines = fields.may("engines", "[\"file-type\", \"signatures\"]", list(10, engine));
    let engines = engines.unwrap_or(default.engines);
    if engines.is_empty() {
        let message = "`content.engines` is empty: nothing would be inspected";
        fields.wrong_at("engines", message, "write `engines = [\"file-type\", \"signatures\"]`");
    } else if !types.is_empty() && !engines.iter().any(|engine| engine == "file-type") {
        let message = "`content.types` is not checked by any engine that the agreement requires";
        fields.wrong_at("engines", message, "add \"file-type\" to `engines`");
    }
    let above_limit = fields.may_table("above_limit", |fields| above_limit(fields, &engines));
    let forbidden = fields.may("forbidden_paths", "[\"**/*.exe\"]", list(500, pattern));
    let actions = fields.may_table("actions", |fields| {
        let taken = |class: &Class| Some((*class, fields.may(class.as_str(), "\"hold\"", action(*class))?));
        Some(Class::ALL.iter().filter_map(taken).collect())
    });
    let forbid = fields.may("forbid_identifiers", "true", flag);
    if forbid == Some(false) && !identifiable {
        let message = "`content.forbid_identifiers` is false, but `identifiability` says that nobody is named";
        fields.wrong_at("forbid_identifiers", message, "leave it out, or write `identifiability = \"identifiable\"`");
    }
    let forbid_identifiers = forbid.unwrap_or(!identifiable);
    let pseudonym = fields.may("pseudonym", "\"P[0-9]{6}\"", parsed::<Pattern>);
    if pseudonym.is_some() && !forbid_identifiers {
        let message = "`content.pseudonym` is not checked where identifiers are allowed";
        fields.wrong_at("pseudonym", message, "leave it out, or write `forbid_identifiers = true`");
    }
    let patterns = fields.may("patterns", PATTERNS, list(50, named_pattern)).unwrap_or_default();
    let mut names = HashSet::new();
    if let Some(twice) = patterns.iter().find(|one| !names.insert(&one.name)) {
        fields.wrong_at("patterns", format!("two patterns are called {:?}", twice.name), "give each its own name");
    }
    let columns = fields.may("columns", "[\"pseudonym\", \"age\"]", list(10_000, text(NAME)));
    let private_elements = fields.may("private_elements", "true", flag);
    Some(Content {
        types,
        engines,
        above_limit: above_limit.unwrap_or_default(),
        forbidden_paths: forbidden.unwrap_or_default(),
        actions: actions.unwrap_or_default(),
        forbid_identifiers,
        pseudonym,
        patterns,
        columns: columns.unwrap_or_default(),
        private_elements: private_elements.unwrap_or(false),
        small_cells: None,
    })
}

/// What suffices for files that an engine does not take: engines of which one at least looks for malware.
fn above_limit(fields: &Fields<'_>, required: &[String]) -> Option<BTreeMap<String, Vec<String>>> {
    let mut suffice = BTreeMap::new();
    for limited in LIMITED {
        let Some(others) = fields.may(limited, "[\"file-type\", \"signatures\"]", list(10, engine)) else { continue };
        if !required.iter().any(|one| one == limited) {
            let message =
                format!("`content.above_limit.{limited}` is there, but `content.engines` does not require {limited}");
            fields.wrong_at(limited, message, format!("leave it out, or add \"{limited}\" to `engines`"));
        } else if others.iter().any(|one| one == limited) || others.iter().all(|one| one == "file-type") {
            let message = format!("`content.above_limit.{limited}` names no other engine that looks for malware");
            fields.wrong_at(
                limited,
                message,
                format!("write for example `{limited} = [\"file-type\", \"signatures\"]`"),
            );
        }
        suffice.insert(limited.to_owned(), others);
    }
    Some(suffice)
}

const PATTERNS: &str = "[{ name = \"hospital number\", pattern = \"NPR-[0-9]{8}\" }]";

fn named_pattern(value: &Value<'_>) -> Read<NamedPattern> {
    let Some(table) = value.get_ref().as_table() else {
        let wrong = Wrong::new(value, "is a list of `{ name = …, pattern = … }`");
        return Err(wrong.hint(format!("write for example `patterns = {PATTERNS}`")).into());
    };
    if let Some((other, _)) = table.iter().find(|(name, _)| !["name", "pattern"].contains(&name.get_ref().as_ref())) {
        let message = format!("has an unknown field `{}`", other.get_ref());
        return Err(Wrong::new(value, message).hint("a pattern has `name` and `pattern`").into());
    }
    let (Some(name), Some(pattern)) = (table.get("name"), table.get("pattern")) else {
        return Err(Wrong::new(value, "lacks `name` or `pattern`").hint("a pattern has both").into());
    };
    Ok(NamedPattern { name: text(100)(name)?, pattern: parsed(pattern)? })
}

fn file_type(value: &Value<'_>) -> Read<String> {
    let name = toml_text::string(value)?;
    let known = FileType::ALL.iter().map(|one| one.as_str());
    name.parse::<FileType>().map(|one| one.as_str().to_owned()).map_err(|_| unknown_word(value, name, known))
}

fn engine(value: &Value<'_>) -> Read<String> {
    let name = toml_text::string(value)?;
    match ENGINES.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(unknown_word(value, name, ENGINES.into_iter())),
    }
}

fn pattern(value: &Value<'_>) -> Read<String> {
    let pattern = text(NAME)(value)?;
    if pattern.starts_with('/') {
        return Err(Wrong::new(value, "begins with a slash: paths in a dataset never do")
            .hint(format!("write \"{}\"", pattern.trim_start_matches('/')))
            .into());
    }
    Ok(pattern)
}

fn action(class: Class) -> impl Fn(&Value<'_>) -> Read<Action> {
    move |value| {
        let action = choice(ACTIONS)(value)?;
        if class == Class::Malware && action < Action::Hold {
            let wrong = Wrong::new(value, "would let malware into the room");
            return Err(wrong.hint("write \"block\", or \"hold\" where a person is to decide").into());
        }
        Ok(action)
    }
}

/// `kept`: days for which the zone keeps its own copy.
fn acknowledgement(fields: &Fields<'_>, kept: u64) -> Option<Awaited> {
    let days: u32 = fields.need("within_days", "7", number(1..=MAX_DAYS))?;
    if u64::from(days) > kept {
        let message = "`acknowledgement.within_days` is more than `retention.quarantine_days`: when the room is found to lack the \
                       dataset, the zone would have none either";
        fields.wrong_at("within_days", message, format!("write at most {kept}, or keep it longer"));
        return None;
    }
    Some(Awaited { within_days: days })
}

/// Versions that a room may be told to keep.
const MAX_VERSIONS: u64 = 10_000;

/// Percent of a version's files of which the next one may lack so many without being held.
const HOLD_DELETIONS_ABOVE: u32 = 10;

fn sync(fields: &Fields<'_>, archived: bool) -> Option<Sync> {
    let deletions = fields.need("deletions", "false", flag);
    let above = fields.may("hold_deletions_above", "10", number(0..=100));
    if deletions == Some(false) && above.is_some() {
        let message = "`sync.hold_deletions_above` means nothing where no file may be deleted";
        fields.wrong_at("hold_deletions_above", message, "leave it out, or write `deletions = true`");
    }
    let versions = fields.may("keep_versions", "10", number(1..=MAX_VERSIONS));
    let days = fields.may("keep_days", "90", number(0..=MAX_DAYS));
    let keep = (versions.is_some() || days.is_some()).then_some(KeepVersions { versions, days });
    if keep.is_some() && archived {
        let key = if versions.is_some() { "keep_versions" } else { "keep_days" };
        fields.wrong_at(
            key,
            "an archive keeps what it was given, so that none of its versions are removed",
            "leave it out",
        );
    }
    Some(Sync { deletions: deletions?, hold_deletions_above: above.unwrap_or(HOLD_DELETIONS_ABOVE), keep })
}

fn retention(fields: &Fields<'_>) -> Option<Retention> {
    let quarantine = fields.need("quarantine_days", "30", number(0..=MAX_DAYS));
    let hold = fields.need("hold_days", "30", number(1..=MAX_DAYS));
    Some(Retention { quarantine_days: quarantine?, hold_days: hold? })
}

#[cfg(test)]
mod tests;
