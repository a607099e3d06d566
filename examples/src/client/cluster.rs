//! A client of the whole cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use raft_core::consensus::RoleName;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{CallError, ClientError};
use super::server::Server;
use crate::protocol::{Ask, DigestReport, Freshness, NodeReport, Outcome};

/// Talks to whichever server can do what is asked. Cheap to share: use it behind an `Arc`, from
/// any number of tasks.
#[derive(Debug)]
pub struct Client {
    servers: Mutex<Vec<Arc<Server>>>,
    leader: tokio::sync::Mutex<Known>,
}

/// A change that is committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The entry's index.
    pub index: u64,
    /// Whether the key was there before.
    pub existed: bool,
    /// The server that said so.
    pub by: String,
}

/// Who was last known to lead. The epoch tells a finding from the one before.
#[derive(Debug, Default)]
struct Known {
    epoch: u64,
    leader: Option<Arc<Server>>,
}

/// The course of one operation: how long it may take, and what is known so far.
struct Attempts {
    started: Instant,
    deadline: Instant,
    /// A request got no answer: it may have been carried out.
    in_doubt: bool,
    last: String,
}

impl Client {
    /// A client of the servers at these addresses (`HOST:PORT`, where they listen for clients).
    /// Nothing is connected yet.
    pub fn new<A: Into<String>>(servers: impl IntoIterator<Item = A>) -> Self {
        let servers = servers
            .into_iter()
            .map(|address| Server::new(address.into()));
        Self {
            servers: Mutex::new(servers.collect()),
            leader: tokio::sync::Mutex::default(),
        }
    }

    /// Sets a key. Repeats the request, through changes of leader, until it is answered or `within`
    /// has passed.
    ///
    /// # Errors
    /// [`ClientError`], which says whether the change may have been made.
    pub async fn put(
        &self,
        key: &str,
        value: &[u8],
        within: Duration,
    ) -> Result<Changed, ClientError> {
        let key = key.to_owned();
        self.change(Ask::Put { key }, value, within).await
    }

    /// Removes a key; otherwise as [`Client::put`].
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete(&self, key: &str, within: Duration) -> Result<Changed, ClientError> {
        let key = key.to_owned();
        self.change(Ask::Delete { key }, &[], within).await
    }

    /// The value of a key, at least as new as every change acknowledged before. Any server may
    /// answer; the next one is asked if one cannot.
    ///
    /// # Errors
    /// [`ClientError::NotDone`] if none could in time.
    pub async fn get(&self, key: &str, within: Duration) -> Result<Option<Bytes>, ClientError> {
        self.get_as(key, Freshness::Linearizable, within).await
    }

    /// As [`Client::get`], as new as is asked for.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_as(
        &self,
        key: &str,
        freshness: Freshness,
        within: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        let servers = self.servers();
        self.read(&servers, key, freshness, within).await
    }

    /// Hands the leadership over to a node, or to the one that suits best. Returns who leads then.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the leader will not or cannot hand over to that one,
    /// [`ClientError::NotDone`] if no leader answered in time.
    pub async fn transfer(&self, to: Option<u64>, within: Duration) -> Result<u64, ClientError> {
        let mut attempts = Attempts::new(within);
        let mut stale = None;
        loop {
            let found = timeout_at(attempts.deadline, self.find_leader(stale)).await;
            let Ok((epoch, leader)) = found else {
                return Err(attempts.give_up());
            };
            match leader
                .ask(Ask::Transfer { to }, &[], attempts.deadline)
                .await
            {
                Ok((Outcome::Transferred { leader }, _)) => {
                    self.redirect(epoch, None).await;
                    return Ok(leader);
                }
                Ok((Outcome::Refused { reason }, _)) => return Err(ClientError::Refused(reason)),
                Ok((outcome, _)) => {
                    attempts.last = describe(&outcome);
                    if let Outcome::NotLeader { leader } = outcome {
                        self.redirect(epoch, leader).await;
                    }
                }
                Err(error) => {
                    attempts.last = error.to_string();
                    stale = Some(epoch);
                }
            }
            attempts.pause().await?;
        }
    }

    /// As [`Client::get`], from this server alone.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_from(
        &self,
        address: &str,
        key: &str,
        within: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        let server = self.server(address);
        self.read(&[server], key, Freshness::Linearizable, within)
            .await
    }

    /// The digest of one server's state, after everything that was acknowledged before.
    ///
    /// # Errors
    /// [`ClientError::NotDone`] if it could not answer in time.
    pub async fn digest_of(
        &self,
        address: &str,
        within: Duration,
    ) -> Result<DigestReport, ClientError> {
        let server = self.server(address);
        let mut attempts = Attempts::new(within);
        loop {
            match server.ask(Ask::Digest, &[], attempts.deadline).await {
                Ok((Outcome::Digest(report), _)) => return Ok(report),
                Ok((other, _)) => attempts.last = describe(&other),
                Err(error) => attempts.last = error.to_string(),
            }
            attempts.pause().await?;
        }
    }

    /// How one server says it is. Asked once.
    ///
    /// # Errors
    /// [`CallError`] if it cannot be reached or does not answer in time.
    pub async fn status_of(
        &self,
        address: &str,
        within: Duration,
    ) -> Result<NodeReport, CallError> {
        self.server(address).status(Instant::now() + within).await
    }

    /// Waits for a server that says it leads.
    ///
    /// # Errors
    /// [`ClientError::NotDone`] if there is none in time.
    pub async fn leader(&self, within: Duration) -> Result<String, ClientError> {
        let attempts = Attempts::new(within);
        match timeout_at(attempts.deadline, self.find_leader(None)).await {
            Ok((_, leader)) => Ok(leader.address().to_owned()),
            Err(_) => Err(attempts.give_up()),
        }
    }

    async fn change(
        &self,
        ask: Ask,
        body: &[u8],
        within: Duration,
    ) -> Result<Changed, ClientError> {
        let mut attempts = Attempts::new(within);
        let mut stale = None;
        loop {
            let found = timeout_at(attempts.deadline, self.find_leader(stale)).await;
            let Ok((epoch, leader)) = found else {
                return Err(attempts.give_up());
            };
            match leader.ask(ask.clone(), body, attempts.deadline).await {
                Ok((Outcome::Changed { index, existed }, _)) => {
                    let by = leader.address().to_owned();
                    return Ok(Changed { index, existed, by });
                }
                Ok((Outcome::Refused { reason }, _)) if attempts.in_doubt => {
                    attempts.last = reason;
                    return Err(attempts.give_up());
                }
                Ok((Outcome::Refused { reason }, _)) => return Err(ClientError::Refused(reason)),
                Ok((outcome, _)) => {
                    attempts.in_doubt |= matches!(outcome, Outcome::Unknown { .. });
                    attempts.last = describe(&outcome);
                    if let Outcome::NotLeader { leader } = outcome {
                        self.redirect(epoch, leader).await;
                    }
                }
                Err(error) => {
                    attempts.in_doubt |= matches!(error, CallError::NoAnswer { .. });
                    attempts.last = error.to_string();
                    stale = Some(epoch);
                    if Instant::now() < attempts.deadline {
                        continue;
                    }
                }
            }
            attempts.pause().await?;
        }
    }

    async fn read(
        &self,
        servers: &[Arc<Server>],
        key: &str,
        freshness: Freshness,
        within: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        let mut attempts = Attempts::new(within);
        loop {
            for server in servers {
                let key = key.to_owned();
                let get = Ask::Get { key, freshness };
                match server.ask(get, &[], attempts.deadline).await {
                    Ok((Outcome::Value, value)) => return Ok(Some(value)),
                    Ok((Outcome::Absent, _)) => return Ok(None),
                    Ok((Outcome::Refused { reason }, _)) => {
                        return Err(ClientError::Refused(reason));
                    }
                    Ok((other, _)) => attempts.last = describe(&other),
                    Err(error) => attempts.last = error.to_string(),
                }
            }
            attempts.pause().await?;
        }
    }

    /// The server that leads, as far as is known, unless that knowledge is the `stale` one. One
    /// caller searches; the others wait for what it finds.
    async fn find_leader(&self, stale: Option<u64>) -> (u64, Arc<Server>) {
        let mut known = self.leader.lock().await;
        if let Some(leader) = &known.leader
            && stale != Some(known.epoch)
        {
            return (known.epoch, Arc::clone(leader));
        }
        loop {
            if let Some(leader) = self.search().await {
                known.epoch += 1;
                known.leader = Some(Arc::clone(&leader));
                return (known.epoch, leader);
            }
            sleep(SEARCH_PAUSE).await;
        }
    }

    /// Asks all servers at once who leads. A leader that is only told of is remembered as a server,
    /// so that the next search asks it.
    async fn search(&self) -> Option<Arc<Server>> {
        let deadline = Instant::now() + SEARCH_WITHIN;
        let mut answers = JoinSet::new();
        for server in self.servers() {
            answers.spawn(async move {
                let report = server.status(deadline).await.ok()?;
                Some((server, report))
            });
        }
        while let Some(answer) = answers.join_next().await {
            let Ok(Some((server, report))) = answer else {
                continue;
            };
            // The first is taken: should it be wrong, it says so, and the search goes on.
            if report.role == RoleName::Leader.as_str() {
                return Some(server);
            }
            let mut members = report.members.iter();
            if let Some(told) = members.find(|member| Some(member.id) == report.leader)
                && let Some(address) = &told.clients
            {
                self.server(address);
            }
        }
        None
    }

    /// Follows a server's hint who leads; without one, the next attempt searches.
    async fn redirect(&self, epoch: u64, leader: Option<String>) {
        let leader = leader.map(|address| self.server(&address));
        let mut known = self.leader.lock().await;
        if known.epoch == epoch {
            known.epoch += 1;
            known.leader = leader;
        }
    }

    fn servers(&self) -> Vec<Arc<Server>> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.clone()
    }

    /// The server with this address, remembered from now on if it was not known.
    fn server(&self, address: &str) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = servers.iter().find(|server| server.address() == address) {
            return Arc::clone(known);
        }
        let server = Server::new(address.to_owned());
        servers.push(Arc::clone(&server));
        server
    }
}

impl Attempts {
    fn new(within: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline: started + within,
            in_doubt: false,
            last: "no server says that it leads".into(),
        }
    }

    /// Waits a little before the next attempt.
    async fn pause(&self) -> Result<(), ClientError> {
        if Instant::now() + RETRY_PAUSE >= self.deadline {
            return Err(self.give_up());
        }
        sleep(RETRY_PAUSE).await;
        Ok(())
    }

    fn give_up(&self) -> ClientError {
        let within = self.deadline - self.started;
        let last = self.last.clone();
        match self.in_doubt {
            true => ClientError::Unknown { within, last },
            false => ClientError::NotDone { within, last },
        }
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotLeader { leader: None } => "no leader is known".into(),
        Outcome::NotLeader { leader: Some(at) } => format!("the leader is said to be at {at}"),
        Outcome::NotNow { reason } | Outcome::Refused { reason } | Outcome::Unknown { reason } => {
            reason.clone()
        }
        Outcome::Changed { .. }
        | Outcome::Value
        | Outcome::Absent
        | Outcome::Status(_)
        | Outcome::Digest(_)
        | Outcome::Transferred { .. } => {
            format!("the server said {outcome:?}, which was not asked")
        }
    }
}

const SEARCH_PAUSE: Duration = Duration::from_millis(5);
const SEARCH_WITHIN: Duration = Duration::from_millis(500);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
