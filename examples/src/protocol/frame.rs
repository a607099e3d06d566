//! Frames: how heads and bodies travel on a connection.

use std::io;
use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

/// The head's length and the body's length (4 bytes each, little endian), the head, the body.
#[derive(Debug)]
pub struct Frame<H> {
    /// What is asked or answered.
    pub head: H,
    /// A value.
    pub body: Body,
}

/// A frame's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// It was longer than the reader takes in; it was passed over.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}

/// Reads frames with heads of type `H` from a connection.
#[derive(Debug)]
pub struct Frames<R, H> {
    from: BufReader<R>,
    body_bytes_max: usize,
    head: PhantomData<fn() -> H>,
}

/// Frames that wait to be written, encoded.
pub type Queued = mpsc::Receiver<Bytes>;

/// Takes frames for one connection, from any task.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Bytes>,
}

impl<R: AsyncRead + Unpin, H: DeserializeOwned> Frames<R, H> {
    /// A reader of frames whose bodies are at most `body_bytes_max` long.
    pub fn new(from: R, body_bytes_max: usize) -> Self {
        Self {
            from: BufReader::with_capacity(BUFFER_BYTES, from),
            body_bytes_max,
            head: PhantomData,
        }
    }

    /// The next frame, or `None` if the connection ended between two frames.
    ///
    /// # Errors
    /// `InvalidData` for what is no frame; of the connection.
    pub async fn next(&mut self) -> io::Result<Option<Frame<H>>> {
        let mut lengths = [0; 8];
        let (first, _) = lengths.split_at_mut(1);
        if self.from.read(first).await? == 0 {
            return Ok(None);
        }
        let (_, rest) = lengths.split_at_mut(1);
        self.from.read_exact(rest).await?;
        let [a, b, c, d, e, f, g, h] = lengths;
        let head_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
        let body_bytes = u32::from_le_bytes([e, f, g, h]) as usize;
        if head_bytes > HEAD_BYTES_MAX {
            return Err(invalid(format!("a head of {head_bytes} bytes")));
        }
        let mut head = vec![0; head_bytes];
        self.from.read_exact(&mut head).await?;
        let head = codec::decode("head", &head).map_err(|error| invalid(error.to_string()))?;
        let body = self.body(body_bytes).await?;
        Ok(Some(Frame { head, body }))
    }

    /// Reads a greeting of `N` bytes.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn greeting<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut greeting = [0; N];
        self.from.read_exact(&mut greeting).await?;
        Ok(greeting)
    }

    async fn body(&mut self, bytes: usize) -> io::Result<Body> {
        if bytes > self.body_bytes_max {
            let mut rest = (&mut self.from).take(bytes as u64);
            let passed = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            return match passed == bytes as u64 {
                true => Ok(Body::TooLong { bytes }),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let mut body = BytesMut::zeroed(bytes);
        self.from.read_exact(&mut body).await?;
        Ok(Body::Whole(body.freeze()))
    }
}

impl Outbox {
    /// An outbox that holds `frames_max` frames, and what [`Outbox::write_all`] writes.
    pub fn new(frames_max: usize) -> (Self, Queued) {
        let (queue, queued) = mpsc::channel(frames_max);
        (Self { queue }, queued)
    }

    /// Puts a frame into the queue, waiting while it is full.
    ///
    /// # Errors
    /// `NotConnected` if the connection has ended; `InvalidInput` for a head or body that does not
    /// fit into a frame.
    pub async fn send<H: Serialize>(&self, head: &H, body: &[u8]) -> io::Result<()> {
        let unfit = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        let head = codec::encode("head", head).map_err(|error| unfit(error.to_string()))?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|e| unfit(e.to_string()));
        let mut frame = BytesMut::with_capacity(8 + head.len() + body.len());
        frame.put_u32_le(length(&head)?);
        frame.put_u32_le(length(body)?);
        frame.put_slice(&head);
        frame.put_slice(body);
        let gone = |_| io::Error::from(io::ErrorKind::NotConnected);
        self.queue.send(frame.freeze()).await.map_err(gone)
    }

    /// Writes what comes through `queued`, all that waits at once, until every outbox is gone.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn write_all<W: AsyncWrite + Unpin>(mut to: W, mut queued: Queued) -> io::Result<()> {
        let mut waiting = Vec::new();
        let mut together = BytesMut::new();
        while queued.recv_many(&mut waiting, FRAMES_TOGETHER_MAX).await > 0 {
            for frame in waiting.drain(..) {
                if together.len() > BUFFER_BYTES {
                    to.write_all(&together).await?;
                    together.clear();
                }
                together.extend_from_slice(&frame);
            }
            to.write_all(&together).await?;
            together.clear();
        }
        to.shutdown().await
    }
}

const HEAD_BYTES_MAX: usize = 64 << 10;
const BUFFER_BYTES: usize = 64 << 10;
const FRAMES_TOGETHER_MAX: usize = 256;

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Ask, Request};

    async fn written(number: u64, body: &[u8]) -> Vec<u8> {
        let (outbox, queued) = Outbox::new(4);
        let ask = Ask::Put { key: "k".into() };
        outbox.send(&Request { number, ask }, body).await.unwrap();
        drop(outbox);
        let mut bytes = Vec::new();
        Outbox::write_all(&mut bytes, queued).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_frame_arrives_as_it_was_sent() {
        let bytes = written(7, b"value").await;
        let mut frames = Frames::<_, Request>::new(bytes.as_slice(), 100);
        let frame = frames.next().await.unwrap().unwrap();
        assert_eq!(frame.head.number, 7);
        assert_eq!(frame.body, Body::Whole(Bytes::from_static(b"value")));
        assert!(frames.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_passed_over_and_the_next_frame_is_read() {
        let mut bytes = written(1, &[0; 101]).await;
        bytes.extend(written(2, b"fits").await);
        let mut frames = Frames::<_, Request>::new(bytes.as_slice(), 100);
        let first = frames.next().await.unwrap().unwrap();
        assert_eq!(first.body, Body::TooLong { bytes: 101 });
        assert_eq!(frames.next().await.unwrap().unwrap().head.number, 2);
    }

    #[tokio::test]
    async fn a_frame_that_is_cut_or_senseless_is_an_error() {
        let bytes = written(7, b"value").await;
        for end in 1..bytes.len() {
            let mut frames = Frames::<_, Request>::new(&bytes[..end], 100);
            assert!(frames.next().await.is_err(), "cut at {end}");
        }
        let mut frames = Frames::<_, Request>::new([0xff; 64].as_slice(), 100);
        assert!(frames.next().await.is_err());
    }
}
