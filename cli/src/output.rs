//! What commands print: data on standard output, remarks on standard error, both safe to show on a terminal.

use crate::failure::{Ended, Failure};
use crate::safe;
use serde::Serialize;
use sluse_protocol::refusal::Exit;
use sluse_protocol::time::Timestamp;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

/// Where a command prints.
#[derive(Debug)]
pub struct Output {
    json: bool,
    failed: Mutex<Option<io::Error>>,
}

impl Output {
    /// An output for people, or for programs when `json`.
    pub fn new(json: bool) -> Self {
        Self { json, failed: Mutex::new(None) }
    }

    /// Whether a program reads what is printed: then it gets one JSON object ([`Output::object`]) and nothing else.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one line of data.
    pub fn line(&self, text: impl AsRef<str>) {
        self.write(&(safe::text(text.as_ref()) + "\n"));
    }

    /// Prints many lines of data; what is deceptive within a line is written out.
    pub fn lines(&self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// Prints data of a form of its own, which is safe already.
    pub fn data(&self, text: &str) {
        self.write(text);
    }

    /// Prints data for a program.
    pub fn object(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.write(&(safe::json(&text) + "\n")),
            Err(error) => self.keep(io::Error::other(error)),
        }
    }

    /// Prints one thing that happened for a program: one JSON object in one line, with its time.
    pub fn event(&self, event: &impl Serialize) {
        #[derive(Serialize)]
        struct Timed<'a, T> {
            time: Timestamp,
            #[serde(flatten)]
            event: &'a T,
        }
        match serde_json::to_string(&Timed { time: sluse_host::clock::now(), event }) {
            Ok(text) => self.write(&(safe::json(&text) + "\n")),
            Err(error) => self.keep(io::Error::other(error)),
        }
    }

    /// Prints rows below a head, in columns; nothing but a remark when there are none.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return self.note("None.");
        }
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> =
            std::iter::once(&head).chain(rows).map(|row| row.iter().map(|cell| safe::text(cell)).collect()).collect();
        let width =
            |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or_default()).collect();
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            self.write(&(cells.join("  ").trim_end().to_owned() + "\n"));
        }
    }

    /// Prints a remark for people on standard error.
    pub fn note(&self, text: impl AsRef<str>) {
        // Remarks are no data: a command whose standard error is closed still does its work.
        let _ = io::stderr().write_all((safe::text(text.as_ref()) + "\n").as_bytes());
    }

    /// Says that something was done: a remark for people, `{"done": true}` for a program.
    ///
    /// # Errors
    /// Never; it is what a command ends with.
    pub fn done(&self, text: &str) -> Ended {
        if self.json {
            self.object(&serde_json::json!({"done": true}));
        }
        self.note(text);
        Ok(Exit::Done)
    }

    /// Ends the output.
    ///
    /// # Errors
    /// When data could not be written, unless its reader has simply seen enough.
    pub fn finish(&self) -> Result<(), Failure> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Fault, "cannot write to standard output").because(&error))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            self.keep(error);
        }
    }

    fn keep(&self, error: io::Error) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A number of bytes for people.
pub fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_read_at_a_glance() {
        let cases = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (5_240_000_000, "5.2 GB")];
        for (bytes, text) in cases {
            assert_eq!(super::bytes(bytes), text);
        }
    }
}
