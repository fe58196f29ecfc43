//! Which of a dataset's versions is the current one: a file beside them, `current`, whose one line is the name of its bag.
//!
//! A file and no link: `deliver` may make no links in rooms, and what is in rooms is read from other systems too.

use super::place::Place;
use nix::errno::Errno;
use sluse_protocol::ids::TransferId;
use std::io::{self, Read as _, Write as _};

/// Its name. No transfer is called so.
const CURRENT: &str = "current";

/// Under which it is written.
const TEMPORARY: &str = ".current.new";

/// Bytes of what is read of it: a name and more than that.
const MOST: u64 = 100;

/// Has `current` name a version, in one step and durably, unless it names one that was offered later: deliveries may come in another order.
///
/// # Errors
/// When the disk fails, or something else has the name.
pub fn switch(dataset: &Place, version: &TransferId) -> io::Result<()> {
    if current(dataset)?.is_some_and(|current| current >= *version) {
        return Ok(());
    }
    dataset.remove_tree(TEMPORARY)?;
    let mut file = dataset.create(TEMPORARY, 0o644)?;
    file.write_all(format!("{version}\n").as_bytes())?;
    file.sync_all()?;
    dataset.replace(TEMPORARY, CURRENT)?;
    dataset.sync()
}

/// The version that it names, if it is there and names one. Others may write in rooms: what is no file, a link or no text names none.
///
/// # Errors
/// When it cannot be read.
pub fn current(dataset: &Place) -> io::Result<Option<TransferId>> {
    let mut text = String::new();
    match dataset.file(CURRENT).and_then(|file| file.take(MOST).read_to_string(&mut text)) {
        Ok(_) => Ok(text.trim_end().parse().ok()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn current_names_the_version_that_was_offered_last_whichever_was_delivered_last() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::root(folder.path()).unwrap();
        let id = |text: &str| text.parse::<TransferId>().unwrap();
        let current = || fs::read_to_string(folder.path().join("current")).unwrap();
        let (first, second) = ("20261122-101500-7f3k9a2m", "20261122-101501-7f3k9a2m");
        for (version, expected) in [(first, first), (second, second), (first, second), (second, second)] {
            switch(&place, &id(version)).unwrap();
            assert_eq!(current(), format!("{expected}\n"));
        }
        fs::write(folder.path().join("current"), [0xff, 0xfe]).unwrap();
        fs::write(folder.path().join(".current.new"), "left by a crash").unwrap();
        switch(&place, &id(first)).unwrap();
        assert_eq!(current(), format!("{first}\n"));
        // What somebody who may write in the room put there is replaced, and what it leads to is not touched.
        let outside = folder.path().join("outside");
        fs::write(&outside, "20991231-235959-7f3k9a2m\n").unwrap();
        fs::remove_file(folder.path().join("current")).unwrap();
        std::os::unix::fs::symlink(&outside, folder.path().join("current")).unwrap();
        switch(&place, &id(second)).unwrap();
        assert_eq!(current(), format!("{second}\n"));
        assert_eq!(fs::read_to_string(&outside).unwrap(), "20991231-235959-7f3k9a2m\n");
        fs::remove_file(&outside).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
