//! `kv demo`: three nodes as three processes, a real file streamed in, the leader killed half way,
//! and everything checked.

mod course;
mod input;
mod options;
mod place;
mod report;
mod stream;
mod verify;

pub use options::DemoOptions;

use tokio::signal::unix::{SignalKind, signal};

use self::course::Course;
use self::input::Input;
use self::place::Place;
use crate::failure::{Failure, OrFail};
use crate::terminal::say;

/// Runs the demonstration.
///
/// No server outlives it, however it ends, unless `--keep` was given and all went well. The data
/// is removed, unless it was asked for or something went wrong.
///
/// # Errors
/// [`Failure`] says what went wrong, and where the data and the servers' logs are.
pub async fn run(options: DemoOptions) -> Result<(), Failure> {
    let input = Input::read(options.input.as_deref(), options.entries)?;
    let place = Place::choose(options.directory.as_deref())?;
    let mut interrupt = signal(SignalKind::interrupt()).or_fail(|| "cannot take SIGINT".into())?;
    let mut terminate = signal(SignalKind::terminate()).or_fail(|| "cannot take SIGTERM".into())?;
    let keep = options.keep;
    let outcome = tokio::select! {
        outcome = Course::run(options, input, place.path()) => outcome,
        _ = interrupt.recv() => return Err(place.interrupted()),
        _ = terminate.recv() => return Err(place.interrupted()),
    };
    match outcome {
        Ok(()) if keep => {
            place.keep();
            Ok(())
        }
        Ok(()) => {
            if let Some(removed) = place.remove() {
                say(format_args!("{removed}"));
            }
            Ok(())
        }
        Err(failure) => {
            let kept = place.keep();
            Err(Failure::new(format!(
                "{failure}\nthe data and the servers' logs are in {}",
                kept.display()
            )))
        }
    }
}
