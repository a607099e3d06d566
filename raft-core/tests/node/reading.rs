//! A node that reads its own log while another leader replaces it. The test plays the other nodes.

use std::io;
use std::sync::{Arc, OnceLock};

use raft_core::Identity;
use raft_core::config::Config;
use raft_core::entry::{Entry, Sealed};
use raft_core::id::{GroupId, Incarnation, LogId, LogIndex, NodeId, Term};
use raft_core::membership::Peer;
use raft_core::memory::MemoryStores;
use raft_core::message::{Body, Message};
use raft_core::node::{Node, Outcome};
use raft_core::time::ClusterTime;
use raft_core::transport::{Inbox, OutboundSnapshot, Transport};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::support::{Book, members, soon};

/// Shows the test what is sent, and delivers what the test says.
struct Wire {
    sent: mpsc::UnboundedSender<Message>,
    inbox: Arc<OnceLock<Inbox>>,
}

impl Transport for Wire {
    fn start(&self, _: Identity, inbox: Inbox) -> io::Result<()> {
        assert!(self.inbox.set(inbox).is_ok(), "started twice");
        Ok(())
    }

    fn send(&self, _: &Peer, message: Message) {
        // The test may have ended.
        let _ = self.sent.send(message);
    }

    fn send_snapshot(&self, _: &Peer, _: OutboundSnapshot) {}

    fn stop(&self) {}
}

/// The other nodes.
struct Others {
    sent: mpsc::UnboundedReceiver<Message>,
    inbox: Arc<OnceLock<Inbox>>,
}

impl Others {
    fn say(&self, from: u64, term: u64, body: Body) {
        let message = Message {
            group: GroupId::default(),
            from: NodeId::new(from),
            incarnation: Incarnation::new(from),
            to: NodeId::new(1),
            term: Term::new(term),
            body,
        };
        assert!(
            self.inbox
                .get()
                .expect("it was started")
                .try_deliver(message)
        );
    }

    /// Waits until node `to` is told what `wanted` picks.
    async fn told<T>(&mut self, to: u64, wanted: impl Fn(Body) -> Option<T>) -> T {
        loop {
            let message = soon(self.sent.recv()).await.expect("the node has stopped");
            if message.to == NodeId::new(to)
                && let Some(found) = wanted(message.body)
            {
                return found;
            }
        }
    }
}

fn entries_of(body: Body) -> Option<Vec<Entry>> {
    match body {
        Body::Append { entries, .. } => Some(entries),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_replaced_before_they_are_read_do_not_stop_the_node() {
    let (sent, received) = mpsc::unbounded_channel();
    let inbox = Arc::new(OnceLock::new());
    let wire = Wire {
        sent,
        inbox: Arc::clone(&inbox),
    };
    let mut others = Others {
        sent: received,
        inbox,
    };
    let mut config = Config::default();
    config.cached_bytes_max = 1;
    let builder = Node::builder(1, MemoryStores::new().open(), wire, Book::new());
    let builder = builder.config(config).runtime(Handle::current());
    let builder = builder.initial_membership(members(3));
    let node = builder.start().await.unwrap();

    node.campaign();
    let asks = |body| matches!(body, Body::PreVote { .. }).then_some(());
    others.told(2, asks).await;
    others.say(2, 2, Body::PreVoteReply { granted: true });
    let asks = |body| matches!(body, Body::Vote { .. }).then_some(());
    others.told(2, asks).await;
    others.say(2, 2, Body::VoteReply { granted: true });
    let blank = others.told(3, entries_of).await;
    let matched = LogIndex::new(2);
    others.say(2, 2, Body::AppendAccepted { matched });
    others.say(3, 2, Body::AppendAccepted { matched });

    // Two entries that nobody else gets; node 3 is to get them from the disk.
    let proposed = tokio::spawn({
        let node = node.clone();
        async move { node.propose_many(vec!["a".into(), "b".into()]).await }
    });
    let filled = |body| entries_of(body).filter(|entries| entries.len() == 2);
    others.told(3, filled).await;
    others.inbox.get().unwrap().unreachable(NodeId::new(3));
    let probe = |body| entries_of(body).filter(Vec::is_empty);
    others.told(3, probe).await;

    // In one turn node 3 answers, so that they are to be read, and node 2, which leads now, has one
    // entry in their place.
    others.say(3, 2, Body::AppendAccepted { matched });
    let previous = blank.last().unwrap().link();
    let sealed = Sealed::command("c");
    let replacing = Entry::new(previous, Term::new(3), ClusterTime::ZERO, sealed);
    let (last, commit) = (replacing.id(), LogIndex::new(2));
    let append = Body::Append {
        previous: previous.id,
        entries: vec![replacing],
        commit,
    };
    others.say(2, 3, append);

    for result in soon(proposed).await.unwrap() {
        assert_eq!(result.unwrap_err().outcome(), Outcome::Unknown);
    }
    let status = soon(node.status()).await.unwrap();
    assert_eq!(status.raft.last, last);
    assert_eq!(last, LogId::new(Term::new(3), LogIndex::new(3)));
    node.shutdown().await.unwrap();
}
