//! The header of SAM, BAM and CRAM: lines of `@`, read groups with their samples among them.

use super::super::plain::Plain;
use crate::flaw::Flaw;
use crate::policy::Policy;
use crate::reader::Sink;
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// Bytes of a line that are kept to find its sample.
const LINE_BYTES: usize = 4096;

/// Looks at header lines.
pub struct Header {
    policy: Arc<Policy>,
    text: Plain,
    line: Vec<u8>,
    start: u64,
    sample: Flaw,
}

impl Header {
    /// Looks under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        let text = Plain::of(policy, "header");
        Self { policy: policy.clone(), text, line: Vec::new(), start: 0, sample: Flaw::default() }
    }

    /// Takes a part of a line, up to and with its line feed.
    pub fn part(&mut self, bytes: &[u8], offset: u64) {
        self.text.feed_at(bytes, offset);
        if self.line.is_empty() {
            self.start = offset;
        }
        let room = (LINE_BYTES - self.line.len()).min(bytes.len());
        self.line.extend_from_slice(&bytes[..room]);
        if bytes.ends_with(b"\n") {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.starts_with(b"@RG\t") && self.policy.pseudonym.is_some() {
            let mut fields = line.split(|byte| *byte == b'\t').map(<[u8]>::trim_ascii);
            let sample = fields.find_map(|field| field.strip_prefix(b"SM:"));
            if sample.is_some_and(|sample| !self.policy.is_pseudonym(sample)) {
                self.sample.at(self.start);
            }
        }
    }

    /// Tells what was seen.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        self.end_line();
        self.sample.tell(Class::NotDeidentified, sink, "@RG SM: not of the agreement's pseudonym form");
        crate::reader::Reader::finish(&mut self.text, sink);
    }
}
