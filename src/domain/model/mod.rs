//! Names, kinds, revisions and secrets, which every other module uses.
//!
//! Each type can only be created from valid input, and is normalised as ejabberd normalises names.
//! So two values are equal exactly if ejabberd treats them as equal.

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
