//! One reader for each format: is the file whole and as its format asks, and what stands in which of its places.

mod columns;
mod csv;
mod dicom;
mod json;
mod json_path;
mod plain;

pub use csv::Csv;
pub use dicom::Dicom;
pub use json::Json;
pub use plain::Plain;
