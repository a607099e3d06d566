//! A medium whose bytes cannot change unnoticed while the database is open.

use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{BackendError, StorageBackend};

/// Remembers a checksum of each block that was read or written, and compares it with what is read
/// later.
///
/// redb verifies its pages while it opens a database and trusts them from then on. A page that is
/// altered afterwards would make it panic, even twice, which ends the process, or be copied with
/// a new checksum into the next commit. The opening reads every page in use through here, so each
/// is known from then on. This costs 8 bytes of memory a block: 2 MiB a GiB.
#[derive(Debug)]
pub(crate) struct Verified<B> {
    medium: B,
    /// By block. `None` if the block was never seen whole, or was written in part.
    checksums: RwLock<Vec<Option<u32>>>,
}

/// The size of redb's pages, whose reads and writes are whole and aligned. Only its header is
/// written in parts, and that is read at the opening alone.
const BLOCK: usize = 4096;

impl<B> Verified<B> {
    pub(crate) fn new(medium: B) -> Self {
        Self {
            medium,
            checksums: RwLock::default(),
        }
    }

    fn read_checksums(&self) -> RwLockReadGuard<'_, Vec<Option<u32>>> {
        let checksums = self.checksums.read();
        checksums.unwrap_or_else(PoisonError::into_inner)
    }

    fn write_checksums(&self) -> RwLockWriteGuard<'_, Vec<Option<u32>>> {
        let checksums = self.checksums.write();
        checksums.unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares what was read with what is known; returns whether some block is not known yet.
    fn check(&self, first: usize, data: &[u8]) -> io::Result<bool> {
        let checksums = self.read_checksums();
        let mut unknown = false;
        for (block, bytes) in (first..).zip(data.chunks_exact(BLOCK)) {
            match checksums.get(block) {
                Some(Some(expected)) if *expected != crc32c::crc32c(bytes) => {
                    let at = block * BLOCK;
                    let text = format!("the page at byte {at} changed since it was written");
                    return Err(io::Error::new(ErrorKind::InvalidData, text));
                }
                Some(Some(_)) => {}
                Some(None) | None => unknown = true,
            }
        }
        Ok(unknown)
    }
}

/// Learns the blocks that are not known yet.
fn learn(checksums: &mut Vec<Option<u32>>, first: usize, data: &[u8]) {
    for (block, bytes) in (first..).zip(data.chunks_exact(BLOCK)) {
        if block >= checksums.len() {
            checksums.resize(block + 1, None);
        }
        if let Some(known) = checksums.get_mut(block) {
            known.get_or_insert_with(|| crc32c::crc32c(bytes));
        }
    }
}

/// Forgets the blocks that `length` bytes from `offset` on touch.
fn forget(checksums: &mut [Option<u32>], offset: u64, length: usize) {
    let end = block_at(
        offset
            .saturating_add(length as u64)
            .saturating_add(BLOCK as u64 - 1),
    );
    let touched = block_at(offset).min(checksums.len())..end.min(checksums.len());
    checksums.get_mut(touched).unwrap_or_default().fill(None);
}

fn block_at(offset: u64) -> usize {
    usize::try_from(offset / BLOCK as u64).unwrap_or(usize::MAX)
}

/// The first block, if the range consists of whole ones.
fn whole_blocks(offset: u64, length: usize) -> Option<usize> {
    let whole = offset.is_multiple_of(BLOCK as u64) && length.is_multiple_of(BLOCK);
    whole.then(|| block_at(offset))
}

impl<B: StorageBackend> StorageBackend for Verified<B> {
    fn len(&self) -> io::Result<u64> {
        self.medium.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.medium.read(offset, out)?;
        let Some(first) = whole_blocks(offset, out.len()) else {
            return Ok(());
        };
        if self.check(first, out)? {
            learn(&mut self.write_checksums(), first, out);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.medium.set_len(length)?;
        self.write_checksums().truncate(block_at(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.medium.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // redb reads no page while it writes it, so the two steps need not be one.
        forget(&mut self.write_checksums(), offset, data.len());
        self.medium.write(offset, data)?;
        if let Some(first) = whole_blocks(offset, data.len()) {
            learn(&mut self.write_checksums(), first, data);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.medium.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.medium.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.query_lock_range(start, end)
    }
}
