//! `bench`: how many writes three nodes take, how long each takes, and what it costs.

mod cluster;
mod load;
mod machine;
mod options;
mod report;
mod sink;

pub use options::{BenchOptions, Setting};

use std::process::ExitCode;

use self::cluster::Cluster;
use self::load::measure;
use self::report::Report;
use crate::failure::{Failure, OrFail};
use crate::terminal::{complain, say};

/// Runs the benchmark, and prints its figures.
pub fn run(options: &BenchOptions) -> ExitCode {
    match figures(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(format_args!("bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn figures(options: &BenchOptions) -> Result<(), Failure> {
    let mut report = Report::begin(options);
    for setting in options.settings() {
        // A runtime of its own: nothing of the setting before is left on it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_fail(|| "cannot start".into())?;
        runtime.block_on(one_setting(setting, options, &mut report))?;
    }
    let text = match options.json {
        true => report.json()?,
        false => report.to_string(),
    };
    say(format_args!("{text}"));
    Ok(())
}

async fn one_setting(
    setting: Setting,
    options: &BenchOptions,
    report: &mut Report,
) -> Result<(), Failure> {
    for &writers in &options.writers {
        // Progress goes to the standard error, so that `--json` stays pure.
        complain(format_args!("{}, {writers} writers ...", setting.title()));
        let cluster = Cluster::start(setting).await?;
        let measured = measure(&cluster, writers, options).await;
        cluster.stop().await?;
        report.add(setting, writers, &measured?);
    }
    Ok(())
}
