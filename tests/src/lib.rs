//! What the end to end tests share: a landing zone made of the real binaries, sources, data, and a breakable path.

pub mod arrivals;
pub mod bundle;
pub mod clock;
pub mod command;
pub mod data;
pub mod dicom;
pub mod elsewhere;
pub mod gateway;
pub mod link;
pub mod outbox;
pub mod own_etc;
pub mod path;
pub mod pki;
pub mod proxy;
pub mod raw;
pub mod sandbox;
pub mod server;
pub mod sftp;
pub mod site;
pub mod small_disk;
pub mod source;
pub mod trace;
pub mod tsd;
pub mod uploads;
pub mod zone;
