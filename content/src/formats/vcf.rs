//! VCF (variants as text): lines of `##`, a header of columns, rows of as many.

use super::csv::Csv;
use super::plain::Plain;
use crate::policy::Policy;
use crate::reader::{Notice, Reader, Sink};
use sluse_protocol::finding::Class;
use std::sync::Arc;

/// How a file begins.
const MARK: &[u8] = b"##fileformat=VCF";

/// Reads one file.
pub struct Vcf {
    about: Plain,
    table: Csv,
    mark: Vec<u8>,
    /// Bytes of the line so far, two at most: enough to tell what it is.
    begun: Vec<u8>,
    line: Line,
    offset: u64,
    has_table: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Begins,
    About,
    Table,
}

impl Vcf {
    /// Reads a file under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            about: Plain::new(policy),
            table: Csv::of_lines(policy, b'\t'),
            mark: Vec::new(),
            begun: Vec::new(),
            line: Line::Begins,
            offset: 0,
            has_table: false,
        }
    }

    fn hand_on(&mut self, bytes: &[u8], offset: u64, sink: &mut dyn Sink) {
        if self.line == Line::About {
            self.about.feed_at(bytes, offset);
        } else {
            self.has_table = true;
            self.table.feed_at(bytes, offset, sink);
        }
    }
}

impl Reader for Vcf {
    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let room = (MARK.len() - self.mark.len()).min(bytes.len());
        self.mark.extend_from_slice(&bytes[..room]);
        let mut rest = bytes;
        while let [first, later @ ..] = rest {
            let offset = self.offset + (bytes.len() - rest.len()) as u64;
            if self.line == Line::Begins {
                self.begun.push(*first);
                rest = later;
                if self.begun == b"#" {
                    continue;
                }
                self.line = if self.begun == b"##" { Line::About } else { Line::Table };
                let begun = std::mem::take(&mut self.begun);
                self.hand_on(&begun, offset + 1 - begun.len() as u64, sink);
                if *first == b'\n' {
                    self.line = Line::Begins;
                }
                continue;
            }
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (now, later) = rest.split_at(length);
            self.hand_on(now, offset, sink);
            if now.ends_with(b"\n") {
                self.line = Line::Begins;
            }
            rest = later;
        }
        self.offset += bytes.len() as u64;
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        if self.mark != MARK {
            let message = "not ##fileformat=VCF at the start".into();
            sink.notice(Notice { class: Class::Malformed, offset: Some(0), message });
        } else if !self.has_table {
            let message = "no line with the columns: the file may have been cut off".into();
            sink.notice(Notice { class: Class::Malformed, offset: Some(self.offset), message });
        }
        self.about.finish(sink);
        self.table.finish(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{classes, every_cut, policy_with, resident};
    use crate::text::Text;
    use sluse_protocol::agreement::Content;

    const ABOUT: &str = "##fileformat=VCFv4.2\n##source=\"x\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";

    fn read(text: &str) -> Vec<Notice> {
        let policy = policy_with(Content::default());
        every_cut(|| Text::new(Vcf::new(&policy), false), text.as_bytes())
    }

    #[test]
    fn rows_have_the_columns_of_their_header() {
        assert_eq!(read(&format!("{ABOUT}1\t17\t.\tA\t\"C\t.\tPASS\tDP=4\n")), []);
        let cut = read(&format!("{ABOUT}1\t17\t.\tA\tC\t.\tPASS\tDP=4\n1\t18\t."));
        assert_eq!(classes(&cut), [Class::Malformed]);
        assert_eq!(classes(&read("#CHROM\tPOS\n")), [Class::Malformed]);
        assert_eq!(classes(&read("##fileformat=VCFv4.2\n")), [Class::Malformed]);
    }

    #[test]
    fn numbers_are_found_in_rows_and_in_lines_about_the_file() {
        let number = resident(0);
        let row = read(&format!("{ABOUT}1\t17\t{number}\tA\tC\t.\tPASS\tDP=4\n"));
        assert_eq!(classes(&row), [Class::IdentifierReview]);
        let text = format!("{ABOUT}1\t17\t{number}");
        assert_eq!(row[0].offset, Some(text.find(&number).unwrap() as u64));
        assert!(row[0].message.starts_with("column 3 (ID)") || row[0].message.starts_with("column 3:"), "{row:?}");
        let about = read(&format!("##fileformat=VCFv4.2\n##sample={number}\n#CHROM\tPOS\n1\t2\n"));
        assert_eq!(classes(&about), [Class::IdentifierReview]);
        assert_eq!(about[0].offset, Some(30));
    }
}
