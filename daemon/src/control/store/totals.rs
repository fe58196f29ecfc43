//! How many transfers entered each state, ever: counted by the database itself with each entry of the history.

use super::row;
use crate::control::failure::Failure;
use rusqlite::Connection;
use sluse_protocol::ids::{AgreementId, SourceName};
use sluse_protocol::time::Timestamp;
use sluse_protocol::transfer::State;

/// Transfers of one source under one agreement that entered a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The state.
    pub state: State,
    /// Who sent them.
    pub source: SourceName,
    /// Under what.
    pub agreement: AgreementId,
    /// How many.
    pub transfers: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// All that were ever counted.
pub fn entered(sql: &Connection) -> Result<Vec<Entered>, Failure> {
    let mut statement = sql.prepare_cached("SELECT * FROM entered")?;
    let rows = statement.query_map([], |row| {
        Ok(Entered {
            state: row::text(row, "state")?,
            source: row::text(row, "source")?,
            agreement: row::text(row, "agreement")?,
            transfers: row::count(row, "transfers")?,
            bytes: row::count(row, "bytes")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Transfers that are in a state now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The state.
    pub state: State,
    /// How many.
    pub transfers: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Since when the one that is longest in it; none where there is none.
    pub oldest: Option<Timestamp>,
}

/// What is in each state in which something is still to happen.
pub fn inside(sql: &Connection) -> Result<Vec<Inside>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT count(*) AS transfers, coalesce(sum(bytes), 0) AS bytes, min(since) AS oldest FROM transfers WHERE state = ?",
    )?;
    let open = State::ALL.iter().filter(|state| !state.is_settled());
    let states = open.map(|state| {
        let row = statement.query_row([state.as_str()], |row| {
            Ok(Inside {
                state: *state,
                transfers: row::count(row, "transfers")?,
                bytes: row::count(row, "bytes")?,
                oldest: row::maybe_time(row, "oldest")?,
            })
        });
        Ok(row?)
    });
    states.collect()
}
