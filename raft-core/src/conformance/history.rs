//! What a store may hold, given the calls that were made: also if a crash came in between.

use std::collections::BTreeMap;
use std::fmt;

use rand_core::Rng;
use rand_pcg::Pcg64;

use super::{command, entries_after, sized};
use crate::entry::Entry;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::store::{StableKey, StoreError, Stores};

/// A call on the log or on the stable records.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Append(Vec<Entry>),
    Truncate(LogIndex),
    Purge(ChainLink),
    Sync,
    Set(StableKey, Vec<u8>),
}

/// Everything that a store holds, but for snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) records: BTreeMap<StableKey, Vec<u8>>,
}

#[derive(Clone, Default, PartialEq)]
pub(super) struct Log {
    pub(super) purged: ChainLink,
    pub(super) entries: Vec<Entry>,
}

/// What is durable, and the calls since then.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    durable: State,
    unsynced: Vec<Call>,
    setting: Option<(StableKey, Vec<u8>)>,
}

/// A few calls, the last of which makes all of them durable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Sets the hard state to a value of so many bytes.
    Vote {
        number: u64,
        bytes: usize,
    },
    Append {
        term: u64,
        count: usize,
    },
    /// One call an entry, one sync.
    Burst {
        term: u64,
        count: usize,
    },
    Large {
        term: u64,
        bytes: usize,
    },
    Replace {
        keep: usize,
        term: u64,
        count: usize,
    },
    Purge {
        count: usize,
    },
    PurgeBeyond {
        distance: u64,
        term: u64,
    },
}

impl Call {
    pub(super) fn make(&self, stores: &mut Stores) -> Result<(), StoreError> {
        match self {
            Self::Append(entries) => stores.log.append(entries),
            Self::Truncate(from) => stores.log.truncate_suffix(*from),
            Self::Purge(through) => stores.log.purge_prefix(*through),
            Self::Sync => stores.log.sync(),
            Self::Set(key, value) => stores.stable.set(*key, value),
        }
    }
}

impl State {
    /// Reads everything.
    pub(super) fn read(stores: &Stores) -> Result<Self, StoreError> {
        let bounds = stores.log.bounds()?;
        let entries = match bounds.is_empty() {
            true => Vec::new(),
            false => stores.log.reader()?.read(bounds.range(), usize::MAX)?,
        };
        let log = Log {
            purged: bounds.purged,
            entries,
        };
        assert_eq!(log.last(), bounds.last, "the log ends with its last entry");
        let mut last = log.purged;
        for entry in &log.entries {
            assert!(entry.follows(last), "{entry:?} does not follow {last}");
            last = entry.link();
        }
        let mut records = BTreeMap::new();
        for key in StableKey::ALL {
            records.extend(stores.stable.get(key)?.map(|value| (key, value)));
        }
        Ok(Self { log, records })
    }
}

impl Log {
    pub(super) fn last(&self) -> ChainLink {
        self.entries.last().map_or(self.purged, Entry::link)
    }

    fn apply(&mut self, call: &Call) {
        match call {
            Call::Append(entries) => self.entries.extend(entries.iter().cloned()),
            Call::Truncate(from) => self.entries.retain(|entry| entry.index() < *from),
            Call::Purge(through) if through.id.index > self.purged.id.index => {
                let held = self.entries.iter().any(|entry| entry.link() == *through);
                let stays = |entry: &Entry| held && entry.index() > through.id.index;
                self.entries.retain(stays);
                self.purged = *through;
            }
            Call::Purge(_) | Call::Sync | Call::Set(..) => {}
        }
    }
}

/// Only where it begins and ends, and where terms change.
impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {}:", self.purged)?;
        let mut term = None;
        for entry in &self.entries {
            if term != Some(entry.term()) {
                write!(f, " from {}", entry.link())?;
            }
            term = Some(entry.term());
        }
        write!(f, " through {}", self.last())
    }
}

impl History {
    /// All of it is durable.
    pub(super) fn of(durable: State) -> Self {
        Self {
            durable,
            ..Self::default()
        }
    }

    /// The call is made, and may take effect.
    pub(super) fn begun(&mut self, call: &Call) {
        match call {
            Call::Set(key, value) => self.setting = Some((*key, value.clone())),
            Call::Sync => {}
            Call::Append(_) | Call::Truncate(_) | Call::Purge(_) => {
                self.unsynced.push(call.clone());
            }
        }
    }

    /// The call has returned, without an error.
    pub(super) fn returned(&mut self, call: &Call) {
        match call {
            Call::Set(..) => self.durable.records.extend(self.setting.take()),
            Call::Sync => {
                for call in self.unsynced.drain(..) {
                    self.durable.log.apply(&call);
                }
            }
            Call::Append(_) | Call::Truncate(_) | Call::Purge(_) => {}
        }
    }

    /// With the effect of every call.
    pub(super) fn now(&self) -> State {
        let mut state = self.durable.clone();
        for call in &self.unsynced {
            state.log.apply(call);
        }
        state.records.extend(self.setting.clone());
        state
    }

    /// Whether a store may hold this after a crash: everything durable, and the effect of the
    /// first of the calls since.
    pub(super) fn explains(&self, found: &State) -> bool {
        let mut with_new = self.durable.records.clone();
        with_new.extend(self.setting.clone());
        let records = [&self.durable.records, &with_new];
        records.contains(&&found.records) && self.explains_log(&found.log)
    }

    fn explains_log(&self, found: &Log) -> bool {
        let mut log = self.durable.log.clone();
        if log == *found {
            return true;
        }
        for call in &self.unsynced {
            // A call may have come as far as some entry, never part of one.
            let parts = match call {
                Call::Append(entries) => entries.iter().cloned().map(|entry| vec![entry]),
                Call::Truncate(_) | Call::Purge(_) | Call::Sync | Call::Set(..) => {
                    log.apply(call);
                    if log == *found {
                        return true;
                    }
                    continue;
                }
            };
            for part in parts {
                log.apply(&Call::Append(part));
                if log == *found {
                    return true;
                }
            }
        }
        false
    }

    /// Fails if a store must not hold this after a crash.
    #[track_caller]
    pub(super) fn check(&self, found: &State, moment: &dyn fmt::Display) {
        assert!(
            self.explains(found),
            "{moment}: found is {found:?}, expected {:?}, with at most {} calls more: {:?}",
            self.durable,
            self.unsynced.len() + usize::from(self.setting.is_some()),
            self.now(),
        );
    }
}

impl Step {
    /// The calls, on a store that holds `state`.
    pub(super) fn calls(&self, state: &State) -> Vec<Call> {
        let (log, last) = (&state.log, state.log.last());
        let mut calls = match *self {
            Self::Vote { number, bytes } => {
                let value = number.to_le_bytes().into_iter().cycle().take(bytes);
                return vec![Call::Set(StableKey::HardState, value.collect())];
            }
            Self::Append { term, count } => vec![Call::Append(entries_after(last, term, count))],
            Self::Burst { term, count } => {
                let entries = entries_after(last, term, count).into_iter();
                entries.map(|entry| Call::Append(vec![entry])).collect()
            }
            Self::Large { term, bytes } => {
                let large = sized(last, term, bytes);
                let after = command(large.link(), term);
                vec![Call::Append(vec![large, after])]
            }
            Self::Replace { keep, term, count } => {
                let kept = keep.checked_sub(1).and_then(|at| log.entries.get(at));
                let last = kept.map_or(log.purged, Entry::link);
                vec![
                    Call::Truncate(last.id.index.next()),
                    Call::Append(entries_after(last, term, count)),
                ]
            }
            Self::Purge { count } => {
                let through = count.checked_sub(1).and_then(|at| log.entries.get(at));
                vec![Call::Purge(through.map_or(log.purged, Entry::link))]
            }
            Self::PurgeBeyond { distance, term } => {
                let id = LogId::new(Term::new(term), last.id.index.plus(distance));
                let through = ChainLink {
                    id,
                    checksum: 0xabc,
                };
                vec![
                    Call::Purge(through),
                    Call::Append(entries_after(through, term, 2)),
                ]
            }
        };
        calls.push(Call::Sync);
        calls
    }

    /// Any step that a store which holds `state` may be asked for. `number` names it.
    pub(super) fn random(chance: &mut Pcg64, state: &State, number: u64) -> Self {
        let entries = state.log.entries.len();
        let last_term = state.log.last().id.term.get();
        let term = last_term + u64::from(below(chance, 4) == 0);
        let term = term.max(1);
        if entries > 400 {
            return Self::Purge {
                count: entries / 2 + below(chance, entries / 2),
            };
        }
        match below(chance, 16) {
            0..5 => Self::Append {
                term,
                count: 1 + below(chance, 20),
            },
            5..7 => Self::Burst { term, count: 60 },
            7 => Self::Large {
                term,
                bytes: 1 + below(chance, 200_000),
            },
            8..11 => Self::Replace {
                keep: below(chance, entries + 1),
                term: last_term + 1,
                count: below(chance, 10),
            },
            11 | 12 if entries > 0 => Self::Purge {
                count: 1 + below(chance, entries),
            },
            13 => Self::PurgeBeyond {
                distance: 1 + below(chance, 5) as u64,
                term: last_term + 1,
            },
            _ => Self::Vote {
                number,
                bytes: below(chance, 1200),
            },
        }
    }
}

/// Does the steps, each to its end.
#[track_caller]
pub(super) fn run(stores: &mut Stores, history: &mut History, steps: &[Step]) {
    for step in steps {
        for call in step.calls(&history.now()) {
            history.begun(&call);
            call.make(stores).expect("the call");
            history.returned(&call);
        }
    }
}

pub(super) fn below(chance: &mut Pcg64, end: usize) -> usize {
    usize::try_from(chance.next_u64() % end.max(1) as u64).unwrap_or(0)
}
