//! Which readers a file gets.

use crate::formats::{Csv, Dicom, Hl7, Json, Plain, Xml};
use crate::patterns::Patterns;
use crate::policy::Policy;
use crate::reader::{Reader, Sink};
use crate::text::Text;
use sluse_protocol::types::FileType;
use std::sync::Arc;

/// The readers for a file of this type: its structure, the identifiers in it, and the agreement's patterns.
pub fn readers(file_type: FileType, policy: &Arc<Policy>) -> Box<dyn Reader> {
    let patterns = Patterns::new(policy);
    match file_type {
        FileType::Csv | FileType::Tsv => text(Csv::new(policy), false, patterns),
        FileType::Json => text(Json::new(policy, false), true, patterns),
        FileType::Ndjson => text(Json::new(policy, true), true, patterns),
        FileType::Hl7 => text(Hl7::new(policy), false, patterns),
        FileType::Xml | FileType::Svg => text(Xml::new(policy), false, patterns),
        FileType::Text => text(Plain::new(policy), false, patterns),
        FileType::Dicom => Box::new(Both(Dicom::new(policy), patterns)),
        _ => Box::new(Both(Plain::new(policy), patterns)),
    }
}

fn text<R: Reader + 'static>(format: R, strict: bool, patterns: Option<Patterns>) -> Box<dyn Reader> {
    Box::new(Text::new(Both(format, patterns), strict))
}

/// Two readers of one stream.
#[derive(Debug)]
struct Both<R>(R, Option<Patterns>);

impl<R: Reader> Reader for Both<R> {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        self.0.feed(bytes, sink);
        if let Some(patterns) = &mut self.1 {
            patterns.feed(bytes, sink);
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        self.0.finish(sink);
        if let Some(patterns) = &mut self.1 {
            patterns.finish(sink);
        }
    }
}
