//! `sluse-courier`: takes what a landing zone delivers to one room that is no folder of its host, and speaks what that room's target
//! speaks. It has the target's credential and the network; it has no key of the zone, keeps nothing of what it is given, and decides nothing:
//! what is sent, whether it arrived as it was, and when it becomes visible is `deliver`'s to say, over a Unix socket
//! ([`sluse_protocol::courier`]).
//!
//! [`serve`] answers that socket; a [`target::Target`] is one way to reach a room: [`sftp`], [`s3`], [`tsd`], [`zone`].

pub mod command_line;
pub mod http;
pub mod leash;
pub mod s3;
pub mod serve;
pub mod settings;
pub mod sftp;
pub mod target;
pub mod tsd;
pub mod zone;
