//! A replacement of the operator's Erlang program, in memory. Each test defines the behaviour of
//! the replacement.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ejabberd_operator::ejabberd::erlang::{CommandLine, Installation, Launcher, NodeAddress};
use ejabberd_operator::engine::{Complaints, Output, RuntimeError, Spawned, Spawner};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The text that the operator's Erlang program writes when the program is ready.
pub const READY: &[u8] = b"ejabberd-operator: the session is up";

/// The behaviour of a replacement. Gets the number of the replacement, from 0, and the pipe of the
/// session.
type Act =
    Box<dyn Fn(usize, DuplexStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Starts a replacement of the operator's Erlang program for each session, and counts the
/// replacements.
pub struct FarEnds {
    act: Act,
    pub started: AtomicUsize,
}

impl FarEnds {
    pub fn new<F>(act: impl Fn(usize, DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let act: Act = Box::new(move |number, pipe| Box::pin(act(number, pipe)));
        Self { act, started: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Spawner for FarEnds {
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError> {
        let installation = Installation {
            launcher: Launcher::Erl("/usr/bin/erl".to_owned()),
            boot: "start_clean".to_owned(),
            release_lib: None,
            libs: Vec::new(),
        };
        let node = NodeAddress { name: "ejabberd@localhost".to_owned(), ..NodeAddress::default() };
        Ok((installation, node))
    }

    async fn spawn(&self, _: CommandLine) -> Result<Spawned, RuntimeError> {
        let (near, far) = tokio::io::duplex(64 << 10);
        tokio::spawn((self.act)(self.started.fetch_add(1, Ordering::Relaxed), far));
        let (stdout, stdin) = tokio::io::split(near);
        let complaints = Complaints::default();
        Ok(Spawned { stdin: Box::new(stdin), stdout: Box::new(stdout), complaints })
    }

    async fn output(&self, _: CommandLine, _: Duration) -> Result<Output, RuntimeError> {
        Err(RuntimeError::Missing("a program".to_owned()))
    }
}

/// Reads one frame of calls. `None` if the session has ended.
pub async fn calls(pipe: &mut DuplexStream) -> Option<Vec<u8>> {
    let length = pipe.read_u32().await.ok()?;
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    pipe.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

/// Writes one frame. Ignores errors, because the session may have ended.
pub async fn answer(pipe: &mut DuplexStream, frame: &[u8]) {
    let _ = pipe.write_u32(u32::try_from(frame.len()).unwrap()).await;
    let _ = pipe.write_all(frame).await;
}

/// `[{Id, {ok, {ok, "26.7"}}}]`, the response to the request for the version.
pub fn version(id: u8) -> Vec<u8> {
    let mut frame = vec![131, b'l', 0, 0, 0, 1, b'h', 2, b'a', id];
    for _ in 0..2 {
        frame.extend([b'h', 2, b'w', 2, b'o', b'k']);
    }
    frame.extend([b'k', 0, 4]);
    frame.extend(b"26.7");
    frame.push(b'j');
    frame
}

/// Responds to every call with the version 26.07.
pub async fn honest(mut pipe: DuplexStream) {
    pipe.write_all(READY).await.unwrap();
    for id in 0.. {
        if calls(&mut pipe).await.is_none() {
            return;
        }
        answer(&mut pipe, &version(id)).await;
    }
}
