//! Office 97 files (OLE compound files): what lies in them is told by names anywhere in the file.

use super::Identified;
use super::names::extension;
use super::needles::Needles;
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;

/// How a compound file begins.
pub const MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Names of streams as they stand in a directory (UTF-16), and the class of an installer's root.
const MARKS: &[&[u8]] = &[
    b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0",
    b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46",
    b"_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0",
    b"O\0l\0e\x001\x000\0N\0a\0t\0i\0v\0e\0",
    b"E\0q\0u\0a\0t\0i\0o\0n\0 \0N\0a\0t\0i\0v\0e\0",
];
const ENCRYPTED: usize = 0;
const INSTALLER: usize = 1;
const MACROS: usize = 2;
const PACKAGE: usize = 3;
const EQUATION: usize = 4;

/// A look through one compound file.
pub struct Look(Needles);

impl Default for Look {
    fn default() -> Self {
        Self(Needles::new(MARKS))
    }
}

impl Look {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.feed(bytes);
    }

    /// What it is.
    pub fn identify(&self, name: &str) -> Identified {
        if self.0.has(INSTALLER) || ["msi", "msp", "mst"].contains(&extension(name).as_str()) {
            return Identified::one(FileType::Installer);
        }
        if self.0.has(ENCRYPTED) {
            return Identified::one(FileType::OfficeEncrypted);
        }
        let mut identified = Identified::one(FileType::Ole);
        if self.0.has(MACROS) {
            identified.add(Class::Executable, "an Office document with macros");
        }
        if self.0.has(PACKAGE) || self.0.has(EQUATION) {
            identified.add(Class::ActiveContent, "an Office document with an embedded object");
        }
        identified
    }
}
