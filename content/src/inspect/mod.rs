//! Which readers a file gets, and its members.

mod doubts;
mod file;
mod place;
mod stream;

use crate::bulk::Bulk;
use crate::formats::{
    Bam, Cram, Csv, Dicom, Fastq, Hl7, Jpeg, Json, Parquet, Pdf, Plain, Png, Sam, Sas, Statistics, Vcf, Xml,
};
use crate::identifiers::{Tally, Token, scan_whole};
use crate::patterns::Patterns;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use crate::text::Text;
use sluse_protocol::types::FileType;
use std::sync::Arc;

pub use file::FileReader;
pub use place::MAX_PLACE_BYTES;

/// The readers for a file of this type: its structure, the identifiers in it, and the agreement's patterns.
pub fn readers(file_type: FileType, policy: &Arc<Policy>) -> Box<dyn Reader> {
    let patterns = Patterns::new(policy);
    match file_type {
        FileType::Csv | FileType::Tsv => text(Csv::new(policy), false, patterns),
        FileType::Json => text(Json::new(policy, false), true, patterns),
        FileType::Ndjson => text(Json::new(policy, true), true, patterns),
        FileType::Hl7 => text(Hl7::new(policy), false, patterns),
        FileType::Xml | FileType::Svg => text(Xml::new(policy), false, patterns),
        FileType::Pdf => Box::new(Both(Pdf::new(policy), patterns)),
        FileType::Vcf => text(Vcf::new(policy), false, patterns),
        FileType::Fastq => text(Fastq::new(policy), false, patterns),
        FileType::Sam => text(Sam::new(policy), false, patterns),
        FileType::Bam => Box::new(Both(Bam::new(policy), patterns)),
        FileType::Cram => Box::new(Both(Cram::new(policy), patterns)),
        FileType::Parquet => Box::new(Both(Parquet::new(policy), patterns)),
        FileType::Text | FileType::Html | FileType::Mail => text(Plain::new(policy), false, patterns),
        FileType::Png => Box::new(Both(Png::new(policy), patterns)),
        FileType::Jpeg => Box::new(Both(Jpeg::new(policy), patterns)),
        FileType::Sav => Box::new(Both(Statistics::sav(policy), patterns)),
        FileType::Dta => Box::new(Both(Statistics::dta(policy), patterns)),
        FileType::Sas7bdat => Box::new(Both(Sas::new(policy), patterns)),
        FileType::Xpt => Box::new(Both(Statistics::xpt(policy), patterns)),
        FileType::Dicom => Box::new(Both(Dicom::new(policy), patterns)),
        _ => Box::new(Both(Plain::new(policy), patterns)),
    }
}

/// The reader for what may be of no type that is known.
fn reader_of(file_type: Option<FileType>, policy: &Arc<Policy>) -> Box<dyn Reader> {
    match file_type {
        Some(file_type) => readers(file_type, policy),
        None => Box::new(Both(Plain::new(policy), Patterns::new(policy))),
    }
}

/// Looks for identifiers in a file's or a member's name, which `place` calls: a name is no place made for numbers, so a person
/// looks.
pub fn look_at_name(name: &str, place: &str, policy: &Policy, sink: &mut dyn Sink) {
    let Some(key) = policy.identifiers.as_ref().filter(|_| has_number(name)) else { return };
    let mut tally = Tally::new(key.clone());
    let place = tally.place(place, false);
    numbers(name, &mut |token| tally.take(place, &token.digits, 0));
    tally.finish(&mut WithoutPlace(sink));
}

/// Whether eleven digits stand in a name as a national number would.
fn has_number(name: &str) -> bool {
    let mut found = false;
    numbers(name, &mut |_| found = true);
    found
}

fn numbers(name: &str, found: &mut impl FnMut(Token)) {
    // Other marks join digits in a text, but part words in a name.
    name.split(|c: char| !c.is_ascii_digit() && c != ' ').for_each(|part| scan_whole(part.as_bytes(), found));
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

    fn bulk(&mut self) -> Option<Bulk> {
        self.0.bulk()
    }
}

#[cfg(test)]
mod tests;
