//! Queries and changes of the inventory, the generated passwords and the texts, and the conversion
//! of values from and to rows.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::{QueryError, QueryResult};
use crate::domain::inventory::{Inventory, Owned};
use crate::domain::model::{Jid, Kind, ObjectKey, Revision, Secret};
use crate::engine::StateKey;

const KEY: &str = "fingerprint-key";
pub(super) const STATUS: &str = "status";

/// Returns the name of an enum value, as `serde` writes the value in JSON.
fn name_of(value: &impl Serialize) -> QueryResult<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(QueryError::Row("a value that is not a name".to_owned())),
    }
}

pub(super) fn from_name<T: DeserializeOwned>(name: String) -> QueryResult<T> {
    serde_json::from_value(serde_json::Value::String(name))
        .map_err(|e| QueryError::Row(format!("inventory: {e}")))
}

/// Returns the inventory: `registered`, which holds only the registered objects, and the owned
/// objects.
pub(super) fn inventory(connection: &Connection, registered: Inventory) -> QueryResult<Inventory> {
    let mut query = connection.prepare_cached(
        "SELECT kind, name, origin, since, revision, deletion_policy, password, vcard, banned
         FROM inventory",
    )?;
    let mut rows = query.query([])?;
    let mut found = registered;
    while let Some(row) = rows.next()? {
        let (kind, name): (Kind, String) = (from_name(row.get(0)?)?, row.get(1)?);
        match ObjectKey::parse(kind, &name) {
            // A name that is not normalised would never match its row again.
            Ok(key) if key.name() == name => found.insert(key, owned(row)?),
            _ => tracing::warn!(%kind, name, "the inventory has an invalid name; it is ignored"),
        }
    }
    Ok(found)
}

fn owned(row: &Row<'_>) -> QueryResult<Owned> {
    let since: String = row.get(3)?;
    let password: Option<String> = row.get(6)?;
    let vcard: Option<String> = row.get(7)?;
    let banned: Option<String> = row.get(8)?;
    let damaged = |e: &dyn std::fmt::Display| QueryError::Row(format!("inventory: {e}"));
    Ok(Owned {
        origin: from_name(row.get(2)?)?,
        since: since.parse().map_err(|e| damaged(&e))?,
        revision: Revision::new(row.get::<_, String>(4)?),
        deletion_policy: from_name(row.get(5)?)?,
        password: password.map(from_name).transpose()?,
        vcard: vcard.map(from_name).transpose()?,
        banned: banned
            .map(|ban| serde_json::from_str(&ban))
            .transpose()
            .map_err(|e| damaged(&e))?,
    })
}

pub(super) fn record(
    connection: &Connection,
    owned: &[(ObjectKey, Owned)],
    forgotten: &[ObjectKey],
) -> QueryResult<()> {
    let mut forget =
        connection.prepare_cached("DELETE FROM inventory WHERE kind = ? AND name = ?")?;
    let mut is_owned =
        connection.prepare_cached("SELECT 1 FROM inventory WHERE kind = ? AND name = ?")?;
    let mut changed = false;
    // A new account of the same name must not get the old password.
    let mut drop_password = connection.prepare_cached("DELETE FROM generated WHERE jid = ?")?;
    for key in forgotten {
        changed |= forget.execute(params![key.kind().as_str(), key.name()])? > 0;
        if let ObjectKey::User(account) = key {
            drop_password.execute([account.to_string()])?;
        }
    }
    let mut keep = connection.prepare_cached(
        "INSERT OR REPLACE INTO inventory
         (kind, name, origin, since, revision, deletion_policy, password, vcard, banned)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (key, owned) in owned {
        let Owned { origin, since, revision, deletion_policy, password, vcard, banned } = owned;
        let banned = banned.as_ref().map(serde_json::to_string).transpose();
        changed = changed || !is_owned.exists(params![key.kind().as_str(), key.name()])?;
        keep.execute(params![
            key.kind().as_str(),
            key.name(),
            name_of(origin)?,
            since.to_string(),
            revision.as_str(),
            name_of(deletion_policy)?,
            password.as_ref().map(name_of).transpose()?,
            vcard.as_ref().map(name_of).transpose()?,
            banned.map_err(|e| QueryError::Row(e.to_string()))?,
        ])?;
    }
    if changed {
        save_text(
            connection,
            StateKey::OwnershipChanged.as_str(),
            Some("since the last generation"),
        )?;
    }
    Ok(())
}

pub(super) fn generated(connection: &Connection, account: &str) -> QueryResult<Option<Secret>> {
    let mut query = connection.prepare_cached("SELECT password FROM generated WHERE jid = ?")?;
    Ok(query.query_row([account], |row| row.get(0).map(Secret::new)).optional()?)
}

pub(super) fn keep_generated(
    connection: &Connection,
    passwords: &[(Jid, Secret)],
) -> QueryResult<()> {
    let mut keep = connection
        .prepare_cached("INSERT OR REPLACE INTO generated (jid, password) VALUES (?, ?)")?;
    for (account, password) in passwords {
        keep.execute(params![account.to_string(), password.expose()])?;
    }
    Ok(())
}

pub(super) fn key(connection: &Connection) -> QueryResult<Option<Zeroizing<Vec<u8>>>> {
    let mut query = connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
    Ok(query.query_row([KEY], |row| row.get(0).map(Zeroizing::new)).optional()?)
}

pub(super) fn save_key(connection: &Connection, key: &[u8]) -> QueryResult<()> {
    connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", params![KEY, key])?;
    Ok(())
}

pub(super) fn text(connection: &Connection, key: &str) -> QueryResult<Option<String>> {
    let mut query = connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
    Ok(query.query_row([key], |row| row.get(0)).optional()?)
}

pub(super) fn save_text(connection: &Connection, key: &str, text: Option<&str>) -> QueryResult<()> {
    match text {
        Some(text) => connection
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")?
            .execute([key, text])?,
        None => connection.prepare_cached("DELETE FROM meta WHERE key = ?")?.execute([key])?,
    };
    Ok(())
}
