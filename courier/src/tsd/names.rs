//! Where things stand in a project's import, as the server's addresses have it, and the names that it would not keep. Pure.
//!
//! A request that stores has folders as they are called there; one that looks or removes is decoded whole. So a folder whose name must be
//! encoded stands there under its encoded name, and none but those above the bag may be such ([`sluse_protocol::tsd_names`]).

use crate::http::encode;
use crate::target::{Told, Trouble};
use sluse_protocol::path::DataPath;
use sluse_protocol::tsd_names::{self, STREAM};

/// Bytes of the longest name of a folder.
const LONGEST_FOLDER: usize = 255;

/// A project's import, as one group has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The project, `p11`.
    pub project: String,
    /// The group whose members may read, `p11-member-group`.
    pub group: String,
}

/// A folder in an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    import: Import,
    /// From the group on, as it is called there.
    path: String,
}

/// A file in an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    folder: Folder,
    name: String,
}

impl Import {
    /// The folder that is reached through `above`; each of its names is encoded where it must be.
    ///
    /// # Errors
    /// When one is longer than a file system takes.
    pub fn folder(&self, above: &str) -> Told<Folder> {
        let mut path = self.group.clone();
        for name in above.split('/').filter(|name| !name.is_empty()) {
            let name = encode(name, false);
            if name == STREAM {
                return Err(Trouble::new(
                    "TSD keeps nothing below a folder that is called \"stream\", as the dataset's is",
                ));
            }
            if name.len() > LONGEST_FOLDER {
                return Err(Trouble::new(
                    "the dataset's name is too long for TSD, where its folder has it percent-encoded",
                ));
            }
            path.push('/');
            path.push_str(&name);
        }
        Ok(Folder { import: self.clone(), path })
    }

    /// The address of something below the project's files.
    pub fn address(&self, below: &str) -> String {
        format!("/v1/{}/files/{below}", self.project)
    }
}

impl Folder {
    /// The folder beside this one whose name has that end.
    pub fn beside(&self, end: &str) -> Self {
        Self { import: self.import.clone(), path: format!("{}{end}", self.path) }
    }

    /// A file below it.
    ///
    /// # Errors
    /// When the server would keep it under another name, or not at all.
    pub fn file(&self, path: &DataPath) -> Told<File> {
        let unkept = |why: &dyn std::fmt::Display| {
            Trouble::new(format!("TSD does not keep the name of a file or folder: {why}"))
        };
        tsd_names::check(path).map_err(|why| unkept(&why))?;
        let mut folder = self.clone();
        let name = match path.as_str().rsplit_once('/') {
            Some((folders, name)) => {
                folder.path = format!("{}/{folders}", folder.path);
                name
            }
            None => path.as_str(),
        };
        if name == self.import.group {
            return Err(unkept(&"a file is called as the group is"));
        }
        Ok(File { folder, name: name.to_owned() })
    }

    /// Its address for looking and removing.
    pub fn looks(&self) -> String {
        let below = format!("{STREAM}/{}?group={}", encode(&self.path, true), self.import.group);
        self.import.address(&below)
    }

    /// What the server calls the folder of a file that it has in part: without the group, wherever that stands.
    pub fn key(&self) -> String {
        self.path.replace(&self.import.group, "").chars().skip(1).collect()
    }
}

impl File {
    /// Its name, without folders.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// See [`Folder::key`].
    pub fn key(&self) -> String {
        self.folder.key()
    }

    /// Its address for looking and removing.
    pub fn looks(&self) -> String {
        self.folder.beside(&format!("/{}", self.name)).looks()
    }

    /// Its address for storing, with `query` besides.
    pub fn stores(&self, query: &str) -> String {
        let Folder { import, path } = &self.folder;
        import.address(&format!("{STREAM}/{path}/{}?group={}{query}", encode(&self.name, false), import.group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import() -> Import {
        Import { project: "p11".into(), group: "p11-member-group".into() }
    }

    fn file(path: &str) -> Told<File> {
        import().folder("sluse/blodprøver/T")?.file(&path.parse().unwrap())
    }

    #[test]
    fn a_file_is_stored_under_folders_as_they_are_called_there_and_looked_for_decoded_whole() {
        let file = file("data/år=2026 a.csv").unwrap();
        let folder = "p11-member-group/sluse/blodpr%C3%B8ver/T/data";
        assert_eq!(
            file.stores("&chunk=1"),
            format!("/v1/p11/files/stream/{folder}/%C3%A5r%3D2026%20a.csv?group=p11-member-group&chunk=1")
        );
        let decoded_once = folder.replace('%', "%25");
        assert_eq!(
            file.looks(),
            format!("/v1/p11/files/stream/{decoded_once}/%C3%A5r%3D2026%20a.csv?group=p11-member-group")
        );
        assert_eq!(file.key(), "sluse/blodpr%C3%B8ver/T/data");
        let bag = import().folder("sluse/lab/T").unwrap();
        assert_eq!(bag.beside(".receipts").key(), "sluse/lab/T.receipts");
    }

    #[test]
    fn names_that_the_server_would_not_keep_are_refused() {
        for path in ["data/two words/a", "data/p11-member-group"] {
            assert!(file(path).is_err(), "{path}");
        }
        assert!(import().folder(&"ø".repeat(50)).is_err() && import().folder("stream/T").is_err());
    }
}
