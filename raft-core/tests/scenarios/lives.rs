//! Nodes that lose what their disks held, and come back under their old names.

use raft_core::FormerLives;
use raft_core::id::NodeId;

use super::cluster::Cluster;
use super::command::Command;
use super::commands::status;
use super::member::Member;

/// A node that has lost its disk starts under its old name, with the initial membership or, as one
/// that joins, without.
pub(crate) fn wipe(world: &mut Cluster, command: &Command<'_>) {
    let joins = command.words.contains(&"joins");
    let terms: &[u64] = if joins { &[] } else { &[1] };
    begin_anew(world, command.node(), terms, None);
}

/// A node whose stores were damaged and began anew starts. They say whose they were, unless that
/// could not be read.
pub(crate) fn damage(world: &mut Cluster, command: &Command<'_>) {
    let node = command.node();
    let is_readable = !command.words.contains(&"unreadable");
    let member = world.member(node);
    let identity = Some(member.identity()).filter(|_| is_readable);
    let before = member.disk.durable.former.clone();
    let former = FormerLives::new(identity, before.filter(|_| is_readable), "rot");
    begin_anew(world, node, &[], Some(former));
}

fn begin_anew(world: &mut Cluster, node: NodeId, terms: &[u64], former: Option<FormerLives>) {
    let wipes = world.members.get(&node).map_or(0, |member| member.wipes);
    let membership = world.membership.as_ref().expect("nodes come first");
    let mut member = Member::new(node, terms, membership, world.in_sessions);
    member.wipes = wipes + 1;
    member.disk.durable.former = former;
    member.start(world.config.clone(), world.now);
    world.members.insert(node, member);
    status(world, node);
}
