//! Unix sockets, under the suite for transports.

use std::sync::Arc;

use raft_core::Identity;
use raft_core::conformance::transport::{Endpoint, TransportBackend};
use raft_core::units::{Period, Size};
use raft_examples::own::unix_transport;
use raft_transport_stream::TransportConfig;
use tempfile::TempDir;

struct Unix {
    directory: TempDir,
    opened: usize,
}

impl Unix {
    fn new() -> Self {
        Self {
            directory: TempDir::new().expect("a directory"),
            opened: 0,
        }
    }
}

impl TransportBackend for Unix {
    fn open(&mut self, _: Identity, listen: Option<&str>) -> Endpoint {
        self.opened += 1;
        let fresh = self.directory.path().join(self.opened.to_string());
        let path = listen.map_or(fresh, Into::into);
        let mut config = TransportConfig::default();
        (config.backoff_min, config.backoff_max) =
            (Period::from_millis(1), Period::from_millis(20));
        (config.frame_max, config.queue_max) = (Size(24 << 20), Size(16 << 20));
        let transport = unix_transport::bind(path, config).expect("the socket can be taken");
        let transport = Arc::new(transport);
        let (counted, ending) = (Arc::clone(&transport), Arc::clone(&transport));
        Endpoint::new(transport)
            .dropped(move || {
                let stats = counted.stats();
                stats.dropped_full + stats.dropped_unreachable + stats.dropped_too_large
            })
            .ended(move || {
                let ending = Arc::clone(&ending);
                async move { ending.ended().await }
            })
    }
}

mod unix {
    raft_core::transport_conformance!(super::Unix::new());
}

/// What is no socket is somebody's file.
#[test]
fn a_file_in_the_way_is_left_alone() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("log");
    std::fs::write(&path, "what was promised").expect("written");
    let refused = unix_transport::bind(&path, TransportConfig::default());
    let error = refused.expect_err("the file is in the way");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&path).expect("there"), b"what was promised");
}
