//! Reading TOML that people write (configuration, agreements): everything that is wrong at once, each with its line and
//! what to write instead.
//!
//! [`read`] hands out the root's [`Fields`]; a field is taken by name with a reader such as [`text`] or [`number`]; what
//! nobody took is an unknown field.

use crate::time::Timestamp;
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Fields").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> Fields<'a> {
    fn new(source: Source<'a>, path: String, table: &'a DeTable<'a>, line: usize) -> Self {
        Self { source, path, table, line, known: RefCell::default(), missing: RefCell::default() }
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

    /// Adds a problem at a field, or at the table where the field is not there.
    pub fn wrong_at(&self, name: &str, message: impl Into<String>, hint: impl Into<String>) {
        let line = self.table.get(name).map_or(self.line, |value| line_of(self.source.text, value.span().start));
        self.complain(line, message.into(), hint.into());
    }

    /// Whatever nobody took is unknown. What is missing is told unless it stands there misspelt.
    fn end(self) {
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

/// Reads text of 1 to `limit` bytes without control characters.
pub fn text(limit: usize) -> impl Fn(&Value<'_>) -> Read<String> {
    move |value| {
        let text = string(value)?;
        if text.trim().is_empty() {
            return Err(Wrong::new(value, "is empty").into());
        }
        if text.len() > limit {
            return Err(Wrong::new(value, format!("is longer than {limit} bytes")).hint("shorten it").into());
        }
        if text.chars().any(char::is_control) {
            let wrong = Wrong::new(value, "contains a line break or another control character");
            return Err(wrong.hint("write it in one line").into());
        }
        Ok(text.to_owned())
    }
}

/// Reads text that `T` is made from.
pub fn parsed<T: FromStr<Err: Display>>(value: &Value<'_>) -> Read<T> {
    string(value)?.parse().map_err(|error| Wrong::new(value, format!("is not taken: {error}")).into())
}

/// Reads a time, as a TOML time or as text.
pub fn time(value: &Value<'_>) -> Read<Timestamp> {
    let text = match value.get_ref() {
        DeValue::Datetime(time) => time.to_string(),
        _ => string(value)?.to_owned(),
    };
    text.parse().map_err(|error| Wrong::new(value, format!("is {error}")).into())
}

/// Reads one of some words.
pub fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Value<'_>) -> Read<T> {
    move |value| {
        let text = string(value)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| unknown_word(value, text, words.iter().map(|(word, _)| *word)))
    }
}

/// A text that is none of the words that may stand there.
pub fn unknown_word<'w>(value: &Value<'_>, text: &str, words: impl Iterator<Item = &'w str> + Clone) -> Vec<Wrong> {
    let hint = match nearest(text, words.clone()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("one of: {}", words.collect::<Vec<_>>().join(", ")),
    };
    Wrong::new(value, format!("does not know {text:?}")).hint(hint).into()
}

/// Reads a whole number within bounds.
pub fn number<T: TryFrom<u64>>(bounds: RangeInclusive<u64>) -> impl Fn(&Value<'_>) -> Read<T> {
    move |value| {
        let Some(digits) = value.get_ref().as_integer() else {
            return Err(Wrong::new(value, format!("is {}, not a whole number", kind(value))).into());
        };
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let number = number.filter(|number| bounds.contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            Wrong::new(value, format!("is not between {least} and {most}")).into()
        })
    }
}

/// Reads `true` or `false`.
pub fn flag(value: &Value<'_>) -> Read<bool> {
    value.get_ref().as_bool().ok_or_else(|| Wrong::new(value, format!("is {}, not true or false", kind(value))).into())
}

/// Reads a list of at most `limit` items.
pub fn list<T>(limit: usize, item: impl Fn(&Value<'_>) -> Read<T>) -> impl Fn(&Value<'_>) -> Read<Vec<T>> {
    move |value| {
        let Some(values) = value.get_ref().as_array() else {
            return Err(Wrong::new(value, format!("is {}, not a list", kind(value))).into());
        };
        if values.len() > limit {
            return Err(Wrong::new(value, format!("has more than {limit} items")).hint("shorten it").into());
        }
        let (mut items, mut wrongs) = (Vec::new(), Vec::new());
        for value in values.iter() {
            match item(value) {
                Ok(item) => items.push(item),
                Err(wrong) => wrongs.extend(wrong),
            }
        }
        if wrongs.is_empty() { Ok(items) } else { Err(wrongs) }
    }
}

/// Reads text as it stands.
pub fn string<'v>(value: &'v Value<'_>) -> Read<&'v str> {
    value.get_ref().as_str().ok_or_else(|| Wrong::new(value, format!("is {}, not text", kind(value))).into())
}

fn kind(value: &Value<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The word that was probably meant: the nearest, where it is near enough.
pub fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let most = (word.chars().count() / 3).max(1);
    words.map(|known| (distance(word, known), known)).filter(|(far, _)| *far <= most).min().map(|(_, known)| known)
}

/// Letters to insert, delete, replace or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = above[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_the_one_that_was_meant() {
        let words = ["listen", "advertise", "key_exchange"];
        let meant = |word| nearest(word, words.into_iter());
        assert_eq!(meant("lisen"), Some("listen"));
        assert_eq!(meant("lsiten"), Some("listen"));
        assert_eq!(meant("key-exchange"), Some("key_exchange"));
        assert_eq!(meant("port"), None);
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_line() {
        let text = "nmae = \"x\"\ncount = \"three\"\nwords = [\n  1,\n  \"b\",\n  false,\n]\n[extra]\n";
        let problems = read(text, 1000, |fields| {
            let name = fields.need("name", "\"x\"", text_of_ten);
            fields.need("other", "\"x\"", text_of_ten);
            let count = fields.need("count", "3", number::<u8>(1..=9));
            let words = fields.may("words", "[\"a\"]", list(3, text_of_ten));
            Some((name?, count?, words))
        });
        let found: Vec<_> = problems.unwrap_err().into_iter().map(|p| (p.line, p.message)).collect();
        let expected = [
            (0, "`other` is missing"),
            (1, "unknown field `nmae`"),
            (2, "`count` is text, not a whole number"),
            (4, "`words` is a number, not text"),
            (6, "`words` is true or false, not text"),
            (8, "unknown field `extra`"),
        ];
        assert_eq!(found, expected.map(|(line, message)| (line, message.to_owned())));
    }

    fn text_of_ten(value: &Value<'_>) -> Read<String> {
        text(10)(value)
    }

    #[test]
    fn unknown_fields_are_named_with_the_one_that_was_meant() {
        let problems = read("a = 1\n[part]\nnmae = 1\nport = 2\n", 100, |fields| {
            fields.may_table("part", |part| {
                part.may("name", "1", number::<u8>(1..=9));
                part.may("other", "1", number::<u8>(1..=9))
            });
            Some(())
        });
        let found: Vec<_> = problems.unwrap_err().into_iter().map(|p| (p.line, p.message, p.hint)).collect();
        let expected = [
            (1, "unknown field `a`", "known here: part"),
            (3, "unknown field `part.nmae`", "did you mean `name`?"),
            (4, "unknown field `part.port`", "known here: name, other"),
        ];
        assert_eq!(found, expected.map(|(line, message, hint)| (line, message.to_owned(), hint.to_owned())));
    }
}
