//! The head of a DICOM file (PS3.10 section 7.1): what a data set from the network needs in front to be one.

use super::negotiation::{Agreed, Context, IMPLEMENTATION_NAME, IMPLEMENTATION_UID};

/// Preamble, mark and file meta information of an image. The data set's bytes follow it as they came.
pub fn head(agreed: &Agreed, context: &Context, instance: &str) -> Vec<u8> {
    let mut meta = Vec::new();
    long(&mut meta, 0x0001, *b"OB", &[0, 1]);
    short(&mut meta, 0x0002, *b"UI", context.class.as_bytes(), 0);
    short(&mut meta, 0x0003, *b"UI", instance.as_bytes(), 0);
    short(&mut meta, 0x0010, *b"UI", context.syntax.as_bytes(), 0);
    short(&mut meta, 0x0012, *b"UI", IMPLEMENTATION_UID.as_bytes(), 0);
    short(&mut meta, 0x0013, *b"SH", IMPLEMENTATION_NAME.as_bytes(), b' ');
    short(&mut meta, 0x0016, *b"AE", agreed.calling.as_bytes(), b' ');
    let mut head = vec![0; 128];
    head.extend(b"DICM");
    // Its values have at most 64 bytes each.
    let length = u32::try_from(meta.len()).unwrap_or(u32::MAX);
    short(&mut head, 0x0000, *b"UL", &length.to_le_bytes(), 0);
    head.extend(meta);
    head
}

/// An element of group 2 in explicit little endian, its value padded to an even length.
fn short(to: &mut Vec<u8>, element: u16, representation: [u8; 2], value: &[u8], pad: u8) {
    let odd = value.len() % 2;
    to.extend([2, 0]);
    to.extend(element.to_le_bytes());
    to.extend(representation);
    to.extend(u16::try_from(value.len() + odd).unwrap_or(u16::MAX).to_le_bytes());
    to.extend(value);
    to.extend(std::iter::repeat_n(pad, odd));
}

/// The same of a representation with a long length.
fn long(to: &mut Vec<u8>, element: u16, representation: [u8; 2], value: &[u8]) {
    to.extend([2, 0]);
    to.extend(element.to_le_bytes());
    to.extend(representation);
    to.extend([0, 0]);
    to.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend(value);
}
