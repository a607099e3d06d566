//! The command line of `kv`.

mod change;
mod leadership;
mod migrate;
mod options;
mod recover;
mod status;

pub use migrate::MigrateOptions;
pub use options::{KvCommand, KvOptions, ServersOptions};
pub use recover::{RecoverOptions, recover};

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::client::ClientError;
use crate::demo;
use crate::failure::{Failure, OrFail};
use crate::inspect;
use crate::server::{ServeOptions, serve};
use crate::terminal::complain;

/// Carries out the command, and says how it went: 0 done, 1 not done (or no such key), 3 unknown.
pub fn run(options: KvOptions) -> ExitCode {
    start_logging();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail(|| "cannot start".into());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(failure) => return failed(&failure),
    };
    let code = runtime.block_on(carry_out(options.command));
    // A thread may still wait for the standard input.
    runtime.shutdown_background();
    code
}

async fn carry_out(command: KvCommand) -> ExitCode {
    let done = match command {
        KvCommand::Serve {
            config,
            stop_with_parent,
        } => serve(&config, ServeOptions { stop_with_parent }).await,
        KvCommand::Put {
            key,
            value,
            servers,
        } => return change::put(&key, &value, &servers).await,
        KvCommand::Get { key, read, servers } => return change::get(&key, read, &servers).await,
        KvCommand::Del { key, servers } => return change::delete(&key, &servers).await,
        KvCommand::Status {
            json,
            digest,
            servers,
        } => return status::status(json, digest, &servers).await,
        KvCommand::Transfer { node, servers } => return leadership::transfer(node, &servers).await,
        KvCommand::Members { json, servers } => leadership::members(json, &servers).await,
        KvCommand::Demo(options) => demo::run(options).await,
        KvCommand::Recover(options) => recover(&options),
        KvCommand::Inspect(options) => inspect::run(&options),
        KvCommand::Migrate(options) => migrate::run(&options),
        #[cfg(any(feature = "tls", feature = "quic"))]
        KvCommand::Certs(options) => crate::certs::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    complain(format_args!("kv: {failure}"));
    ExitCode::FAILURE
}

/// Nothing was done, or nobody knows: the code tells which.
fn not_done(error: &ClientError) -> ExitCode {
    complain(format_args!("kv: {error}"));
    match error {
        ClientError::Unknown { .. } => ExitCode::from(OUTCOME_UNKNOWN),
        ClientError::Refused(_) | ClientError::NotDone { .. } => ExitCode::FAILURE,
    }
}

/// Writes bytes as they are.
fn put_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .or_fail(|| "cannot write the output".into())
}

/// What the node tells goes to the standard error; `RUST_LOG` chooses, warnings by default.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Somebody else may have set one up; then theirs is used.
    let _ = subscriber.try_init();
}

const OUTCOME_UNKNOWN: u8 = 3;
