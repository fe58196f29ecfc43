//! The audit log's rows, and the Merkle tree over them.

use super::{Who, Write};
use crate::control::failure::{Failure, Fault};
use rusqlite::{Connection, params};
use sluse_protocol::audit::{Entry, Inclusion, Position, Tree, Verifier};
use sluse_protocol::ids::TransferId;

/// An entry that was appended: where the log ends with it, and the proof that it stands there.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The log just after it.
    pub position: Position,
    /// That it is the last entry there.
    pub inclusion: Inclusion,
}

/// Appends one entry.
pub fn append(
    write: &mut Write<'_>,
    who: &Who,
    act: &str,
    transfer: Option<&TransferId>,
    details: serde_json::Value,
) -> Result<Appended, Failure> {
    let before = write.tree.position();
    let details = match details {
        serde_json::Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    let entry = Entry {
        number: before.size,
        time: write.now,
        before: before.root,
        actor: who.to_string(),
        act: act.to_owned(),
        transfer: transfer.cloned(),
        details,
    };
    let line = entry.to_line();
    let path = write.tree.path_of_next();
    write.tree.append(line.as_bytes());
    let after = write.tree.position();
    let number = super::row::int(entry.number);
    write.sql.prepare_cached("INSERT INTO audit (number, line) VALUES (?, ?)")?.execute(params![number, &line])?;
    write
        .sql
        .prepare_cached("INSERT OR REPLACE INTO audit_end (one, size, root) VALUES (1, ?, ?)")?
        .execute(params![super::row::int(after.size), after.root.to_string()])?;
    Ok(Appended { position: after, inclusion: Inclusion { entry: line, path } })
}

/// Where the database says that the log ends.
pub fn stored_end(sql: &Connection) -> Result<Position, Failure> {
    use rusqlite::OptionalExtension as _;
    let end = sql
        .query_row("SELECT size, root FROM audit_end", [], |row| {
            Ok(Position { size: super::row::count(row, "size")?, root: super::row::text(row, "root")? })
        })
        .optional()?;
    Ok(end.unwrap_or_else(|| Tree::new().position()))
}

/// Reads the whole log and builds its tree; `kept` is where the log has been, as something outside the database attests. Each entry is
/// shown to `each`.
///
/// # Errors
/// When an entry does not follow from those before it, the log does not end where it did, or never was where it has been.
pub fn verify(
    sql: &Connection,
    kept: Option<(String, Position)>,
    mut each: impl FnMut(&Entry),
) -> Result<Tree, Failure> {
    let outside = kept.is_some();
    let broken = |what: String| {
        let advice = if outside {
            ". Where the last checkpoint is named, this database is an older copy or another one: docs/operations.md, \
             `The database was rolled back`"
        } else {
            ""
        };
        Failure::Fault(Fault::Broken(format!("the audit log is broken: {what}{advice}")))
    };
    let witness = ("database's own note".to_owned(), stored_end(sql)?);
    let size = witness.1.size;
    let mut verifier = Verifier::new(kept.into_iter().chain([witness]).collect());
    let mut tree = Tree::new();
    let mut lines = sql.prepare("SELECT line FROM audit ORDER BY number")?;
    let mut rows = lines.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get("line")?;
        each(&verifier.entry(&line).map_err(|error| broken(error.to_string()))?);
        tree.append(line.as_bytes());
    }
    let end = verifier.finish().map_err(|error| broken(error.to_string()))?;
    if end.size != size {
        return Err(broken(format!("it has {} entries, and ended at {size}", end.size)));
    }
    Ok(tree)
}

/// Lines from entry `from` on, each with its line feed, as many as fit into `bytes`: how many, and the text.
pub fn lines(sql: &Connection, from: u64, bytes: usize) -> Result<(u64, String), Failure> {
    let mut statement = sql.prepare_cached("SELECT line FROM audit WHERE number >= ? ORDER BY number")?;
    let mut rows = statement.query([super::row::int(from)])?;
    let (mut count, mut text) = (0, String::new());
    while let Some(row) = rows.next()? {
        let line: String = row.get("line")?;
        if text.len() + line.len() + 1 > bytes {
            break;
        }
        text.push_str(&line);
        text.push('\n');
        count += 1;
    }
    Ok((count, text))
}
