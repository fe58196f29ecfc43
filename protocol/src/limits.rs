//! Every bound of the protocol in one place, with its unit and its reason.
//!
//! A length is compared with its bound before anything is allocated for it.

use std::time::Duration;

/// Bytes of one chunk; the last chunk of a transfer may be shorter. Large enough that an age header (about 200 bytes,
/// 100 µs) is noise, small enough that eight in flight are 32 MiB and a cut connection repeats little.
pub const CHUNK_BYTES: u32 = 4 * 1024 * 1024;

/// Chunks of one transfer: 4 TiB of data. Its digests are 32 MiB, the largest thing a role keeps in memory for a transfer.
pub const MAX_CHUNKS: u32 = 1 << 20;

/// Files and folders in one dataset version.
pub const MAX_ENTRIES: u64 = 1_000_000;

/// Bytes of a plan or manifest document. Documents are read line by line, so this bounds disk, not memory.
pub const MAX_DOCUMENT_BYTES: u64 = 512 * 1024 * 1024;

/// Bytes of one line of a document: the longest path, escaped by JSON, and the other fields.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Bytes of a relative path in UTF-8.
pub const MAX_PATH_BYTES: usize = 2048;

/// Bytes of one component of a path: what Linux file systems hold.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// Bytes of the JSON head of a frame.
pub const MAX_HEAD_BYTES: u32 = 256 * 1024;

/// Bytes of the raw body of a frame.
pub const MAX_BODY_BYTES: u32 = 1024 * 1024;

/// Bytes of a document carried by one `part` frame.
pub const PART_BYTES: usize = 256 * 1024;

/// Findings kept in full for one transfer, so far as they fit the body of a frame too; those beyond are counted by class,
/// and decide as much as those kept.
pub const MAX_FINDINGS: usize = 2000;

/// Bytes of a reason that a person gives.
pub const MAX_REASON_BYTES: usize = 2000;

/// Chunk streams that a source may have open at once on one connection.
pub const MAX_CHUNK_STREAMS: u32 = 8;

/// Bytes of an update's bundle, and of its members together: clamd's databases have some 250 million, an image of the appliance
/// some 150.
pub const MAX_UPDATE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Members of an update's bundle.
pub const MAX_UPDATE_FILES: usize = 256;

/// Bytes of statements of a zone's keys in one answer.
pub const KEYS_BYTES: usize = 512 * 1024;

/// How long `control` rests for somebody who exchanges a key.
pub const REST_TIMEOUT: Duration = Duration::from_secs(60);

/// Flow-control window of one stream, bytes. Beyond about 2.9 MB quinn closes lossy connections ("too many gaps").
pub const STREAM_WINDOW_BYTES: u32 = 2_400_000;

/// Flow-control window of a connection, bytes.
pub const CONNECTION_WINDOW_BYTES: u32 = 24 * 1024 * 1024;

/// A peer must say hello within this time of connecting.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection on which nothing arrives for this long is gone.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a waiting peer is reminded that the connection lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(8);

/// One role's answer to another role's request. Long polls answer empty-handed before this.
pub const ROLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it is tried to take a delivery back from a room elsewhere that cannot be reached, seconds: a server that is repaired within a
/// day is left nothing. Where what the room is reached by has ended, it is tried once.
pub const WITHDRAWAL_PATIENCE: i64 = 86_400;

/// The longest that a long poll waits before it answers empty-handed.
pub const POLL_TIMEOUT: Duration = Duration::from_secs(20);
