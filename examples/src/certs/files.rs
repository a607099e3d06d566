//! Files that must not be there yet.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::failure::{Failure, OrFail};

/// A file to write.
pub(super) struct New {
    pub(super) path: PathBuf,
    text: String,
    mode: u32,
}

impl New {
    /// For everyone to read.
    pub(super) fn public(path: PathBuf, text: String) -> Self {
        Self {
            path,
            text,
            mode: 0o644,
        }
    }

    /// For its owner alone.
    pub(super) fn secret(path: PathBuf, text: String) -> Self {
        Self {
            path,
            text,
            mode: 0o600,
        }
    }
}

/// Writes all of them, or, if one is there already, none.
pub(super) fn write_new(news: &[New]) -> Result<(), Failure> {
    if let Some(there) = news.iter().find(|new| new.path.exists()) {
        return Err(Failure::new(format!(
            "{} is there already, and is not overwritten: remove it, or choose another directory",
            there.path.display()
        )));
    }
    for new in news {
        let cannot = || format!("cannot write {}", new.path.display());
        // From its first moment on the file is nobody else's; and nobody's file is taken.
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(new.mode);
        let mut file = options.open(&new.path).or_fail(cannot)?;
        file.write_all(new.text.as_bytes())
            .and_then(|()| file.sync_all())
            .or_fail(cannot)?;
    }
    Ok(())
}
