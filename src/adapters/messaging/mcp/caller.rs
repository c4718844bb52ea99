//! The client of a request.

use std::sync::Arc;

use super::http::Slot;
use crate::domain::messaging::{Identity, Tool};
use crate::domain::model::Secret;

/// The client of a request, with its token. The operator has identified the client.
#[derive(Debug, Clone)]
pub(super) struct Caller(Arc<Content>);

#[derive(Debug)]
struct Content {
    token: Secret,
    identity: Identity,
    /// Counts the request as long as a part of the request is in progress.
    _slot: Option<Slot>,
}

impl Caller {
    pub(super) fn new(token: Secret, identity: Identity, slot: Option<Slot>) -> Self {
        Self(Arc::new(Content { token, identity, _slot: slot }))
    }

    pub(super) fn token(&self) -> &Secret {
        &self.0.token
    }

    /// The name of the client.
    pub(super) fn name(&self) -> &str {
        &self.0.identity.client
    }

    pub(super) fn has(&self, tool: Tool) -> bool {
        self.0.identity.tools.contains(&tool)
    }
}
