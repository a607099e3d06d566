//! A database's commits: counted, held against the floor, and over at the first that fails.

use std::{io, mem};

use tracing::warn;

use super::{Floor, FloorMark, StoreError};
use crate::id::ChainLink;

/// What the thread that commits to a database keeps, whichever database it is.
///
/// It numbers the commits, raises the [`Floor`] after each, and after one that failed refuses all
/// others: what a failed commit left behind is unknown, and only a new opening finds out. Dropping
/// it makes the floor durable.
#[derive(Debug)]
pub struct Commits {
    place: String,
    commits: u64,
    last: ChainLink,
    floor: Floor,
    failed: bool,
}

/// What a commit means to the floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitMark {
    /// The log's last entry afterwards, if it changes.
    pub last: Option<ChainLink>,
    /// Whether the floor is made durable too: for rare commits, it costs a sync.
    pub sync_floor: bool,
}

impl Commits {
    /// Goes on from what was found in the database at `place`, if that is no less than its floor
    /// promises; then the floor is raised to it, durably.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if commits are missing, [`StoreError::Io`].
    pub fn open(place: &str, mut floor: Floor, found: FloorMark) -> Result<Self, StoreError> {
        floor.mark().check(place, found)?;
        floor.raise(found)?;
        floor.sync()?;
        Ok(Self {
            place: place.to_owned(),
            commits: found.commits,
            last: found.last,
            floor,
            failed: false,
        })
    }

    /// Does one commit: `write`, given its number, makes it durable.
    ///
    /// # Errors
    /// Those of `write` and of the floor. Any ends the use of the store: from then on every commit
    /// is [`StoreError::Io`], with nothing written.
    pub fn commit(
        &mut self,
        operation: &'static str,
        mark: CommitMark,
        write: impl FnOnce(u64) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.begin(operation)?;
        let commits = self.commits + 1;
        write(commits)?;
        self.commits = commits;
        self.last = mark.last.unwrap_or(self.last);
        let last = self.last;
        self.floor.raise(FloorMark { commits, last })?;
        if mark.sync_floor {
            self.floor.sync()?;
        }
        self.failed = false;
        Ok(())
    }

    /// Changes the database's files without changing what it holds, between two commits.
    ///
    /// # Errors
    /// Those of `change`. Any ends the use of the store, as that of a commit does.
    pub fn tidy(
        &mut self,
        operation: &'static str,
        change: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.begin(operation)?;
        change()?;
        self.failed = false;
        Ok(())
    }

    /// Failed until the end: whatever returns early, or panics, is the last.
    fn begin(&mut self, operation: &'static str) -> Result<(), StoreError> {
        if mem::replace(&mut self.failed, true) {
            let source = io::Error::other("an earlier commit failed, open the store anew");
            return Err(StoreError::io(&self.place, operation)(source));
        }
        Ok(())
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        if let (false, Err(error)) = (self.failed, self.floor.sync()) {
            warn!(place = self.place, %error, "the floor is not durable");
        }
    }
}

#[cfg(test)]
mod commits_tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::id::{LogId, LogIndex, Term};
    use crate::store::DirectoryLock;

    fn mark(commits: u64) -> FloorMark {
        let id = LogId::new(Term::new(1), LogIndex::new(commits));
        let last = ChainLink { id, checksum: 9 };
        FloorMark { commits, last }
    }

    fn floor() -> (TempDir, PathBuf) {
        let directory = TempDir::new().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let path = directory.path().join("floor");
        Floor::create(&path, &lock).unwrap();
        (directory, path)
    }

    #[test]
    fn each_commit_has_its_number_and_raises_the_floor() {
        let (_directory, path) = floor();
        let opened = Floor::open(&path).unwrap();
        let mut commits = Commits::open("database", opened, mark(4)).unwrap();
        for number in 5..8 {
            let change = CommitMark {
                last: Some(mark(number).last),
                sync_floor: number == 6,
            };
            let written = commits.commit("write", change, |given| {
                assert_eq!(given, number);
                Ok(())
            });
            written.unwrap();
            assert_eq!(Floor::open(&path).unwrap().mark(), mark(number));
        }
    }

    #[test]
    fn a_database_below_its_floor_is_damaged_and_one_above_it_is_not() {
        let (_directory, path) = floor();
        let open = |found| Commits::open("database", Floor::open(&path).unwrap(), found);
        drop(open(mark(4)).unwrap());
        assert!(open(mark(3)).unwrap_err().is_damage());
        let other = FloorMark {
            last: mark(3).last,
            ..mark(4)
        };
        assert!(open(other).unwrap_err().is_damage());
        drop(open(mark(4)).unwrap());
        drop(open(mark(5)).unwrap());
    }

    #[test]
    fn a_commit_that_failed_is_the_last() {
        let (_directory, path) = floor();
        let opened = Floor::open(&path).unwrap();
        let mut commits = Commits::open("database", opened, mark(4)).unwrap();
        let full = || StoreError::io("database", "write")(io::ErrorKind::StorageFull.into());
        let failed = commits.commit("write", CommitMark::default(), |_| Err(full()));
        assert!(failed.unwrap_err().to_string().contains("no storage space"));
        let refused = commits.commit("write", CommitMark::default(), |_| {
            panic!("nothing is written after a failure")
        });
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("an earlier commit failed"), "{text}");
        drop(commits);
        assert_eq!(Floor::open(&path).unwrap().mark(), mark(4));
    }

    #[test]
    fn files_that_could_not_be_tidied_end_the_use_of_the_store_too() {
        let (_directory, path) = floor();
        let opened = Floor::open(&path).unwrap();
        let mut commits = Commits::open("database", opened, mark(4)).unwrap();
        commits.tidy("drop", || Ok(())).unwrap();
        let full = || StoreError::io("database", "drop")(io::ErrorKind::StorageFull.into());
        assert!(commits.tidy("drop", || Err(full())).is_err());
        let refused = commits.commit("write", CommitMark::default(), |_| Ok(()));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("an earlier commit failed"), "{text}");
    }
}
