//! The types of files that the `file-type` engine tells apart, by the names that agreements use for them.

/// What a type of file is good for, as far as an agreement's rules care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Holds data in the clear.
    Data,
    /// Holds other files, or one other file compressed.
    Archive,
    /// Encrypted by its sender: it cannot be inspected.
    Encrypted,
    /// Something that a computer would run. No agreement allows it by leaving its list of types empty.
    Program,
}

macro_rules! types {
    ($($kind:ident: $($name:ident $text:literal $doc:literal,)*;)*) => {
        /// A type of file. Its name in agreements and findings is lower case: `csv`, `dicom`, `xlsx`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FileType {
            $($(#[doc = $doc] $name,)*)*
        }

        impl FileType {
            /// Every type.
            pub const ALL: &[FileType] = &[$($(FileType::$name),*),*];

            /// The type's name.
            pub fn as_str(self) -> &'static str {
                match self { $($(FileType::$name => $text,)*)* }
            }

            /// A few words on what it is.
            pub fn description(self) -> &'static str {
                match self { $($(FileType::$name => $doc,)*)* }
            }

            /// What it is good for.
            pub fn kind(self) -> Kind {
                match self { $($(FileType::$name)|* => Kind::$kind,)* }
            }
        }
    };
}

types! {
    Data:
        Empty "empty" "no bytes at all",
        // Text and tables.
        Text "text" "plain text of no other type here",
        Csv "csv" "table with values separated by comma or semicolon",
        Tsv "tsv" "table with values separated by tabulator",
        Json "json" "one JSON value",
        Ndjson "ndjson" "one JSON object a line, FHIR Bulk Data among it",
        Xml "xml" "XML, CDISC ODM and KITH messages among it",
        Html "html" "web page",
        Rtf "rtf" "Rich Text Format",
        Mail "mail" "e-mail message",
        // Health messages and images.
        Hl7 "hl7" "HL7 version 2 messages or batches",
        Dicom "dicom" "DICOM Part 10, DICOMDIR among it",
        Nifti "nifti" "NIfTI image volume",
        Edf "edf" "European Data Format: signals over time",
        // Statistics and columns.
        Parquet "parquet" "Apache Parquet",
        Arrow "arrow" "Apache Arrow or Feather",
        Avro "avro" "Apache Avro",
        Orc "orc" "Apache ORC",
        Sas7bdat "sas7bdat" "SAS data set",
        Xpt "xpt" "SAS transport file",
        Sav "sav" "SPSS data file, compressed (zsav) or not",
        Dta "dta" "Stata data file",
        Rdata "rdata" "R workspace or object (RData, RDS)",
        Hdf5 "hdf5" "HDF5, MATLAB 7.3 among it",
        Mat "mat" "MATLAB 5 data file",
        Npy "npy" "NumPy array",
        Sqlite "sqlite" "SQLite database",
        // Documents.
        Pdf "pdf" "PDF document",
        Xlsx "xlsx" "Excel workbook (Office Open XML)",
        Docx "docx" "Word document (Office Open XML)",
        Pptx "pptx" "PowerPoint presentation (Office Open XML)",
        Ods "ods" "spreadsheet (OpenDocument)",
        Odt "odt" "text document (OpenDocument)",
        Odp "odp" "presentation (OpenDocument)",
        Ole "ole" "Office 97 to 2003 document (doc, xls, ppt)",
        // Pictures, sound, video.
        Png "png" "PNG picture",
        Jpeg "jpeg" "JPEG picture",
        Jp2 "jp2" "JPEG 2000 picture",
        Tiff "tiff" "TIFF picture, whole-slide images among it",
        Gif "gif" "GIF picture",
        Bmp "bmp" "BMP picture",
        Webp "webp" "WebP picture",
        Svg "svg" "SVG drawing",
        Wav "wav" "WAV sound",
        Mp3 "mp3" "MP3 sound",
        Mp4 "mp4" "MP4 or QuickTime video",
        // Genomics.
        Fastq "fastq" "sequence reads",
        Fasta "fasta" "sequences",
        Sam "sam" "aligned reads, text",
        Bam "bam" "aligned reads (BAM)",
        Cram "cram" "aligned reads (CRAM)",
        Vcf "vcf" "variants, text",
        Bcf "bcf" "variants, binary",
        GenomicIndex "genomic-index" "index of a genomics file (bai, csi, tbi, crai)",
    ;
    Archive:
        Zip "zip" "ZIP archive",
        SevenZip "7z" "7-Zip archive",
        Rar "rar" "RAR archive",
        Tar "tar" "tar archive",
        Gzip "gzip" "gzip-compressed",
        Bgzf "bgzf" "block-compressed genomics text (bgzip)",
        Bzip2 "bzip2" "bzip2-compressed",
        Xz "xz" "xz-compressed",
        Zstd "zstd" "Zstandard-compressed",
        Lz4 "lz4" "LZ4-compressed",
        Cab "cab" "Windows cabinet",
        Iso "iso" "disc image",
    ;
    Encrypted:
        Crypt4gh "crypt4gh" "genomics file encrypted with Crypt4GH",
        Age "age" "encrypted with age",
        Pgp "pgp" "encrypted with OpenPGP",
        OfficeEncrypted "office-encrypted" "Office document with a password",
    ;
    Program:
        Elf "elf" "Linux program or library",
        Pe "pe" "Windows program or library",
        MachO "mach-o" "macOS program or library",
        Java "java" "Java class",
        Wasm "wasm" "WebAssembly module",
        Script "script" "text that names its interpreter (#!), or a script of Windows",
        Installer "installer" "package that installs programs (deb, rpm, msi)",
        Pickle "pickle" "Python pickle: reading it runs it",
        Shortcut "shortcut" "Windows shortcut",
    ;
}

impl std::fmt::Display for FileType {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The text is no type's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such type of file")]
pub struct UnknownType;

impl std::str::FromStr for FileType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or(UnknownType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_reads_back_as_its_type() {
        for one in FileType::ALL {
            assert_eq!(one.as_str().parse(), Ok(*one));
        }
    }
}
