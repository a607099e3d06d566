//! `kv status`: a table for people, JSON for programs.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::options::ServersOptions;
use super::{failed, put_out};
use crate::client::Client;
use crate::failure::{Failure, OrFail};
use crate::protocol::NodeReport;
use crate::terminal::Table;

/// What is known of one server.
#[derive(Debug, Serialize)]
struct Heard {
    address: String,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeReport>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The digest of its state, or why it is not known, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Succeeds if at least one server answered.
pub(super) async fn status(json: bool, digest: bool, servers: &ServersOptions) -> ExitCode {
    match report(json, digest, servers).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

async fn report(json: bool, digest: bool, servers: &ServersOptions) -> Result<(), Failure> {
    let addresses = servers.addresses()?;
    let client = Client::new(addresses.clone());
    let mut heard = Vec::new();
    for address in addresses {
        heard.push(hear(&client, address, digest, servers.within()).await);
    }
    let text = match json {
        true => serde_json::to_string_pretty(&heard).or_fail(|| "cannot write JSON".into())?,
        false => table(&heard, digest).to_string(),
    };
    put_out(format!("{text}\n").as_bytes())?;
    if heard.iter().any(|server| server.node.is_some()) {
        return Ok(());
    }
    Err(Failure::new(
        "no server answered: are they running, and are these the addresses for clients?",
    ))
}

async fn hear(client: &Client, address: String, digest: bool, within: Duration) -> Heard {
    let answer = client.status_of(&address, within.min(ANSWER_WITHIN)).await;
    let (node, error) = match answer {
        Ok(report) => (Some(report), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let digest = match digest && node.is_some() {
        true => Some(match client.digest_of(&address, within).await {
            Ok(report) => report.digest,
            Err(error) => error.to_string(),
        }),
        false => None,
    };
    Heard {
        address,
        node,
        error,
        digest,
    }
}

fn table(heard: &[Heard], digest: bool) -> Table {
    let mut headings = vec![
        "address",
        "node",
        "role",
        "term",
        "leader",
        "last",
        "committed",
        "applied",
        "snapshot",
        "keys",
    ];
    if digest {
        headings.push("digest");
    }
    let mut table = Table::new(headings);
    for server in heard {
        let mut row = vec![server.address.clone()];
        match (&server.node, &server.error) {
            (Some(node), _) => row.extend(cells(node)),
            // Why a server is not heard stands in the last column, not to widen the others.
            (None, error) => row.push(error.clone().unwrap_or_default()),
        }
        row.extend(server.digest.clone());
        table.row(row);
    }
    table
}

fn cells(node: &NodeReport) -> [String; 9] {
    let or_none = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
    [
        node.id.to_string(),
        match node.repairing {
            Some(_) => format!("{} (repairing)", node.role),
            None => node.role.clone(),
        },
        node.term.to_string(),
        or_none(node.leader),
        node.last.to_string(),
        node.committed.to_string(),
        node.applied.to_string(),
        or_none(node.snapshot),
        node.keys.to_string(),
    ]
}

const ANSWER_WITHIN: Duration = Duration::from_secs(2);
