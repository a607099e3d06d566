//! Backups: a state of the group with its description, and which cluster may have it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Node;
use super::error::SnapshotError;
use crate::id::ClusterId;
use crate::snapshot::SnapshotMeta;
use crate::store::{SnapshotRead, StoreError};

/// What a backup is: kept together with its bytes, in any format that serde knows.
///
/// A snapshot need not say whose it is, for it never leaves the stores and the connections of its
/// group, and these do. A backup does leave them, so its description names the cluster, and another
/// cluster refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackupMeta {
    /// The cluster whose state it is. `None` if any cluster is to have it. In a file it is text, as errors
    /// show it, for few formats have numbers of its size.
    #[serde(with = "as_text")]
    pub cluster: Option<ClusterId>,
    /// What the state machine wrote, and the effect of which entries that is.
    pub snapshot: SnapshotMeta,
}

/// A backup that belongs to another cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the backup is of cluster {backup}, and this node is of cluster {here}: give it a backup of its own \
     cluster or, if it is to have the state of another one, BackupMeta::for_any_cluster"
)]
pub struct ForeignBackup {
    /// The cluster whose state it is.
    pub backup: ClusterId,
    /// The cluster that was to have it.
    pub here: ClusterId,
}

impl BackupMeta {
    /// The same backup, for whichever cluster is given it: to try production's data in a test cluster,
    /// to move a group, or for a description that was kept by a build that named no cluster.
    ///
    /// Whatever the state refers to comes along: addresses, customers, and with
    /// [sessions](crate::sessions) the sessions of another cluster's clients.
    #[must_use]
    pub fn for_any_cluster(self) -> Self {
        Self {
            cluster: None,
            ..self
        }
    }

    /// Whether `here` may have it.
    pub(super) fn check(&self, here: ClusterId) -> Result<(), ForeignBackup> {
        match self.cluster {
            Some(backup) if backup != here => Err(ForeignBackup { backup, here }),
            Some(_) | None => Ok(()),
        }
    }
}

mod as_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::id::ClusterId;

    #[expect(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub(super) fn serialize<S: Serializer>(
        cluster: &Option<ClusterId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = cluster.map(|cluster| cluster.to_string());
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ClusterId>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        let number = text.map(|text| u128::from_str_radix(&text, 16));
        let number = number.transpose().map_err(D::Error::custom)?;
        Ok(number.map(ClusterId::new))
    }
}

impl fmt::Display for BackupMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cluster {
            Some(cluster) => write!(f, "{} of cluster {cluster}", self.snapshot),
            None => write!(f, "{} for any cluster", self.snapshot),
        }
    }
}

impl Node {
    /// Takes a snapshot as [`Node::snapshot`], and opens it: its bytes are what the state machine
    /// wrote, verified on the way. Keep them together with their description: they can begin another
    /// group ([`NodeBuilder::initial_state`](super::NodeBuilder::initial_state)), or replace the state
    /// of a running one ([`Node::restore`]). A [`Node::read_barrier`] before it makes sure that it
    /// contains every write that was answered so far.
    ///
    /// Opening may block for a moment.
    ///
    /// # Errors
    /// As [`Node::snapshot`]; [`SnapshotError::Failed`] also if it cannot be opened.
    pub async fn backup(&self) -> Result<(BackupMeta, Box<dyn SnapshotRead>), SnapshotError> {
        let taken = self.snapshot().await?;
        let failed = |error: StoreError| SnapshotError::Failed(error.to_string());
        let snapshots = &self.shared.snapshots;
        let opened = match snapshots.open(taken.id()) {
            Ok(opened) => opened,
            // Newer ones may have taken its place meanwhile, and contain as much.
            Err(_) => {
                let newest = snapshots.list().map_err(failed)?;
                let newest = newest.first().map_or(taken.id(), SnapshotMeta::id);
                snapshots.open(newest).map_err(failed)?
            }
        };
        let (snapshot, data) = opened;
        let cluster = Some(self.identity().cluster);
        Ok((BackupMeta { cluster, snapshot }, data))
    }
}
