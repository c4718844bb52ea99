//! One open session: writes calls, reads responses, and passes each response to its caller.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::terms::{Outcome, Request};
use super::{etf, interpret, terms};
use crate::domain::model::{ApiVersion, ServerVersion};
use crate::ejabberd::{Arg, Call, ControlError, Value};
use crate::engine::{Complaints, Spawned};

/// The maximum length of a frame from the program in the Erlang VM, in bytes. 100,000 account names
/// are 6 MB.
const MAX_FRAME_BYTES: u32 = 64 << 20;

/// The maximum number of calls in one frame. A frame contains all waiting calls, up to this number.
const MAX_BATCH: usize = 64;

/// The time limit of a write. After this time, the pipe counts as stuck.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// The calls that wait for a response, by number.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Outcome>>>>;

/// An encoded call. It may hold passwords.
type Encoded = Zeroizing<Vec<u8>>;

/// The time that the operator waits for the last error messages of a program that has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The bytes that the operator's Erlang program writes when its VM is up. Frames follow.
const READY: &[u8] = b"ejabberd-operator: the session is up";

/// The maximum number of bytes that a VM may write before [`READY`].
const MAX_PREAMBLE_BYTES: usize = 16 << 10;

/// An open session. Dropping the session closes the input of the operator's Erlang program, which
/// ends the program.
pub(super) struct Link {
    calls: mpsc::Sender<Encoded>,
    waiting: Waiting,
    /// The number of the next call, which bounds the number of responses.
    next: Arc<AtomicU64>,
    /// The version of the server; the first call that needs the version requests it.
    version: OnceCell<ServerVersion>,
    opened: Instant,
    closed: watch::Sender<bool>,
}

impl Link {
    /// Takes the pipes of a new Erlang VM, and waits until the VM is up. Does not wait for the
    /// server: the operator's Erlang program can check the server's ports even if the server does
    /// not respond.
    pub(super) async fn open(spawned: Spawned) -> Result<Self, ControlError> {
        // Twice the number of calls that the semaphore in [`super::Session`] allows, so that the
        // queue is never full.
        let (calls, queue) = mpsc::channel(128);
        let (closed, mut ended) = watch::channel(false);
        let waiting = Waiting::default();
        let next = Arc::new(AtomicU64::new(0));
        let (is_up, ready) = oneshot::channel();
        let complaints = spawned.complaints.clone();
        let ending = Ending { waiting: Arc::clone(&waiting), closed: closed.clone() };
        tokio::spawn(pump(spawned, queue, Arc::clone(&next), is_up, ending));
        let link =
            Self { calls, waiting, next, version: OnceCell::new(), opened: Instant::now(), closed };
        if ready.await.is_ok() {
            return Ok(link);
        }
        let _ = timeout(LAST_WORDS, ended.wait_for(|closed| *closed)).await;
        sleep(LAST_WORDS).await;
        let why = complaints.first_line().map_or_else(String::new, |line| format!(": {line}"));
        Err(ControlError::CannotOpen(format!(
            "the Erlang VM beside the server does not start{why}"
        )))
    }

    /// The server's version, requested once. The version decides the API version of commands.
    pub(super) async fn version(&self, deadline: Duration) -> Result<ServerVersion, ControlError> {
        self.version.get_or_try_init(|| self.ask_version(deadline)).await.copied()
    }

    async fn ask_version(&self, deadline: Duration) -> Result<ServerVersion, ControlError> {
        let ask =
            Call::function("application", "get_key", vec![Arg::Atom("ejabberd"), Arg::Atom("vsn")]);
        let response = interpret("get_key", self.send(&ask, ApiVersion(0), deadline).await?)?;
        let version = match response.as_tuple() {
            Some([_, Value::Text(vsn)]) => ServerVersion::parse(vsn),
            _ => None,
        };
        version.ok_or_else(|| {
            ControlError::Unreachable("ejabberd is not loaded in its node yet".to_owned())
        })
    }

    /// The time since the session was opened.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    pub(super) fn is_open(&self) -> bool {
        !*self.closed.borrow()
    }

    /// Ends the session at once. Calls in progress fail with [`ControlError::Broken`].
    pub(super) fn shut(&self) {
        self.closed.send_replace(true);
    }

    /// Sends one call and waits for its response. The operator's Erlang program enforces the
    /// deadline; see [`super::GRACE`].
    pub(super) async fn call(
        &self,
        call: Call,
        deadline: Duration,
    ) -> Result<Outcome, ControlError> {
        let api = match &call {
            Call::Command { .. } => self.version(deadline).await?.api(),
            // Only commands have an API version.
            _ => ApiVersion(0),
        };
        self.send(&call, api, deadline).await
    }

    async fn send(
        &self,
        call: &Call,
        api: ApiVersion,
        deadline: Duration,
    ) -> Result<Outcome, ControlError> {
        let name = call.name();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let millis = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let (response, receive) = oneshot::channel();
        self.waiting.lock().insert(id, response);
        // If the caller stops waiting, the drop of this guard removes the entry from `waiting`.
        let _call = PendingCall { id, waiting: &self.waiting };
        let request = Request { id, timeout_ms: millis, call, api };
        let request = request.encoded().map_err(|_| ControlError::Unsupported {
            command: name,
            why: "an argument is longer than an Erlang VM allows",
        })?;
        if !self.is_open() || self.calls.send(Zeroizing::new(request)).await.is_err() {
            return Err(ControlError::Broken(name));
        }
        receive.await.map_err(|_| ControlError::Broken(name))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shut();
    }
}

struct PendingCall<'a> {
    id: u64,
    waiting: &'a Waiting,
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}

/// A guard that marks a session as ended when the guard is dropped: every waiting caller gets an
/// outage, and the next call opens a new session. A panic of the task also drops the guard.
struct Ending {
    waiting: Waiting,
    closed: watch::Sender<bool>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.closed.send_replace(true);
        self.waiting.lock().clear();
    }
}

/// Writes calls and reads responses until either side ends.
async fn pump(
    spawned: Spawned,
    queue: mpsc::Receiver<Encoded>,
    calls: Arc<AtomicU64>,
    is_up: oneshot::Sender<()>,
    ending: Ending,
) {
    let Spawned { stdin, stdout, complaints } = spawned;
    let mut ended = ending.closed.subscribe();
    let responses = Responses { stdout, waiting: &ending.waiting, calls: &calls, received: 0 };
    let result = tokio::select! {
        // Neither future is cancel-safe. The end of either future ends the session, so a lost read
        // does no harm.
        result = write_calls(stdin, queue) => result,
        result = responses.read(&complaints, is_up) => result,
        _ = ended.wait_for(|closed| *closed) => Ok(()),
    };
    if let Err(cause) = result {
        tracing::debug!(%cause, "the control session broke");
    }
}

async fn write_calls(
    mut stdin: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Encoded>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let frame = terms::frame(&batch).map_err(|_| io::Error::other("calls of 4 GB"))?;
        let frame = Zeroizing::new(frame);
        batch.clear();
        let written = async {
            stdin.write_all(&frame).await?;
            stdin.flush().await
        };
        timeout(WRITE_DEADLINE, written).await??;
    }
    Ok(())
}

/// The reading half of a session.
struct Responses<'l, R> {
    stdout: R,
    waiting: &'l Waiting,
    /// The number of calls so far, which are numbered from 0.
    calls: &'l AtomicU64,
    /// The number of responses so far.
    received: u64,
}

impl<R: AsyncRead + Unpin> Responses<'_, R> {
    /// Waits until the Erlang VM is up, and then reads the responses of its program.
    async fn read(mut self, complaints: &Complaints, is_up: oneshot::Sender<()>) -> io::Result<()> {
        let mut preamble = Vec::new();
        while !preamble.ends_with(READY) {
            match self.stdout.read_u8().await {
                Ok(byte) if preamble.len() < MAX_PREAMBLE_BYTES => preamble.push(byte),
                ended => {
                    complaints.add(&preamble);
                    return Err(ended.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into()));
                }
            }
        }
        // Sending fails if the caller has stopped waiting, because opening took too long.
        let _ = is_up.send(());
        loop {
            let frame = self.frame().await?;
            self.deliver(&frame)?;
        }
    }

    async fn frame(&mut self) -> io::Result<Vec<u8>> {
        let length = self.stdout.read_u32().await?;
        if length > MAX_FRAME_BYTES {
            return Err(invalid(format!("a frame of {length} bytes")));
        }
        let mut frame = Vec::new();
        // `take` grows the buffer as data comes, so a false length allocates nothing.
        (&mut self.stdout).take(length.into()).read_to_end(&mut frame).await?;
        if frame.len() as u64 != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(frame)
    }

    /// Sends each outcome to the caller that waits for it. A call has one outcome, so more outcomes
    /// than calls are an error. Otherwise the operator's Erlang program could keep the session
    /// busy.
    fn deliver(&mut self, frame: &[u8]) -> io::Result<()> {
        let term = etf::decode(frame).map_err(io::Error::other)?;
        let outcomes = terms::outcomes(term)
            .ok_or_else(|| invalid("a frame that is no response".to_owned()))?;
        let calls = self.calls.load(Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        for (id, outcome) in outcomes {
            self.received += 1;
            if id >= calls || self.received > calls {
                return Err(invalid("a response to a call that was not made".to_owned()));
            }
            if let Some(response) = waiting.remove(&id) {
                // Sending fails if the caller has stopped waiting after its deadline.
                let _ = response.send(outcome);
            }
        }
        Ok(())
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
