//! `kv inspect`: what a node keeps, read from its directory while the node is stopped. Nothing there is
//! changed.

mod entries;
mod report;
mod scan;
mod snapshots;

use std::path::PathBuf;

use clap::Args;
use raft_core::id::NodeId;
use raft_core::store::{FloorMark, ReadOnlyStores, Relocation};
use raft_core::{HardState, Identity};

use self::entries::{Range, say_entries};
use self::report::{Damage, Report, Whose};
use self::scan::{Scan, scan};
use self::snapshots::look_at_snapshots;
use crate::backend::{StoreSettings, detect};
use crate::config::StoreKind;
use crate::failure::{Failure, OrFail};
use crate::terminal::say;

/// Where to look, and how closely.
#[derive(Clone, Debug, Args)]
pub struct InspectOptions {
    /// The node's directory. The node must be stopped; it cannot start while this runs.
    pub directory: PathBuf,
    /// What keeps the log there. Default: whatever its files are of.
    #[arg(long)]
    pub store: Option<StoreKind>,
    /// Read the snapshots too, and verify every checksum. The log is always read and verified.
    #[arg(long)]
    pub verify: bool,
    /// Print these entries: FROM..TO, the last one not included, or a single index.
    #[arg(long)]
    pub entries: Option<Range>,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Looks, and prints what is there.
///
/// # Errors
/// [`Failure`] if a node has the directory open, nothing is there, or something is damaged. The report
/// of what is not damaged is printed all the same, if the store can be opened.
pub fn run(options: &InspectOptions) -> Result<(), Failure> {
    let directory = &options.directory;
    let Some(kind) = options.store.or_else(|| detect(directory)) else {
        return Err(Failure::new(format!(
            "{} holds no store: name the directory that a node's configuration names",
            directory.display()
        )));
    };
    let mut stores = StoreSettings::default().open_read_only(kind, directory)?;
    if let Some(range) = &options.entries {
        return say_entries(&mut stores, range, options.json);
    }
    let report = look(options, kind, &mut stores)?;
    match options.json {
        true => {
            let json = serde_json::to_string_pretty(&report);
            say(format_args!(
                "{}",
                json.or_fail(|| "cannot write JSON".into())?
            ));
        }
        false => say(format_args!("{report}")),
    }
    match report.damage.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!(
            "damaged places: {count}; keep the directory for inspection, and do not start the node on it"
        ))),
    }
}

fn look(
    options: &InspectOptions,
    kind: StoreKind,
    stores: &mut ReadOnlyStores,
) -> Result<Report, Failure> {
    let cannot = || format!("cannot look into {}", options.directory.display());
    let mut damage = Vec::new();
    // A record that is damaged does not hide the others.
    let identity = kept(stores.record::<Identity>(), &mut damage).or_fail(cannot)?;
    let vote = kept(stores.record::<HardState>(), &mut damage).or_fail(cannot)?;
    let moved = kept(stores.record::<Relocation>(), &mut damage).or_fail(cannot)?;
    let snapshots = look_at_snapshots(stores, options.verify, &mut damage).or_fail(cannot)?;
    let floor = options.directory.join("floor");
    let floor = match floor.exists() {
        true => kept(FloorMark::read(&floor).map(Some), &mut damage).or_fail(cannot)?,
        false => None,
    };
    let bounds = stores.bounds();
    let Scan {
        counts,
        terms,
        membership,
    } = scan(stores, &mut damage).or_fail(cannot)?;
    let newest = snapshots.first().map(|snapshot| snapshot.members.clone());
    Ok(Report {
        directory: options.directory.clone(),
        store: kind.as_str(),
        whose: identity.map(Whose::of),
        term: vote.map(|vote| vote.term.get()),
        vote: vote.and_then(|vote| vote.vote).map(NodeId::get),
        moved: moved.map(|moved| report::told(&moved)),
        purged: bounds.purged.into(),
        last: bounds.last.into(),
        floor: floor.map(Into::into),
        counts,
        terms,
        membership: membership.or(newest),
        snapshots,
        verified: options.verify,
        damage,
    })
}

/// Notes damage, and passes other errors on.
fn kept<T>(
    read: Result<Option<T>, raft_core::store::StoreError>,
    damage: &mut Vec<Damage>,
) -> Result<Option<T>, raft_core::store::StoreError> {
    match read {
        Err(error) if error.is_damage() => {
            damage.push(Damage::of(&error));
            Ok(None)
        }
        read => read,
    }
}
