//! What a person asks of a running operator, beside the desired state.

use serde::{Deserialize, Serialize};

use crate::domain::model::{Digest, ObjectKey};
use crate::engine::error::StoreError;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Whatever failed is tried again now.
    Retry,
    /// The database that the server has is filled, though it is another one.
    Fill,
    /// An older state directory is used: what is declared is owned, and nothing else.
    #[serde(rename = "adopt-all")]
    AdoptAll,
    /// A good configuration from before is put in force in the place of the
    /// declared one.
    Rollback(Digest),
    /// Objects are no longer the operator's own: what becomes of them is
    /// somebody else's business.
    Forget(Vec<ObjectKey>),
    /// An object becomes the operator's own, as if it had made it.
    Adopt(ObjectKey),
}

/// Where orders are left.
pub trait Orders: Send + Sync {
    /// Takes the orders that were left since the last time, oldest first.
    fn take(&self) -> Result<Vec<Order>, StoreError>;

    /// The file whose change means that there may be some.
    fn place(&self) -> std::path::PathBuf;
}
