//! Ends a server whose parent has ended.

use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// The line with which a parent lets its child go on alone.
pub const GO_ON: &str = "go on alone";

/// Waits until the standard input ends, which happens when the process that holds its other end is
/// gone, however it ended. After the line [`GO_ON`] it waits for ever.
pub(super) async fn parent_gone() {
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == GO_ON {
            std::future::pending::<()>().await;
        }
    }
}
