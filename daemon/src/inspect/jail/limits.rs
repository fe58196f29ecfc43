//! Every bound of the jail, with its unit and its reason.

use std::time::Duration;

/// Bytes of memory of one parser, code and all: what the readers hold at most (compressed archives keep two dictionaries of 128
/// MiB and their tables, and 64 MiB of directories twice), with room. The unit's `MemoryMax` counts with five parsers.
pub const PARSER_MEMORY: u64 = 768 << 20;

/// Parsers alive at once: as many as files are read at once and one more for each inspection at work, one for the self-test, those
/// that are on their way out. On a busy machine those may be many: whoever asks for one more waits, as many again at most.
pub const MAX_PARSERS: usize = 40;

/// Bytes of a file in one message.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Bytes that wait to be sent in one go, so that a small file is one write.
pub const QUEUE_BYTES: usize = 64 * 1024;

/// Bytes of the head of one message of a parser: a path or a sentence, escaped by JSON.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// Bytes of the sentence in a parser's notice.
pub const MAX_MESSAGE_BYTES: usize = 2048;

/// Notices of one file that a parser passes on; beyond them, only the first of each class.
pub const MAX_NOTICES: usize = 64;

/// Answers of a parser to one file that `inspect` takes before it takes the parser for broken: more than [`MAX_NOTICES`] and
/// one of each class.
pub const MAX_ANSWERS: usize = 128;

/// Members of a file that are open at once, each within the one before it: more than the readers open.
pub const MAX_DEPTH: usize = 16;

/// Bytes that a parser keeps to be said in one go, so that small members do not cost a system call each.
pub const SAID_BYTES: usize = 64 * 1024;

/// Parsers lost over one transfer. Where so many were, its files are made to break them: the rest is not inspected, which
/// bounds how long such a transfer can keep an inspection busy.
pub const MAX_LOST: usize = 16;

/// How long `inspect` waits to hear how a parser ended. Only for the sentence: the verdict does not depend on it.
pub const LAST_WORDS: Duration = Duration::from_secs(5);

/// What parsers may take of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long one piece of a file, or its end, may take. A piece of 256 KiB can unpack to some 320 MiB before the readers
    /// themselves see a bomb in it; the slowest of them read 20 MiB a second.
    pub stall: Duration,
    /// Processor time for a transfer however small.
    pub cpu_base: Duration,
    /// Bytes of a transfer for which one more second of processor time is given: a hundred times slower than usual.
    pub bytes_a_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stall: Duration::from_secs(120), cpu_base: Duration::from_secs(300), bytes_a_second: 1024 * 1024 }
    }
}

impl Limits {
    /// Processor time that one parser gets for a transfer of so many bytes.
    pub fn cpu(&self, bytes: u64) -> Duration {
        self.cpu_base.saturating_add(Duration::from_secs(bytes / self.bytes_a_second.max(1)))
    }

    /// Time that `inspect` waits in all for one parser: a parser that drips is stopped as one that stands still is.
    pub fn patience(&self, bytes: u64) -> Duration {
        self.cpu(bytes).saturating_mul(4).max(self.stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_transfer_gets_more_time_and_none_gets_it_without_bound() {
        let limits = Limits::default();
        assert_eq!(limits.cpu(0), Duration::from_secs(300));
        assert_eq!(limits.cpu(100 << 30), Duration::from_secs(300 + 100 * 1024));
        assert_eq!(limits.patience(0), Duration::from_secs(1200));
        assert!(Limits { bytes_a_second: 0, ..limits }.patience(u64::MAX) > limits.patience(0));
    }
}
