//! Types that are told by fixed bytes near a file's start.

use super::{Identified, dicom};
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType::{self, *};

/// Offset, bytes, type. The first that agrees counts.
const MAGIC: &[(usize, &[u8], FileType)] = &[
    // Programs.
    (0, b"\x7fELF", Elf),
    (0, b"\xfe\xed\xfa\xce", MachO),
    (0, b"\xfe\xed\xfa\xcf", MachO),
    (0, b"\xce\xfa\xed\xfe", MachO),
    (0, b"\xcf\xfa\xed\xfe", MachO),
    (0, b"\0asm", Wasm),
    (0, b"dex\n0", Java),
    (0, b"!<arch>\ndebian-binary", Installer),
    (0, b"\xed\xab\xee\xdb", Installer),
    (0, b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", Shortcut),
    // Encrypted.
    (0, b"crypt4gh", Crypt4gh),
    (0, b"age-encryption.org/", Age),
    (0, b"-----BEGIN AGE ENCRYPTED FILE-----", Age),
    (0, b"-----BEGIN PGP MESSAGE-----", Pgp),
    // Statistics, columns, arrays.
    (0, b"PAR1", Parquet),
    (0, b"ARROW1\0\0", Arrow),
    (0, b"FEA1", Arrow),
    (0, b"Obj\x01", Avro),
    (0, b"ORC", Orc),
    (0, b"$FL2", Sav),
    (0, b"$FL3", Sav),
    (0, b"<stata_dta>", Dta),
    (0, b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!", Xpt),
    (0, b"HEADER RECORD*******LIBV8", Xpt),
    (0, SAS7BDAT, Sas7bdat),
    (0, b"RDX2\n", Rdata),
    (0, b"RDX3\n", Rdata),
    (0, b"RDA3\n", Rdata),
    (0, b"\x89HDF\r\n\x1a\n", Hdf5),
    (512, b"\x89HDF\r\n\x1a\n", Hdf5),
    (0, b"MATLAB 5.0 MAT-file", Mat),
    (0, b"\x93NUMPY", Npy),
    (0, b"SQLite format 3\0", Sqlite),
    // Health.
    (128, b"DICM", Dicom),
    (344, b"n+1\0", Nifti),
    (344, b"ni1\0", Nifti),
    (4, b"n+2\0\r\n\x1a\n", Nifti),
    (0, b"0       ", Edf),
    (0, b"\xffBIOSEMI", Edf),
    // Documents.
    (0, b"%PDF-", Pdf),
    (0, b"{\\rtf", Rtf),
    // Pictures, sound, video.
    (0, b"\x89PNG\r\n\x1a\n", Png),
    (0, b"\xff\xd8\xff", Jpeg),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Jp2),
    (0, b"\xff\x4f\xff\x51", Jp2),
    (0, b"II*\0", Tiff),
    (0, b"MM\0*", Tiff),
    (0, b"II+\0\x08\0\0\0", Tiff),
    (0, b"MM\0+\0\x08\0\0", Tiff),
    (0, b"GIF87a", Gif),
    (0, b"GIF89a", Gif),
    (0, b"ID3", Mp3),
    (4, b"ftyp", Mp4),
    // Genomics.
    (0, b"CRAM", Cram),
    (0, b"BAI\x01", GenomicIndex),
    (0, b"CSI\x01", GenomicIndex),
    (0, b"TBI\x01", GenomicIndex),
    (0, b"BAM\x01", Bam),
    (0, b"BCF\x02", Bcf),
    // Archives.
    (0, b"7z\xbc\xaf\x27\x1c", SevenZip),
    (0, b"Rar!\x1a\x07", Rar),
    (257, b"ustar\0", Tar),
    (257, b"ustar  \0", Tar),
    (0, b"\xfd7zXZ\0", Xz),
    (0, b"\x28\xb5\x2f\xfd", Zstd),
    (0, b"\x04\x22\x4d\x18", Lz4),
    (0, b"MSCF\0\0\0\0", Cab),
    (32769, b"CD001", Iso),
];

const SAS7BDAT: &[u8] = &[
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc2, 0xea, 0x81, 0x60, 0xb3, 0x14, 0x11, 0xcf, 0xbd, 0x92, 0x08, 0, 0x09,
    0xc7, 0x31, 0x8c, 0x18, 0x1f, 0x10, 0x11,
];

/// Bytes of a DICOM file's preamble, before its own mark.
const PREAMBLE: usize = 128;

/// Tells a file's type by fixed bytes; `head` is its beginning.
pub fn identify(head: &[u8], size: u64) -> Option<Identified> {
    let found = programs(head).or_else(|| structured(head, size));
    let found = found.or_else(|| MAGIC.iter().find(|(offset, bytes, _)| at(head, *offset, bytes)).map(|found| found.2));
    let mut identified = Identified::one(found?);
    if at(head, PREAMBLE, b"DICM") && (found != Some(Dicom) || dicom::hides(&head[..PREAMBLE])) {
        identified.add(Class::Polyglot, "a DICOM file whose preamble holds the beginning of another format");
    }
    // A picture whose first bytes are a script's beginning: `GIF89a=1;` or `GIF89a/*`.
    if found == Some(Gif) && head.get(6).is_some_and(|byte| b"=/*;".contains(byte)) {
        identified.add(Class::Polyglot, "a picture that is a script as well");
    }
    Some(identified)
}

fn at(head: &[u8], offset: usize, bytes: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
}

fn u16_le(head: &[u8], offset: usize) -> Option<u16> {
    head.get(offset..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_le(head: &[u8], offset: usize) -> Option<u32> {
    head.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u32_be(head: &[u8], offset: usize) -> Option<u32> {
    head.get(offset..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Programs whose mark alone is too short to tell them. A DICOM file's preamble may begin with any of them: then it is
/// a program as well.
fn programs(head: &[u8]) -> Option<FileType> {
    if head.starts_with(b"\xca\xfe\xba\xbe") {
        // A Java class has its version here (45 and more), a universal binary the number of its architectures.
        return Some(if u32_be(head, 4)? & 0xffff >= 45 { Java } else { MachO });
    }
    if head.starts_with(b"MZ") {
        let pe = u32_le(head, 0x3c).map(|offset| offset as usize);
        let marked = pe.is_some_and(|pe| [&b"PE\0\0"[..], b"NE", b"LE", b"LX"].iter().any(|mark| at(head, pe, mark)));
        // A DOS program: the size of its last page, and its pages, must be possible ones.
        let dos = u16_le(head, 2).is_some_and(|last| last < 512) && u16_le(head, 4).is_some_and(|pages| pages > 0);
        let text = head.len() < 64 || head[..64].iter().all(u8::is_ascii_graphic);
        return (marked || (dos && !text)).then_some(Pe);
    }
    let pickle = head.len() >= 2 && head[0] == 0x80 && (2..=5).contains(&head[1]);
    // A pickle's first operation after its version: a frame, or one that makes a value.
    if pickle && head.get(2).is_some_and(|operation| b"\x95}](c\x8cXKJG\x85N)".contains(operation)) {
        return Some(Pickle);
    }
    None
}

/// Types told by several values at their start.
fn structured(head: &[u8], size: u64) -> Option<FileType> {
    if head.starts_with(b"\x1f\x8b\x08") {
        return Some(gzip(head));
    }
    if head.starts_with(b"BZh") && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level)) {
        return (at(head, 4, b"1AY&SY") || at(head, 4, b"\x17\x72\x45\x38\x50\x90")).then_some(Bzip2);
    }
    if head.starts_with(b"BM") && u32_le(head, 2) == u32::try_from(size).ok() {
        return Some(Bmp);
    }
    if head.starts_with(b"RIFF") {
        return [(&b"WAVE"[..], Wav), (b"WEBP", Webp)].into_iter().find(|(mark, _)| at(head, 8, mark)).map(|(_, t)| t);
    }
    if stata_before_117(head) {
        return Some(Dta);
    }
    if pgp_packet(head) {
        return Some(Pgp);
    }
    old_tar(head)
}

/// A BGZF block is a gzip member with an extra field `BC`, from which programs for genomics seek.
fn gzip(head: &[u8]) -> FileType {
    let block = head.get(3).is_some_and(|flags| flags & 4 != 0) && at(head, 12, b"BC\x02\0");
    if !block {
        return Gzip;
    }
    match first_unpacked(head.get(18..).unwrap_or_default()) {
        Some([b'B', b'A', b'M', 1]) => Bam,
        Some([b'B', b'C', b'F', 2]) => Bcf,
        Some([b'C', b'S', b'I', 1] | [b'T', b'B', b'I', 1]) => GenomicIndex,
        _ => Bgzf,
    }
}

/// The first bytes of deflated data.
fn first_unpacked(data: &[u8]) -> Option<[u8; 4]> {
    let mut out = [0; 4];
    let mut inflate = flate2::Decompress::new(false);
    // It may complain that there is more; what came out counts.
    let _more = inflate.decompress(data, &mut out, flate2::FlushDecompress::None);
    (inflate.total_out() == 4).then_some(out)
}

/// Stata's formats 102 to 115: version, byte order, file type 1, and a variable count.
fn stata_before_117(head: &[u8]) -> bool {
    matches!(head, [102..=115, 1 | 2, 1, 0, ..])
}

/// An encrypted OpenPGP message begins with a packet for a public key (1) or a passphrase (3).
fn pgp_packet(head: &[u8]) -> bool {
    match head {
        // Version 3, and a key of RSA or ElGamal, or of an elliptic curve.
        [0x84 | 0x85, _, _, 3, rest @ ..] | [0xc1, _, _, 3, rest @ ..] => {
            rest.get(8).is_some_and(|algorithm| matches!(algorithm, 1 | 2 | 16 | 18 | 25 | 26))
        }
        [0x84 | 0xc1, _, 3, rest @ ..] => rest.get(8).is_some_and(|algorithm| matches!(algorithm, 18 | 25 | 26)),
        // Version 4, a known cipher, and a salted and iterated passphrase.
        [0x8c | 0xc3, length, 4, cipher, 3, ..] => *length >= 13 && (1..=13).contains(cipher),
        _ => false,
    }
}

/// A tar archive from before its mark was invented: the first header's checksum must agree.
fn old_tar(head: &[u8]) -> Option<FileType> {
    let header = head.get(..512)?;
    let text = std::str::from_utf8(&header[148..156]).ok()?;
    let stated = u32::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()?;
    let field = |place: &usize| (148..156).contains(place);
    let sum: u32 =
        header.iter().enumerate().map(|(place, byte)| if field(&place) { 32 } else { u32::from(*byte) }).sum();
    (stated == sum && header[0] != 0).then_some(Tar)
}
