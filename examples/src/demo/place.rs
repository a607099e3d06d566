//! Where the demonstration keeps its data.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::{Failure, OrFail};

/// A directory, removed at the end if it is ours.
#[derive(Debug)]
pub(super) enum Place {
    /// Made for this run.
    Temporary(TempDir),
    /// Named by the user, who keeps it.
    Given(PathBuf),
}

impl Place {
    /// The given directory, which must be empty, or a temporary one.
    pub(super) fn choose(given: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = given else {
            let made = tempfile::Builder::new().prefix("raft-kv-demo-").tempdir();
            return Ok(Self::Temporary(
                made.or_fail(|| "cannot make a temporary directory".into())?,
            ));
        };
        let cannot = || format!("cannot use --directory {}", path.display());
        std::fs::create_dir_all(path).or_fail(cannot)?;
        if std::fs::read_dir(path).or_fail(cannot)?.next().is_some() {
            return Err(Failure::new(format!(
                "{}: it is not empty; name a new directory, or remove it first",
                cannot()
            )));
        }
        let path = std::path::absolute(path).or_fail(cannot)?;
        Ok(Self::Given(path))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Given(path) => path,
        }
    }

    /// Keeps what is there.
    pub(super) fn keep(self) -> PathBuf {
        match self {
            Self::Temporary(directory) => directory.keep(),
            Self::Given(path) => path,
        }
    }

    /// Removes what is temporary, and says what became of the data.
    pub(super) fn remove(self) -> Option<String> {
        match self {
            Self::Temporary(directory) => directory
                .close()
                .err()
                .map(|error| format!("the data could not be removed: {error}")),
            Self::Given(path) => Some(format!("the data is in {}", path.display())),
        }
    }

    /// The user does not want it any more.
    pub(super) fn interrupted(self) -> Failure {
        let data = self.remove().unwrap_or("the data is removed".into());
        Failure::new(format!("interrupted: the servers are stopped, {data}"))
    }
}
