//! The `receive` role against a source that does what a test wants, and a stand-in for `control`.
//!
//! The modules are marked as tests one by one for the lints' sake: what tests may do, helpers in their files may too.

#[cfg(test)]
mod control;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod greeting;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod path;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod source;
#[cfg(test)]
mod zone;
