//! One client's connection: many requests at once, answered as they are done.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::service::Service;
use crate::protocol::{Answer, Frame, Frames, GREETING, Outbox, Request};

/// Serves a client until it leaves. Requests that are on the way when it leaves are carried out;
/// their answers go nowhere.
///
/// # Errors
/// Of the connection, and for a client that speaks something else.
pub(super) async fn converse(stream: TcpStream, service: Arc<Service>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (from, to) = stream.into_split();
    let mut requests = Frames::<_, Request>::new(from, service.value_bytes_max());
    if &requests.greeting().await? != GREETING {
        let what = "the client does not speak this version of the protocol";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let (outbox, queued) = Outbox::new(REQUESTS_AT_ONCE_MAX);
    // Owned by this task, so that the writer ends with it.
    let mut writer = JoinSet::new();
    writer.spawn(Outbox::write_all(to, queued));
    let room = Arc::new(Semaphore::new(REQUESTS_AT_ONCE_MAX));
    while let Some(Frame { head, body }) = requests.next().await? {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            break;
        };
        let (service, outbox) = (Arc::clone(&service), outbox.clone());
        tokio::spawn(async move {
            let number = head.number;
            let (outcome, body) = service.answer(head.ask, body).await;
            // The client may have left; then nobody wants to know.
            let _ = outbox.send(&Answer { number, outcome }, &body).await;
            drop(place);
        });
    }
    drop(outbox);
    match writer.join_next().await {
        Some(Ok(written)) => written,
        Some(Err(_)) | None => Ok(()),
    }
}

const REQUESTS_AT_ONCE_MAX: usize = 4096;
