//! One reader for each format: is the file whole and as its format asks, and what stands in which of its places.

mod columns;
mod csv;
mod dicom;
mod hl7;
mod hl7_person;
mod json;
mod json_bulk;
mod json_path;
mod numbers;
mod parquet;
mod pdf;
mod picture;
mod plain;
mod reads;
mod sheet;
mod small_cells;
mod statistics;
mod vcf;
mod xml;
mod xml_path;
mod xml_tag;

pub use csv::Csv;
pub use dicom::{Dicom, elements};
pub use hl7::Hl7;
pub use json::Json;
pub use parquet::Parquet;
pub use pdf::Pdf;
pub use picture::{Jpeg, Png};
pub use plain::Plain;
pub use reads::{Bam, Cram, Fastq, Sam};
pub use sheet::{Part, Workbook};
pub use statistics::{Sas, Statistics};
pub use vcf::Vcf;
pub use xml::Xml;
