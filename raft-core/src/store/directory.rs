//! Directories, for stores on files: names that last, and one owner at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::StoreError;

/// Makes the names in `directory` durable: files created, renamed or removed there.
///
/// A file's own sync does not cover its name. Where directories cannot be synced (not on Unix) it
/// does nothing; there the file system orders names itself.
///
/// # Errors
/// [`StoreError::Io`]; final, like every failed sync.
pub fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    if !cfg!(unix) {
        return Ok(());
    }
    let place = directory.display().to_string();
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io(place, "sync the directory"))
}

/// Puts a finished file, or a finished directory of files, in place, durably: syncs `aside`,
/// renames it, syncs the directory around it.
///
/// A crash leaves either `aside` alone, which is worth nothing, or the whole under its name.
///
/// # Errors
/// [`StoreError::Io`].
pub fn publish(aside: &Path, name: &Path) -> Result<(), StoreError> {
    sync_whole(aside)?;
    let place = aside.display().to_string();
    fs::rename(aside, name).map_err(StoreError::io(place, "rename"))?;
    sync_directory(name.parent().unwrap_or(Path::new(".")))
}

/// Syncs a file, or a directory with all that is in it.
fn sync_whole(path: &Path) -> Result<(), StoreError> {
    let place = path.display().to_string();
    if path.is_dir() {
        let listed = fs::read_dir(path).map_err(StoreError::io(&place, "list"))?;
        for item in listed {
            sync_whole(&item.map_err(StoreError::io(&place, "list"))?.path())?;
        }
        return sync_directory(path);
    }
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::io(place, "sync"))
}

/// Creates `directory` and what lacks above it, durably: each new name is synced.
///
/// # Errors
/// [`StoreError::Io`].
pub fn create_directory(directory: &Path) -> Result<(), StoreError> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    create_directory(parent)?;
    let place = directory.display().to_string();
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
        done => done.map_err(StoreError::io(place, "create the directory"))?,
    }
    sync_directory(parent)
}

/// Ownership of a directory, against other processes and other stores of this one. The system
/// takes it back when the value is dropped or the process dies.
#[derive(Debug)]
pub struct DirectoryLock {
    file: Option<File>,
}

impl DirectoryLock {
    /// Takes the directory, by a lock on its file `lock`.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if it is taken, [`StoreError::Io`] if it cannot be.
    pub fn acquire(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("lock");
        let place = path.display().to_string();
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io(&place, "open the lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
                place: directory.display().to_string(),
            }),
            Err(TryLockError::Error(error)) => Err(StoreError::io(place, "lock")(error)),
        }
    }

    /// Keeps owners out of the directory while it is looked at. Others may look at the same time.
    /// Writes nothing: a directory without the file, such as a copy, has no owner to keep out.
    ///
    /// # Errors
    /// As [`DirectoryLock::acquire`].
    pub fn share(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("lock");
        let place = path.display().to_string();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { file: None });
            }
            opened => opened.map_err(StoreError::io(&place, "open the lock"))?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
                place: directory.display().to_string(),
            }),
            Err(TryLockError::Error(error)) => Err(StoreError::io(place, "lock")(error)),
        }
    }
}

impl Drop for DirectoryLock {
    /// Said, and not left to the closing of the file: a child that another thread is just starting
    /// holds the same file open until it becomes its own program.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.file.as_ref().map(File::unlock) {
            tracing::debug!(%error, "the lock ends with its file");
        }
    }
}
