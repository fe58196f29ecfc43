//! Which readers a file gets.

use crate::formats::{Bam, Csv, Dicom, Fastq, Hl7, Json, Parquet, Pdf, Plain, Sam, Vcf, Xml};
use crate::identifiers::{Tally, scan_whole};
use crate::patterns::Patterns;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use crate::text::Text;
use sluse_protocol::path::DataPath;
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
        FileType::Xml => text(Xml::new(policy), false, patterns),
        FileType::Svg => text(Xml::svg(policy), false, patterns),
        FileType::Pdf => Box::new(Both(Pdf::new(policy), patterns)),
        FileType::Vcf => text(Vcf::new(policy), false, patterns),
        FileType::Fastq => text(Fastq::new(policy), false, patterns),
        FileType::Sam => text(Sam::new(policy), false, patterns),
        FileType::Bam => Box::new(Both(Bam::new(policy), patterns)),
        FileType::Parquet => Box::new(Both(Parquet::new(policy), patterns)),
        FileType::Text => text(Plain::new(policy), false, patterns),
        FileType::Dicom => Box::new(Both(Dicom::new(policy), patterns)),
        _ => Box::new(Both(Plain::new(policy), patterns)),
    }
}

/// Looks for identifiers in a file's path: a name is no place made for numbers, so a person looks.
pub fn look_at_path(path: &DataPath, policy: &Policy, sink: &mut dyn Sink) {
    if let Some(key) = &policy.identifiers {
        let mut tally = Tally::new(key.clone());
        let place = tally.place("the file's path", false);
        // Other marks join digits in a text, but part words in a name.
        for name in path.as_str().split(|c: char| !c.is_ascii_digit() && c != ' ') {
            scan_whole(name.as_bytes(), &mut |token| tally.take(place, &token.digits, 0));
        }
        tally.finish(&mut WithoutPlace(sink));
    }
}

/// What is noticed of a path has no place in the file.
struct WithoutPlace<'a>(&'a mut dyn Sink);

impl Sink for WithoutPlace<'_> {
    fn notice(&mut self, notice: Notice) {
        self.0.notice(Notice { offset: None, ..notice });
    }
}

fn text<R: Reader + 'static>(format: R, strict: bool, patterns: Option<Patterns>) -> Box<dyn Reader> {
    Box::new(Text::new(Both(format, patterns), strict))
}

/// Two readers of one stream.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, policy_with, resident};
    use sluse_protocol::agreement::Content;
    use sluse_protocol::finding::Class;

    #[test]
    fn a_number_in_a_path_is_for_review_and_is_not_shown() {
        let policy = policy_with(Content::default());
        let number = resident(0);
        let look = |path: &str| {
            let mut notices = Vec::new();
            look_at_path(&path.parse().unwrap(), &policy, &mut notices);
            notices
        };
        for path in [format!("a/{number}.csv"), format!("pas_{number}/b.dcm"), format!("x{number}-1.txt")] {
            let notices = look(&path);
            assert_eq!(classes(&notices), [Class::IdentifierReview], "{path}");
            assert!(notices[0].offset.is_none() && !notices[0].message.contains(&number[..6]), "{notices:?}");
        }
        assert!(look("a/1234567890123.csv").is_empty() && look("12345678901/b").is_empty());
    }
}
