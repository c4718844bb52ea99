//! Cursors of pages. A cursor names the next page of one request of one client, and carries a keyed
//! hash, so that no client can use the cursor of another client or change a cursor.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::messaging::{Failure, FailureCode};
use crate::domain::model::Secret;

/// The maximum length of a cursor in bytes.
const MAX_CURSOR_BYTES: usize = 4096;

/// The key of the cursors. Each start of the operator has another key.
pub(super) struct CursorKey(Hmac<Sha256>);

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Position {
    /// Before the message with this archive id.
    Older(String),
    /// After the message with this archive id.
    Newer(String),
}

/// The content of a cursor.
#[derive(Serialize, Deserialize)]
struct Content {
    /// The client and the request without the cursor.
    scope: String,
    position: Position,
}

impl CursorKey {
    pub(super) fn new(key: &Secret) -> Self {
        let mut block = [0; 64];
        let digest = Sha256::digest(key.expose().as_bytes());
        block.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(Hmac::new(&block.into()))
    }

    /// The cursor of `position` in the pages of `scope`: the client and its request.
    pub(super) fn seal(&self, scope: &str, position: Position) -> String {
        let content = Content { scope: scope.to_owned(), position };
        let content = serde_json::to_vec(&content).unwrap_or_default();
        let tag = self.0.clone().chain_update(&content).finalize().into_bytes();
        format!("{}.{}", hex::encode(content), hex::encode(tag))
    }

    /// The position of a cursor of `scope`.
    pub(super) fn open(&self, scope: &str, cursor: &str) -> Result<Position, Failure> {
        self.verified(scope, cursor).ok_or_else(|| {
            Failure::new(
                FailureCode::InvalidArgument,
                "`cursor` does not belong to this client and this request, or the operator was \
                 restarted",
                "repeat the call without `cursor`, and use the cursors of its result with the same \
                 arguments",
            )
        })
    }

    fn verified(&self, scope: &str, cursor: &str) -> Option<Position> {
        if cursor.len() > MAX_CURSOR_BYTES {
            return None;
        }
        let (content, tag) = cursor.split_once('.')?;
        let (content, tag) = (hex::decode(content).ok()?, hex::decode(tag).ok()?);
        self.0.clone().chain_update(&content).verify_slice(&tag).ok()?;
        let content: Content = serde_json::from_slice(&content).ok()?;
        (content.scope == scope).then_some(content.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_works_only_for_its_client_and_its_request() {
        let key = CursorKey::new(&Secret::new("k".into()));
        let position = Position::Older("17".into());
        let cursor = key.seal("ann/room", position.clone());
        assert_eq!(key.open("ann/room", &cursor), Ok(position));
        assert!(key.open("bob/room", &cursor).is_err());
        let other = CursorKey::new(&Secret::new("l".into()));
        assert!(other.open("ann/room", &cursor).is_err());
        for hostile in ["", ".", "zz.zz", &cursor[1..], &"0".repeat(10_000)] {
            assert!(key.open("ann/room", hostile).is_err(), "{hostile}");
        }
    }
}
