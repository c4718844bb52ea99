//! A control channel that uses `ejabberdctl` if the image has no `erl` for a session.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::call::{Call, Value};
use super::control::Control;
use super::error::ControlError;
use crate::domain::model::ServerVersion;

/// The session, or `ejabberdctl` if the image has no `erl` for a session.
pub struct FallbackControl {
    session: Arc<dyn Control>,
    fallback: Arc<dyn Control>,
    /// Whether calls go to `fallback`.
    fallback_active: AtomicBool,
    /// Whether the log reports the fallback. Reset when the session works again.
    reported: AtomicBool,
}

impl FallbackControl {
    /// A channel that sends calls to `fallback` after `session` has failed with
    /// [`ControlError::NO_ERLANG`].
    #[must_use]
    pub fn new(session: Arc<dyn Control>, fallback: Arc<dyn Control>) -> Self {
        Self {
            session,
            fallback,
            fallback_active: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    fn is_fallback_active(&self) -> bool {
        self.fallback_active.load(Ordering::Relaxed)
    }

    fn activate_fallback(&self) {
        self.fallback_active.store(true, Ordering::Relaxed);
        // Log only once, because the channel tries the session again after each start of the
        // server.
        if !self.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no `erl` was found beside the server: falling back to ejabberdctl, which takes \
                 a quarter of a second for each call and cannot carry passwords"
            );
        }
    }

    /// The response of the session; `None` if the image has no `erl` for a session.
    fn of_session<T>(&self, response: Result<T, ControlError>) -> Option<Result<T, ControlError>> {
        match &response {
            Err(error) if *error == ControlError::NO_ERLANG => {
                self.activate_fallback();
                return None;
            }
            Ok(_) => self.reported.store(false, Ordering::Relaxed),
            Err(_) => {}
        }
        Some(response)
    }
}

#[async_trait]
impl Control for FallbackControl {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        if !self.is_fallback_active()
            && let Some(response) = self.of_session(self.session.call(call.clone(), deadline).await)
        {
            return response;
        }
        self.fallback.call(call, deadline).await
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        if !self.is_fallback_active()
            && let Some(response) = self.of_session(self.session.version().await)
        {
            return response;
        }
        self.fallback.version().await
    }

    async fn close(&self) {
        self.session.close().await;
        // The next container with the same name may have an `erl`, so try the session again.
        self.fallback_active.store(false, Ordering::Relaxed);
    }
}
