//! The hellos, over a connection.

use std::time::Duration;

use raft_core::Identity;
use raft_core::wire::{Frame, FrameKind, Hello, RefusalReason};
use tokio::time::timeout;

use crate::connection::{Connection, LinkError};

/// Introduces us to the node that was dialed, and makes sure that it is the one.
pub(crate) async fn dial(
    link: &mut Connection<'_>,
    hello: &Hello,
    within: Duration,
) -> Result<(), LinkError> {
    let exchange = async {
        link.out.put_hello(hello);
        link.flush().await?;
        let answer = read_hello(&link.next_frame().await?)?;
        hello.confirm(&answer).map_err(LinkError::Refused)?;
        check_proof(link, answer.from)?;
        Ok(())
    };
    timeout(within, exchange)
        .await
        .unwrap_or_else(|_| Err(timed_out(within)))
}

/// Finds out who calls, and answers if we are the one that is meant.
pub(crate) async fn accept(
    link: &mut Connection<'_>,
    local: Identity,
    within: Duration,
) -> Result<Hello, LinkError> {
    let exchange = async {
        let hello = read_hello(&link.next_frame().await?)?;
        check_proof(link, hello.from)?;
        let answer = hello.answer(local).map_err(LinkError::Refused)?;
        link.out.put_hello(&answer);
        link.flush().await?;
        Ok(hello)
    };
    timeout(within, exchange)
        .await
        .unwrap_or_else(|_| Err(timed_out(within)))
}

/// The other end may only be who it has proved to be.
fn check_proof(link: &Connection<'_>, claimed: Identity) -> Result<(), LinkError> {
    let admitted = link.proof.admits(claimed);
    admitted.map_err(|text| LinkError::refused(RefusalReason::WrongNode, &text))
}

fn read_hello(frame: &Frame) -> Result<Hello, LinkError> {
    if frame.kind() == FrameKind::Refusal {
        return Err(LinkError::RefusedByPeer(frame.refusal()?));
    }
    Ok(frame.hello()?)
}

fn timed_out(within: Duration) -> LinkError {
    let text = format!("no hello within {within:?}");
    LinkError::refused(RefusalReason::TimedOut, &text)
}
