//! The smallest log and stable store that keeps its word through crashes, damage and failures, so
//! that it can be broken in one way at a time.
//!
//! ```text
//!  journal   | frame | frame | ...        frame: | length (4) | crc32c (4) | calls ... |
//!  floor     | slot  |..512| slot |       slot:  | frames (8) | crc32c (4) |
//! ```
//!
//! A frame holds the calls between two syncs, or one record; its checksum covers its number. Each is
//! synced, then counted on the floor, in two slots by turns. What is behind the last whole frame was
//! torn by a crash, if the floor does not count it, and is damage otherwise.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use raft_core::conformance::medium::{Files, Medium, MediumFile};
use raft_core::conformance::{Backend, CrashBackend, FaultyBackend, FileBackend};
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::memory::MemoryStores;
use raft_core::store::{
    LogBounds, LogReader, LogStore, StableKey, StableStore, StoreError, Stores,
};

/// What is wrong with a journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    AcknowledgesBeforeTheSync,
    BelievesTornFrames,
    ForgetsTruncations,
    ForgetsPurges,
    RewritesItselfWhileOpening,
    ForgetsThatItFailed,
    NamelessFailure,
    KeepsTheLastFrameToItself,
    TakesDamageForTheEnd,
    NamelessDamage,
}

/// A file.
pub(crate) trait Place: Send {
    fn content(&self) -> io::Result<Vec<u8>>;
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

impl Place for MediumFile {
    fn content(&self) -> io::Result<Vec<u8>> {
        let mut content = vec![0; usize::try_from(self.len()).unwrap()];
        self.read_at(0, &mut content)?;
        Ok(content)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        Self::write_at(self, at, bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        Self::sync(self)
    }
}

impl Place for File {
    fn content(&self) -> io::Result<Vec<u8>> {
        let (mut file, mut content) = (self, Vec::new());
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut content)?;
        Ok(content)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A journal on a medium.
pub(crate) struct Journal {
    medium: Medium,
    fault: Option<Fault>,
}

impl Journal {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        let medium = Medium::new();
        Self { medium, fault }
    }
}

impl Backend for Journal {
    /// Also after the power failed.
    fn open(&mut self) -> Stores {
        self.medium = Medium::holding(self.medium.synced_files());
        open_on(&self.medium, self.fault).expect("the journal is intact")
    }
}

impl FaultyBackend for Journal {
    fn fail_next_sync(&mut self) {
        self.medium.fail_next_sync();
    }
}

impl FileBackend for Journal {
    fn files(&mut self) -> Files {
        self.medium.files()
    }

    fn open_copy(&mut self, files: &Files) -> Result<Stores, StoreError> {
        open_on(&Medium::holding(files.clone()), self.fault)
    }
}

impl CrashBackend for Journal {
    fn open_on(&mut self, disk: &Medium) -> Result<Stores, StoreError> {
        open_on(disk, self.fault)
    }
}

fn open_on(medium: &Medium, fault: Option<Fault>) -> Result<Stores, StoreError> {
    let (journal, floor) = (medium.file("journal"), medium.file("floor"));
    open(Box::new(journal), Box::new(floor), fault)
}

/// A journal on real files below `directory`, for who needs no error.
pub(crate) fn open_in(directory: &Path, fault: Option<Fault>) -> Stores {
    try_open_in(directory, fault).expect("the journal is intact")
}

/// A journal on real files below `directory`, whose names are durable too.
pub(crate) fn try_open_in(directory: &Path, fault: Option<Fault>) -> Result<Stores, StoreError> {
    let file = |name: &'static str| {
        let mut options = File::options();
        let options = options.create(true).truncate(false).read(true).write(true);
        let opened = options.open(directory.join(name));
        Ok(Box::new(opened.map_err(StoreError::io(name, "open"))?))
    };
    let (journal, floor) = (file("journal")?, file("floor")?);
    let synced = File::open(directory).and_then(|folder| folder.sync_all());
    synced.map_err(StoreError::io("the directory", "sync"))?;
    open(journal, floor, fault)
}

type Shared = Arc<Mutex<Writer>>;

struct Writer {
    journal: Box<dyn Place>,
    floor: Box<dyn Place>,
    end: u64,
    frames: u64,
    has_failed: bool,
    /// A frame that was acknowledged.
    kept_back: Vec<u8>,
    fault: Option<Fault>,
}

fn open(
    journal: Box<dyn Place>,
    floor: Box<dyn Place>,
    fault: Option<Fault>,
) -> Result<Stores, StoreError> {
    let io = |operation| StoreError::io("journal", operation);
    let content = Bytes::from(journal.content().map_err(io("read"))?);
    let counted = read_floor(&*floor, content.is_empty())?;
    let mut stores = MemoryStores::new().open();
    let (end, frames) = replay(&content, &mut stores, fault)?;
    if frames < counted && fault != Some(Fault::TakesDamageForTheEnd) {
        let place = match fault {
            Some(Fault::NamelessDamage) => "",
            _ => "journal",
        };
        let detail = format!("{counted} frames were made durable");
        return Err(StoreError::damaged(
            place,
            format!("frame {frames}"),
            &detail,
        ));
    }
    if fault == Some(Fault::RewritesItselfWhileOpening) {
        let whole = journal
            .set_len(0)
            .and_then(|()| journal.write_at(0, &content[..end]));
        whole.map_err(io("rewrite"))?;
    }
    journal
        .set_len(end as u64)
        .and_then(|()| journal.sync())
        .map_err(io("cut off what was torn"))?;
    let writer = Arc::new(Mutex::new(Writer {
        journal,
        floor,
        end: end as u64,
        frames,
        has_failed: false,
        kept_back: Vec::new(),
        fault,
    }));
    Ok(Stores {
        log: Box::new(JournalLog {
            log: stores.log,
            calls: Vec::new(),
            writer: Arc::clone(&writer),
            fault,
        }),
        stable: Box::new(JournalStable {
            stable: stores.stable,
            writer,
        }),
        snapshots: stores.snapshots,
    })
}

/// How many frames were made durable at least.
fn read_floor(floor: &dyn Place, is_new: bool) -> Result<u64, StoreError> {
    let io = |operation| StoreError::io("floor", operation);
    let content = floor.content().map_err(io("read"))?;
    if content.is_empty() && is_new {
        let created = floor.write_at(0, &slot(0)).and_then(|()| floor.sync());
        created.map_err(io("create"))?;
        return Ok(0);
    }
    let slots = [0, SLOT_AT].into_iter().filter_map(|at| {
        let bytes = content.get(at..at + 12)?;
        let frames = u64::from_le_bytes(*bytes.first_chunk()?);
        (slot(frames) == bytes).then_some(frames)
    });
    let newest = slots.max();
    newest.ok_or_else(|| StoreError::damaged("floor", "both slots", &"no checksum matches"))
}

const SLOT_AT: usize = 512;

fn slot(frames: u64) -> Vec<u8> {
    let mut slot = frames.to_le_bytes().to_vec();
    slot.extend_from_slice(&crc32c::crc32c(&slot).to_le_bytes());
    slot
}

fn checksum(number: u64, calls: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), calls)
}

/// Does what the frames say. Returns where the last whole one ends, and its number.
fn replay(
    content: &Bytes,
    stores: &mut Stores,
    fault: Option<Fault>,
) -> Result<(usize, u64), StoreError> {
    let mut rest = content.clone();
    let mut frames = 0;
    while rest.len() >= 8 {
        let mut frame = rest.clone();
        let (length, expected) = (frame.get_u32_le() as usize, frame.get_u32_le());
        if frame.len() < length {
            break;
        }
        let calls = frame.split_to(length);
        let is_whole = checksum(frames + 1, &calls) == expected;
        if !is_whole && fault != Some(Fault::BelievesTornFrames) {
            break;
        }
        let Some(calls) = decode(calls) else {
            break;
        };
        for call in calls {
            call.make(stores)?;
        }
        (rest, frames) = (frame, frames + 1);
    }
    stores.log.sync()?;
    Ok((content.len() - rest.len(), frames))
}

impl Writer {
    /// One frame, durable on return.
    fn commit(&mut self, calls: &[u8]) -> Result<(), StoreError> {
        let place = match self.fault {
            Some(Fault::NamelessFailure) => "",
            _ => "journal",
        };
        let has_failed = std::mem::replace(&mut self.has_failed, true);
        if has_failed && self.fault != Some(Fault::ForgetsThatItFailed) {
            let source = io::Error::other("an earlier frame was not written");
            return Err(StoreError::io(place, "write a frame")(source));
        }
        let mut frame = u32::try_from(calls.len()).unwrap().to_le_bytes().to_vec();
        self.frames += 1;
        frame.extend_from_slice(&checksum(self.frames, calls).to_le_bytes());
        frame.extend_from_slice(calls);
        if self.fault == Some(Fault::KeepsTheLastFrameToItself) {
            std::mem::swap(&mut frame, &mut self.kept_back);
        }
        self.write(&frame)
            .map_err(StoreError::io(place, "write a frame"))?;
        self.end += frame.len() as u64;
        self.has_failed = false;
        Ok(())
    }

    fn write(&self, frame: &[u8]) -> io::Result<()> {
        self.journal.write_at(self.end, frame)?;
        let is_careless = [
            Fault::AcknowledgesBeforeTheSync,
            Fault::KeepsTheLastFrameToItself,
        ]
        .map(Some)
        .contains(&self.fault);
        if is_careless {
            return Ok(());
        }
        self.journal.sync()?;
        let at = (self.frames % 2) * SLOT_AT as u64;
        self.floor.write_at(at, &slot(self.frames))?;
        self.floor.sync()
    }
}

struct JournalLog {
    log: Box<dyn LogStore>,
    calls: Vec<u8>,
    writer: Shared,
    fault: Option<Fault>,
}

impl LogStore for JournalLog {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        self.log.bounds()
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.log.append(entries)?;
        Call::Append(entries.to_vec()).encode_into(&mut self.calls);
        Ok(())
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        self.log.truncate_suffix(from)?;
        if self.fault != Some(Fault::ForgetsTruncations) {
            Call::Truncate(from).encode_into(&mut self.calls);
        }
        Ok(())
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        self.log.purge_prefix(through)?;
        if self.fault != Some(Fault::ForgetsPurges) {
            Call::Purge(through).encode_into(&mut self.calls);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().unwrap();
        if !self.calls.is_empty() || writer.has_failed {
            writer.commit(&self.calls)?;
            self.calls.clear();
        }
        self.log.sync()
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        self.log.reader()
    }
}

struct JournalStable {
    stable: Box<dyn StableStore>,
    writer: Shared,
}

impl StableStore for JournalStable {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.stable.get(key)
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        let mut calls = Vec::new();
        Call::Set(key, value.to_vec()).encode_into(&mut calls);
        self.writer.lock().unwrap().commit(&calls)?;
        self.stable.set(key, value)
    }
}

enum Call {
    Append(Vec<Entry>),
    Truncate(LogIndex),
    Purge(ChainLink),
    Set(StableKey, Vec<u8>),
}

impl Call {
    fn make(self, stores: &mut Stores) -> Result<(), StoreError> {
        match self {
            Self::Append(entries) => stores.log.append(&entries),
            Self::Truncate(from) => stores.log.truncate_suffix(from),
            Self::Purge(through) => stores.log.purge_prefix(through),
            Self::Set(key, value) => stores.stable.set(key, &value),
        }
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        let mut number = |kind: u8, number: u64| {
            out.push(kind);
            out.extend_from_slice(&number.to_le_bytes());
        };
        match self {
            Self::Append(entries) => {
                number(1, entries.len() as u64);
                for entry in entries {
                    entry.encode_into(out);
                }
            }
            Self::Truncate(from) => number(2, from.get()),
            Self::Purge(through) => {
                number(3, through.id.index.get());
                out.extend_from_slice(&through.id.term.get().to_le_bytes());
                out.extend_from_slice(&through.checksum.to_le_bytes());
            }
            Self::Set(key, value) => {
                number(4, value.len() as u64);
                let place = StableKey::ALL.iter().position(|known| known == key);
                out.push(u8::try_from(place.unwrap()).unwrap());
                out.extend_from_slice(value);
            }
        }
    }

    fn decode(bytes: &mut Bytes) -> Option<Self> {
        let kind = bytes.try_get_u8().ok()?;
        let number = bytes.try_get_u64_le().ok()?;
        Some(match kind {
            1 => Self::Append((0..number).map_while(|_| Entry::take(bytes).ok()).collect()),
            2 => Self::Truncate(LogIndex::new(number)),
            3 => {
                let term = Term::new(bytes.try_get_u64_le().ok()?);
                Self::Purge(ChainLink {
                    id: LogId::new(term, LogIndex::new(number)),
                    checksum: bytes.try_get_u32_le().ok()?,
                })
            }
            4 => {
                let place = usize::from(bytes.try_get_u8().ok()?);
                let key = *StableKey::ALL.get(place)?;
                let length = usize::try_from(number).ok()?;
                let is_there = bytes.len() >= length;
                let value = is_there.then(|| bytes.split_to(length))?;
                Self::Set(key, value.to_vec())
            }
            _ => return None,
        })
    }
}

fn decode(mut calls: Bytes) -> Option<Vec<Call>> {
    let mut decoded = Vec::new();
    while !calls.is_empty() {
        decoded.push(Call::decode(&mut calls)?);
    }
    Some(decoded)
}
