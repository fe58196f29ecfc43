//! Archives that other programs made. Needs python3, zip, 7zip, tar, gzip, xz, zstd and bzip2.

use super::*;
use std::path::Path;
use std::process::Command;

/// A table that packs well, and does not fit into one piece.
pub fn table() -> Vec<u8> {
    (0..20_000).flat_map(|row| format!("{row};{};{}\n", row * 7 % 1013, row % 17).into_bytes()).collect()
}

/// Runs a program that the test needs, and fails when it fails or is missing.
pub fn run(folder: &Path, command: &[&str]) -> Vec<u8> {
    let done = Command::new(command[0]).args(&command[1..]).current_dir(folder).output();
    let done = done.unwrap_or_else(|error| panic!("{} is needed: {error}", command[0]));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), table()).unwrap();
    std::fs::write(folder.path().join("virus.com"), eicar()).unwrap();
    folder
}

#[test]
fn what_compressors_make_is_shown() {
    let folder = folder();
    let commands: [(&str, &[&str]); 9] = [
        ("a.csv.gz", &["gzip", "-c", "a.csv"]),
        ("a.csv.xz", &["xz", "-c", "a.csv"]),
        ("a.csv.xz", &["xz", "-c", "-9", "-C", "sha256", "--block-size=100000", "a.csv"]),
        ("a.csv.zst", &["zstd", "-c", "-q", "a.csv"]),
        ("a.csv.zst", &["zstd", "-c", "-q", "--ultra", "-22", "a.csv"]),
        ("a.csv.zst", &["zstd", "-c", "-q", "--long=27", "a.csv"]),
        ("a.csv.bz2", &["bzip2", "-c", "a.csv"]),
        ("a.csv.bz2", &["bzip2", "-c", "-1", "a.csv"]),
        ("a.csv.gz", &["gzip", "-c", "-1", "-n", "a.csv"]),
    ];
    for (name, command) in commands {
        let packed = run(folder.path(), command);
        let seen = walk(name, &packed);
        assert_eq!(seen.notices, [], "{command:?}");
        assert_eq!(seen.member(&format!("{name}!a.csv")).bytes, table(), "{command:?}");
        // Two, one behind the other, are one file; anything else behind it is not.
        let two = walk(name, &[&packed[..], &packed].concat());
        assert_eq!(two.notices, [], "{command:?}");
        assert_eq!(two.member(&format!("{name}!a.csv")).bytes, [table(), table()].concat());
        let behind = walk(name, &[&packed[..], &eicar()].concat());
        assert!(behind.shows(&eicar()));
        assert_eq!(behind.classes(), [Class::BrokenArchive], "{command:?}");
        // Cut off anywhere, and damaged in the middle.
        for length in [packed.len() / 2, packed.len() - 1] {
            assert_eq!(walk(name, &packed[..length]).classes(), [Class::BrokenArchive], "{command:?} {length}");
        }
        let mut damaged = packed.clone();
        for byte in &mut damaged[packed.len() / 2..packed.len() / 2 + 20] {
            *byte ^= 0x5a;
        }
        assert_eq!(walk(name, &damaged).classes(), [Class::BrokenArchive], "{command:?}");
    }
}

#[test]
fn a_dictionary_larger_than_allowed_is_not_inspected() {
    let folder = folder();
    let small = Limits { dictionary: 1 << 20, ..Limits::default() };
    // zstd makes a window no larger than a file whose size it knows.
    let packed = run(folder.path(), &["sh", "-c", "cat a.csv | zstd -c -q --long=25"]);
    let (seen, _) = walk_in("a.zst", &packed, 1000, small.clone());
    assert_eq!(seen.classes(), [Class::NotInspected]);
    let packed = run(folder.path(), &["xz", "-c", "-9", "a.csv"]);
    let (seen, _) = walk_in("a.xz", &packed, 1000, small);
    assert_eq!(seen.classes(), [Class::NotInspected]);
}

#[test]
fn what_zip_programs_make_is_shown() {
    let folder = folder();
    let at = folder.path();
    std::fs::create_dir(at.join("sub")).unwrap();
    std::fs::copy(at.join("a.csv"), at.join("sub/b.csv")).unwrap();
    let pipe =
        "cat a.csv | zip -q - - | cat > pipe.zip && cp a.csv - && printf '@ -\\n@=a.csv\\n' | zipnote -w pipe.zip";
    run(at, &["sh", "-c", &format!("({pipe}) || true; test -s pipe.zip")]);
    run(at, &["zip", "-q", "-r", "z.zip", "a.csv", "virus.com", "sub"]);
    run(at, &["sh", "-c", "zip -q -fz - a.csv virus.com > stream.zip"]);
    run(at, &["zip", "-q", "-0", "stored.zip", "a.csv", "virus.com"]);
    let mut made = vec!["z.zip".to_owned(), "stream.zip".into(), "stored.zip".into()];
    for method in ["Deflate", "Deflate64", "BZip2", "LZMA"] {
        let name = format!("{method}.zip");
        run(at, &["7zz", "a", "-bd", "-tzip", &format!("-mm={method}"), &name, "a.csv", "virus.com"]);
        made.push(name);
    }
    for name in made {
        let seen = walk(&name, &std::fs::read(at.join(&name)).unwrap());
        assert_eq!(seen.notices, [], "{name}");
        assert_eq!(seen.member(&format!("{name}!a.csv")).bytes, table(), "{name}");
        assert_eq!(seen.member(&format!("{name}!virus.com")).bytes, eicar(), "{name}");
    }
}

const PYTHON: &str = r#"
import zipfile, tarfile, io, sys
methods = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2,
           "lzma": zipfile.ZIP_LZMA}
class Pipe(io.RawIOBase):
    def __init__(self, path): self.file = open(path, "wb")
    def writable(self): return True
    def write(self, data): return self.file.write(bytes(data))
for name, method in methods.items():
    for way in ("seek", "pipe", "zip64"):
        target = f"{name}-{way}.zip"
        with zipfile.ZipFile(Pipe(target) if way == "pipe" else target, "w", method) as archive:
            for member in ("a.csv", "virus.com"):
                with archive.open(member, "w", force_zip64=way == "zip64") as out:
                    out.write(open(member, "rb").read())
for name, form in {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}.items():
    with tarfile.open(f"{name}.tar", "w", format=form) as archive:
        for member in ("a.csv", "virus.com"):
            archive.add(member)
        long = "folder/" * 12 + "x" * 90 if name == "ustar" else "folder/" * 40 + "bl\u00e5b\u00e6r.csv"
        archive.add("a.csv", long)
"#;

#[test]
fn what_python_makes_is_shown() {
    let folder = folder();
    let at = folder.path();
    run(at, &["python3", "-c", PYTHON]);
    let mut count = 0;
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".zip") || name.ends_with(".tar") {
            let seen = walk(&name, &std::fs::read(&path).unwrap());
            assert_eq!(seen.notices, [], "{name}");
            assert_eq!(seen.member(&format!("{name}!a.csv")).bytes, table(), "{name}");
            assert_eq!(seen.member(&format!("{name}!virus.com")).bytes, eicar(), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 15);
}

#[test]
fn sparse_files_of_gnu_tar_are_not_inspected() {
    let folder = folder();
    let at = folder.path();
    run(at, &["truncate", "-s", "10M", "a.csv"]);
    for form in ["gnu", "pax"] {
        run(at, &["tar", "-S", &format!("--format={form}"), "-cf", "x.tar", "a.csv"]);
        let seen = walk("x.tar", &std::fs::read(at.join("x.tar")).unwrap());
        assert_eq!(seen.classes(), [Class::NotInspected], "{form}");
    }
}
