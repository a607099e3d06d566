//! `kv migrate`: a stopped node's data moves to another kind of store.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use raft_core::migrate::{Moved, Places, Progress, Stage, migrate};
use serde::Serialize;

use crate::backend::{StoreSettings, detect};
use crate::config::StoreKind;
use crate::failure::{Failure, OrFail};
use crate::terminal::{progress, say};

/// What to move, and where to.
#[derive(Clone, Debug, Args)]
pub struct MigrateOptions {
    /// The node's directory. The node must be stopped, and never starts there again.
    #[arg(long)]
    from: PathBuf,
    /// The directory to move to: new, or of an attempt that was interrupted.
    #[arg(long)]
    to: PathBuf,
    /// What keeps the log there.
    #[arg(long)]
    to_store: StoreKind,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What was moved.
#[derive(Serialize)]
struct Report {
    node: u64,
    from: PathBuf,
    to: PathBuf,
    store: &'static str,
    first_entry: u64,
    last_entry: u64,
    /// Covers the whole history.
    checksum: String,
    snapshots: usize,
    /// An earlier run had done it already.
    was_complete: bool,
}

/// Moves the data.
///
/// # Errors
/// [`Failure`] says what to do; repeating is always safe.
pub(super) fn run(options: &MigrateOptions) -> Result<(), Failure> {
    let absolute = |path: &Path| {
        let named = || format!("cannot use {}", path.display());
        std::path::absolute(path).or_fail(named)
    };
    let (from, to) = (absolute(&options.from)?, absolute(&options.to)?);
    if from == to {
        let text =
            "--from and --to are the same directory: move into a new one, and rename it afterwards";
        return Err(Failure::new(text));
    }
    if !options.to_store.is_durable() {
        return Err(Failure::new(
            "a store in memory is gone with its process: move to a durable one",
        ));
    }
    let Some(kind) = detect(&from) else {
        return Err(Failure::new(format!(
            "{} holds no store: name the directory that the node's configuration names",
            from.display()
        )));
    };
    let settings = StoreSettings::default();
    let mut source = settings.open(kind, &from)?;
    let mut target = settings.open(options.to_store, &to)?;
    let places = (from.display().to_string(), to.display().to_string());
    let places = Places {
        from: &places.0,
        to: &places.1,
    };
    let mut bars = Bars::default();
    let watch = &mut |progress| bars.show(progress);
    let moved = migrate(&mut source, &mut target, places, watch);
    bars.end();
    let moved = moved.or_fail(|| format!("cannot move {} to {}", from.display(), to.display()))?;
    // The stores are closed before anybody is told that a node may be started.
    drop((source, target));
    told(options, from, to, &moved)
}

fn told(
    options: &MigrateOptions,
    from: PathBuf,
    to: PathBuf,
    moved: &Moved,
) -> Result<(), Failure> {
    let report = Report {
        node: moved.identity.node.get(),
        from,
        to,
        store: options.to_store.as_str(),
        first_entry: moved.bounds.range().start.get(),
        last_entry: moved.bounds.last.id.index.get(),
        checksum: format!("{:08x}", moved.bounds.last.checksum),
        snapshots: moved.snapshots,
        was_complete: moved.was_complete,
    };
    if options.json {
        let json = serde_json::to_string_pretty(&report);
        say(format_args!(
            "{}",
            json.or_fail(|| "cannot write JSON".into())?
        ));
        return Ok(());
    }
    say(format_args!(
        "{}: node {} is in {}, a {} store: entries {} to {}, {} snapshots, all read back and compared\n\
         in its configuration write directory = {:?} and store = \"{}\"; {} is retired, no node starts \
         there any more",
        if report.was_complete {
            "done before"
        } else {
            "done"
        },
        report.node,
        report.to.display(),
        report.store,
        report.first_entry,
        report.last_entry,
        report.snapshots,
        report.to.display().to_string(),
        report.store,
        report.from.display()
    ));
    Ok(())
}

/// One progress bar for each stage.
#[derive(Default)]
struct Bars {
    current: Option<(Stage, ProgressBar)>,
}

impl Bars {
    fn show(&mut self, now: Progress) {
        let is_new = |(stage, _): &(Stage, ProgressBar)| *stage != now.stage;
        if self.current.as_ref().is_none_or(is_new) {
            self.end();
            let what = match now.stage {
                Stage::CopySnapshots => "copying snapshots",
                Stage::CopyLog => "copying the log",
                Stage::CompareSnapshots => "comparing snapshots",
                Stage::CompareLog => "comparing the log",
            };
            self.current = Some((now.stage, progress(what, now.total)));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(now.done);
        }
    }

    fn end(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }
}
