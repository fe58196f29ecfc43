//! Office 97 files (OLE compound files): what lies in them is told by names anywhere in the file.

use super::Identified;
use super::text::extension;
use crate::inspect::engines::search::{Matcher, Pattern, Search};
use sluse_protocol::finding::Class;
use sluse_protocol::path::DataPath;
use sluse_protocol::types::FileType;
use std::sync::LazyLock;

/// How a compound file begins.
pub const MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

const ENCRYPTED: &str = "encrypted package";
const INSTALLER: &str = "installer";
const MACROS: &str = "macros";

/// Names of streams as they stand in a directory (UTF-16), and the class of an installer's root.
static MARKS: LazyLock<Option<Matcher>> = LazyLock::new(|| {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let installer = [0x84, 0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
    let patterns = vec![
        Pattern::literal(ENCRYPTED, &wide("EncryptedPackage")),
        Pattern::literal(INSTALLER, &installer),
        Pattern::literal(MACROS, &wide("_VBA_PROJECT")),
    ];
    Matcher::new(patterns).ok()
});

/// A look through one compound file.
#[derive(Default)]
pub struct Look(Search);

impl Look {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(marks) = &*MARKS {
            self.0.feed(marks, bytes);
        }
    }

    /// What it is.
    pub fn identify(&self, path: &DataPath) -> Identified {
        // Without its marks a compound file would pass for harmless: then it is of no known type.
        let Some(marks) = &*MARKS else { return Identified::default() };
        let has = |name| self.0.found().iter().any(|(found, _)| marks.name(*found) == name);
        if has(INSTALLER) || ["msi", "msp", "mst"].contains(&extension(path).as_str()) {
            return Identified::one(FileType::Installer);
        }
        if has(ENCRYPTED) {
            return Identified::one(FileType::OfficeEncrypted);
        }
        let mut identified = Identified::one(FileType::Ole);
        if has(MACROS) {
            identified.add(Class::Executable, "an Office document with macros");
        }
        identified
    }
}
