//! What ends a connection from our side: a source shut out, a transfer cancelled, no room, `control` gone.

use crate::source::{Source, chunk, header};
use crate::zone::{TestZone, eventually};
use nix::mount::{MsFlags, mount, umount};
use sluse_host::layout::chunk_file;
use sluse_protocol::limits::CHUNK_BYTES;
use sluse_protocol::refusal::Code;
use sluse_protocol::transfer::State;
use std::path::{Path, PathBuf};

#[tokio::test]
async fn a_revoked_source_is_closed_at_once_and_nobody_else() {
    let zone = TestZone::start();
    let (mut lab, mut other) =
        (Source::welcome(&zone, &zone.source("lab")).await, Source::welcome(&zone, &zone.source("other")).await);
    let (transfer, _) = lab.offer(1, 1000).await;
    let bytes = chunk(1, 0, 1000);
    let _half = lab.begin_stream(&header(&transfer, 0, &bytes), &bytes[..500]).await;
    zone.control.revoke("lab");
    assert_eq!(lab.refused_and_closed().await, Code::RevokedSource);
    let (transfer, _) = other.offer(2, 1000).await;
    other.send_chunk(&transfer, 0, &chunk(2, 0, 1000)).await;
    other.wait_durable(&[0]).await;
}

#[tokio::test]
async fn a_transfer_that_ended_ends_its_connection_with_the_reason() {
    let zone = TestZone::start();
    let credentials = zone.source("lab");
    for (seed, state, code) in [(1, State::Cancelled, Code::Cancelled), (2, State::Expired, Code::Expired)] {
        let mut source = Source::welcome(&zone, &credentials).await;
        let (transfer, _) = source.offer(seed, 1000).await;
        zone.control.end(&transfer, state);
        assert_eq!(source.refused_and_closed().await, code);
        assert_eq!(zone.files(&transfer), ["chunks.index"], "nothing is removed");
    }
}

#[tokio::test]
async fn losing_control_closes_connections_with_a_code_to_try_again() {
    let mut zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    source.offer(1, 1000).await;
    let ended = std::thread::spawn(move || zone.lose_control());
    assert_eq!(source.refused_and_closed().await, Code::Unavailable);
    assert!(matches!(ended.join().unwrap(), Err(slused::RoleError::Link(_))));
}

#[tokio::test]
async fn less_free_space_than_the_reserve_is_refused_before_anything_is_written() {
    let zone = TestZone::start_with(|settings| settings.keep_free_bytes = u64::MAX);
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let (transfer, _) = source.offer(1, 1000).await;
    source.send_chunk(&transfer, 0, &chunk(1, 0, 1000)).await;
    assert_eq!(source.refused_and_closed().await, Code::NoSpace);
    assert_eq!(zone.files(&transfer), ["chunks.index"]);
}

/// A small file system of its own below a zone's folder.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(on: &Path, size: &str) -> Self {
        mount(Some("tmpfs"), on, Some("tmpfs"), MsFlags::empty(), Some(size)).unwrap();
        Self(on.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        umount(&self.0).unwrap();
    }
}

#[tokio::test]
async fn stopping_lets_chunks_in_flight_become_durable_and_says_to_try_again() {
    let mut zone = TestZone::start();
    let credentials = zone.source("lab");
    let mut source = Source::welcome(&zone, &credentials).await;
    let (transfer, _) = source.offer(1, 1000).await;
    let bytes = chunk(1, 0, 1000);
    let mut half = source.begin_stream(&header(&transfer, 0, &bytes), &bytes[..500]).await;
    eventually("the chunk began", async || zone.files(&transfer).len() == 2).await;
    let stopping = std::thread::spawn(move || (zone.stop(), zone));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    half.write_all(&bytes[500..]).await.unwrap();
    half.finish().unwrap();
    source.wait_durable(&[0]).await;
    assert_eq!(source.refused_and_closed().await, Code::Unavailable);
    let (stopped, mut zone) = stopping.join().unwrap();
    stopped.unwrap();
    zone.start_role();
    let mut source = Source::welcome(&zone, &credentials).await;
    assert_eq!(source.offer(1, 1000).await.1.len(), 1);
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_source_that_sends_nothing_more() {
    let mut zone = TestZone::start();
    let mut source = Source::welcome(&zone, &zone.source("lab")).await;
    let (transfer, _) = source.offer(1, 1000).await;
    let bytes = chunk(1, 0, 1000);
    let _half = source.begin_stream(&header(&transfer, 0, &bytes), &bytes[..500]).await;
    let begun = std::time::Instant::now();
    let stopping = std::thread::spawn(move || zone.stop());
    assert_eq!(source.refused_and_closed().await, Code::Unavailable);
    stopping.join().unwrap().unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(15));
}

#[tokio::test]
async fn a_full_disk_is_temporary_leaves_nothing_partial_and_heals_as_root_who_may_mount() {
    assert!(nix::unistd::geteuid().is_root(), "this test mounts a small file system and therefore needs root");
    let prepared = TestZone::prepare(|_| {});
    let quarantine = prepared.zone.layout.quarantine();
    let _mounted = Mounted::tmpfs(&quarantine, "size=10m");
    for folder in [prepared.zone.layout.incoming(), prepared.zone.layout.sealed()] {
        std::fs::create_dir(folder).unwrap();
    }
    let zone = prepared.run();
    let credentials = zone.source("lab");
    let mut source = Source::welcome(&zone, &credentials).await;
    let bytes = CHUNK_BYTES as usize;
    let (transfer, _) = source.offer(1, 3 * bytes as u64).await;
    for index in [0, 1] {
        source.send_chunk(&transfer, index, &chunk(1, index, bytes)).await;
    }
    source.wait_durable(&[0, 1]).await;
    source.send_chunk(&transfer, 2, &chunk(1, 2, bytes)).await;
    assert_eq!(source.refused_and_closed().await, Code::NoSpace);
    eventually("nothing partial stays", async || zone.files(&transfer).len() == 3).await;

    let mut other = Source::welcome(&zone, &zone.source("other")).await;
    let (small, _) = other.offer(2, 1000).await;
    other.send_chunk(&small, 0, &chunk(2, 0, 1000)).await;
    other.wait_durable(&[0]).await;

    mount(None::<&str>, &quarantine, None::<&str>, MsFlags::MS_REMOUNT, Some("size=40m")).unwrap();
    let mut source = Source::welcome(&zone, &credentials).await;
    assert_eq!(source.offer(1, 3 * bytes as u64).await.1.len(), 2);
    source.send_chunk(&transfer, 2, &chunk(1, 2, bytes)).await;
    source.wait_durable(&[2]).await;
    assert!(zone.decrypt(&zone.incoming(&transfer).join(chunk_file(2))) == chunk(1, 2, bytes));
    drop(source);
    drop(zone);
}
