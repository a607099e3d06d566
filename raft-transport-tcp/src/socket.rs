//! How the sockets of connections are set up.

use std::io;
use std::time::Duration;

use raft_transport_stream::TransportConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// What every connection has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketOptions {
    keepalive: Duration,
    write_timeout: Duration,
}

impl SocketOptions {
    pub(crate) fn new(config: &TransportConfig) -> Self {
        Self {
            keepalive: config.keepalive.0,
            write_timeout: config.write_timeout.0,
        }
    }

    /// Nothing waits to fill a packet, and a machine that is gone is noticed: at rest, and with bytes
    /// on their way, which the system would otherwise repeat for a quarter of an hour.
    pub(crate) fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        // The system counts in seconds.
        let every = self.keepalive.max(Duration::from_secs(1));
        let keepalive = TcpKeepalive::new().with_time(every).with_interval(every);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.write_timeout))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::units::Period;

    #[tokio::test]
    async fn a_machine_that_is_gone_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut config = TransportConfig::default();
        config.write_timeout = Period::from_millis(1_234);
        config.keepalive = Period::from_millis(7_000);
        SocketOptions::new(&config).apply(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_keepalive_time().unwrap(), config.keepalive.0);
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(config.write_timeout.0)
        );
    }
}
