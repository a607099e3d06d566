//! A medium that keeps what was synced, and of the rest whatever chance decides.

use std::io;
use std::sync::{Arc, Mutex};

use rand_core::Rng;
use rand_pcg::Pcg64;
use redb::StorageBackend;

/// What devices write at once.
const SECTOR: usize = 512;

/// A clone is another handle to the same medium.
#[derive(Clone, Debug, Default)]
pub(super) struct Medium(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    /// What the running system sees.
    current: Vec<u8>,
    /// What has been synced.
    durable: Vec<u8>,
    /// What was done since, in order.
    pending: Vec<Pending>,
    /// Writes, changes of length and syncs so far.
    operations: usize,
    /// The operation that fails, with all after it: the power is off.
    power_off_at: Option<usize>,
    /// The sync that fails; what was to be synced is gone, and the next one says it is well.
    failing_sync: Option<usize>,
    /// Syncs say that all is well, and do nothing.
    lies: bool,
}

#[derive(Debug)]
enum Pending {
    Length(usize),
    Write { at: usize, bytes: Vec<u8> },
}

impl Medium {
    /// How many operations there were so far.
    pub(super) fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    /// The power fails before the operation of this number.
    pub(super) fn power_off_at(&self, operation: usize) {
        self.0.lock().unwrap().power_off_at = Some(operation);
    }

    /// The next sync fails.
    pub(super) fn fail_next_sync(&self) {
        let mut disk = self.0.lock().unwrap();
        disk.failing_sync = Some(disk.operations);
    }

    /// From now on syncs do nothing.
    pub(super) fn lie(&self) {
        self.0.lock().unwrap().lies = true;
    }

    /// The medium after the power came back: some of the unsynced operations have happened, some
    /// have not, some writes in part.
    pub(super) fn after_power_cut(&self, chance: &mut Pcg64) -> Self {
        let disk = self.0.lock().unwrap();
        let mut found = disk.durable.clone();
        // Sometimes all, sometimes nothing: the corners are the likely cases of real devices.
        let style = chance.next_u64() % 4;
        for pending in &disk.pending {
            let happens = match style {
                0 => false,
                1 => true,
                _ => chance.next_u64().is_multiple_of(2),
            };
            if happens {
                pending.apply(&mut found, (style == 3).then_some(&mut *chance));
            }
        }
        let disk = Disk {
            current: found.clone(),
            durable: found,
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(disk)))
    }

    /// The same bytes on another medium, all of them synced.
    pub(super) fn synced_copy(&self) -> Self {
        let bytes = self.0.lock().unwrap().current.clone();
        let disk = Disk {
            current: bytes.clone(),
            durable: bytes,
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(disk)))
    }

    fn operate(&self, pending: Pending) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.count()?;
        pending.apply(&mut disk.current, None);
        disk.pending.push(pending);
        Ok(())
    }
}

impl Pending {
    /// Does it to `image`; with `torn`, chance decides about each sector of a write.
    fn apply(&self, image: &mut Vec<u8>, mut torn: Option<&mut Pcg64>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Write { at, bytes } => {
                if image.len() < at + bytes.len() {
                    image.resize(at + bytes.len(), 0);
                }
                for (sector, part) in bytes.chunks(SECTOR).enumerate() {
                    if torn
                        .as_mut()
                        .is_some_and(|chance| chance.next_u64().is_multiple_of(3))
                    {
                        continue;
                    }
                    let at = at + sector * SECTOR;
                    image[at..at + part.len()].copy_from_slice(part);
                }
            }
        }
    }
}

impl Disk {
    fn count(&mut self) -> io::Result<()> {
        if self.power_off_at.is_some_and(|off| self.operations >= off) {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        Ok(())
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        let bytes = disk.current.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.operate(Pending::Length(usize::try_from(length).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.count()?;
        if disk.failing_sync.take().is_some() {
            disk.pending.clear();
            return Err(io::Error::other("the device reports an error, once"));
        }
        if !disk.lies {
            disk.durable = disk.current.clone();
            disk.pending.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(Pending::Write {
            at: usize::try_from(offset).unwrap(),
            bytes: data.to_vec(),
        })
    }
}
