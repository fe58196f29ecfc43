//! What type a file is: [`sluse_content::types`] as an engine.

use crate::inspect::engine::{Engine, FileFacts, Sample, Scan, Seen, Verdict};
use sluse_content::types::TypeReader;
use sluse_content::{Notice, Reader};
use sluse_protocol::digest::Sha256;
use sluse_protocol::finding::Class;

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileTypeEngine;

impl Engine for FileTypeEngine {
    fn name(&self) -> &'static str {
        "file-type"
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn sample(&self) -> Sample {
        // The beginning of a Linux program for x86-64.
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.extend([0; 9]);
        bytes.extend([2, 0, 0x3e, 0, 1, 0, 0, 0]);
        Sample { bytes, class: Class::Executable }
    }

    fn begin(&self, file: &FileFacts) -> Box<dyn Scan> {
        let reader = TypeReader::new(file.path.as_str(), &file.content.types);
        Box::new(FileTypeScan { reader, notices: Vec::new() })
    }
}

struct FileTypeScan {
    reader: TypeReader,
    notices: Vec<Notice>,
}

impl Scan for FileTypeScan {
    fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes, &mut self.notices);
    }

    fn finish(mut self: Box<Self>, _: &Sha256) -> Verdict {
        self.reader.finish(&mut self.notices);
        let seen = self.notices.into_iter().map(|Notice { class, offset, message }| Seen { class, offset, message });
        Verdict::Read { bytes: self.reader.consumed(), seen: seen.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::self_test;

    #[test]
    fn file_type_passes_its_self_test() {
        assert_eq!(self_test::run(&FileTypeEngine), Ok(()));
    }
}
