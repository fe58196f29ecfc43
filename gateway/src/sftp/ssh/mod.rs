//! The server's half of SSH (RFC 4251 to 4254), as much of it as SFTP needs: one way to agree on keys, ciphers that authenticate,
//! public keys, sessions with one subsystem. No passwords, shells, commands, forwarding or compression.
//!
//! `data` reads and writes what messages consist of, `cipher` seals and opens packets, `packets` has them on a connection,
//! `exchange` agrees on keys, `transport` is what is behind that, `host_key` and `client_key` are keys and their signatures,
//! `login` finds out who calls, `connection` serves the sessions. All cryptography is aws-lc-rs'.

mod cipher;
mod client_key;
mod connection;
pub mod data;
mod exchange;
mod host_key;
mod login;
mod packets;
mod transport;

pub use client_key::ClientKey;
pub use connection::{Subsystem, serve};
pub use host_key::HostKey;
pub use login::login;
pub use transport::Transport;

use std::io;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection failed, or the peer was silent for too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer hung up, or said goodbye.
    #[error("the peer hung up")]
    HungUp,
    /// What came is against the protocol, or beyond a limit.
    #[error("{0}")]
    Garbage(&'static str),
}

/// Numbers of messages.
mod message {
    pub const DISCONNECT: u8 = 1;
    pub const IGNORE: u8 = 2;
    pub const UNIMPLEMENTED: u8 = 3;
    pub const DEBUG: u8 = 4;
    pub const SERVICE_REQUEST: u8 = 5;
    pub const SERVICE_ACCEPT: u8 = 6;
    pub const EXT_INFO: u8 = 7;
    pub const KEXINIT: u8 = 20;
    pub const NEWKEYS: u8 = 21;
    pub const ECDH_INIT: u8 = 30;
    pub const ECDH_REPLY: u8 = 31;
    pub const USERAUTH_REQUEST: u8 = 50;
    pub const USERAUTH_FAILURE: u8 = 51;
    pub const USERAUTH_SUCCESS: u8 = 52;
    pub const USERAUTH_PK_OK: u8 = 60;
    pub const GLOBAL_REQUEST: u8 = 80;
    pub const REQUEST_FAILURE: u8 = 82;
    pub const CHANNEL_OPEN: u8 = 90;
    pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    pub const CHANNEL_OPEN_FAILURE: u8 = 92;
    pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
    pub const CHANNEL_DATA: u8 = 94;
    pub const CHANNEL_EXTENDED_DATA: u8 = 95;
    pub const CHANNEL_EOF: u8 = 96;
    pub const CHANNEL_CLOSE: u8 = 97;
    pub const CHANNEL_REQUEST: u8 = 98;
    pub const CHANNEL_SUCCESS: u8 = 99;
    pub const CHANNEL_FAILURE: u8 = 100;
}
