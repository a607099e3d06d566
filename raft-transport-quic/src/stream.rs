//! One stream of a connection, as bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connections::Lease;
use crate::errors::{GIVEN_UP, explain};

/// Both directions. Dropped before it was shut down, it tells the other end that it is given up, and
/// nothing more of it is sent.
#[derive(Debug)]
pub(crate) struct QuicStream {
    send: SendStream,
    recv: RecvStream,
    is_shut_down: bool,
    /// Keeps the connection that we have dialed. Dropped last.
    _lease: Option<Arc<Lease>>,
}

impl QuicStream {
    pub(crate) fn new(send: SendStream, recv: RecvStream, lease: Option<Arc<Lease>>) -> Self {
        Self {
            send,
            recv,
            is_shut_down: false,
            _lease: lease,
        }
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.recv
            .poll_read_buf(cx, into)
            .map_err(|error| match error {
                ReadError::ConnectionLost(error) => explain(&error),
                other => other.into(),
            })
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.send).poll_write(cx, bytes);
        written.map_err(|error| match error {
            WriteError::ConnectionLost(error) => explain(&error),
            other => other.into(),
        })
    }

    /// What was taken is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut_down = true;
        Poll::Ready(self.send.finish().map_err(io::Error::from))
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        if !self.is_shut_down {
            // It may be over already.
            let _ = self.send.reset(GIVEN_UP);
        }
        let _ = self.recv.stop(GIVEN_UP);
    }
}
