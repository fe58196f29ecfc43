//! A small file system, to fill it up, or to have files share their blocks. Needs root.

use crate::command::run;
use crate::zone::{Zone, text};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of an XFS: `mkfs.xfs` makes no smaller ones.
const XFS_BYTES: u64 = 320 << 20;

/// A small file system, unmounted at the end.
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

    /// Mounts an XFS on a folder, which stays whose it is; the file that it is in takes as many bytes as are written.
    pub fn mount_xfs(place: PathBuf, image: &Path) -> Self {
        let was = fs::metadata(&place).expect("a folder to mount on");
        fs::File::create(image).and_then(|file| file.set_len(XFS_BYTES)).expect("a file for a file system");
        let mut make = Command::new("mkfs.xfs");
        make.args(["-q", "-m", "reflink=1", text(image)]);
        run(make).expect(0);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop", text(image), text(&place)]);
        run(mount).expect(0);
        chown(&place, Some(was.uid()), Some(was.gid())).expect("the folder stays whose it was");
        fs::set_permissions(&place, fs::Permissions::from_mode(was.mode())).expect("the folder stays as it was");
        Self(place)
    }

    /// Bytes that are stored on it.
    pub fn stored(&self) -> u64 {
        let file = fs::File::open(&self.0).expect("the file system");
        nix::unistd::syncfs(&file).expect("the file system");
        let told = nix::sys::statvfs::fstatvfs(&file).expect("the file system");
        (told.blocks() - told.blocks_free()) * told.fragment_size()
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
