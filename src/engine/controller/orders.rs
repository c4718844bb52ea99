//! The orders of an administrator to a running operator, beside the desired state.

use serde::{Deserialize, Serialize};

use crate::domain::model::{Digest, ObjectKey};
use crate::engine::error::StoreError;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Try every failed step again now.
    Retry,
    /// Fill the database of the server, although the operator expected another database.
    Fill,
    /// Use an older state directory: own every declared object, and no other.
    #[serde(rename = "adopt-all")]
    AdoptAll,
    /// Replace the declared configuration by an earlier good configuration.
    Rollback(Digest),
    /// Remove objects from the inventory. The operator no longer changes these objects.
    Forget(Vec<ObjectKey>),
    /// Add an object to the inventory, as if the operator had created the object.
    Adopt(ObjectKey),
}

/// The store of the orders.
pub trait Orders: Send + Sync {
    /// Takes the orders that arrived since the last call, oldest first.
    fn take(&self) -> Result<Vec<Order>, StoreError>;

    /// The file that changes when an order arrives.
    fn place(&self) -> std::path::PathBuf;
}
