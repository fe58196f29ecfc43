//! What the usual harness does, in one thread: lists the tests, and runs those that are asked for.

use std::io::{self, Write as _};

/// A test by its name.
pub type Test = (&'static str, fn());

/// Lists or runs `tests`, as the command line asks.
pub fn run(tests: &[Test]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        // No test is ignored.
        let listed = tests.iter().filter(|_| !has("--ignored"));
        return listed.for_each(|(name, _)| say(&format!("{name}: test")));
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let chosen = |name: &str| {
        filters.iter().any(|&filter| if has("--exact") { filter == name } else { name.contains(filter.as_str()) })
    };
    for (name, test) in tests.iter().filter(|(name, _)| filters.is_empty() || chosen(name)) {
        test();
        say(&format!("test {name} ... ok"));
    }
}

/// Prints a line on standard output.
pub fn say(line: &str) {
    writeln!(io::stdout(), "{line}").unwrap();
}
