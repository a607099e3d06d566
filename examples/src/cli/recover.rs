//! `kv recover`: the offline recovery of a cluster that has lost its majority for ever.

use std::path::{Path, PathBuf};

use clap::Args;
use raft_core::id::NodeId;
use raft_core::membership::Membership;
use raft_core::recover::{
    MembershipFile, RecoveryPlan, follow, force_membership, plan, plan_read_only,
};
use raft_core::store::Stores;
use serde::de::DeserializeOwned;

use super::put_out;
use crate::backend::{OpenError, StoreSettings};
use crate::config::{NodeName, ServerConfig};
use crate::failure::{Failure, OrFail};
use crate::terminal::say;

/// What to recover, and into what.
#[derive(Debug, Args)]
pub struct RecoverOptions {
    /// The configuration file of the node that survived. The node must be stopped.
    #[arg(long)]
    config: PathBuf,
    /// The new members: [{"id": 1, "address": "host:port", "voter": true}, ...]. Without it, this node
    /// goes on alone.
    #[arg(long)]
    membership: Option<PathBuf>,
    /// Another survivor: follow the node for which this plan (from --json) was carried out.
    #[arg(long, conflicts_with = "membership")]
    follow: Option<PathBuf>,
    /// Print the plan as JSON, for the other survivors.
    #[arg(long)]
    json: bool,
    /// Do it. Without this, nothing is changed.
    #[arg(long)]
    yes: bool,
}

/// Says what would be done, and does it if told to.
///
/// # Errors
/// [`Failure`] if the stores or the files cannot be used, or do not fit.
pub fn recover(options: &RecoverOptions) -> Result<(), Failure> {
    let config = ServerConfig::read(&options.config)?;
    if !config.store.is_durable() || !config.directory.exists() {
        let directory = config.directory.display();
        return Err(Failure::new(format!(
            "node {} keeps nothing in {directory}: there is nothing to recover",
            config.id
        )));
    }
    if let Some(path) = &options.follow {
        return follow_plan(&config, &read(path)?, options.yes);
    }
    let membership = membership(&config, options.membership.as_deref())?;
    if !options.yes {
        let settings = StoreSettings::of(&config);
        let mut stores = settings.open_read_only(config.store, &config.directory)?;
        let plan = plan_read_only(&mut stores, membership);
        print(&plan.or_fail(cannot_recover)?, options.json)?;
        return told(
            options.json,
            "nothing was changed: repeat with --yes to do it",
        );
    }
    let mut stores = open(&config)?;
    let plan = plan(&stores, membership).or_fail(cannot_recover)?;
    print(&plan, options.json)?;
    force_membership(&mut stores, &plan).or_fail(|| "the recovery is not complete".into())?;
    let words = format!(
        "done: start node {}; new nodes need recovery_epoch = {} in their configuration",
        config.id, plan.epoch
    );
    told(options.json, &words)
}

fn cannot_recover() -> String {
    "cannot recover".into()
}

fn print(plan: &RecoveryPlan, as_json: bool) -> Result<(), Failure> {
    if !as_json {
        return put_out(plan.to_string().as_bytes());
    }
    let json = serde_json::to_vec_pretty(plan).or_fail(|| "cannot write the plan".into())?;
    put_out(&json)?;
    put_out(b"\n")
}

fn follow_plan(config: &ServerConfig, plan: &RecoveryPlan, yes: bool) -> Result<(), Failure> {
    let leader = plan.found.identity.node;
    if !yes {
        let words = format!(
            "node {} would follow node {leader}: repeat with --yes",
            config.id
        );
        return told(false, &words);
    }
    let followed = follow(&mut open(config)?, plan);
    followed.or_fail(|| format!("node {} cannot follow node {leader}", config.id))?;
    told(
        false,
        &format!("done: node {} follows node {leader}", config.id),
    )
}

fn open(config: &ServerConfig) -> Result<Stores, OpenError> {
    StoreSettings::of(config).open(config.store, &config.directory)
}

/// The new members: of the file, or this node alone.
fn membership(config: &ServerConfig, file: Option<&Path>) -> Result<Membership, Failure> {
    let alone = || {
        let peer = config.peers.get(&NodeName(config.id));
        let address = peer.map_or(String::new(), |peer| peer.raft.to_string());
        Membership::of_voters([(NodeId::new(config.id), address)])
    };
    match file {
        Some(path) => read::<MembershipFile>(path)?.membership(),
        None => alone(),
    }
    .or_fail(|| "the new membership cannot be".into())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = std::fs::read(path).or_fail(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).or_fail(|| format!("cannot use {}", path.display()))
}

/// Says how it went, unless the output is for a program.
fn told(json: bool, words: &str) -> Result<(), Failure> {
    if !json {
        say(format_args!("{words}"));
    }
    Ok(())
}
