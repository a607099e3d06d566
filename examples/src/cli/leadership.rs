//! `kv transfer` and `kv members`.

use std::process::ExitCode;

use super::options::ServersOptions;
use super::{failed, not_done, put_out};
use crate::failure::{Failure, OrFail};
use crate::protocol::NodeReport;
use crate::terminal::{Table, say};

pub(super) async fn transfer(node: Option<u64>, servers: &ServersOptions) -> ExitCode {
    let client = match servers.client() {
        Ok(client) => client,
        Err(failure) => return failed(&failure),
    };
    match client.transfer(node, servers.within()).await {
        Ok(leader) => {
            say(format_args!("node {leader} leads"));
            ExitCode::SUCCESS
        }
        Err(error) => not_done(&error),
    }
}

/// As the leader knows them.
pub(super) async fn members(json: bool, servers: &ServersOptions) -> Result<(), Failure> {
    let client = servers.client()?;
    let leader = client.leader(servers.within()).await;
    let leader = leader.or_fail(|| "cannot ask the leader".into())?;
    let report = client.status_of(&leader, servers.within()).await;
    let report = report.or_fail(|| "cannot ask the leader".into())?;
    let text = match json {
        true => {
            let json = serde_json::to_string_pretty(&report.members);
            json.or_fail(|| "cannot write JSON".into())?
        }
        false => table(&report).to_string(),
    };
    put_out(format!("{text}\n").as_bytes())
}

fn table(report: &NodeReport) -> Table {
    let mut table = Table::new([
        "node",
        "nodes reach it at",
        "clients at",
        "is",
        "fed",
        "has",
    ]);
    let or_none = |text: Option<String>| text.unwrap_or("-".to_owned());
    for member in &report.members {
        let leads = report.leader == Some(member.id);
        let is = match (leads, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        table.row([
            member.id.to_string(),
            member.raft.clone(),
            or_none(member.clients.clone()),
            is.to_owned(),
            or_none(member.state.clone()),
            or_none(member.matched.map(|index| index.to_string())),
        ]);
    }
    table
}
