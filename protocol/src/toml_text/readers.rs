//! Readers of single values: what they take, and what they say of the rest.

use super::nearest::nearest;
use super::{Read, Value, Wrong};
use crate::time::Timestamp;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use toml::de::DeValue;

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

/// Reads how long something lasts, such as `90s` or `365d`, within bounds.
pub fn lasting(bounds: RangeInclusive<Duration>) -> impl Fn(&Value<'_>) -> Read<Duration> {
    move |value| {
        let lasting = crate::time::duration(string(value)?)
            .map_err(|error| Wrong::new(value, format!("is not taken: {error}")))?;
        match bounds.contains(&lasting) {
            true => Ok(lasting),
            false => {
                let (least, most) = (bounds.start().as_secs(), bounds.end().as_secs());
                Err(Wrong::new(value, format!("is not between {least} and {most} seconds")).into())
            }
        }
    }
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
