//! The reading half of a connection, with limits on bytes and time.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::OwnedReadHalf;
use tokio::time::{Instant, Sleep, sleep_until};

use super::MAX_HEAD_BYTES;

/// The maximum length of a frame of a program's output, in bytes. The engine copies output with
/// `io.Copy` of Go, whose buffer has 32 KiB, and writes one frame for each read.
const MAX_FRAME_BYTES: u32 = 1 << 20;

/// The limits for the data that the operator reads from one connection.
pub(super) struct Limits {
    /// The maximum number of bytes; with `frames`, the maximum number of bytes outside of frames.
    pub(super) bytes: usize,
    /// The deadline; `None` if the caller has a deadline, or if the stream has no end.
    pub(super) deadline: Option<Instant>,
    /// `Some` if frames follow the head of the response. Each frame has at most
    /// [`MAX_FRAME_BYTES`].
    pub(super) frames: Option<Frames>,
}

/// The reading half of a connection with [`Limits`]. A read beyond the limits fails.
pub(super) struct Guarded {
    stream: OwnedReadHalf,
    read: usize,
    limit: usize,
    deadline: Option<Pin<Box<Sleep>>>,
    frames: Option<Frames>,
}

impl Guarded {
    pub(super) fn new(stream: OwnedReadHalf, limits: Limits) -> Self {
        let Limits { bytes, deadline, frames } = limits;
        let deadline = deadline.map(|at| Box::pin(sleep_until(at)));
        Self { stream, read: 0, limit: bytes, deadline, frames }
    }

    fn count(&mut self, bytes: &[u8]) -> io::Result<()> {
        let counted = match &mut self.frames {
            Some(frames) => frames.count(bytes)?,
            None => bytes.len(),
        };
        self.read = self.read.saturating_add(counted);
        if self.read > self.limit {
            let limit = self.limit >> 10;
            return Err(refused(format!(
                "the engine's response has more than {limit} KiB; is it dockerd?"
            )));
        }
        Ok(())
    }
}

fn refused(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            let why = "the engine's response did not end in time; is it dockerd?";
            return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, why)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.count(new))
    }
}

/// A parser that follows the frames of a program's output in a response. A frame is a header of
/// eight bytes (the first names the stream, the last four give the length), and then output of that
/// length. Source: the engine's API, "Attach to a container", stream format.
pub(super) enum Frames {
    /// Before the empty line that ends the head of the response. Contains the head so far.
    Head(Vec<u8>),
    /// The response is an error, with an ordinary body.
    Body,
    /// Inside the header of a frame: the number of header bytes so far, and the length so far.
    Header(u8, u32),
    /// Inside the output of a frame: the number of bytes that remain.
    Text(u32),
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self::Head(Vec::new())
    }

    /// The number of bytes of `bytes` that are outside of frames.
    fn count(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let mut outside = 0;
        while let Some((first, rest)) = bytes.split_first() {
            match self {
                Self::Body => return Ok(outside + bytes.len()),
                Self::Head(head) => {
                    head.push(*first);
                    bytes = rest;
                    outside += 1;
                    if head.ends_with(b"\r\n\r\n") {
                        // After "101 Switching Protocols" the connection carries the frames of the
                        // program.
                        let upgraded = head.get(9..12) == Some(b"101");
                        *self = if upgraded { Self::Header(0, 0) } else { Self::Body };
                    } else if head.len() > MAX_HEAD_BYTES {
                        return Err(refused("the head of the engine's response has no end".into()));
                    }
                }
                Self::Header(count, length) => {
                    if *count == 0 && *first > 2 {
                        let why = "the engine sent something else than a program's output";
                        return Err(refused(why.to_owned()));
                    }
                    *count += 1;
                    bytes = rest;
                    if *count > 4 {
                        *length = *length << 8 | u32::from(*first);
                    }
                    match (*count, *length) {
                        (8, length) if length > MAX_FRAME_BYTES => {
                            let why = format!("the engine announced {length} bytes of output");
                            return Err(refused(why));
                        }
                        (8, 0) => *self = Self::Header(0, 0),
                        (8, length) => *self = Self::Text(length),
                        _ => {}
                    }
                }
                Self::Text(left) => {
                    let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= u32::try_from(here).unwrap_or(*left);
                    bytes = bytes.get(here..).unwrap_or_default();
                    if *left == 0 {
                        *self = Self::Header(0, 0);
                    }
                }
            }
        }
        Ok(outside)
    }
}
