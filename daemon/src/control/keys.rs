//! What the zone stated of its own keys. `sluse zone rotate` writes it while this role rests or does not run; here it is read at the
//! start, written into the audit log, and told to sources.

use super::failure::Failure;
use super::shared::Control;
use super::store::{Signer, Store, Who, Write};
use crate::RoleError;
use rusqlite::OptionalExtension as _;
use serde_json::json;
use sluse_host::keys::read_statements;
use sluse_host::layout::Layout;
use sluse_protocol::audit::Entry;
use sluse_protocol::ids::ZoneName;
use sluse_protocol::key_statement::{Chain, KEY_ROTATED, Signed};
use sluse_protocol::limits::KEYS_BYTES;
use sluse_protocol::sshsig::SigningKey;

/// Who signs, with every key that did before.
///
/// # Errors
/// When the statements cannot be read, or do not lead to `key`.
pub fn signer(layout: &Layout, zone: ZoneName, key: SigningKey) -> Result<Signer, RoleError> {
    let kept = read_statements(&layout.key_statements())?;
    let chain = Chain::in_force(&zone, key.public(), &kept)
        .map_err(|error| RoleError::Unsafe(format!("{}: {error}", layout.key_statements().display())))?;
    Ok(Signer { zone, key, chain })
}

/// Writes every statement in force that the log does not have into the log.
///
/// # Errors
/// When the log has one that the file does not, or the database fails.
pub fn settle(layout: &Layout, store: &Store) -> Result<(), RoleError> {
    let failed = |failure: Failure| RoleError::State(failure.to_string());
    let logged = store.read(last_logged).map_err(failed)?;
    let statements = store.signer.chain.statements();
    let Some(new) = statements.get(logged..) else {
        let file = layout.key_statements();
        return Err(RoleError::Unsafe(format!(
            "{} has {} statements, the audit log has {logged}: the file, or a key, was put back to an older one",
            file.display(),
            statements.len()
        )));
    };
    if new.is_empty() {
        return Ok(());
    }
    store.write(|write| new.iter().try_for_each(|signed| log(write, signed))).map_err(failed)
}

fn log(write: &mut Write<'_>, signed: &Signed) -> Result<(), Failure> {
    let stated = signed.read().map_err(|error| Failure::broken(error.to_string()))?.statement;
    let details = json!({
        "number": stated.number,
        "key": stated.key,
        "change": stated.change,
        "statement": signed.statement,
        "signature": signed.signature,
    });
    write.record(&Who::Operator(stated.by), KEY_ROTATED, None, details).map(drop)
}

/// The number of the last statement in the log; 0 for none.
fn last_logged(sql: &rusqlite::Connection) -> Result<usize, Failure> {
    let broken = || Failure::broken("an audit entry of a key cannot be read");
    let pattern = format!("%\"act\":\"{KEY_ROTATED}\"%");
    let mut statement = sql.prepare("SELECT line FROM audit WHERE line LIKE ? ORDER BY number DESC LIMIT 1")?;
    let line: Option<String> = statement.query_row([pattern], |row| row.get(0)).optional()?;
    let Some(line) = line else { return Ok(0) };
    let entry: Entry = serde_json::from_str(&line).map_err(|_| broken())?;
    let number = entry.details.get("number").and_then(|number| number.as_u64());
    number.and_then(|number| usize::try_from(number).ok()).ok_or_else(broken)
}

/// Lines of the statements after that of number `after`, as many as fit into an answer.
pub fn page(control: &Control, after: u64) -> String {
    let mut page = String::new();
    let after = usize::try_from(after).unwrap_or(usize::MAX);
    for signed in control.store.signer.chain.statements().iter().skip(after) {
        let line = signed.to_line();
        if page.len() + line.len() > KEYS_BYTES {
            break;
        }
        page += &line;
    }
    page
}
