//! Images as a scanner makes them: small DICOM files, and what lies in them.

use crate::data;
use std::fs;
use std::path::{Path, PathBuf};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// Writes `count` images of one study, in series of 100, into `folder`; `pixels` bytes of noise in each.
pub fn study(folder: &Path, study: &str, count: usize, pixels: usize) -> Vec<PathBuf> {
    fs::create_dir_all(folder).expect("a folder of images");
    let image = |number: usize| {
        let path = folder.join(format!("{number:05}.dcm"));
        let series = format!("{study}.{}", number / 100 + 1);
        let instance = format!("{series}.{}", number + 1);
        fs::write(&path, file(study, &series, &instance, &data::noise(number as u64, pixels))).expect("an image");
        path
    };
    (0..count).map(image).collect()
}

/// One image as a DICOM file.
pub fn file(study: &str, series: &str, instance: &str, pixels: &[u8]) -> Vec<u8> {
    let mut meta = Vec::new();
    meta.extend([2, 0, 1, 0, b'O', b'B', 0, 0, 2, 0, 0, 0, 0, 1]);
    short(&mut meta, 0x0002_0002, b"UI", &uid(CT));
    short(&mut meta, 0x0002_0003, b"UI", &uid(instance));
    short(&mut meta, 0x0002_0010, b"UI", &uid(EXPLICIT));
    short(&mut meta, 0x0002_0012, b"UI", &uid("1.2.3.4"));
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    let length = u32::try_from(meta.len()).expect("a short header").to_le_bytes();
    short(&mut file, 0x0002_0000, b"UL", &length);
    file.extend(meta);
    for (tag, kind, value) in [
        (0x0008_0016, b"UI", uid(CT)),
        (0x0008_0018, b"UI", uid(instance)),
        (0x0008_0060, b"CS", b"CT".to_vec()),
        (0x0010_0010, b"PN", b"P^017 ".to_vec()),
        (0x0010_0020, b"LO", b"P-0017".to_vec()),
        (0x0020_000d, b"UI", uid(study)),
        (0x0020_000e, b"UI", uid(series)),
        (0x0028_0002, b"US", vec![1, 0]),
        (0x0028_0004, b"CS", b"MONOCHROME2 ".to_vec()),
        (0x0028_0010, b"US", vec![1, 0]),
        (0x0028_0011, b"US", u16::try_from(pixels.len() / 2).unwrap_or(u16::MAX).to_le_bytes().to_vec()),
        (0x0028_0100, b"US", vec![16, 0]),
        (0x0028_0101, b"US", vec![16, 0]),
        (0x0028_0102, b"US", vec![15, 0]),
        (0x0028_0103, b"US", vec![0, 0]),
    ] {
        short(&mut file, tag, kind, &value);
    }
    file.extend([0xe0, 0x7f, 0x10, 0, b'O', b'W', 0, 0]);
    file.extend(u32::try_from(pixels.len()).expect("a small image").to_le_bytes());
    file.extend(pixels);
    file
}

/// The data set of a DICOM file: what lies behind its header, which the network does not carry.
pub fn data_set(file: &[u8]) -> &[u8] {
    assert_eq!(&file[128..132], b"DICM");
    let length = u32::from_le_bytes(*file[140..].first_chunk().expect("a header's length"));
    &file[144 + length as usize..]
}

/// The transfer syntax that a DICOM file's header names.
pub fn syntax(file: &[u8]) -> String {
    let mark = [2, 0, 0x10, 0, b'U', b'I'];
    let at = file.windows(6).position(|bytes| bytes == mark).expect("a transfer syntax");
    let length = usize::from(u16::from_le_bytes([file[at + 6], file[at + 7]]));
    let value = String::from_utf8_lossy(&file[at + 8..][..length]).into_owned();
    value.trim_end_matches('\0').to_owned()
}

fn uid(text: &str) -> Vec<u8> {
    let mut value = text.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    value
}

fn short(to: &mut Vec<u8>, tag: u32, kind: &[u8; 2], value: &[u8]) {
    to.extend(((tag >> 16) as u16).to_le_bytes());
    to.extend((tag as u16).to_le_bytes());
    to.extend(kind);
    to.extend(u16::try_from(value.len()).expect("a short value").to_le_bytes());
    to.extend(value);
}
