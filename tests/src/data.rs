//! Data to send.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Bytes that no compression makes smaller, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A CSV of about `length` bytes, the same for the same seed.
pub fn csv(seed: u64, length: usize) -> Vec<u8> {
    let mut text = String::from("subject,visit,analyte,value\n");
    let mut row = seed;
    while text.len() < length {
        row += 1;
        text.push_str(&format!("S{:06},{},hb,{}.{}\n", row % 1_000_000, row % 7, 10 + row % 8, row % 10));
    }
    text.into_bytes()
}

/// The string that every scanner takes for malware (EICAR), put together so that it stands in no file of ours.
pub fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS", "-TEST-FILE!$H+H*"].concat().into_bytes()
}

/// Every file below `folder` with its bytes and whether it is executable, and every empty folder (`None`), by relative path.
pub fn tree(folder: &Path) -> BTreeMap<String, Option<(Vec<u8>, bool)>> {
    let mut found = BTreeMap::new();
    collect(folder, "", &mut found);
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Option<(Vec<u8>, bool)>>) {
    let mut empty = true;
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        empty = false;
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if entry.file_type().expect("the type is known").is_dir() {
            collect(&entry.path(), &path, found);
        } else {
            let executable = entry.metadata().expect("it is there").permissions().mode() & 0o100 != 0;
            found.insert(path, Some((fs::read(entry.path()).expect("it can be read"), executable)));
        }
    }
    if empty && !prefix.is_empty() {
        found.insert(prefix.to_owned(), None);
    }
}
