//! Updates as a site makes them on the outside: with `tar` and `ssh-keygen`, and nothing of ours.

use crate::command::program;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Who makes updates: a folder with a key.
#[derive(Debug)]
pub struct Maker {
    folder: PathBuf,
}

impl Maker {
    /// One with a key of its own, in a new folder.
    pub fn new(folder: PathBuf) -> Self {
        fs::create_dir(&folder).expect("a new folder");
        program("ssh-keygen", &[&"-q", &"-t", &"ed25519", &"-N", &"", &"-C", &"updates", &"-f", &"key"], &folder, b"")
            .expect(0);
        Self { folder }
    }

    /// The public key as it stands in `[updates] keys`.
    pub fn key(&self) -> String {
        fs::read_to_string(self.folder.join("key.pub")).expect("it was made").trim().to_owned()
    }

    /// A signed bundle of a kind.
    pub fn bundle(&self, name: &str, kind: &str, number: u64, files: &[(&str, &[u8])]) -> PathBuf {
        let head = format!("sluse = \"update/1\"\nkind = \"{kind}\"\nnumber = {number}\n");
        let all: Vec<(&str, &[u8])> =
            std::iter::once(("update.toml", head.as_bytes())).chain(files.iter().copied()).collect();
        self.archive(name, &all)
    }

    /// A signed archive of files in this order, whatever they are.
    pub fn archive(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let work = self.folder.join(format!("{name}.d"));
        fs::create_dir(&work).expect("a bundle's name is new");
        for (file, content) in files {
            fs::write(work.join(file), content).expect("a file of the bundle");
        }
        let bundle = self.folder.join(name);
        let names = files.iter().map(|(file, _)| file as &dyn AsRef<OsStr>);
        let words: Vec<&dyn AsRef<OsStr>> = [&"-cf" as &dyn AsRef<OsStr>, &bundle].into_iter().chain(names).collect();
        program("tar", &words, &work, b"").expect(0);
        self.sign(&bundle, "sluse-update");
        bundle
    }

    /// Signs a file anew for a purpose.
    pub fn sign(&self, file: &Path, namespace: &str) {
        // What is there is not written over.
        let _ = fs::remove_file(signature_of(file));
        let words: [&dyn AsRef<OsStr>; 7] = [&"-Y", &"sign", &"-n", &namespace, &"-f", &"key", &file];
        program("ssh-keygen", &words, &self.folder, b"").expect(0);
    }
}

/// Where the signature of a file lies.
pub fn signature_of(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}
