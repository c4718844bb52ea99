//! Queries of the good configurations and of the files for a rollback.

use rusqlite::{Connection, params};

use super::error::{QueryError, QueryResult};
use crate::domain::model::{Digest, Revision};
use crate::engine::{ConfigFiles, GOOD_CONFIGS, GoodConfig, StateKey};

pub(super) fn keep(
    connection: &Connection,
    digest: &Digest,
    files: &ConfigFiles,
) -> QueryResult<()> {
    let mut keep = connection.prepare_cached(
        "INSERT OR REPLACE INTO config_file (digest, name, content) VALUES (?, ?, ?)",
    )?;
    for (name, content) in files {
        keep.execute(params![digest.as_str(), name, content])?;
    }
    Ok(())
}

pub(super) fn kept(connection: &Connection, digest: &Digest) -> QueryResult<Option<ConfigFiles>> {
    let mut query =
        connection.prepare_cached("SELECT name, content FROM config_file WHERE digest = ?")?;
    let files = query.query_map([digest.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let files: ConfigFiles = files.collect::<Result<_, _>>()?;
    Ok((!files.is_empty()).then_some(files))
}

pub(super) fn record_good(connection: &Connection, good: &GoodConfig) -> QueryResult<()> {
    let GoodConfig { digest, variant, revision, since } = good;
    connection.execute("DELETE FROM config_good WHERE digest = ?", [digest.as_str()])?;
    connection.execute(
        "INSERT INTO config_good (digest, variant, revision, since) VALUES (?, ?, ?, ?)",
        params![digest.as_str(), variant, revision.as_str(), since.to_string()],
    )?;
    connection.execute(
        "DELETE FROM config_good WHERE place NOT IN
         (SELECT place FROM config_good ORDER BY place DESC LIMIT ?)",
        params![i64::try_from(GOOD_CONFIGS).unwrap_or(i64::MAX)],
    )?;
    connection.execute(
        // Do not delete the files of a configuration whose digest is in the record of a rollout: an
        // interrupted rollout still needs these files.
        "DELETE FROM config_file WHERE digest NOT IN (SELECT digest FROM config_good)
         AND instr(coalesce((SELECT value FROM meta WHERE key = ?), ''), digest) = 0",
        [StateKey::Rollout.as_str()],
    )?;
    Ok(())
}

pub(super) fn good(connection: &Connection) -> QueryResult<Vec<GoodConfig>> {
    let mut query = connection.prepare_cached(
        "SELECT digest, variant, revision, since FROM config_good ORDER BY place DESC",
    )?;
    let mut rows = query.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let since: String = row.get(3)?;
        found.push(GoodConfig {
            digest: Digest::new(row.get::<_, String>(0)?),
            variant: row.get(1)?,
            revision: Revision::new(row.get::<_, String>(2)?),
            since: since.parse().map_err(|e| QueryError::Row(format!("config_good: {e}")))?,
        });
    }
    Ok(found)
}
