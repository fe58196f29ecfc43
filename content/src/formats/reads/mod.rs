//! Reads of genomes: FASTQ, SAM, CRAM and what BAM unpacks to. Names of reads, headers and tags are looked at; qualities, which are
//! written in digits among other characters, are not: chance makes national numbers there.

mod bam;
mod cram;
mod fastq;
mod header;
mod sam;
mod tags;

pub use bam::Bam;
pub use cram::Cram;
pub use fastq::Fastq;
pub use sam::Sam;
