//! Orders to a running operator, in a file in the state directory. Only accounts that may write to
//! the directory can give orders.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::io;
use crate::adapters::host::files;
use crate::engine::{Order, Orders, StoreError};

const FILE: &str = "orders";

/// The maximum size of a file of orders, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// The file with the orders in a state directory.
pub struct OrderFile {
    path: PathBuf,
}

impl OrderFile {
    /// Creates the adapter for the orders in the state directory `dir`. Creates no file.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join(FILE) }
    }

    /// Appends an order for the running operator.
    pub fn leave(&self, order: &Order) -> Result<(), StoreError> {
        let failed = |e: String| io("write an order", e);
        let line = serde_json::to_string(order).map_err(|e| failed(e.to_string()))?;
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        file.as_mut()
            .map_err(|e| e.to_string())
            .and_then(|file| writeln!(file, "{line}").map_err(|e| e.to_string()))
            .map_err(failed)
    }

    /// Returns whether there are orders that the operator has not read.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.path.exists()
    }
}

impl Orders for OrderFile {
    fn take(&self) -> Result<Vec<Order>, StoreError> {
        let failed = |e: std::io::Error| io("read orders", format!("{}: {e}", self.path.display()));
        // Rename the file before the read, so that later orders go to a new file.
        let taken = self.path.with_extension("taken");
        match fs::rename(&self.path, &taken) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        }
        let content = files::read(&taken, MAX_BYTES);
        fs::remove_file(&taken).map_err(failed)?;
        let content = content.map_err(failed)?;
        Ok(String::from_utf8_lossy(&content)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    fn place(&self) -> PathBuf {
        self.path.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::Digest;

    #[test]
    fn orders_are_read_once_in_the_order_of_writing() {
        let dir = tempfile::tempdir().unwrap();
        let file = OrderFile::new(dir.path());
        assert_eq!(file.take().unwrap(), Vec::new());
        let orders = [Order::Retry, Order::Rollback(Digest::new("abc".to_owned()))];
        orders.iter().for_each(|order| file.leave(order).unwrap());
        assert!(file.waits());
        assert_eq!(file.take().unwrap(), orders);
        assert!(!file.waits() && file.take().unwrap().is_empty());
    }

    /// The open of a pipe would block the operator and its shutdown.
    #[test]
    fn orders_that_are_no_regular_file_are_refused_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = OrderFile::new(dir.path());
        assert!(std::process::Command::new("mkfifo").arg(&file.path).status().unwrap().success());
        assert!(file.take().is_err());
        fs::write(&file.path, " ".repeat(MAX_BYTES + 1)).unwrap();
        assert!(file.take().is_err());
        assert_eq!(file.take().unwrap(), Vec::new());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
