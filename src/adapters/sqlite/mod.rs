//! Stores the operator's state in an `SQLite` database in the state directory.
//!
//! One writer holds the lock of the directory. Any number of readers can read at the same time: a
//! reader takes no lock and creates no file.

mod configs;
mod database;
mod directory;
mod error;
mod events;
mod orders;
mod registered;
mod rows;
#[cfg(test)]
mod tests;

pub use orders::OrderFile;

use std::fs::File;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::Connection;
use sha2::Sha256;

use self::directory::Purpose;
use self::error::{QueryResult, io};
use self::registered::RegisteredCache;
use crate::domain::inventory::{Fingerprint, Inventory, Owned, Registration};
use crate::domain::model::{Digest, Jid, ObjectKey, Secret};
use crate::domain::status::Event;
use crate::engine::{ConfigFiles, GoodConfig, StateKey, Store, StoreError};

/// The name of the database file in the state directory.
const DATABASE: &str = "state.sqlite";

enum Access {
    /// The store holds `_lock` until a drop of the store or the end of the process.
    Writer { connection: Mutex<Connection>, registered: RegisteredCache, _lock: File },
    /// The path of the database. Each query opens the database.
    Reader(PathBuf),
}

/// Stores the inventory, generated passwords, configurations, events and the last status.
pub struct SqliteStore {
    access: Access,
    keyed: Hmac<Sha256>,
}

impl SqliteStore {
    /// Opens the store in `dir` to write. Creates the directory and the database if they are
    /// missing.
    ///
    /// Fails with [`StoreError::Locked`] if another operator uses the directory, and with
    /// [`StoreError::Io`] on all other errors, such as a damaged or newer database.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        directory::make(dir)?;
        directory::check(dir, Purpose::Write)?;
        let lock = directory::lock(dir)?;
        let mut connection = database::open(&dir.join(DATABASE))?;
        let keyed = keyed(&database::key(&mut connection)?)?;
        let connection = Mutex::new(connection);
        let registered = RegisteredCache::default();
        let access = Access::Writer { connection, registered, _lock: lock };
        Ok(Self { access, keyed })
    }

    /// Opens the store in `dir` to read, also while an operator runs. `None` if there is no
    /// database yet. Every write fails.
    pub fn open_read_only(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(DATABASE);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io("open the database", format!("{}: {e}", path.display()))),
        }
        directory::check(dir, Purpose::Read)?;
        let Some(key) = database::read(&path, rows::key)?.flatten() else { return Ok(None) };
        Ok(Some(Self { access: Access::Reader(path), keyed: keyed(&key)? }))
    }

    /// Returns the last stored status document. `None` if no status is stored.
    pub fn status(&self) -> Result<Option<String>, StoreError> {
        self.ask(|connection| rows::text(connection, rows::STATUS))
    }

    fn ask<T>(&self, query: impl Fn(&Connection) -> QueryResult<T>) -> Result<T, StoreError> {
        match &self.access {
            Access::Writer { connection, .. } => {
                let connection = connection.lock();
                query(&connection).map_err(|e| error::failure("read", &connection, &e))
            }
            Access::Reader(path) => database::read(path, query)?.ok_or_else(|| {
                io("read", "the database is gone; start the operator, which creates it again")
            }),
        }
    }

    /// Changes the registrations in the database with `change`, and in the cache with `apply`.
    fn change_registered(
        &self,
        change: impl FnOnce() -> Result<(), StoreError>,
        apply: impl FnOnce(&mut Inventory),
    ) -> Result<(), StoreError> {
        match &self.access {
            Access::Writer { registered, .. } => registered.change(change, apply),
            Access::Reader(_) => change(),
        }
    }

    /// Runs `change` in one transaction.
    fn write(
        &self,
        operation: &'static str,
        change: impl FnOnce(&Connection) -> QueryResult<()>,
    ) -> Result<(), StoreError> {
        let Access::Writer { connection, .. } = &self.access else {
            return Err(io(operation, "the store was opened to read only"));
        };
        let mut connection = connection.lock();
        let done = (|| {
            // If `change` fails, the drop of the transaction rolls the transaction back.
            let transaction = connection.transaction()?;
            change(&transaction)?;
            Ok(transaction.commit()?)
        })();
        done.map_err(|e| error::failure(operation, &connection, &e))
    }
}

impl Store for SqliteStore {
    fn inventory(&self) -> Result<Inventory, StoreError> {
        match &self.access {
            Access::Writer { registered, .. } => {
                let registered = registered.get(|| self.ask(registered::read))?;
                self.ask(|c| rows::inventory(c, registered.clone()))
            }
            Access::Reader(_) => self.ask(|c| rows::inventory(c, registered::read(c)?)),
        }
    }

    fn record(
        &self,
        owned: &[(ObjectKey, Owned)],
        forgotten: &[ObjectKey],
    ) -> Result<(), StoreError> {
        if owned.is_empty() && forgotten.is_empty() {
            return Ok(());
        }
        self.write("record the inventory", |c| rows::record(c, owned, forgotten))
    }

    fn record_registered(
        &self,
        client: &str,
        since: Timestamp,
        objects: &[ObjectKey],
    ) -> Result<(), StoreError> {
        if objects.is_empty() {
            return Ok(());
        }
        let change = || {
            self.write("record a registration", |c| registered::record(c, client, since, objects))
        };
        self.change_registered(change, |known| {
            for key in objects {
                known.register(key.clone(), Registration { client: client.to_owned(), since });
            }
        })
    }

    fn forget_registered(&self, objects: &[ObjectKey]) -> Result<(), StoreError> {
        if objects.is_empty() {
            return Ok(());
        }
        let change = || self.write("forget a registration", |c| registered::forget(c, objects));
        self.change_registered(change, |known| {
            for key in objects {
                known.unregister(key);
            }
        })
    }

    fn fingerprint(&self, password: &Secret) -> Fingerprint {
        let mut keyed = self.keyed.clone();
        keyed.update(password.expose().as_bytes());
        Fingerprint::new(hex::encode(keyed.finalize().into_bytes()))
    }

    fn generated(&self, account: &Jid) -> Result<Option<Secret>, StoreError> {
        let account = account.to_string();
        self.ask(|connection| rows::generated(connection, &account))
    }

    fn keep_generated(&self, passwords: &[(Jid, Secret)]) -> Result<(), StoreError> {
        if passwords.is_empty() {
            return Ok(());
        }
        self.write("store a generated password", |c| rows::keep_generated(c, passwords))
    }

    fn recall(&self, key: StateKey) -> Result<Option<String>, StoreError> {
        self.ask(|connection| rows::text(connection, key.as_str()))
    }

    fn remember(&self, key: StateKey, text: Option<&str>) -> Result<(), StoreError> {
        self.write("store the state", |c| rows::save_text(c, key.as_str(), text))
    }

    fn keep_config(&self, digest: &Digest, files: &ConfigFiles) -> Result<(), StoreError> {
        self.write("store a configuration", |c| configs::keep(c, digest, files))
    }

    fn kept_config(&self, digest: &Digest) -> Result<Option<ConfigFiles>, StoreError> {
        self.ask(|connection| configs::kept(connection, digest))
    }

    fn record_good(&self, good: &GoodConfig) -> Result<(), StoreError> {
        self.write("record a good configuration", |c| configs::record_good(c, good))
    }

    fn good_configs(&self) -> Result<Vec<GoodConfig>, StoreError> {
        self.ask(configs::good)
    }

    fn record_events(&self, events: &[Event]) -> Result<(), StoreError> {
        self.write("store events", |c| events::record(c, events))
    }

    fn events(&self, most: usize) -> Result<Vec<Event>, StoreError> {
        self.ask(|connection| events::latest(connection, most))
    }

    fn save_status(&self, status: &str) -> Result<(), StoreError> {
        self.write("store the status", |c| rows::save_text(c, rows::STATUS, Some(status)))
    }
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, StoreError> {
    Hmac::new_from_slice(key).map_err(|e| io("use the fingerprint key", e.to_string()))
}
