//! The database's tables, and how an older database becomes a newer one.

use crate::RoleError;
use rusqlite::{Connection, TransactionBehavior};

/// Each step from one version of the schema to the next; the version is how many were taken. A step that was released is
/// never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
    include_str!("schema_12.sql"),
    include_str!("schema_13.sql"),
    include_str!("schema_14.sql"),
];

/// Brings the database to this build's schema.
///
/// # Errors
/// When it is newer than this build, or a step fails; then it is as it was.
pub fn migrate(sql: &mut Connection) -> Result<(), RoleError> {
    migrate_with(sql, MIGRATIONS)
}

fn migrate_with(sql: &mut Connection, steps: &[&str]) -> Result<(), RoleError> {
    let failed = |error: rusqlite::Error| RoleError::State(format!("the database's schema: {error}"));
    loop {
        let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        let newest = steps.len();
        let Some(step) = usize::try_from(version).ok().filter(|version| *version <= newest) else {
            let message = format!("the database has schema {version}, this slused knows {newest}: use a newer slused");
            return Err(RoleError::State(message));
        };
        let Some(text) = steps.get(step) else { return Ok(()) };
        transaction.execute_batch(text).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version + 1).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        tracing::info!(schema = version + 1, "database schema");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(sql: &Connection) -> i64 {
        sql.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_are_taken_in_order_and_once() {
        let mut sql = Connection::open_in_memory().unwrap();
        migrate_with(&mut sql, &["CREATE TABLE a (x)"]).unwrap();
        migrate_with(&mut sql, &["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y"]).unwrap();
        migrate_with(&mut sql, &["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y"]).unwrap();
        assert_eq!(version(&sql), 2);
        sql.execute("INSERT INTO a (x, y) VALUES (1, 2)", []).unwrap();
    }

    #[test]
    fn what_was_agreed_and_decided_before_there_were_versions_and_reviews_stands() {
        let mut sql = Connection::open_in_memory().unwrap();
        migrate_with(&mut sql, &MIGRATIONS[..5]).unwrap();
        let text = crate::control::testing::agreement("lab");
        let agreement = sluse_protocol::agreement::parse(&text).unwrap();
        let checked = serde_json::to_string(&agreement).unwrap();
        let sha256 = sluse_protocol::digest::Sha256::of(text.as_bytes()).to_string();
        sql.execute(
            "INSERT INTO agreements (id, text, sha256, checked, added) VALUES ('lab', ?, ?, ?, 7)",
            [&text, &sha256, &checked],
        )
        .unwrap();
        let id = "20261122-101500-7f3k9a2m";
        sql.execute_batch(&format!(
            "INSERT INTO sources (name, identity, enrolled) VALUES ('lab', 'key', 1);
             INSERT INTO rooms (name, folder, names, added) VALUES ('room', 'room', '\"posix\"', 1);
             INSERT INTO identities (recipient, minted, transfer) VALUES ('age1', 1, '{id}');
             INSERT INTO transfers (id, source, agreement, room, dataset, key, plan_sha256, plan_bytes, files, folders, bytes,
                 identity, state, since, offered, progressed, manifest_sha256, decision)
             VALUES ('{id}', 'lab', 'lab', 'room', 'd', 'k', 'p', 1, 1, 0, 1, 'age1', 'released', 8, 8, 8, '{sha256}',
                 '{{\"rule\":\"operator\",\"by\":\"kari\",\"reason\":\"seen\"}}');"
        ))
        .unwrap();
        migrate(&mut sql).unwrap();
        let version = super::super::versions::latest(&sql, &agreement.id).unwrap().unwrap();
        assert_eq!((version.number, version.text, version.lacks.len()), (1, text, 0));
        assert_eq!((version.head.from, version.head.valid_to), (agreement.from, agreement.valid_to));
        assert_eq!((version.author, version.activated.map(|time| time.unix())), (None, Some(7)));
        let reviews = super::super::reviews::standing(&sql, &id.parse().unwrap()).unwrap();
        assert_eq!((reviews.len(), reviews[0].by.name.as_str(), reviews[0].reason.as_str()), (1, "kari", "seen"));
        assert_eq!(reviews[0].manifest.to_string(), sha256);
    }

    #[test]
    fn a_newer_database_is_refused_and_a_failed_step_changes_nothing() {
        let mut sql = Connection::open_in_memory().unwrap();
        assert!(migrate_with(&mut sql, &["CREATE TABLE a (x); CREATE TABLE a (x)"]).is_err());
        assert_eq!(version(&sql), 0);
        migrate(&mut sql).unwrap();
        sql.pragma_update(None, "user_version", MIGRATIONS.len() as i64 + 1).unwrap();
        assert!(matches!(migrate(&mut sql), Err(RoleError::State(text)) if text.contains("newer slused")));
    }
}
