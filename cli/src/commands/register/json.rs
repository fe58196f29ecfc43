//! The register as JSON: everything that an auditor holds against the exported log (docs/audit-format.md).

use super::export::{Form, Heading, Item};
use crate::safe;
use serde_json::{Value, json};
use sluse_protocol::audit::Position;
use sluse_protocol::register::Sums;

/// See the module.
#[derive(Debug, Default)]
pub struct Json {
    items: u64,
}

impl Form for Json {
    fn begin(&mut self, heading: &Heading) -> String {
        let head = json!({
            "sluse": "register/1",
            "zone": heading.zone,
            "made": heading.made,
            "filter": heading.filter,
            "began": heading.began,
        });
        // The object stays open for its records.
        let head = text(&head);
        format!("{},\n\"records\": [\n", head.strip_suffix('}').unwrap_or(&head))
    }

    fn item(&mut self, item: &Item) -> String {
        let registered = &item.registered;
        let mut object = json!({
            "statement": registered.statement,
            "sha256": registered.sha256,
            "entry": registered.entry,
            "record": item.record,
            "outcome": registered.outcome,
        });
        if let Some(files) = &item.files {
            let file = |file: &sluse_protocol::document::Entry| json!({"path": file.path, "size": file.size, "sha256": file.sha256});
            object["files"] = files.iter().map(file).collect();
        }
        self.items += 1;
        let comma = if self.items > 1 { ",\n" } else { "" };
        format!("{comma}{}", text(&object))
    }

    fn end(&mut self, sums: &Sums, audit: &Position) -> String {
        let tail = text(&json!({"totals": sums, "audit": audit}));
        format!("\n],\n{}\n", tail.strip_prefix('{').unwrap_or(&tail))
    }
}

fn text(value: &Value) -> String {
    safe::json(&value.to_string())
}
