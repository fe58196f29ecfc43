//! Each role, confined as in production, attempts what it must not, and what it must be able to.
//!
//! This program starts itself once for each role: that process confines itself, then makes the attempts one by one and
//! prints how each ended. An unconfined process makes the same attempts first, so that none passes for being impossible
//! anyway.

#[cfg(test)]
mod attempts;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod verdicts;

fn main() {
    #[cfg(test)]
    harness::main();
}
