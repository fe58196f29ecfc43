//! Every bound of this role that is no part of the protocol, with its unit and its reason.

use sluse_protocol::limits::MAX_DOCUMENT_BYTES;
use std::time::Duration;

/// Bytes of a buffer in which a chunk's bytes are collected before they are hashed, encrypted and written: a multiple of
/// age's 64 KiB, large enough that handing it to another thread is noise.
pub const RECORD_BYTES: usize = 256 * 1024;

/// What a job of the pool costs beside the bytes that it hashes, encrypts and writes, in bytes.
pub const JOB_BYTES: u64 = 16 * 1024;

/// Chunks that are made durable together, in bytes: as much as one source's large transfer keeps another's small one waiting.
pub const BATCH_BYTES: u64 = 64 * 1024 * 1024;

/// Such buffers in all: 64 MiB, and more than the fast transfers of a zone can use at once.
pub const RECORDS: usize = 256;

/// A record that is not full after this long is written as it is, so that slow streams do not keep buffers.
pub const RECORD_PATIENCE: Duration = Duration::from_secs(1);

/// Chunks of one connection between the first byte of their stream and their acknowledgement: enough that receiving does
/// not wait for the disk's syncs, few enough that what is unsynced of one source stays under 256 MiB.
pub const CHUNKS_IN_FLIGHT: u32 = 64;

/// A chunk's stream on which no byte arrives for this long is given up.
pub const STALLED_CHUNK: Duration = Duration::from_secs(120);

/// The chunks of a connection that ends must be durable or given up by then.
pub const SETTLE: Duration = Duration::from_secs(10);

/// A batch of chunks must be durable by then, or the disk counts as failed.
pub const COMMIT: Duration = Duration::from_secs(120);

/// A peer that reads nothing of what we say for this long is gone.
pub const WRITE: Duration = Duration::from_secs(30);

/// A frame that has begun must be whole by then; the next part of an announced document must begin by then.
pub const FRAME: Duration = Duration::from_secs(60);

/// Plans and manifests of one source that are on their way to `control` at once, bytes: the two largest. `control` takes
/// four times as much from all sources together, so that one alone does not keep the others out.
pub const DOCUMENTS_BYTES: u64 = 2 * MAX_DOCUMENT_BYTES;

/// A connection on which nothing is asked and no chunk arrives for this long is closed.
pub const SILENCE: Duration = Duration::from_secs(300);

/// How long a peer has to read a refusal before the connection is closed.
pub const LINGER: Duration = Duration::from_secs(1);

/// From a connection's first packet to the end of its handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes under way at once; each costs about 100 KiB.
pub const HANDSHAKES: usize = 256;

/// Handshakes under way from one IPv4 address or one IPv6 network (/64).
pub const HANDSHAKES_PER_ADDRESS: usize = 64;

/// Connections with one certificate that were not greeted yet: more than a source opens at once, far fewer than there are
/// places.
pub const UNGREETED_PER_CERTIFICATE: usize = 32;

/// From so many handshakes on, a peer must show first that its address is its own (QUIC retry).
pub const HANDSHAKES_ON_TRUST: usize = 16;

/// Connection attempts that wait to be looked at, and bytes kept for one and for all of them.
pub const WAITING: usize = 1024;
/// See [`WAITING`].
pub const WAITING_BYTES_EACH: u64 = 16 * 1024;
/// See [`WAITING`].
pub const WAITING_BYTES: u64 = 2 * 1024 * 1024;

/// Flow-control window of a connection before its first offer is accepted, bytes: control stream only. It is also the
/// least that a connection gets when [`WINDOWS_BYTES`] are given away.
pub const FIRST_WINDOW_BYTES: u32 = 512 * 1024;

/// Bytes of flow-control windows that connections share beyond the first window of each.
pub const WINDOWS_BYTES: u64 = 96 * 1024 * 1024;

/// Bytes of answers to one peer that it has not confirmed yet.
pub const SEND_WINDOW_BYTES: u64 = 1024 * 1024;

/// Seconds by which a source's clock may differ from ours before it is logged: more than a day without time servers costs, and far
/// less than the five minutes at which a certificate may begin too late for it.
pub const CLOCK_SECONDS: u64 = 30;

/// How often certificates of outside authorities are checked again while their connections are open, besides after each change
/// of the authorities' files.
pub const CERTIFICATES_AGAIN: Duration = Duration::from_secs(60);

/// Bytes of the name of a source's software.
pub const AGENT_BYTES: usize = 100;

/// Transfers that one `List` may ask for.
pub const LIST: u16 = 1000;

/// How often it is looked whether hours have ended: they are to the minute.
pub const HOURS: Duration = Duration::from_secs(5);

/// How often `control` is told how far transfers are.
pub const PROGRESS: Duration = Duration::from_secs(1);

/// How often the loop that takes connections beats the role's pulse when none comes.
pub const BEAT: Duration = Duration::from_secs(5);

/// Threads that hash, encrypt and write, at most; fewer where there are fewer cores.
pub const SINKS: usize = 8;

/// Threads of the network's runtime, at most.
pub const WORKERS: usize = 4;

/// Threads for blocking work that is not the pool's: requests to `control`, opening and sealing folders.
pub const BLOCKING: usize = 32;
