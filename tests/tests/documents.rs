//! What the documents point to is there.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Markdown file outside build output.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.starts_with('.') {
                documents(&entry.path(), found);
            }
        } else if name.ends_with(".md") {
            found.push(entry.path());
        }
    }
}

#[test]
fn every_link_between_documents_and_files_leads_somewhere() {
    let mut found = Vec::new();
    documents(&root(), &mut found);
    let mut links = 0;
    for document in found {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let path = document.parent().unwrap().join(link.split('#').next().unwrap_or(link));
            assert!(path.exists(), "{}: {link}", document.display());
            links += 1;
        }
    }
    assert!(links > 40, "{links} links were looked at");
}
