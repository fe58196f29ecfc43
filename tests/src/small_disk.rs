//! A small file system, to fill it up. Needs root.

use crate::zone::Zone;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

/// A small file system where the quarantine is, unmounted at the end.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts `bytes` of tmpfs in the place of the zone's quarantine, with the same folders.
    pub fn under_quarantine(zone: &Zone, bytes: u64) -> Self {
        let place = zone.root().join("quarantine");
        let folders: Vec<_> = ["", "incoming", "sealed"]
            .map(|name| (place.join(name), fs::metadata(place.join(name)).expect("the quarantine can be laid out")))
            .into();
        let disk = Self::mount(place, bytes);
        for (folder, was) in folders {
            fs::create_dir_all(&folder).expect("the quarantine can be laid out");
            fs::set_permissions(&folder, fs::Permissions::from_mode(was.mode()))
                .expect("the quarantine can be laid out");
            chown(&folder, Some(was.uid()), Some(was.gid())).expect("the quarantine can be laid out");
        }
        disk
    }

    /// Mounts `bytes` of tmpfs on a folder, which is made where it is not there.
    pub fn mount(place: PathBuf, bytes: u64) -> Self {
        fs::create_dir_all(&place).expect("a folder to mount on");
        let options = format!("size={bytes}");
        mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("this test mounts a tmpfs and therefore needs root");
        Self(place)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
