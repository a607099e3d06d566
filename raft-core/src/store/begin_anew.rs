//! Stores on files that were found damaged begin anew, and remember it.
//!
//! ```text
//! data/node-1/
//!   beginning-anew   the marker: a beginning is under way, and what is to be remembered
//!   damaged-1/       what was there before: database, floor, and the snapshots that are not kept
//! ```
//!
//! The new database holds from its first moment on that former lives of the node are over
//! ([`FormerLives`]), so it is never taken for a new one. A crash may come between any two steps; what
//! is to be done next follows from what is there:
//!
//! | step | what a crash after it leaves | what the next opening does |
//! |---|---|---|
//! | 1. the marker is published | the marker, and the damaged data in their places | goes on with 2 |
//! | 2. database, floor, and snapshots are moved, one after the other | some of them moved | moves the others |
//! | 3. the marker says that all is moved | no database | goes on with 4 |
//! | 4. the new database is published | a database that remembers, and the marker | goes on with 5 |
//! | 5. the marker is removed | all is done | nothing |
//!
//! Nothing is deleted. A disk that has spoilt three databases will spoil a fourth, so then the
//! beginning is refused.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::{DirectoryLock, create_directory, publish, sync_directory};
use super::file_snapshot::FileSnapshotStore;
use super::{SnapshotStore, StoreError};
use crate::codec;
use crate::former_lives::FormerLives;
use crate::snapshot::SnapshotMeta;

/// A beginning in one directory of a store on files. For the authors of such stores: everybody else
/// calls their `begin_anew`.
///
/// Calls block. The directory's lock is held from before [`BeginningAnew::new`] until the end.
#[derive(Debug)]
pub struct BeginningAnew<'a> {
    directory: &'a Path,
    database: &'a str,
    others: &'a [&'a str],
    _lock: &'a DirectoryLock,
}

/// What the marker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Marker {
    former: FormerLives,
    /// Where the damaged data go.
    aside: String,
    is_moved: bool,
}

/// So often a directory may begin anew.
const TIMES_MAX: usize = 3;
/// The name of the marker.
const MARKER: &str = "beginning-anew";
/// The directory of snapshots, in every store on files.
const SNAPSHOTS: &str = "snapshots";
/// What the marker's file begins with; its last character is the version.
const MAGIC: &[u8] = b"raft begins anew 1";

impl<'a> BeginningAnew<'a> {
    /// In `directory`, where `database` is the name of the database, a file or a directory, and
    /// `others` are the names of what goes with it.
    pub fn new(
        directory: &'a Path,
        lock: &'a DirectoryLock,
        database: &'a str,
        others: &'a [&'a str],
    ) -> Self {
        Self {
            directory,
            database,
            others,
            _lock: lock,
        }
    }

    /// Whether a beginning was interrupted: then it is to be [finished](Self::finish) before anything
    /// else is looked at.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the marker cannot be read.
    pub fn is_under_way(&self) -> Result<bool, StoreError> {
        Ok(self.marker()?.is_some())
    }

    /// Begins: from here on, every opening goes on with it.
    ///
    /// # Errors
    /// [`StoreError::KeepsFailing`] if this directory has begun anew too often, or another
    /// [`StoreError`]. Nothing has begun then.
    pub fn announce(&self, former: FormerLives) -> Result<(), StoreError> {
        let aside = self.free_name()?;
        self.publish_marker(&Marker {
            former,
            aside,
            is_moved: false,
        })
    }

    /// Does what is left to be done. `create` publishes a new database that holds this record.
    ///
    /// # Errors
    /// [`StoreError`]; the next opening goes on where this one has failed.
    pub fn finish(
        &self,
        create: impl Fn(&FormerLives) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        while self.step(&create)? {}
        Ok(())
    }

    /// Does the next step, durably; says whether there was one.
    fn step(
        &self,
        create: impl Fn(&FormerLives) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let Some(marker) = self.marker()? else {
            return Ok(false);
        };
        if !marker.is_moved {
            if !self.move_something(&marker)? {
                self.publish_marker(&Marker {
                    is_moved: true,
                    ..marker
                })?;
            }
        } else if !exists(&self.path(self.database))? {
            create(&marker.former)?;
        } else {
            let path = self.path(MARKER);
            let place = path.display().to_string();
            fs::remove_file(&path).map_err(StoreError::io(place, "remove"))?;
            sync_directory(self.directory)?;
        }
        Ok(true)
    }

    /// Moves the next thing that is in the way.
    fn move_something(&self, marker: &Marker) -> Result<bool, StoreError> {
        let aside = self.path(&marker.aside);
        create_directory(&aside)?;
        for name in [self.database].iter().chain(self.others) {
            let path = self.path(name);
            if exists(&path)? {
                move_to(&path, &aside)?;
                return Ok(true);
            }
        }
        let path = self.path(SNAPSHOTS);
        if !exists(&path)? {
            return Ok(false);
        }
        // Without a word of whose they are, they might be another group's.
        let is_known = marker.former.identity.is_some();
        let mut moved = false;
        for file in FileSnapshotStore::open(&path)?.unsound(is_known)? {
            move_to(&file, &aside)?;
            moved = true;
        }
        Ok(moved)
    }

    fn free_name(&self) -> Result<String, StoreError> {
        for number in 1..=TIMES_MAX {
            let name = format!("damaged-{number}");
            if !exists(&self.path(&name))? {
                return Ok(name);
            }
        }
        Err(StoreError::KeepsFailing {
            place: self.directory.display().to_string(),
            times: TIMES_MAX,
        })
    }

    fn marker(&self) -> Result<Option<Marker>, StoreError> {
        let path = self.path(MARKER);
        let place = path.display().to_string();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(StoreError::io(&place, "read"))?,
        };
        let damaged =
            |detail: &dyn ToString| StoreError::damaged(&place, "the marker", &detail.to_string());
        let Some((checked, expected)) = bytes.split_last_chunk() else {
            return Err(damaged(&"it is cut short"));
        };
        let (found, expected) = (crc32c::crc32c(checked), u32::from_le_bytes(*expected));
        let Some(encoded) = checked.strip_prefix(MAGIC).filter(|_| found == expected) else {
            return Err(damaged(&format!(
                "checksum {found:08x}, expected {expected:08x}"
            )));
        };
        let marker: Marker = codec::decode("marker", encoded).map_err(|error| damaged(&error))?;
        Ok(Some(marker))
    }

    fn publish_marker(&self, marker: &Marker) -> Result<(), StoreError> {
        let path = self.path(MARKER);
        let aside = path.with_extension("tmp");
        let place = aside.display().to_string();
        let encoded = codec::encode("marker", marker).map_err(|error| StoreError::Misuse {
            place: place.clone(),
            detail: error.to_string(),
        })?;
        let mut bytes = [MAGIC, &encoded].concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        fs::write(&aside, bytes).map_err(StoreError::io(place, "write"))?;
        publish(&aside, &path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl FileSnapshotStore {
    /// The files of snapshots that new stores must not begin with: damaged ones, such as know nobody
    /// that the group has met, and, if it is not known whose they are, all of them.
    fn unsound(&self, is_known: bool) -> Result<Vec<PathBuf>, StoreError> {
        let mut unsound = self.damaged_files()?;
        for meta in self.list()? {
            let is_founding = meta.header.membership.is_founding();
            if !is_known || is_founding || !self.is_intact(&meta)? {
                unsound.push(self.file_of(&meta));
            }
        }
        Ok(unsound)
    }

    /// Reads it to its end.
    fn is_intact(&self, meta: &SnapshotMeta) -> Result<bool, StoreError> {
        let mut data = match self.open_data(meta) {
            Err(error) if error.is_damage() => return Ok(false),
            opened => opened?,
        };
        match io::copy(&mut data, &mut io::sink()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            Err(error) => {
                let place = self.file_of(meta).display().to_string();
                Err(StoreError::io(place, "read")(error))
            }
        }
    }

    fn open_data(&self, meta: &SnapshotMeta) -> Result<impl Read, StoreError> {
        let (_, data) = self.open(meta.id())?;
        Ok(data)
    }
}

/// Moves a file or a directory into another directory, durably.
fn move_to(path: &Path, directory: &Path) -> Result<(), StoreError> {
    let place = path.display().to_string();
    let Some(name) = path.file_name() else {
        return Ok(()); // The root of a file system is no part of a store.
    };
    fs::rename(path, directory.join(name)).map_err(StoreError::io(place, "move"))?;
    sync_directory(directory)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    let place = path.display().to_string();
    path.try_exists().map_err(StoreError::io(place, "look for"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    use crate::hard_state::Identity;
    use crate::id::{
        ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
    };
    use crate::membership::Membership;
    use crate::snapshot::SnapshotHeader;
    use crate::time::ClusterTime;
    use tempfile::TempDir;

    fn former(is_readable: bool) -> FormerLives {
        let identity = Identity {
            cluster: ClusterId::new(1),
            group: GroupId::new(0),
            node: NodeId::new(3),
            incarnation: Incarnation::new(7),
            epoch: RecoveryEpoch::default(),
        };
        FormerLives::new(Some(identity).filter(|_| is_readable), None, "rot")
    }

    fn keep_snapshot(directory: &Path, index: u64, is_founding: bool) -> PathBuf {
        let store = FileSnapshotStore::open(directory.join(SNAPSHOTS)).unwrap();
        let membership = Membership::of_voters([(1, "a:1")]).unwrap();
        let membership = match is_founding {
            true => membership,
            false => membership.with_incarnations([(1, 1)]),
        };
        let header = SnapshotHeader {
            last: ChainLink {
                id: LogId::new(Term::new(1), LogIndex::new(index)),
                checksum: 0,
            },
            time: ClusterTime::ZERO,
            membership: Arc::new(membership),
            membership_at: LogId::new(Term::new(1), LogIndex::new(1)),
        };
        let mut sink = store.create(&header).unwrap();
        sink.write_all(b"state").unwrap();
        store.file_of(&sink.finish().unwrap())
    }

    /// A damaged directory, with a sound snapshot at 10, a damaged one at 20, and one of the founding.
    fn damaged() -> TempDir {
        let directory = TempDir::new().unwrap();
        for name in ["db", "floor"] {
            fs::write(directory.path().join(name), "old").unwrap();
        }
        keep_snapshot(directory.path(), 10, false);
        keep_snapshot(directory.path(), 5, true);
        let file = keep_snapshot(directory.path(), 20, false);
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.len() - 17;
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        directory
    }

    fn create(directory: &Path, former: &FormerLives) -> Result<(), StoreError> {
        fs::write(directory.join("db"), &former.reason).map_err(StoreError::io("db", "write"))
    }

    fn snapshots(directory: &Path) -> Vec<u64> {
        let store = FileSnapshotStore::open(directory.join(SNAPSHOTS)).unwrap();
        let list = store.list().unwrap().into_iter();
        list.map(|meta| meta.id().index.get()).collect()
    }

    /// Does `steps` steps, as a process that is killed then.
    fn begin(directory: &Path, steps: usize) -> bool {
        let lock = DirectoryLock::acquire(directory).unwrap();
        let beginning = BeginningAnew::new(directory, &lock, "db", &["floor"]);
        beginning.announce(former(true)).unwrap();
        let mut steps = 0..steps;
        steps.all(|_| beginning.step(|former| create(directory, former)).unwrap())
    }

    fn finish(directory: &Path) {
        let lock = DirectoryLock::acquire(directory).unwrap();
        let beginning = BeginningAnew::new(directory, &lock, "db", &["floor"]);
        assert!(beginning.is_under_way().unwrap());
        let finished = beginning.finish(|former| create(directory, former));
        finished.unwrap();
        assert!(!beginning.is_under_way().unwrap());
    }

    #[test]
    fn a_crash_after_any_step_is_gone_on_from() {
        let mut steps = 0;
        loop {
            let directory = damaged();
            let path = directory.path();
            let left_something = begin(path, steps);
            if !left_something {
                break;
            }
            if path.join(MARKER).exists() {
                finish(path);
            }
            assert_eq!(fs::read(path.join("db")).unwrap(), b"rot", "{steps}");
            assert!(!path.join("floor").exists());
            assert_eq!(snapshots(path), [10], "{steps}");
            let aside = path.join("damaged-1");
            for name in ["db", "floor"] {
                assert_eq!(fs::read(aside.join(name)).unwrap(), b"old", "{steps}");
            }
            assert_eq!(fs::read_dir(aside).unwrap().count(), 4, "{steps}");
            steps += 1;
        }
        assert!(steps > 5, "{steps}");
    }

    #[test]
    fn snapshots_of_nobody_knows_whom_are_set_aside() {
        let directory = damaged();
        let path = directory.path();
        let lock = DirectoryLock::acquire(path).unwrap();
        let beginning = BeginningAnew::new(path, &lock, "db", &["floor"]);
        beginning.announce(former(false)).unwrap();
        let finished = beginning.finish(|former| create(path, former));
        finished.unwrap();
        assert!(snapshots(path).is_empty());
    }

    #[test]
    fn a_disk_that_fails_a_fourth_time_is_given_up() {
        let directory = damaged();
        let path = directory.path();
        for number in 1..=TIMES_MAX {
            begin(path, 0);
            finish(path);
            assert!(path.join(format!("damaged-{number}")).exists());
        }
        let lock = DirectoryLock::acquire(path).unwrap();
        let beginning = BeginningAnew::new(path, &lock, "db", &["floor"]);
        let refused = beginning.announce(former(true)).unwrap_err();
        assert!(refused.to_string().contains("replace"), "{refused}");
        assert!(!refused.is_damage() && !beginning.is_under_way().unwrap());
    }

    #[test]
    fn a_marker_that_rots_is_damage_and_no_absence() {
        let directory = damaged();
        let path = directory.path();
        begin(path, 0);
        let marker = path.join(MARKER);
        let intact = fs::read(&marker).unwrap();
        let lock = DirectoryLock::acquire(path).unwrap();
        let beginning = BeginningAnew::new(path, &lock, "db", &["floor"]);
        for bit in 0..intact.len() * 8 {
            let mut spoilt = intact.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            fs::write(&marker, spoilt).unwrap();
            assert!(beginning.is_under_way().unwrap_err().is_damage());
        }
    }
}
