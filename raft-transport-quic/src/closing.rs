//! The end of an endpoint.

use std::future::Future;
use std::time::Duration;

use quinn::{Endpoint, VarInt};
use raft_transport_stream::Tasks;
use tokio::time::timeout;

use crate::errors::STOPPED;

/// How long the other ends have to take note. They find out in any case, only later.
const GOODBYE: Duration = Duration::from_millis(300);

/// Ends the tasks of the QUIC stack, and so frees the port, however the future that holds it ends.
struct EndsTasks(Tasks);

/// Closes every connection at once; the returned future waits until the other ends were told, and
/// frees the port.
pub(crate) fn close(endpoint: Endpoint, drivers: Tasks) -> impl Future<Output = ()> + Send {
    // Whoever holds a connection sees to it that this leaves, too, when it is dropped.
    let (code, reason) = STOPPED;
    endpoint.close(VarInt::from_u32(code), reason);
    let ends = EndsTasks(drivers);
    async move {
        let _ends = ends;
        // Late or not, it is over.
        let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
        drop(endpoint);
    }
}

impl Drop for EndsTasks {
    fn drop(&mut self) {
        self.0.stop();
    }
}
