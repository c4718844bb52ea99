//! Names, kinds, revisions and secrets, which every other module uses.
//!
//! Newtypes that can only be built from valid input, normalised the way
//! ejabberd does it, so that two of them are equal exactly when ejabberd takes
//! them for the same thing.

mod jid;
mod object;
mod revision;
mod secret;
mod version;

pub use jid::{AffiliationId, GroupId, Jid, Localpart, NameError, RoomJid, Vhost};
pub use object::{Kind, ObjectKey, Op};
pub use revision::{Digest, Revision};
pub use secret::Secret;
pub use version::{ApiVersion, ServerVersion};
