//! Programs that run beside the server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ejabberd::erlang::{CommandLine, Installation, NodeAddress};
use crate::engine::error::RuntimeError;

/// A program that runs beside the server.
pub struct Spawned {
    /// Its standard input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// What it complains of.
    pub complaints: Complaints,
}

/// The first 4,000 bytes that a program writes to its standard error, or as
/// text instead of frames. Shared between the task that reads the text and
/// the task that reports an error.
#[derive(Debug, Clone, Default)]
pub struct Complaints(Arc<Mutex<String>>);

impl Complaints {
    /// The most that is kept, in bytes.
    const MAX_BYTES: usize = 4000;

    /// Adds a piece, as far as there is room.
    pub fn add(&self, piece: &[u8]) {
        let mut text = self.0.lock();
        let room = Self::MAX_BYTES.saturating_sub(text.len());
        let piece = piece.get(..room.min(piece.len())).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(piece));
    }

    /// The first line that says something.
    #[must_use]
    pub fn first_line(&self) -> Option<String> {
        let text = self.0.lock();
        let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
        let lines = text.lines().map(plain).filter(|line| !line.trim().is_empty());
        // An error report of Erlang begins with a heading and the time.
        lines.map(|line| line.trim().to_owned()).find(|line| !line.starts_with('='))
    }
}

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; `None` if it was killed.
    pub code: Option<i64>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs programs where the server runs.
#[async_trait]
pub trait Spawner: Send + Sync {
    /// The installation that runs the server right now, and the address of
    /// its node.
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError>;

    /// Starts a program with pipes. It ends when its input does.
    async fn spawn(&self, command: CommandLine) -> Result<Spawned, RuntimeError>;

    /// Runs a program to its end, within `deadline`.
    async fn output(
        &self,
        command: CommandLine,
        deadline: Duration,
    ) -> Result<Output, RuntimeError>;
}
