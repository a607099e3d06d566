//! Clients with sessions. Each is the library's own, and its door to the group is a node of the story.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use raft_core::consensus::{Event, Refusal};
use raft_core::entry::Sealed;
use raft_core::id::{LogId, NodeId};
use raft_core::node::{Applied, Outcome, ProposeError, StopReason};
use raft_core::sessions::{Proposer, SessionClient, SessionError, SessionLimits};
use raft_core::time::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::command::Command;
use super::machine::request_of;

/// All clients of a story, and their clock.
#[derive(Default)]
pub(crate) struct Clients {
    clients: BTreeMap<String, Client>,
    asked: Arc<Mutex<VecDeque<Asked>>>,
    waiting: Vec<Waiting>,
    runtime: Option<Runtime>,
    now: Timestamp,
}

struct Client {
    /// The node that it asks.
    at: NodeId,
    session: Option<Arc<SessionClient<Door>>>,
    tasks: Vec<Task>,
}

type Task = Pin<Box<dyn Future<Output = Ended>>>;

/// What a client has come to know.
enum Ended {
    Opened(Result<SessionClient<Door>, SessionError>),
    Told(String),
}

/// Where a client's commands go.
#[derive(Debug)]
struct Door {
    client: String,
    asked: Arc<Mutex<VecDeque<Asked>>>,
}

/// A command on its way to a node.
#[derive(Debug)]
struct Asked {
    client: String,
    command: Bytes,
    reply: Reply,
}

/// A command in a node's log.
struct Waiting {
    client: String,
    node: NodeId,
    id: LogId,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Applied, ProposeError>>;

/// Clients wait this long for an answer, unless a story says otherwise.
const PATIENCE_MS: u64 = 60_000;

impl Proposer for Door {
    async fn propose(&self, command: Bytes, within: Duration) -> Result<Applied, ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.asked.lock().unwrap().push_back(Asked {
            client: self.client.clone(),
            command,
            reply,
        });
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(ProposeError::ForwardLost),
        }
    }
}

impl Clients {
    /// `client a 1`: client `a` opens a session at node 1.
    pub(crate) fn open(&mut self, command: &Command<'_>) {
        let number = |key, default| command.number(key).unwrap_or(default);
        let small = |key, default| u32::try_from(number(key, default)).unwrap();
        let limits = SessionLimits {
            lifetime: Duration::from_millis(number("lifetime", 60_000)),
            sessions_max: small("sessions", 10),
            window_max: small("window", 4),
            response_bytes_max: small("response", 64),
        };
        let name = command.word(0).to_owned();
        let door = Door {
            client: name.clone(),
            asked: Arc::clone(&self.asked),
        };
        let opening = SessionClient::open(door, limits, patience(command));
        let task: Task = Box::pin(async { Ended::Opened(opening.await) });
        let client = Client {
            at: command.nodes(1).into_iter().next().expect("a node to ask"),
            session: None,
            tasks: vec![task],
        };
        self.clients.insert(name, client);
    }

    /// `ask a x y`: client `a` wants `x` and `y` applied, both at once.
    pub(crate) fn ask(&mut self, command: &Command<'_>) {
        let within = patience(command);
        let client = self.client(command);
        for word in command.words.iter().skip(1) {
            let session = Arc::clone(client.session.as_ref().expect("it has a session"));
            let word = (*word).to_owned();
            client.tasks.push(Box::pin(async move {
                let told = match session.execute(word.clone(), within).await {
                    Ok(response) => {
                        let response = String::from_utf8_lossy(&response).into_owned();
                        format!("{word} is answered {response}")
                    }
                    Err(error) => format!("{word} fails: {error}"),
                };
                Ended::Told(told)
            }));
        }
    }

    /// `keep a`: client `a` keeps its session alive.
    pub(crate) fn keep(&mut self, command: &Command<'_>) {
        let within = patience(command);
        let client = self.client(command);
        let session = Arc::clone(client.session.as_ref().expect("it has a session"));
        client.tasks.push(Box::pin(async move {
            Ended::Told(match session.keep_alive(within).await {
                Ok(()) => "the session lives on".to_owned(),
                Err(error) => format!("the session does not live on: {error}"),
            })
        }));
    }

    /// `close a`: client `a` ends its session.
    pub(crate) fn close(&mut self, command: &Command<'_>) {
        let within = patience(command);
        let client = self.client(command);
        let session = client.session.take().expect("it has a session");
        let session = Arc::try_unwrap(session).expect("nothing is under way");
        client.tasks.push(Box::pin(async move {
            Ended::Told(match session.close(within).await {
                Ok(()) => "the session is closed".to_owned(),
                Err(error) => format!("the session is not closed: {error}"),
            })
        }));
    }

    /// `turn a 2`: client `a` asks node 2 from now on.
    pub(crate) fn turn(&mut self, command: &Command<'_>) {
        let node = command.nodes(1).into_iter().next();
        self.client(command).at = node.expect("a node to ask");
    }

    /// `miss a`: the answers that client `a` waits for are lost on their way to it.
    pub(crate) fn miss(&mut self, command: &Command<'_>) {
        self.waiting
            .retain(|waiting| waiting.client != command.word(0));
    }

    /// Everybody learns what there is to learn, and asks what there is to ask.
    pub(crate) fn go_on(&mut self, world: &mut Cluster) {
        if !self.clients.is_empty() {
            self.let_time_pass(world.now);
            while self.answer(world) | self.think(world) | self.send(world) {}
        }
        world.responses.clear();
        world.offices_lost.clear();
    }

    fn let_time_pass(&mut self, now: Timestamp) {
        let passed = now.since(self.now);
        self.now = now;
        self.runtime()
            .block_on(async { tokio::time::advance(passed).await });
    }

    /// Hands out what the nodes have answered. Whether there was anything.
    fn answer(&mut self, world: &mut Cluster) -> bool {
        let before = self.waiting.len();
        let waiting = std::mem::take(&mut self.waiting);
        for one in waiting {
            let answered =
                |(node, id, _): &&(NodeId, LogId, Bytes)| (*node, *id) == (one.node, one.id);
            let lost = world.offices_lost.contains(&(one.node, one.id.term));
            let answer = if let Some((_, id, response)) = world.responses.iter().find(answered) {
                let response = response.clone();
                Ok(Applied { id: *id, response })
            } else if lost {
                Err(ProposeError::LeadershipLost { appended: one.id })
            } else if world.raft(one.node).is_none() {
                Err(ProposeError::Stopped {
                    reason: StopReason::Shutdown,
                    outcome: Outcome::Unknown,
                })
            } else {
                self.waiting.push(one);
                continue;
            };
            // Who has waited too long hears no more.
            let _ = one.reply.send(answer);
        }
        self.waiting.len() < before
    }

    /// Lets every client go on as far as it can. Whether one has come to an end.
    fn think(&mut self, world: &mut Cluster) -> bool {
        self.runtime();
        let runtime = self.runtime.as_ref().expect("it is there");
        let _inside = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        let mut is_any_over = false;
        for (name, client) in &mut self.clients {
            for mut task in std::mem::take(&mut client.tasks) {
                let told = match task.as_mut().poll(&mut context) {
                    Poll::Pending => {
                        client.tasks.push(task);
                        continue;
                    }
                    Poll::Ready(Ended::Told(told)) => told,
                    Poll::Ready(Ended::Opened(Err(error))) => format!("no session: {error}"),
                    Poll::Ready(Ended::Opened(Ok(session))) => {
                        let told = format!("session {} is open", session.id());
                        client.session = Some(Arc::new(session));
                        told
                    }
                };
                world.see(format!("{name}: {told}"));
                is_any_over = true;
            }
        }
        is_any_over
    }

    /// Takes what the clients ask to the nodes. Whether there was anything.
    fn send(&mut self, world: &mut Cluster) -> bool {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let is_any = !asked.is_empty();
        for one in asked {
            let Asked {
                client,
                command,
                reply,
            } = one;
            let node = self.clients[&client].at;
            world.see(format!("{client}: asks {node}: {}", request_of(&command)));
            world.answer = None;
            world.step(node, Event::Proposed(vec![Sealed::command(command)]));
            match world.answer.take() {
                Some(Ok(id)) => self.waiting.push(Waiting {
                    client,
                    node,
                    id,
                    reply,
                }),
                // Nobody is there, or it refuses: the command is in no log.
                refused => drop(reply.send(Err(unsent(refused)))),
            }
        }
        is_any
    }

    fn client(&mut self, command: &Command<'_>) -> &mut Client {
        let name = command.word(0);
        let found = self.clients.get_mut(name);
        found.unwrap_or_else(|| panic!("there is no client {name}"))
    }

    fn runtime(&mut self) -> &Runtime {
        self.runtime.get_or_insert_with(|| {
            let mut builder = Builder::new_current_thread();
            builder.enable_time().start_paused(true);
            builder.build().expect("it needs nothing of the system")
        })
    }
}

fn unsent(refused: Option<Result<LogId, Refusal>>) -> ProposeError {
    match refused {
        Some(Err(Refusal::Overloaded)) => ProposeError::Overloaded,
        Some(Err(Refusal::Transferring(to))) => ProposeError::Transferring { to },
        Some(Err(Refusal::NotLeader(leader))) => ProposeError::NotLeader { leader },
        None => ProposeError::NotLeader { leader: None },
        other => panic!("no client of a story is answered {other:?}"),
    }
}

fn patience(command: &Command<'_>) -> Duration {
    Duration::from_millis(command.number("within").unwrap_or(PATIENCE_MS))
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("clients", &self.clients.keys())
            .finish_non_exhaustive()
    }
}
