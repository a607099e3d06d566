//! The course of the demonstration, step by step.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::input::Input;
use super::options::DemoOptions;
use super::report::Report;
use super::stream::{Measured, Stream};
use super::verify::verify;
use crate::client::Client;
use crate::config::ServerConfig;
use crate::failure::{Failure, OrFail};
use crate::local::LocalCluster;
use crate::protocol::DigestReport;
use crate::terminal::{progress, say, thousands};

/// What all steps use.
pub(super) struct Course {
    options: DemoOptions,
    input: Arc<Input>,
    cluster: LocalCluster,
    client: Arc<Client>,
}

/// The leader that was killed, and how long it took to catch up after its restart.
pub(super) struct Casualty {
    pub(super) id: u64,
    pub(super) acknowledged: u64,
    pub(super) caught_up_after: Duration,
}

impl Course {
    /// Runs all steps on data in `directory`.
    pub(super) async fn run(
        options: DemoOptions,
        input: Input,
        directory: &Path,
    ) -> Result<(), Failure> {
        let program = std::env::current_exe().or_fail(|| "cannot find this program".into())?;
        let stores = options.stores()?;
        let transport = options.transport;
        let adjust = |config: &mut ServerConfig| {
            config.transport = transport;
            let place = usize::try_from(config.id - 1).unwrap_or(usize::MAX);
            config.store = stores.get(place).copied().unwrap_or_default();
        };
        let cluster = LocalCluster::create(&program, directory, "demo", NODES, adjust)?;
        let client = Arc::new(cluster.client());
        let course = Self {
            options,
            input: Arc::new(input),
            cluster,
            client,
        };
        say(format_args!(
            "data and logs of the nodes: {}",
            directory.display()
        ));
        course.steps().await
    }

    async fn steps(mut self) -> Result<(), Failure> {
        self.elect().await?;
        let (measured, casualty) = self.stream().await?;
        let reading = self.read_back().await?;
        let digests = self.digests().await?;
        let report = Report {
            input: &self.input,
            measured: &measured,
            casualty: &casualty,
            successor: measured
                .outage
                .as_ref()
                .and_then(|(_, by)| self.cluster.id_at(by)),
            reading,
            digests: &digests,
        };
        say(format_args!("\n{report}\n"));
        report.verdict()?;
        if self.options.keep {
            self.leave_running();
            return Ok(());
        }
        self.cluster.stop_all().await
    }

    /// Starts three processes, and waits for a leader.
    async fn elect(&mut self) -> Result<(), Failure> {
        self.cluster.start_all()?;
        let ids: Vec<u64> = self.cluster.ids().collect();
        for id in ids {
            let is_up = |_: &_| true;
            self.cluster
                .wait_for(id, &self.client, UP_WITHIN, is_up)
                .await?;
        }
        let leader = self.leader().await?;
        say(format_args!(
            "three nodes are up, {}; node {leader} leads",
            self.options.backends()
        ));
        Ok(())
    }

    /// Streams the entries in; kills the leader half way, and restarts it when three quarters are
    /// in.
    async fn stream(&mut self) -> Result<(Measured, Casualty), Failure> {
        say(format_args!(
            "streaming {} entries from {} ({} records, repeated under new keys), {} writers",
            thousands(self.input.entries()),
            self.input.origin,
            self.input.records(),
            self.options.writers
        ));
        let bar = progress("writing", self.input.entries());
        let stream = Stream::new(Arc::clone(&self.input), Arc::clone(&self.client), bar)?;
        let mut writing = tokio::spawn(Arc::clone(&stream).run(self.options.writers));
        let disturbing = async {
            stream.half_done().await;
            let (id, acknowledged) = self.kill_leader(&stream).await?;
            stream.three_quarters_done().await;
            self.cluster.start(id)?;
            stream.tell(format_args!("node {id} is started again"));
            Ok::<_, Failure>((id, acknowledged, Instant::now()))
        };
        // Writers that fail end the stream; waiting for its milestones would then never end.
        let (id, acknowledged, restarted) = tokio::select! {
            biased;
            disturbed = disturbing => disturbed?,
            written = &mut writing => {
                written.or_fail(|| "the stream failed".into())??;
                return Err(Failure::new("the stream ended before its last quarter"));
            }
        };
        let measured = writing.await.or_fail(|| "the stream failed".into())??;
        let caught_up_after = self.catch_up(id, restarted).await?;
        let casualty = Casualty {
            id,
            acknowledged,
            caught_up_after,
        };
        Ok((measured, casualty))
    }

    async fn kill_leader(&mut self, stream: &Stream) -> Result<(u64, u64), Failure> {
        let id = self.leader().await?;
        let acknowledged = stream.acknowledged();
        stream.leader_killed(self.cluster.address(id));
        self.cluster.kill(id);
        stream.tell(format_args!(
            "node {id}, the leader, is killed (SIGKILL) with {} entries acknowledged",
            thousands(acknowledged)
        ));
        Ok((id, acknowledged))
    }

    /// Waits until the restarted node has applied all that the leader has committed.
    async fn catch_up(&mut self, id: u64, restarted: Instant) -> Result<Duration, Failure> {
        let leader = self.leader().await?;
        let client = Arc::clone(&self.client);
        let leading = self
            .cluster
            .wait_for(leader, &client, CATCH_UP_WITHIN, |_| true)
            .await?;
        let has_all = |node: &crate::protocol::NodeReport| node.applied >= leading.committed;
        self.cluster
            .wait_for(id, &client, CATCH_UP_WITHIN, has_all)
            .await?;
        let took = restarted.elapsed();
        say(format_args!(
            "node {id} has caught up, with entry {} applied",
            thousands(leading.committed)
        ));
        Ok(took)
    }

    /// Reads everything back through every node.
    async fn read_back(&self) -> Result<Duration, Failure> {
        let started = Instant::now();
        let reads = self.input.entries() * u64::from(NODES);
        say(format_args!(
            "reading everything back through every node, linearizably"
        ));
        let bar = progress("reading", reads);
        for id in self.cluster.ids() {
            let address = self.cluster.address(id);
            verify(&self.input, &self.client, address, bar.clone())
                .await
                .or_fail(|| format!("node {id}"))?;
        }
        bar.finish_and_clear();
        Ok(started.elapsed())
    }

    async fn digests(&self) -> Result<Vec<DigestReport>, Failure> {
        let mut digests = Vec::new();
        for id in self.cluster.ids() {
            let address = self.cluster.address(id);
            let digest = self.client.digest_of(&address, DIGEST_WITHIN).await;
            digests.push(digest.or_fail(|| format!("the digest of node {id}"))?);
        }
        Ok(digests)
    }

    async fn leader(&self) -> Result<u64, Failure> {
        let address = self.client.leader(ELECT_WITHIN).await;
        let address = address.or_fail(|| "there is no leader".into())?;
        let id = self.cluster.id_at(&address);
        id.ok_or_else(|| Failure::new(format!("a stranger leads, at {address}")))
    }

    fn leave_running(self) {
        let first = self.cluster.config_path(1);
        let config = first.display();
        let processes: Vec<String> = self
            .cluster
            .processes()
            .map(|(_, pid)| pid.to_string())
            .collect();
        say(format_args!(
            "the nodes run on. Talk to them:\n  kv status --config {config}\n  kv put city Utrecht \
             --config {config}\n  kv get city --config {config}\n(kv is {}) and stop them:\n  kill {}",
            std::env::current_exe().unwrap_or_default().display(),
            processes.join(" ")
        ));
        self.cluster.let_go();
    }
}

const NODES: u16 = 3;
const UP_WITHIN: Duration = Duration::from_secs(20);
const ELECT_WITHIN: Duration = Duration::from_secs(20);
const CATCH_UP_WITHIN: Duration = Duration::from_secs(30);
const DIGEST_WITHIN: Duration = Duration::from_secs(20);
