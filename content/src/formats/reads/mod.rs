//! Reads of genomes: FASTQ, SAM and what BAM unpacks to. Names of reads, headers and tags are looked at; qualities, which are
//! written in digits among other characters, are not: chance makes national numbers there.

mod bam;
mod fastq;
mod header;
mod sam;

pub use bam::Bam;
pub use fastq::Fastq;
pub use sam::Sam;
