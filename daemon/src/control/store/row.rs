//! Typed values out of rows and into them.

use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluse_protocol::time::Timestamp;
use std::str::FromStr;

type Result<T> = rusqlite::Result<T>;

/// A column's text as the type that it is the text of.
pub fn text<T>(row: &Row<'_>, column: &str) -> Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    parse(row, column, &row.get::<_, String>(column)?)
}

/// The same for a column that may be null.
pub fn maybe_text<T>(row: &Row<'_>, column: &str) -> Result<Option<T>>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<_, Option<String>>(column)?.map(|text| parse(row, column, &text)).transpose()
}

/// A column's JSON.
pub fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    read_json(row, column, &row.get::<_, String>(column)?)
}

/// The same for a column that may be null.
pub fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    row.get::<_, Option<String>>(column)?.map(|text| read_json(row, column, &text)).transpose()
}

/// A column's time.
pub fn time(row: &Row<'_>, column: &str) -> Result<Timestamp> {
    row.get(column).map(Timestamp::from_unix)
}

/// The same for a column that may be null.
pub fn maybe_time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_unix))
}

/// A column's count.
pub fn count(row: &Row<'_>, column: &str) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|error| broken(row, column, error))
}

/// A count as SQLite keeps it. Every count here is bounded far below 2^63.
pub fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A value as JSON text. Serialising cannot fail: string keys only, no fallible implementations.
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn parse<T>(row: &Row<'_>, column: &str, text: &str) -> Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error: T::Err| broken(row, column, error))
}

fn read_json<T: DeserializeOwned>(row: &Row<'_>, column: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| broken(row, column, error))
}

fn broken(row: &Row<'_>, column: &str, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or_default();
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
}
