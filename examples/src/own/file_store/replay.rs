//! Reads a file from its beginning to its end, when it is opened.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::sync::Arc;

use raft_core::codec;
use raft_core::entry::{Entry, HEADER_BYTES as RECORD_HEADER_BYTES};
use raft_core::store::{FloorMark, LogBounds, StoreError};

use super::frame::{self, BOUNDS_BYTES, Body, HEADER_BYTES, PREFIX_BYTES};
use super::index::{Index, Place};

/// How far the file was read.
pub(super) struct Replay {
    place: String,
    reader: BufReader<Arc<File>>,
    pub(super) index: Index,
    pub(super) commits: u64,
    end: u64,
    /// What follows the last intact frame.
    rest: Vec<u8>,
}

impl Replay {
    pub(super) fn new(place: &str, file: Arc<File>) -> Result<Self, StoreError> {
        let mut reader = BufReader::new(Arc::clone(&file));
        let header = take(&mut reader, HEADER_BYTES as u64);
        let header = header.map_err(StoreError::io(place, "read the header"))?;
        let Some(commits) = frame::read_header(&header) else {
            let detail = "it does not match its checksum";
            return Err(StoreError::damaged(place, "the header", &detail));
        };
        Ok(Self {
            place: place.to_owned(),
            reader,
            index: Index::new(file),
            commits,
            end: HEADER_BYTES as u64,
            rest: Vec::new(),
        })
    }

    /// Reads the next frame; says whether there was one.
    pub(super) fn next_frame(&mut self) -> Result<bool, StoreError> {
        let io = |error| StoreError::io(&self.place, "read a commit")(error);
        let mut bytes = take(&mut self.reader, PREFIX_BYTES as u64).map_err(io)?;
        if let Some(length) = bytes.first_chunk().filter(|_| bytes.len() == PREFIX_BYTES) {
            let length = u64::from(u32::from_le_bytes(*length));
            bytes.extend(take(&mut self.reader, length).map_err(io)?);
        }
        let Some(body) = frame::read_frame(&bytes, self.commits + 1) else {
            self.rest = bytes;
            return Ok(false);
        };
        self.apply(body)?;
        self.commits += 1;
        self.end += bytes.len() as u64;
        Ok(true)
    }

    /// How far the store has got.
    pub(super) fn mark(&self) -> FloorMark {
        FloorMark {
            commits: self.commits,
            last: self.index.bounds.last,
        }
    }

    /// Decides whether what follows the last intact frame is a commit that was never finished, which
    /// is cut off, or damage. Says where the file ends.
    pub(super) fn accept_end(&mut self, floor: FloorMark) -> Result<u64, StoreError> {
        let found = self.mark();
        let name = format!("commit {}", self.commits + 1);
        let damaged = |detail: &str| StoreError::damaged(&self.place, &name, &detail);
        if !self.index.is_whole() {
            return Err(damaged("the log before it has gaps"));
        }
        if floor.commits > found.commits {
            return Err(damaged(&format!(
                "{} commits were made durable, with the log through {}; the last intact one is {}, \
                 with the log through {}",
                floor.commits, floor.last, found.commits, found.last
            )));
        }
        if floor.commits == found.commits && floor.last != found.last && floor.commits > 0 {
            return Err(damaged(&format!(
                "the floor has the log through {}, the file through {}",
                floor.last, found.last
            )));
        }
        // Only after a crash or damage is there anything.
        let read = self.reader.read_to_end(&mut self.rest);
        read.map_err(StoreError::io(&self.place, "read the end"))?;
        if self.rest.is_empty() {
            return Ok(self.end);
        }
        if frame::has_later_frame(&self.rest, self.commits + 1) {
            return Err(damaged("it is not intact, and a later one is"));
        }
        let file = &self.index.file;
        file.set_len(self.end)
            .and_then(|()| file.sync_data())
            .map_err(StoreError::io(&self.place, "cut off a torn commit"))?;
        Ok(self.end)
    }

    fn apply(&mut self, body: &[u8]) -> Result<(), StoreError> {
        let name = format!("commit {}", self.commits + 1);
        let damaged =
            |detail: &dyn ToString| StoreError::damaged(&self.place, &name, &detail.to_string());
        match frame::read_body(body) {
            Some(Body::Stable(encoded)) => {
                let records = codec::decode("stable records", encoded);
                self.index.stable = records.map_err(|error| damaged(&error))?;
            }
            Some(Body::Log(bounds, records)) => {
                let at = self.end + (PREFIX_BYTES + BOUNDS_BYTES) as u64;
                let places = places(at, bounds, records).map_err(|detail| damaged(&detail))?;
                self.index.apply(bounds, places);
            }
            None => {
                return Err(StoreError::Format {
                    place: format!("{}, {name}", self.place),
                    found: body.first().map_or("nothing".to_owned(), u8::to_string),
                    known: "commits of kind 1 and 2".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Where the records of a commit lie. The frame's checksum has verified them; their own are verified
/// when they are read.
fn places(at: u64, bounds: LogBounds, records: &[u8]) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    let mut rest = records;
    while let Some(header) = rest.first_chunk::<RECORD_HEADER_BYTES>() {
        let payload = Entry::payload_length(header).map_err(|error| error.to_string())?;
        let bytes = RECORD_HEADER_BYTES + payload;
        let place = Place {
            at: at + (records.len() - rest.len()) as u64,
            bytes: u32::try_from(bytes).map_err(|error| error.to_string())?,
        };
        rest = rest.get(bytes..).ok_or("a record is cut short")?;
        places.push(place);
    }
    let held = bounds.last.id.index.distance_from(bounds.purged.id.index);
    match rest.is_empty() && places.len() as u64 <= held {
        true => Ok(places),
        false => Err("its records do not fit its bounds".to_owned()),
    }
}

/// Up to so many bytes; fewer where the file ends. Grows as they come, whatever was announced.
fn take(reader: &mut BufReader<Arc<File>>, bytes: u64) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    reader.take(bytes).read_to_end(&mut taken)?;
    Ok(taken)
}
