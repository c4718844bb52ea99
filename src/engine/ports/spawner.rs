//! The port for programs that run where the server runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ejabberd::erlang::{CommandLine, Installation, NodeAddress};
use crate::engine::error::RuntimeError;

/// A running program, started where the server runs.
pub struct Spawned {
    /// The standard input of the program.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// The standard output of the program.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// The text that the program writes to its standard error.
    pub complaints: Complaints,
}

/// The first 4,000 bytes that a program writes to its standard error, or to its standard output
/// instead of frames. The task that reads the text shares this value with the task that reports an
/// error.
#[derive(Debug, Clone, Default)]
pub struct Complaints(Arc<Mutex<String>>);

impl Complaints {
    /// The maximum length of the text in bytes.
    const MAX_BYTES: usize = 4000;

    /// Adds a piece of text, up to the maximum length.
    pub fn add(&self, piece: &[u8]) {
        let mut text = self.0.lock();
        let room = Self::MAX_BYTES.saturating_sub(text.len());
        let piece = piece.get(..room.min(piece.len())).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(piece));
    }

    /// Returns the first line that is neither empty nor a heading; `None` if no such line exists.
    #[must_use]
    pub fn first_line(&self) -> Option<String> {
        let text = self.0.lock();
        let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
        let lines = text.lines().map(plain).filter(|line| !line.trim().is_empty());
        // An error report of Erlang begins with a heading and the time.
        lines.map(|line| line.trim().to_owned()).find(|line| !line.starts_with('='))
    }
}

/// The output and the exit code of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; `None` if the program was killed.
    pub code: Option<i64>,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

/// A starter of programs where the server runs.
#[async_trait]
pub trait Spawner: Send + Sync {
    /// Finds the ejabberd installation of the running server, and the address of the server's node.
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError>;

    /// Starts a program whose input and output are pipes. The caller must choose a program that
    /// ends when the input ends.
    async fn spawn(&self, command: CommandLine) -> Result<Spawned, RuntimeError>;

    /// Runs a program, and waits for the end of the program, at most for the time `deadline`.
    async fn output(
        &self,
        command: CommandLine,
        deadline: Duration,
    ) -> Result<Output, RuntimeError>;
}
