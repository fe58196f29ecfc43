//! The bag's own files (RFC 8493): their names and texts.

use serde_json::json;
use sluse_protocol::agreement::Delivery;
use sluse_protocol::archive::{SIGNATURE, STATEMENT};
use sluse_protocol::digest::Sha256;
use sluse_protocol::grant::GrantStatement;
use sluse_protocol::sync::CHANGES;

/// The folder of the dataset itself.
pub const DATA: &str = "data";
/// Digests of the dataset's files.
pub const MANIFEST: &str = "manifest-sha256.txt";
/// Digests of the bag's own files.
pub const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";
/// The manifest as its source signed it.
pub const SOURCE_MANIFEST: &str = "source-manifest.jsonl";
/// The manifest of what was released, where files were left out. It stands there instead of the source's.
pub const RELEASED_MANIFEST: &str = "released-manifest.jsonl";
/// Digests of the dataset's files as they come out of their encryption, where the room has a key.
pub const PLAIN: &str = "plaintext-sha256.txt";
/// Names that Windows could not hold: as delivered, and as sent.
pub const RENAMED: &str = "renamed-paths.tsv";

/// The declaration that begins every bag.
pub const BAGIT: (&str, &str) = ("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n");

/// `bag-info.txt`: what the bag is, for people; its files have so many bytes as they stand there.
pub fn bag_info(grant: &GrantStatement, bytes: u64) -> (&'static str, String) {
    let date = date(grant);
    let lines = [
        ("Source-Organization", grant.source.to_string()),
        ("External-Description", format!("Dataset {}", grant.dataset)),
        ("External-Identifier", grant.transfer.to_string()),
        ("Bagging-Date", date),
        ("Payload-Oxum", format!("{bytes}.{}", grant.released_totals().files)),
        ("Bag-Software-Agent", format!("Sluse {}", env!("CARGO_PKG_VERSION"))),
        ("Sluse-Zone", grant.zone.to_string()),
        ("Sluse-Agreement", grant.agreement.to_string()),
        ("Sluse-Room", grant.room.to_string()),
        ("Sluse-Released", grant.time.to_string()),
        ("Sluse-Source-Manifest", format!("sha256:{}", grant.manifest_sha256)),
    ];
    let archived = (grant.delivery == Delivery::Archive).then_some(("Sluse-Delivery", "archive".to_owned()));
    let encrypted = grant.room_recipient.as_ref().map(|recipient| ("Sluse-Encrypted-To", recipient.clone()));
    let part = grant.part.iter().flat_map(|part| {
        let (files, folders, bytes) = (part.left_out.files, part.left_out.folders, part.left_out.bytes);
        [
            ("Sluse-Released-Manifest", format!("sha256:{}", part.manifest_sha256)),
            ("Sluse-Left-Out", format!("{files} files, {folders} folders, {bytes} bytes")),
        ]
    });
    let lines = lines.into_iter().chain(part).chain(archived).chain(encrypted);
    ("bag-info.txt", lines.map(|(label, value)| format!("{label}: {value}\n")).collect())
}

/// What the bag's documents are, for people, and their media type.
fn describe(name: &str) -> (&'static str, &'static str) {
    match name {
        "receipts/received.json" => ("Receipt: what the source sent was received whole", "application/json"),
        "receipts/released.json" => {
            ("Receipt: the dataset was released, with proof in the audit log", "application/json")
        }
        "findings.json" => ("What the inspection found", "application/json"),
        "decision.json" => ("Who or which rule released it, and why", "application/json"),
        SOURCE_MANIFEST => ("Each file's path, size and digest, as the source signed it", "application/jsonl"),
        RELEASED_MANIFEST => (
            "Each released file's path, size and digest; other files of the dataset were left out",
            "application/jsonl",
        ),
        CHANGES => ("Which files are not as they were in the version before", "application/jsonl"),
        PLAIN => ("Digests of the dataset's files as `age -d` gives them", "text/plain"),
        "agreement.toml" => ("The agreement that allows the disclosure", "application/toml"),
        STATEMENT => ("The zone's signed statement of this bag, with proof in the audit log", "application/json"),
        name if name.ends_with(".sig") => ("Signature (SSHSIG)", "text/plain"),
        _ => ("Document of the landing zone", "application/octet-stream"),
    }
}

/// `ro-crate-metadata.json` (RO-Crate 1.1): the dataset, and the documents beside it, for programs that index data.
pub fn ro_crate(grant: &GrantStatement, documents: &[String]) -> (&'static str, String) {
    let own = [STATEMENT, SIGNATURE].into_iter().filter(|_| grant.delivery == Delivery::Archive);
    let plain = grant.room_recipient.as_ref().map(|_| PLAIN);
    let files: Vec<_> = documents.iter().map(String::as_str).chain(own).chain(plain).collect();
    let encrypted = match &grant.room_recipient {
        Some(recipient) => format!("; each is encrypted with age to {recipient}, {PLAIN} has what comes out"),
        None => String::new(),
    };
    let (totals, left_out) = (grant.released_totals(), grant.part.map_or(0, |part| part.left_out.files));
    let partial = if left_out > 0 { format!("; {left_out} files were left out") } else { String::new() };
    let parts: Vec<_> = ["data/"].iter().chain(&files).map(|name| json!({"@id": name})).collect();
    let described = files.iter().map(|name| {
        let (what, format) = describe(name);
        json!({"@id": name, "@type": "File", "name": what, "encodingFormat": format})
    });
    let mut crate_ = json!({
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [
            {
                "@id": "ro-crate-metadata.json",
                "@type": "CreativeWork",
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
                "about": {"@id": "./"}
            },
            {
                "@id": "./",
                "@type": "Dataset",
                "name": grant.dataset.as_str(),
                "description": format!("Released by {} under agreement {}", grant.zone, grant.agreement),
                "identifier": grant.transfer.as_str(),
                "datePublished": date(grant),
                "creator": {"@id": "#source"},
                "publisher": {"@id": "#zone"},
                "conditionsOfAccess": format!("agreement {}, agreement.toml", grant.agreement),
                "hasPart": parts
            },
            {
                "@id": "data/",
                "@type": "Dataset",
                "name": "The dataset's files",
                "description": format!("{} files, {} bytes{partial}; see {MANIFEST}{encrypted}", totals.files, totals.bytes)
            },
            {"@id": "#source", "@type": "Organization", "name": grant.source.as_str()},
            {"@id": "#zone", "@type": "Organization", "name": grant.zone.as_str()}
        ]
    });
    if let Some(graph) = crate_["@graph"].as_array_mut() {
        graph.extend(described);
    }
    ("ro-crate-metadata.json", format!("{crate_:#}\n"))
}

fn date(grant: &GrantStatement) -> String {
    grant.time.to_string().chars().take("2026-11-22".len()).collect()
}

/// A line of a manifest. Of what RFC 8493 has encoded only the percent sign can stand in a path.
pub fn manifest_line(digest: &Sha256, path: &str) -> String {
    format!("{digest}  {}\n", path.replace('%', "%25"))
}
