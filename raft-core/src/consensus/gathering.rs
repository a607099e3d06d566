//! Which restorations count: one rule for every member, a function of the log alone.
//!
//! A backup takes the place of the state where its end is applied, if the log then holds all of it:
//!
//! ```text
//! | begin 7 | command | chunk 0.. | chunk 512.. | command | end |      all of one term
//!      ^          ^ the old state                    ^       ^
//!      |                                                     the backup is the state from here on
//!      no snapshot may end from here on until before the end
//! ```
//!
//! The pieces stay in the log until then, and nowhere else: a snapshot that ended between the two
//! would let the log forget the first of them, and a member that starts from it could not restore.

use bytes::Bytes;

use super::mutant::{Mutant, mutant};
use crate::entry::{Entry, Payload};
use crate::id::{LogId, LogIndex};
use crate::restoration::Restoration;
use crate::snapshot::Kept;

/// Follows the entries as they are applied, one after the other from the first after a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gathering {
    open: Option<Open>,
}

/// A restoration that was begun and is not over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Open {
    begin: LogId,
    expected: Kept,
    gathered: Kept,
}

/// What an entry brings about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Gathered {
    /// It is no part of a restoration.
    Other,
    /// It is a part, and its restoration goes on, or is given up as it asks.
    Part,
    /// It ends a restoration, and the log holds all of the backup.
    Whole(Backup),
    /// It belongs to a restoration that is over, or ends it without success, for this reason.
    Void(&'static str),
}

/// A backup that lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The entry with which its restoration began. The pieces follow.
    pub begin: LogId,
    /// Size and checksum of all the pieces.
    pub all: Kept,
}

impl Gathering {
    /// Whether a snapshot of the state must wait: it would end within a restoration.
    pub fn is_open(&self) -> bool {
        self.open.is_some() && !mutant(Mutant::SnapshotInRestoration)
    }

    /// The next entry is applied.
    pub fn take(&mut self, entry: &Entry) -> Gathered {
        // The leader that proposed it is gone, and has told its caller so.
        if !mutant(Mutant::RestorationOutlivesTerm) {
            self.open.take_if(|open| open.begin.term != entry.term());
        }
        let Payload::Restoration { part, .. } = entry.payload() else {
            return Gathered::Other;
        };
        match part {
            Restoration::Begin { size, checksum } => {
                self.open = Some(Open {
                    begin: entry.id(),
                    expected: Kept {
                        size: *size,
                        checksum: *checksum,
                    },
                    gathered: Kept::NOTHING,
                });
                Gathered::Part
            }
            Restoration::Chunk {
                begin,
                offset,
                data,
            } => self.gather(*begin, *offset, data),
            Restoration::End { begin, .. } => self.end(*begin),
            Restoration::Abort { begin } => {
                self.open.take_if(|open| open.begin.index == *begin);
                Gathered::Part
            }
        }
    }

    fn gather(&mut self, begin: LogIndex, offset: u64, data: &[u8]) -> Gathered {
        let Some(open) = self.open.as_mut().filter(|open| open.begin.index == begin) else {
            return Gathered::Void(OVER);
        };
        if open.gathered.size != offset && !mutant(Mutant::RestorationUnverified) {
            self.open = None;
            return Gathered::Void("a piece of the backup is missing before this one");
        }
        open.gathered.add(data);
        Gathered::Part
    }

    fn end(&mut self, begin: LogIndex) -> Gathered {
        let Some(open) = self.open.take_if(|open| open.begin.index == begin) else {
            return Gathered::Void(OVER);
        };
        if open.gathered != open.expected && !mutant(Mutant::RestorationUnverified) {
            return Gathered::Void("the pieces are not the backup that was announced");
        }
        Gathered::Whole(Backup {
            begin: open.begin,
            all: open.gathered,
        })
    }
}

impl Backup {
    /// The piece of this backup that an entry between begin and end holds.
    pub fn piece<'a>(&self, entry: &'a Entry) -> Option<&'a Bytes> {
        match entry.payload() {
            Payload::Restoration {
                part: Restoration::Chunk { begin, data, .. },
                ..
            } if *begin == self.begin.index => Some(data),
            Payload::Restoration { .. }
            | Payload::Blank
            | Payload::Command(_)
            | Payload::Membership { .. } => None,
        }
    }
}

const OVER: &str = "the restoration is over: it was given up, or another leader took office";

#[cfg(test)]
mod tests {
    use super::*;

    use crate::entry::Sealed;
    use crate::id::{ChainLink, Term};
    use crate::time::ClusterTime;

    /// A log that grows, and the gathering that follows it.
    #[derive(Default)]
    struct Log {
        last: ChainLink,
        gathering: Gathering,
    }

    impl Log {
        fn put(&mut self, term: u64, payload: Payload) -> Gathered {
            let sealed = Sealed::new(payload);
            let entry = Entry::new(self.last, Term::new(term), ClusterTime::ZERO, sealed);
            self.last = entry.link();
            self.gathering.take(&entry)
        }

        fn part(&mut self, term: u64, part: &Restoration) -> Gathered {
            self.put(term, Payload::restoration(part))
        }

        /// Begins to restore `text` in term one.
        fn begin(&mut self, text: &str) -> LogIndex {
            let begun = self.part(
                1,
                &Restoration::Begin {
                    size: text.len() as u64,
                    checksum: crc32c::crc32c(text.as_bytes()),
                },
            );
            assert_eq!(begun, Gathered::Part);
            self.last.id.index
        }

        fn chunk(&mut self, begin: LogIndex, offset: u64, data: &'static str) -> Gathered {
            let data = Bytes::from_static(data.as_bytes());
            self.part(
                1,
                &Restoration::Chunk {
                    begin,
                    offset,
                    data,
                },
            )
        }

        fn end(&mut self, term: u64, begin: LogIndex) -> Gathered {
            let time = ClusterTime::ZERO;
            self.part(term, &Restoration::End { begin, time })
        }
    }

    fn is_void(gathered: &Gathered) -> bool {
        matches!(gathered, Gathered::Void(_))
    }

    #[test]
    fn all_pieces_in_order_are_a_backup_whatever_stands_between() {
        let mut log = Log::default();
        let begin = log.begin("all of it");
        assert_eq!(log.chunk(begin, 0, "all "), Gathered::Part);
        let command = Payload::Command(Bytes::from_static(b"x"));
        assert_eq!(log.put(1, command), Gathered::Other);
        assert_eq!(log.chunk(begin, 4, "of it"), Gathered::Part);
        assert!(log.gathering.is_open());
        let Gathered::Whole(backup) = log.end(1, begin) else {
            panic!("it is whole");
        };
        assert_eq!((backup.begin.index, backup.all.size), (begin, 9));
        assert!(!log.gathering.is_open());
        assert!(is_void(&log.end(1, begin)), "it counts once");
    }

    #[test]
    fn a_missing_piece_a_short_end_and_other_bytes_are_void() {
        for pieces in [
            vec![(4, "of it")],
            vec![(0, "all ")],
            vec![(0, "all 0f it")],
        ] {
            let mut log = Log::default();
            let begin = log.begin("all of it");
            for (offset, data) in pieces {
                let _ = log.chunk(begin, offset, data);
            }
            assert!(is_void(&log.end(1, begin)));
            assert!(!log.gathering.is_open());
        }
    }

    #[test]
    fn another_term_ends_it_whichever_entry_begins_that() {
        for payload in [Payload::Blank, Payload::Command(Bytes::new())] {
            let mut log = Log::default();
            let begin = log.begin("all");
            assert_eq!(log.chunk(begin, 0, "all"), Gathered::Part);
            assert_eq!(log.put(2, payload), Gathered::Other);
            assert!(!log.gathering.is_open());
            assert!(is_void(&log.end(2, begin)));
        }
        let mut log = Log::default();
        let begin = log.begin("all");
        let _ = log.chunk(begin, 0, "all");
        assert!(is_void(&log.end(2, begin)), "not even the end may be");
    }

    #[test]
    fn a_later_begin_and_an_abort_give_it_up() {
        let mut log = Log::default();
        let first = log.begin("one");
        let second = log.begin("two");
        assert!(is_void(&log.chunk(first, 0, "one")));
        assert_eq!(log.chunk(second, 0, "two"), Gathered::Part);
        assert_eq!(
            log.part(1, &Restoration::Abort { begin: first }),
            Gathered::Part
        );
        assert!(log.gathering.is_open(), "that was over already");
        assert_eq!(
            log.part(1, &Restoration::Abort { begin: second }),
            Gathered::Part
        );
        assert!(!log.gathering.is_open());
        assert!(is_void(&log.end(1, second)));
    }
}
