//! Queries of the stored events.

use rusqlite::{Connection, params};

use super::error::{QueryError, QueryResult};
use crate::domain::status::Event;
use crate::engine::KEPT_EVENTS;

pub(super) fn record(connection: &Connection, events: &[Event]) -> QueryResult<()> {
    let mut keep = connection
        .prepare_cached("INSERT OR REPLACE INTO event (id, time, event) VALUES (?, ?, ?)")?;
    for event in events {
        let json = serde_json::to_string(event).map_err(|e| QueryError::Row(e.to_string()))?;
        let id = i64::try_from(event.id).unwrap_or(i64::MAX);
        keep.execute(params![id, event.time.as_microsecond(), json])?;
    }
    connection
        .prepare_cached(
            "DELETE FROM event WHERE id IN
             (SELECT id FROM event ORDER BY time DESC, id DESC LIMIT -1 OFFSET ?)",
        )?
        .execute([i64::try_from(KEPT_EVENTS).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// Returns the latest `most` events, the newest event last.
pub(super) fn latest(connection: &Connection, most: usize) -> QueryResult<Vec<Event>> {
    let mut query =
        connection.prepare_cached("SELECT event FROM event ORDER BY time DESC, id DESC LIMIT ?")?;
    let rows = query
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get::<_, String>(0))?;
    let mut events = rows
        .map(|row| serde_json::from_str(&row?).map_err(|e| QueryError::Row(format!("event: {e}"))))
        .collect::<QueryResult<Vec<Event>>>()?;
    events.reverse();
    Ok(events)
}
