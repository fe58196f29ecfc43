//! A flaw that may occur a million times in a file and is told once.

use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;

/// How often something was seen, and where first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flaw {
    count: u64,
    first: u64,
}

impl Flaw {
    /// It was seen here, bytes from the start of the stream.
    pub fn at(&mut self, offset: u64) {
        if self.count == 0 {
            self.first = offset;
        }
        self.count += 1;
    }

    /// Tells it, if it was seen.
    pub fn tell(self, class: Class, sink: &mut dyn Sink, what: impl std::fmt::Display) {
        if self.count > 0 {
            let times = if self.count == 1 { String::new() } else { format!(" ({} times)", self.count) };
            sink.notice(Notice { class, offset: Some(self.first), message: format!("{what}{times}") });
        }
    }
}
