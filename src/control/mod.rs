//! Floor 4: control channels, the ways in which calls reach the server.

pub mod ejabberdctl;
pub mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use self::ejabberdctl::Ejabberdctl;
use self::session::{NO_ERLANG, Session};
use crate::engine::{Call, Control, ControlError, Spawner, Value};
use crate::model::ServerVersion;

/// The session, and `ejabberdctl` where the image has no `erl` for one.
pub struct Preferred {
    session: Session,
    fallback: Ejabberdctl,
    cold: AtomicBool,
}

impl Preferred {
    /// Both ways through `spawner`; `script` is the control script with the
    /// options by which it finds the server.
    #[must_use]
    pub fn new(spawner: &Arc<dyn Spawner>, script: Vec<String>) -> Self {
        Self {
            session: Session::new(Arc::clone(spawner)),
            fallback: Ejabberdctl::new(Arc::clone(spawner), script),
            cold: AtomicBool::new(false),
        }
    }

    fn is_cold(&self) -> bool {
        self.cold.load(Ordering::Relaxed)
    }

    fn turn_cold(&self) {
        if !self.cold.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no `erl` was found beside the server: falling back to ejabberdctl, which takes \
                 a quarter of a second for each call and cannot carry passwords"
            );
        }
    }
}

#[async_trait]
impl Control for Preferred {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        if !self.is_cold() {
            match self.session.call(call.clone(), deadline).await {
                Err(error) if error == NO_ERLANG => self.turn_cold(),
                answer => return answer,
            }
        }
        self.fallback.call(call, deadline).await
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        if !self.is_cold() {
            match self.session.version().await {
                Err(error) if error == NO_ERLANG => self.turn_cold(),
                answer => return answer,
            }
        }
        self.fallback.version().await
    }

    async fn close(&self) {
        self.session.close().await;
        // Another container may be behind the same name the next time.
        self.cold.store(false, Ordering::Relaxed);
    }
}
