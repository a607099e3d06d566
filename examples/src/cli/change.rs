//! `kv put`, `kv get` and `kv del`.

use std::io::Read as _;
use std::process::ExitCode;

use super::options::ServersOptions;
use super::{failed, not_done, put_out};
use crate::failure::{Failure, OrFail};
use crate::protocol::Freshness;
use crate::terminal::{complain, say};

pub(super) async fn put(key: &str, value: &str, servers: &ServersOptions) -> ExitCode {
    let prepared = servers
        .client()
        .and_then(|client| Ok((client, bytes_of(value)?)));
    let (client, value) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return failed(&failure),
    };
    match client.put(key, &value, servers.within()).await {
        Ok(changed) => {
            say(format_args!("stored as entry {}", changed.index));
            ExitCode::SUCCESS
        }
        Err(error) => not_done(&error),
    }
}

pub(super) async fn delete(key: &str, servers: &ServersOptions) -> ExitCode {
    let client = match servers.client() {
        Ok(client) => client,
        Err(failure) => return failed(&failure),
    };
    match client.delete(key, servers.within()).await {
        Ok(changed) => {
            let what = match changed.existed {
                true => "removed",
                false => "was not there, or was removed before: noted",
            };
            say(format_args!("{what} as entry {}", changed.index));
            ExitCode::SUCCESS
        }
        Err(error) => not_done(&error),
    }
}

pub(super) async fn get(key: &str, read: Freshness, servers: &ServersOptions) -> ExitCode {
    let client = match servers.client() {
        Ok(client) => client,
        Err(failure) => return failed(&failure),
    };
    match client.get_as(key, read, servers.within()).await {
        Ok(Some(value)) => {
            let line = [value.as_ref(), b"\n"].concat();
            match put_out(&line) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failed(&failure),
            }
        }
        Ok(None) => {
            complain(format_args!("kv: there is no key {key:?}"));
            ExitCode::FAILURE
        }
        Err(error) => not_done(&error),
    }
}

fn bytes_of(value: &str) -> Result<Vec<u8>, Failure> {
    if value != "-" {
        return Ok(value.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .or_fail(|| "cannot read the value from the standard input".into())?;
    Ok(bytes)
}
