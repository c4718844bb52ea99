//! Frames of the messaging socket: four bytes with the length, and JSON.

use std::io;

use bytes::BytesMut;
use futures_util::StreamExt;
use rustix::net::RecvFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use zeroize::{Zeroize, Zeroizing};

/// The maximum length of the JSON of a frame, in bytes.
pub(super) const MAX_FRAME_BYTES: usize = 1 << 20;

/// The length of the head of a frame, in bytes.
const HEAD_BYTES: usize = 4;

/// The reason why no frame was read or written. The message contains no content of a frame, because
/// a frame contains a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The connection failed, or a frame is too long.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The frame is not the expected JSON. The values are the kind of the error, the line and the
    /// column.
    #[error("the frame has invalid JSON ({0:?} error in line {1}, column {2})")]
    Json(serde_json::error::Category, usize, usize),
    /// The frame would be longer than [`MAX_FRAME_BYTES`].
    #[error("the frame is longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
}

impl From<serde_json::Error> for FrameError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.classify(), error.line(), error.column())
    }
}

/// A connection that reads and writes frames. Between two frames, the connection holds no memory
/// for a frame.
pub(super) struct Connection(Framed<UnixStream, LengthDelimitedCodec>);

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
        Self(Framed::new(stream, codec))
    }

    /// Waits until the peer has sent a byte of the next frame, or has closed the connection.
    pub(super) async fn readable(&self) -> io::Result<()> {
        while self.0.read_buffer().is_empty() {
            self.0.get_ref().readable().await?;
            // tokio may report data that was already read. `peek` asks the kernel.
            match self.peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked.map(|_| ()),
            }
        }
        Ok(())
    }

    /// Whether the peer keeps the connection open, and has sent nothing.
    pub(super) fn is_idle(&self) -> bool {
        let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.0.read_buffer().is_empty() && self.peek().is_err_and(waits)
    }

    /// The number of bytes that the kernel has for this connection, 0 or 1. 0 means that the peer
    /// closed the connection.
    fn peek(&self) -> io::Result<usize> {
        let stream = self.0.get_ref();
        stream.try_io(Interest::READABLE, || {
            let (_, count) = rustix::net::recv(stream, &mut [0_u8; 1], RecvFlags::PEEK)?;
            Ok(count)
        })
    }

    /// Reads a frame. `None` if the peer closed the connection between two frames.
    pub(super) async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(frame) = self.0.next().await else { return Ok(None) };
        let mut frame = frame?;
        let value = serde_json::from_slice(&frame);
        // The frame may contain a token.
        frame.as_mut().zeroize();
        drop(frame);
        if self.0.read_buffer().is_empty() {
            *self.0.read_buffer_mut() = BytesMut::new();
        }
        Ok(Some(value?))
    }

    /// Writes a frame.
    pub(super) async fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let stream = self.0.get_mut();
        stream.write_all(&frame.0).await?;
        stream.flush().await
    }
}

/// An encoded frame.
pub(super) struct Frame(Zeroizing<Vec<u8>>);

impl Frame {
    /// Encodes `value`.
    pub(super) fn new(value: &impl Serialize) -> Result<Self, FrameError> {
        let mut bytes = Zeroizing::new(vec![0; HEAD_BYTES]);
        serde_json::to_writer(&mut *bytes, value)?;
        let length = bytes.len().saturating_sub(HEAD_BYTES);
        let head = u32::try_from(length).map_err(|_| FrameError::TooLong)?.to_be_bytes();
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong);
        }
        for (byte, head) in bytes.iter_mut().zip(head) {
            *byte = head;
        }
        Ok(Self(bytes))
    }
}
