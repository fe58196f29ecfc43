//! Whether a file is what its name says.

use crate::Notice;
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType::{self, *};

/// Extensions, and the types that may bear them.
const NAMES: &[(&[&str], &[FileType])] = &[
    (&["csv"], &[Csv, Tsv, Text]),
    (&["tsv", "tab"], &[Tsv, Csv, Text]),
    (&["json"], &[Json, Ndjson]),
    (&["ndjson", "jsonl"], &[Ndjson, Json]),
    (&["xml"], &[Xml, Svg, Html]),
    (&["html", "htm"], &[Html, Xml]),
    (&["hl7"], &[Hl7, Text]),
    (&["eml", "mbox"], &[Mail]),
    (&["dcm", "dicom"], &[Dicom]),
    (&["nii"], &[Nifti]),
    (&["edf", "bdf"], &[Edf]),
    (&["parquet"], &[Parquet]),
    (&["feather", "arrow"], &[Arrow]),
    (&["avro"], &[Avro]),
    (&["orc"], &[Orc]),
    (&["sas7bdat"], &[Sas7bdat]),
    (&["xpt"], &[Xpt]),
    (&["sav", "zsav"], &[Sav]),
    (&["dta"], &[Dta]),
    (&["h5", "hdf5"], &[Hdf5]),
    (&["npy"], &[Npy]),
    (&["sqlite"], &[Sqlite]),
    (&["pdf"], &[Pdf]),
    (&["xlsx"], &[Xlsx, OfficeEncrypted]),
    (&["docx"], &[Docx, OfficeEncrypted]),
    (&["pptx"], &[Pptx, OfficeEncrypted]),
    (&["ods"], &[Ods]),
    (&["odt"], &[Odt]),
    (&["odp"], &[Odp]),
    (&["doc", "xls", "ppt"], &[Ole, OfficeEncrypted, Rtf, Html, Xml, Csv, Tsv, Text]),
    (&["png"], &[Png]),
    (&["jpg", "jpeg"], &[Jpeg]),
    (&["jp2", "j2k"], &[Jp2]),
    (&["tif", "tiff", "svs"], &[Tiff]),
    (&["gif"], &[Gif]),
    (&["bmp"], &[Bmp]),
    (&["svg"], &[Svg]),
    (&["mp4", "mov"], &[Mp4]),
    (&["fastq", "fq"], &[Fastq]),
    (&["fasta", "fa", "fna"], &[Fasta]),
    (&["sam"], &[Sam]),
    (&["bam"], &[Bam]),
    (&["bcf"], &[Bcf]),
    (&["cram"], &[Cram]),
    (&["vcf"], &[Vcf]),
    (&["bai", "csi", "tbi"], &[GenomicIndex]),
    (&["zip"], &[Zip]),
    (&["7z"], &[SevenZip]),
    (&["tar"], &[Tar]),
    (&["gz", "tgz"], &[Gzip, Bgzf, Bcf]),
    (&["bgz"], &[Bgzf, Bcf]),
    (&["bz2"], &[Bzip2]),
    (&["xz"], &[Xz]),
    (&["zst"], &[Zstd]),
    (&["c4gh"], &[Crypt4gh]),
    (&["age"], &[Age]),
    (&["txt"], &[Text, Mail, Csv, Tsv, Json, Ndjson, Xml, Hl7, Fasta, Fastq, Sam, Vcf, Script]),
];

/// The extension, in lower case.
pub fn extension(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// The likeliest type of a file of this name, if its extension says one.
pub fn expected(name: &str) -> Option<FileType> {
    let extension = extension(name);
    let (_, types) = NAMES.iter().find(|(extensions, _)| extensions.contains(&extension.as_str()))?;
    types.first().copied()
}

/// A finding when a file's extension belongs to other types than those that its content may be taken for.
pub fn compare(name: &str, types: &[FileType]) -> Option<Notice> {
    let likeliest = types.first().filter(|one| **one != Empty)?;
    let extension = extension(name);
    let (_, expected) = NAMES.iter().find(|(extensions, _)| extensions.contains(&extension.as_str()))?;
    if types.iter().any(|one| expected.contains(one)) {
        return None;
    }
    // The extension is one of the table's, not any text of the source's.
    let message = format!("named .{extension}, but its content is {likeliest}");
    Some(Notice { class: Class::TypeMismatch, offset: None, message })
}
