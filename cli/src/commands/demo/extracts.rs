//! Three small synthetic extracts: laboratory results, FHIR resources, and a DICOM study with a test virus in it.

use crate::failure::Failure;
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// A file's name and bytes.
type Content = (&'static str, Vec<u8>);

/// Writes the extracts into `folder`; each with the name of the source that sends it.
///
/// # Errors
/// When they cannot be written.
pub fn write(folder: &Path) -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let extracts: [(&str, &str, Vec<Content>); 3] = [
        (
            "demo-epic",
            "lab-results",
            vec![("lab-results.csv", include_bytes!("../../../fixtures/lab-results.csv").into())],
        ),
        (
            "demo-epic",
            "fhir-export",
            vec![
                ("Patient.000.ndjson", include_bytes!("../../../fixtures/Patient.000.ndjson").into()),
                ("Observation.000.ndjson", include_bytes!("../../../fixtures/Observation.000.ndjson").into()),
            ],
        ),
        ("demo-pacs", "ct-study", vec![("IM000001.dcm", dicom()), ("viewer-readme.txt", test_virus())]),
    ];
    let mut written = Vec::new();
    for (source, name, files) in extracts {
        let place = folder.join(name);
        std::fs::create_dir_all(&place).map_err(|error| Failure::file(Exit::Fault, "make", &place, &error))?;
        for (file, bytes) in files {
            let path = place.join(file);
            std::fs::write(&path, bytes).map_err(|error| Failure::file(Exit::Fault, "write", &path, &error))?;
        }
        written.push((source, place));
    }
    Ok(written)
}

/// The EICAR test file, which every scanner takes for malware and which does nothing. Put together here, so that it
/// stands neither in the source nor in the program.
pub fn test_virus() -> Vec<u8> {
    let turned: Vec<u8> = "*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X".into();
    turned.into_iter().rev().collect()
}

/// A small DICOM Part 10 file (PS3.10): 16 by 16 pixels of a gradient, explicit VR little endian, de-identified.
fn dicom() -> Vec<u8> {
    const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
    const INSTANCE: &str = "2.25.329800735698586629295641978511506172918";
    let mut meta = Vec::new();
    element(&mut meta, (2, 1), "OB", &[0, 1]);
    element(&mut meta, (2, 2), "UI", CT_IMAGE_STORAGE.as_bytes());
    element(&mut meta, (2, 3), "UI", INSTANCE.as_bytes());
    element(&mut meta, (2, 0x10), "UI", b"1.2.840.10008.1.2.1");
    element(&mut meta, (2, 0x12), "UI", b"2.25.1");
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM");
    element(&mut file, (2, 0), "UL", &(meta.len() as u32).to_le_bytes());
    file.extend_from_slice(&meta);
    let texts: [((u16, u16), &str, &str); 9] = [
        ((8, 0x16), "UI", CT_IMAGE_STORAGE),
        ((8, 0x18), "UI", INSTANCE),
        ((8, 0x60), "CS", "CT"),
        ((0x10, 0x10), "PN", "S0001"),
        ((0x10, 0x20), "LO", "S0001"),
        ((0x12, 0x62), "CS", "YES"),
        ((0x20, 0xd), "UI", "2.25.2"),
        ((0x20, 0xe), "UI", "2.25.3"),
        ((0x28, 4), "CS", "MONOCHROME2"),
    ];
    for (tag, vr, text) in texts {
        element(&mut file, tag, vr, text.as_bytes());
    }
    for (number, value) in [(0x10, 16u16), (0x11, 16), (0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)] {
        element(&mut file, (0x28, number), "US", &value.to_le_bytes());
    }
    element(&mut file, (0x7fe0, 0x10), "OB", &(0..=255).collect::<Vec<u8>>());
    file
}

/// Appends one element; values are padded to even length as PS3.5 has it.
fn element(file: &mut Vec<u8>, (group, number): (u16, u16), vr: &str, value: &[u8]) {
    let odd = value.len() % 2;
    let length = value.len() + odd;
    file.extend_from_slice(&group.to_le_bytes());
    file.extend_from_slice(&number.to_le_bytes());
    file.extend_from_slice(vr.as_bytes());
    if vr == "OB" {
        file.extend_from_slice(&[0, 0]);
        file.extend_from_slice(&(length as u32).to_le_bytes());
    } else {
        file.extend_from_slice(&(length as u16).to_le_bytes());
    }
    file.extend_from_slice(value);
    file.resize(file.len() + odd, if vr == "UI" || vr == "OB" { 0 } else { b' ' });
}
