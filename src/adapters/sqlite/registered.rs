//! Queries and changes of the accounts and rooms that clients registered.

use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::error::{QueryError, QueryResult};
use super::rows;
use crate::domain::inventory::{Inventory, Registration};
use crate::domain::model::{Kind, ObjectKey};
use crate::engine::{StateKey, StoreError};

/// A copy in memory of the registrations, because clients can register 100,000 objects, and each
/// reconciliation reads the inventory several times. The copy stays correct, because only the
/// process that holds the lock of the state directory writes the database.
#[derive(Default)]
pub(super) struct RegisteredCache(Mutex<Option<Box<Inventory>>>);

impl RegisteredCache {
    /// Returns the registrations, as an inventory without owned objects. The first call reads the
    /// registrations with `read`.
    pub(super) fn get(
        &self,
        read: impl FnOnce() -> Result<Inventory, StoreError>,
    ) -> Result<Inventory, StoreError> {
        let mut known = self.0.lock();
        if let Some(known) = &*known {
            return Ok(Inventory::clone(known));
        }
        let registered = read()?;
        *known = Some(Box::new(registered.clone()));
        Ok(registered)
    }

    /// Changes the database with `change`, and then the copy with `apply`. Holds the lock of the
    /// copy all the time, so that no [`get`](Self::get) stores registrations from before the
    /// change. A failed change empties the copy, because a failed commit may have taken effect.
    pub(super) fn change(
        &self,
        change: impl FnOnce() -> Result<(), StoreError>,
        apply: impl FnOnce(&mut Inventory),
    ) -> Result<(), StoreError> {
        let mut known = self.0.lock();
        let done = change();
        match &done {
            Ok(()) => {
                if let Some(known) = &mut *known {
                    apply(known);
                }
            }
            Err(_) => *known = None,
        }
        done
    }
}

/// Returns the registered objects, as an inventory without owned objects.
pub(super) fn read(connection: &Connection) -> QueryResult<Inventory> {
    let mut inventory = Inventory::default();
    let mut query =
        connection.prepare_cached("SELECT kind, name, client, since FROM registered")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name): (Kind, String) = (rows::from_name(row.get(0)?)?, row.get(1)?);
        let since: String = row.get(3)?;
        let since =
            since.parse().map_err(|e| QueryError::Row(format!("registered objects: {e}")))?;
        let registration = Registration { client: row.get(2)?, since };
        match ObjectKey::parse(kind, &name) {
            // A name that is not normalised would never match its row again.
            Ok(key) if key.name() == name && Inventory::can_register(&key) => {
                inventory.register(key, registration);
            }
            _ => tracing::warn!(%kind, name, "a registered object is invalid; it is ignored"),
        }
    }
    Ok(inventory)
}

/// Records the objects that are not registered yet.
pub(super) fn record(
    connection: &Connection,
    client: &str,
    since: Timestamp,
    objects: &[ObjectKey],
) -> QueryResult<()> {
    let mut keep = connection.prepare_cached(
        "INSERT OR IGNORE INTO registered (kind, name, client, since) VALUES (?, ?, ?, ?)",
    )?;
    let mut new = 0;
    for key in objects {
        if Inventory::can_register(key) {
            let kind = key.kind().as_str();
            new += keep.execute(params![kind, key.name(), client, since.to_string()])?;
        } else {
            tracing::debug!(%key, client, "an object that clients cannot register is ignored");
        }
    }
    if new > 0 { mark_changed(connection) } else { Ok(()) }
}

/// Removes the registrations of `objects`.
pub(super) fn forget(connection: &Connection, objects: &[ObjectKey]) -> QueryResult<()> {
    let mut forget =
        connection.prepare_cached("DELETE FROM registered WHERE kind = ? AND name = ?")?;
    let mut gone = 0;
    for key in objects {
        gone += forget.execute(params![key.kind().as_str(), key.name()])?;
    }
    if gone > 0 { mark_changed(connection) } else { Ok(()) }
}

/// Marks the ownership as changed, so that the operator recognises a copy of the state directory
/// from before as old. With such a copy, the operator would delete registered objects that the copy
/// does not have.
fn mark_changed(connection: &Connection) -> QueryResult<()> {
    rows::save_text(connection, StateKey::OwnershipChanged.as_str(), Some("registrations"))
}
