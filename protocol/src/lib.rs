//! The pure part of Sluse.
//!
//! Nothing here opens a socket or a file, reads a clock or draws a random number: time and bytes come in, decisions and
//! bytes go out. Read [`transfer`] (the life of a transfer) and [`wire`] (what a source and a landing zone say to each
//! other) first; [`document`] is the plan and the manifest, [`roles`] what the four roles may ask of each other.

pub mod acknowledgement;
pub mod agreement;
pub mod alerts;
pub mod archive;
pub mod audit;
pub mod chunk_index;
pub mod courier;
pub mod digest;
pub mod document;
pub mod finding;
pub mod frame;
pub mod grant;
pub mod hours;
pub mod icap;
pub mod ids;
pub mod invite;
pub mod key_statement;
pub mod limits;
pub mod openssh_key;
pub mod operator;
pub mod part;
pub mod path;
pub mod policy;
pub mod powers;
pub mod receipt;
pub mod refusal;
pub mod register;
pub mod restored;
pub mod review;
pub mod roles;
pub mod sharing;
pub mod signers;
pub mod smtp;
pub mod sshsig;
pub mod sync;
pub mod time;
pub mod toml_text;
pub mod transfer;
pub mod tsd_names;
pub mod types;
pub mod update;
pub mod wire;
