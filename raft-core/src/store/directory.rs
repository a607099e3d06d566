//! Directories, for stores on files.

use std::fs;
use std::io;
use std::path::Path;

/// Makes the names in `directory` durable: files created, renamed or removed there.
///
/// A file's own sync does not cover its name. Where directories cannot be synced (not on Unix) it
/// does nothing; there the file system orders names itself.
///
/// # Errors
/// What the system says; final, like every failed sync.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::open(directory)?.sync_all()
    } else {
        Ok(())
    }
}

/// Creates `directory` and what lacks above it, durably: each new name is synced.
///
/// # Errors
/// What the system says.
pub fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    create_directory(parent)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
        done => done?,
    }
    sync_directory(parent)
}
