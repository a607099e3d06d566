//! One pass over the log, which goes on behind damage.

use raft_core::entry::{Entry, Payload};
use raft_core::id::ChainLink;
use raft_core::store::{ReadOnlyStores, StoreError};

use super::report::{Counts, Damage, Members, TermRange};
use crate::terminal::progress;

/// What the log holds.
pub(super) struct Scan {
    pub(super) counts: Counts,
    pub(super) terms: Vec<TermRange>,
    /// The last one that was appended.
    pub(super) membership: Option<Members>,
}

/// Reads every entry, verifies it and that it follows the one before, and notes what is damaged.
pub(super) fn scan(
    stores: &mut ReadOnlyStores,
    damage: &mut Vec<Damage>,
) -> Result<Scan, StoreError> {
    let bounds = stores.bounds();
    let mut scan = Scan {
        counts: Counts::default(),
        terms: Vec::new(),
        membership: None,
    };
    let bar = progress(
        "reading the log",
        bounds.last.id.index.distance_from(bounds.purged.id.index),
    );
    let (mut range, mut last) = (bounds.range(), Some(bounds.purged));
    // Where a batch fails, its entries are read one by one, to know which it is.
    let mut alone = false;
    while !range.is_empty() {
        let end = if alone { range.start.next() } else { range.end };
        match stores.read(range.start..end, BATCH_BYTES) {
            Ok(entries) if !entries.is_empty() => {
                for entry in entries {
                    last = Some(scan.see(&entry, last, damage));
                    range.start = range.start.next();
                    bar.inc(1);
                }
            }
            Err(error) if !is_about_entry(&error) => return Err(error),
            _ if !alone => {
                alone = true;
                continue;
            }
            failed => {
                let what = format!("entry {}", range.start);
                damage.push(match failed {
                    Err(error @ StoreError::Damaged { .. }) => Damage::of(&error),
                    Err(error) => Damage::new(LOG, what, error.to_string()),
                    Ok(_) => Damage::new(LOG, what, "it is not there".into()),
                });
                // What follows it is verified by itself; the link is broken anyway.
                last = None;
                range.start = range.start.next();
                alone = false;
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    if last.is_some_and(|last| last != bounds.last) {
        let detail = "the entry there is another one".into();
        damage.push(Damage::new(
            LOG,
            format!("its end, {}", bounds.last),
            detail,
        ));
    }
    Ok(scan)
}

impl Scan {
    fn see(
        &mut self,
        entry: &Entry,
        last: Option<ChainLink>,
        damage: &mut Vec<Damage>,
    ) -> ChainLink {
        if let Some(last) = last.filter(|last| !entry.follows(*last)) {
            let detail = format!("it does not follow {last}");
            damage.push(Damage::new(LOG, format!("entry {}", entry.id()), detail));
        }
        let bytes = entry.record_bytes() as u64;
        let counts = &mut self.counts;
        counts.entries += 1;
        counts.bytes += bytes;
        counts.largest_bytes = counts.largest_bytes.max(bytes);
        match entry.payload() {
            Payload::Command(_) => counts.commands += 1,
            Payload::Blank => counts.blanks += 1,
            Payload::Restoration { .. } => counts.restorations += 1,
            Payload::Membership { membership, .. } => {
                counts.memberships += 1;
                self.membership = Some(Members::of(entry.id(), membership));
            }
            // Of a later version.
            _ => {}
        }
        let (term, index) = (entry.term().get(), entry.index().get());
        match self.terms.last_mut() {
            Some(range) if range.term == term => range.last = index,
            Some(_) | None => self.terms.push(TermRange {
                term,
                first: index,
                last: index,
            }),
        }
        entry.link()
    }
}

/// Whether others may still be read.
fn is_about_entry(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Damaged { .. } | StoreError::Misuse { .. } | StoreError::Purged { .. }
    )
}

const LOG: &str = "the log";
const BATCH_BYTES: usize = 1 << 20;
