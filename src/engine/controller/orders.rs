//! The orders that an administrator gives to a running operator, in addition to the desired state.

use serde::{Deserialize, Serialize};

use crate::domain::model::{Digest, ObjectKey};
use crate::engine::error::StoreError;

/// An order of an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Try every failed step again now.
    Retry,
    /// Accept the database of the server and fill the database, although the operator expected
    /// another database.
    Fill,
    /// Accept an older state directory. The operator then owns only declared objects.
    #[serde(rename = "adopt-all")]
    AdoptAll,
    /// Replace the declared configuration by the earlier good configuration with this digest.
    Rollback(Digest),
    /// Remove objects from the inventory. The operator no longer changes these objects.
    Forget(Vec<ObjectKey>),
    /// Add an object to the inventory, as if the operator had created the object.
    Adopt(ObjectKey),
}

/// The store of the orders.
pub trait Orders: Send + Sync {
    /// Removes and returns the orders that arrived since the last call, oldest first.
    fn take(&self) -> Result<Vec<Order>, StoreError>;

    /// Returns the path of the file that changes when an order arrives.
    fn place(&self) -> std::path::PathBuf;
}
