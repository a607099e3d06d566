//! One `kv serve` process.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::failure::{Failure, OrFail};
use crate::server::GO_ON;

/// A running server, killed when this is dropped. Should this process end in any other way, the
/// server notices that its standard input ended, and stops.
#[derive(Debug)]
pub struct NodeProcess {
    child: Option<Child>,
    log: PathBuf,
}

impl NodeProcess {
    /// Starts `program serve --config CONFIG`. What it prints is added to the file `log`.
    ///
    /// # Errors
    /// [`Failure`] if the system does not start it.
    pub fn start(program: &Path, config: &Path, log: PathBuf) -> Result<Self, Failure> {
        let output = append_to(&log)?;
        let errors = output.try_clone().or_fail(|| log.display().to_string())?;
        let child = Command::new(program)
            .args(["serve", "--stop-with-parent", "--config"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C at the terminal is for the parent, which then ends its children.
            .process_group(0)
            .spawn()
            .or_fail(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child: Some(child),
            log,
        })
    }

    /// The process's number.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok()?
    }

    /// Ends it at once (SIGKILL), whatever it is doing.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; waiting then takes away its remains.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for it to end by itself; `None` if it still runs after this time.
    pub async fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            match self.ended() {
                Some(status) => return Some(status),
                None if Instant::now() > deadline => return None,
                None => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Asks it to stop, and waits for it; kills it if it has not stopped in time.
    ///
    /// # Errors
    /// [`Failure`] if it had to be killed, or says that it failed.
    pub async fn stop(&mut self, within: Duration) -> Result<(), Failure> {
        let Some(child) = self.child.as_mut() else {
            return Ok(());
        };
        drop(child.stdin.take());
        match self.wait(within).await {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failed(&format!("ended with {status}"))),
            None => {
                self.kill();
                Err(self.failed("did not stop when asked to"))
            }
        }
    }

    /// Lets it run on when this process ends.
    pub fn let_go(mut self) {
        if let Some(mut child) = self.child.take()
            && let Some(mut input) = child.stdin.take()
        {
            // Should it have ended, there is nothing to let go.
            let _ = writeln!(input, "{GO_ON}");
        }
    }

    /// A failure that shows the end of what the process printed.
    pub fn failed(&self, what: &str) -> Failure {
        let printed = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = printed.lines().collect();
        let (_, tail) = lines.split_at(lines.len().saturating_sub(LINES_SHOWN));
        Failure::new(format!(
            "a server {what}; the end of {}:\n  {}",
            self.log.display(),
            tail.join("\n  ")
        ))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn append_to(log: &Path) -> Result<File, Failure> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .or_fail(|| format!("cannot write {}", log.display()))
}

const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LINES_SHOWN: usize = 8;
