//! The Sluse daemon: four roles of a landing zone, one process each.
//!
//! `main` reads the command line and calls one role's `run`; [`supervise`] starts all four as children of one command.

pub mod accounts;
mod age_stream;
pub mod command_line;
pub mod confine;
pub mod control;
mod control_link;
pub mod deliver;
mod direct;
mod doors;
mod error;
mod gather;
pub mod inspect;
pub mod leases;
pub mod links;
pub mod mailer;
pub mod notify;
pub mod outside;
pub mod pulse;
pub mod quarantine;
pub mod receive;
pub mod start;
pub mod supervise;
pub mod sys;
#[cfg(test)]
mod traced;
pub mod work;
mod zone_signers;

pub use error::RoleError;
