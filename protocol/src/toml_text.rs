//! Reading TOML that people write (configuration, agreements): everything that is wrong at once, each with its line and
//! what to write instead.
//!
//! [`read`] hands out the root's [`Fields`]; a field is taken by name with a reader such as [`text`] or [`number`]; what
//! nobody took is an unknown field.

mod nearest;
mod readers;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use nearest::nearest;
pub use readers::{choice, flag, lasting, list, number, parsed, string, text, time, unknown_word};

/// One thing that is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line from 1; 0 when it is about the whole text.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// A value as it stands in the text.
pub type Value<'t> = Spanned<DeValue<'t>>;

/// What a reader makes of a value.
pub type Read<T> = Result<T, Vec<Wrong>>;

/// Why a reader does not take a value.
#[derive(Debug)]
pub struct Wrong {
    at: Range<usize>,
    message: String,
    hint: Option<String>,
}

impl Wrong {
    /// A value that is not taken.
    pub fn new(value: &Value<'_>, message: impl Into<String>) -> Self {
        Self { at: value.span(), message: message.into(), hint: None }
    }

    /// The same with a hint of its own.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<Wrong> for Vec<Wrong> {
    fn from(wrong: Wrong) -> Self {
        vec![wrong]
    }
}

/// Reads a text of at most `limit` bytes; `build` takes the fields, and returns `None` where one of them had a problem.
///
/// # Errors
/// Everything that is wrong, in the order of the lines.
pub fn read<T>(text: &str, limit: usize, build: impl FnOnce(&Fields<'_>) -> Option<T>) -> Result<T, Vec<Problem>> {
    let whole = |message: String, hint: &str| vec![Problem { line: 0, message, hint: hint.into() }];
    if text.len() > limit {
        return Err(whole(format!("longer than {limit} bytes"), "this is not the file that was meant"));
    }
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        let hint = "a line is `name = value`; text stands in double quotes; sections begin with [name]";
        vec![Problem { line, message: error.message().to_owned(), hint: hint.into() }]
    })?;
    let problems = RefCell::new(Vec::new());
    let fields = Fields::new(Source { text, problems: &problems }, String::new(), root.get_ref(), 0);
    let built = build(&fields);
    fields.end();
    let mut problems = problems.into_inner();
    problems.sort_by_key(|problem| problem.line);
    match built {
        Some(built) if problems.is_empty() => Ok(built),
        _ if problems.is_empty() => Err(whole("incomplete".into(), "")),
        _ => Err(problems),
    }
}

#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    problems: &'a RefCell<Vec<Problem>>,
}

/// The fields of one table of a text.
pub struct Fields<'a> {
    source: Source<'a>,
    path: String,
    table: &'a DeTable<'a>,
    line: usize,
    known: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<(&'static str, Problem)>>,
    /// Whether the names in this table are people's own.
    any_name: Cell<bool>,
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Fields").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> Fields<'a> {
    fn new(source: Source<'a>, path: String, table: &'a DeTable<'a>, line: usize) -> Self {
        Self {
            source,
            path,
            table,
            line,
            known: RefCell::default(),
            missing: RefCell::default(),
            any_name: Cell::new(false),
        }
    }

    /// A field that must be there; `example` shows what to write.
    pub fn need<T>(&self, name: &'static str, example: &str, reader: impl Fn(&Value<'_>) -> Read<T>) -> Option<T> {
        if !self.table.contains_key(name) {
            let message = format!("`{}` is missing", self.full(name));
            self.miss(name, Problem { line: self.line, message, hint: format!("add `{name} = {example}`") });
            return None;
        }
        self.may(name, example, reader)
    }

    /// A field that may be there.
    pub fn may<T>(&self, name: &'static str, example: &str, reader: impl Fn(&Value<'_>) -> Read<T>) -> Option<T> {
        let value = self.take(name)?;
        let wrongs = match reader(value) {
            Ok(read) => return Some(read),
            Err(wrongs) => wrongs,
        };
        for wrong in wrongs {
            let hint = wrong.hint.unwrap_or_else(|| format!("write for example `{name} = {example}`"));
            let line = line_of(self.source.text, wrong.at.start);
            self.complain(line, format!("`{}` {}", self.full(name), wrong.message), hint);
        }
        None
    }

    /// A table that must be there; `why` says what it is for. `build` takes its fields.
    pub fn need_table<T>(
        &self,
        name: &'static str,
        why: &str,
        build: impl FnOnce(&Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        if !self.table.contains_key(name) {
            let message = format!("[{}] is missing", self.full(name));
            self.miss(name, Problem { line: 0, message, hint: why.to_owned() });
            return None;
        }
        self.may_table(name, build)
    }

    /// A table that may be there. `build` takes its fields.
    pub fn may_table<T>(&self, name: &'static str, build: impl FnOnce(&Fields<'a>) -> Option<T>) -> Option<T> {
        let value = self.take(name)?;
        let line = line_of(self.source.text, value.span().start);
        let Some(table) = value.get_ref().as_table() else {
            let full = self.full(name);
            self.complain(line, format!("`{full}` is no section"), format!("write `[{full}]` and its fields below"));
            return None;
        };
        let fields = Fields::new(self.source, self.full(name), table, line);
        let built = build(&fields);
        fields.end();
        built
    }

    /// A table of at most `limit` tables with names that people give, `[name.this]` and `[name.that]`, of which there must be
    /// one. `build` takes each one's name and fields.
    pub fn need_tables<T>(
        &self,
        name: &'static str,
        why: &str,
        limit: usize,
        build: impl Fn(&str, &Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.need_table(name, why, |fields| self.tables(name, why, limit, fields, build))
    }

    /// The same where there need not be any.
    pub fn may_tables<T>(
        &self,
        name: &'static str,
        why: &str,
        limit: usize,
        build: impl Fn(&str, &Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.may_table(name, |fields| self.tables(name, why, limit, fields, build))
    }

    fn tables<T>(
        &self,
        name: &'static str,
        why: &str,
        limit: usize,
        fields: &Fields<'a>,
        build: impl Fn(&str, &Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        fields.any_name.set(true);
        if fields.table.is_empty() || fields.table.len() > limit {
            let message = format!("[{}] has not between 1 and {limit} sections", fields.path);
            self.wrong_at(name, message, why);
            return None;
        }
        let mut built = Vec::with_capacity(fields.table.len());
        for (key, value) in fields.table.iter() {
            let (key, line) = (key.get_ref().as_ref(), line_of(self.source.text, key.span().start));
            let full = fields.full(key);
            let Some(table) = value.get_ref().as_table() else {
                self.complain(
                    line,
                    format!("`{full}` is no section"),
                    format!("write `[{full}]` and its fields below"),
                );
                continue;
            };
            if !is_name(key) {
                let message = format!("`{full}` is no name: a name is 1 to 64 of a-z, 0-9, '.', '_' and '-'");
                self.complain(line, message, "rename the section".into());
                continue;
            }
            let inner = Fields::new(self.source, full, table, line);
            built.extend(build(key, &inner));
            inner.end();
        }
        (built.len() == fields.table.len()).then_some(built)
    }

    /// Adds a problem at a field, or at the table where the field is not there.
    pub fn wrong_at(&self, name: &str, message: impl Into<String>, hint: impl Into<String>) {
        let line = self.table.get(name).map_or(self.line, |value| line_of(self.source.text, value.span().start));
        self.complain(line, message.into(), hint.into());
    }

    /// Whatever nobody took is unknown. What is missing is told unless it stands there misspelt.
    fn end(self) {
        if self.any_name.get() {
            return;
        }
        let known = self.known.borrow();
        let mut meant = Vec::new();
        for (name, _) in self.table.iter() {
            let (line, name) = (line_of(self.source.text, name.span().start), name.get_ref().as_ref());
            if !known.contains(&name) {
                let nearest = nearest(name, known.iter().copied());
                let hint = match nearest {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                meant.extend(nearest);
                self.complain(line, format!("unknown field `{}`", self.full(name)), hint);
            }
        }
        let missing = self.missing.take().into_iter().filter(|(name, _)| !meant.contains(name));
        self.source.problems.borrow_mut().extend(missing.map(|(_, problem)| problem));
    }

    fn miss(&self, name: &'static str, problem: Problem) {
        self.known.borrow_mut().push(name);
        self.missing.borrow_mut().push((name, problem));
    }

    fn take(&self, name: &'static str) -> Option<&'a Value<'a>> {
        self.known.borrow_mut().push(name);
        self.table.get(name)
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn complain(&self, line: usize, message: String, hint: String) {
        self.source.problems.borrow_mut().push(Problem { line, message, hint });
    }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
