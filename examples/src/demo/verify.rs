//! Reads everything back through one node, and compares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::input::Input;
use crate::client::Client;
use crate::failure::{Failure, OrFail};

/// One reading of all entries.
#[derive(Debug)]
struct Verification {
    input: Arc<Input>,
    client: Arc<Client>,
    address: String,
    bar: ProgressBar,
    next: AtomicU64,
}

/// Reads every entry through the node at `address`, linearizably, and fails at the first one that
/// is not as it was written.
pub(super) async fn verify(
    input: &Arc<Input>,
    client: &Arc<Client>,
    address: String,
    bar: ProgressBar,
) -> Result<(), Failure> {
    let verification = Arc::new(Verification {
        input: Arc::clone(input),
        client: Arc::clone(client),
        address,
        bar,
        next: AtomicU64::new(0),
    });
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(Arc::clone(&verification).read());
    }
    while let Some(reader) = readers.join_next().await {
        reader.or_fail(|| "a reader failed".into())??;
    }
    Ok(())
}

impl Verification {
    async fn read(self: Arc<Self>) -> Result<(), Failure> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((key, written)) = self.input.entry(number) else {
                return Ok(());
            };
            let value = self.client.get_from(&self.address, &key, READ_WITHIN).await;
            let value = value.or_fail(|| format!("{key:?} could not be read"))?;
            if value.as_ref() != Some(&written) {
                return Err(Failure::new(format!(
                    "{key:?} was written as {written:?} and acknowledged, and {} has {value:?}",
                    self.address
                )));
            }
            self.bar.inc(1);
        }
    }
}

const READERS: usize = 256;
const READ_WITHIN: Duration = Duration::from_secs(30);
