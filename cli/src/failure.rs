//! Why a command did not do what it was asked, and the one printer of that: `Error:`, `Caused by:`, `Hint:`.

use crate::safe;
use sluse_host::config::ConfigError;
use sluse_host::keys::KeyError;
use sluse_protocol::refusal::{Exit, Refusal};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

/// What a command returns: how it ended, or why it failed.
pub type Ended = Result<Exit, Failure>;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    more: Vec<More>,
}

/// What follows the sentence, in the order in which it was added.
#[derive(Debug, PartialEq, Eq)]
enum More {
    Cause(String),
    Hint(String),
}

impl Failure {
    /// A failure in one sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), more: Vec::new() }
    }

    /// The same with an error and what caused that, outermost first.
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let cause = More::Cause(error.to_string());
            // An error that repeats its source's words says nothing new.
            if self.more.last() != Some(&cause) {
                self.more.push(cause);
            }
            next = error.source();
        }
        self
    }

    /// The same with one more thing that is behind it.
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.more.push(More::Cause(cause.into()));
        self
    }

    /// The same with advice. No advice is no line.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() {
            self.more.push(More::Hint(hint));
        }
        self
    }

    /// A file or folder that could not be used.
    pub fn file(exit: Exit, attempt: &str, path: &Path, error: &dyn std::error::Error) -> Self {
        Self::new(exit, format!("cannot {attempt} {}", path.display())).because(error)
    }

    /// How the command ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence and its causes in one line.
    pub fn sentence(&self) -> String {
        let causes = self.more.iter().filter_map(|more| match more {
            More::Cause(cause) => Some(cause.as_str()),
            More::Hint(_) => None,
        });
        std::iter::once(self.message.as_str()).chain(causes).collect::<Vec<_>>().join(": ")
    }

    /// Prints it on standard error.
    pub fn print(&self) {
        let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        // Where standard error is gone, nothing can be said; the exit code still is.
        let _ = std::io::stderr().write_all(self.text(coloured).as_bytes());
    }

    fn text(&self, coloured: bool) -> String {
        let label = |name: &str, code: u8| match coloured {
            true => format!("\u{1b}[1;{code}m{name}:\u{1b}[0m"),
            false => format!("{name}:"),
        };
        let mut text = format!("{} {}\n", label("Error", 31), safe::text(&self.message));
        for more in &self.more {
            text += &match more {
                More::Cause(cause) => format!("{} {}\n", label("Caused by", 33), safe::text(cause)),
                More::Hint(hint) => format!("{} {}\n", label("Hint", 36), safe::text(hint)),
            };
        }
        text
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code.exit(), format!("{} ({})", refusal.message, refusal.code)).hint(refusal.hint)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, error.to_string()).hint(error.hint)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::new(Exit::Configuration, "a key cannot be used").because(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_printed_with_its_causes_and_advice_and_without_colour_where_none_is_wanted() {
        let cause = std::io::Error::other("disk \u{1b}[31mred");
        let failure = Failure::new(Exit::Fault, "cannot write x").because(&cause).hint("make room").hint("");
        let expected = "Error: cannot write x\nCaused by: disk \\u{1b}[31mred\nHint: make room\n";
        assert_eq!(failure.text(false), expected);
        assert!(failure.text(true).starts_with("\u{1b}[1;31mError:"));
    }
}
