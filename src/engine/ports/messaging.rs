//! The port of the messaging socket.

use async_trait::async_trait;

use crate::domain::messaging::{Request, Response};

/// Carries out the operations of programs that send and read messages. The operator implements this
/// trait; the messaging socket calls it.
#[async_trait]
pub trait MessagingHandler: Send + Sync {
    /// Checks the token and the rights of a request, and carries out its operation. Ends within 30
    /// seconds.
    async fn handle(&self, request: Request) -> Response;
}
