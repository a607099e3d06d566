//! The same cluster on every store and over every transport that this build has: three processes, the
//! leader killed half way, and equal digests at the end.

use crate::common::{kv, texts};

/// Runs the demonstration with these words.
fn demonstrate(store: &str, transport: &str) {
    let entries = ["demo", "--entries", "600", "--writers", "16"];
    let output = kv(&[&entries[..], &["--store", store, "--transport", transport]].concat());
    let (told, said) = texts(&output);
    assert!(
        output.status.success(),
        "{store}, {transport}: {told}\n{said}"
    );
    assert!(told.contains("1,800 values, all as written"), "{told}");
    let digests: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("digest of node"))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(digests.len(), 3, "{told}");
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{told}");
}

macro_rules! pairs {
    ($($(#[$built:meta])* $name:ident: $store:literal, $transport:literal;)*) => {$(
        $(#[$built])*
        #[test]
        fn $name() {
            demonstrate($store, $transport);
        }
    )*};
}

pairs! {
    #[cfg(feature = "tcp")]
    memory_over_plain_tcp: "memory", "tcp";
    #[cfg(feature = "tls")]
    memory_over_tls: "memory", "tcp+tls";
    #[cfg(feature = "quic")]
    memory_over_quic: "memory", "quic";
    #[cfg(all(feature = "redb", feature = "tcp"))]
    redb_over_plain_tcp: "redb", "tcp";
    #[cfg(all(feature = "redb", feature = "tls"))]
    redb_over_tls: "redb", "tcp+tls";
    #[cfg(all(feature = "redb", feature = "quic"))]
    redb_over_quic: "redb", "quic";
    #[cfg(all(feature = "rocksdb", feature = "tcp"))]
    rocksdb_over_plain_tcp: "rocksdb", "tcp";
    #[cfg(all(feature = "rocksdb", feature = "tls"))]
    rocksdb_over_tls: "rocksdb", "tcp+tls";
    #[cfg(all(feature = "rocksdb", feature = "quic"))]
    rocksdb_over_quic: "rocksdb", "quic";
    #[cfg(all(feature = "redb", feature = "tcp"))]
    nodes_of_one_cluster_may_keep_their_logs_in_different_stores: "redb,memory,redb", "tcp";
    #[cfg(all(feature = "redb", feature = "rocksdb", feature = "tcp"))]
    nodes_of_one_cluster_may_use_different_databases: "redb,rocksdb,memory", "tcp";
}

#[test]
fn two_words_for_three_nodes_are_refused() {
    let output = kv(&["demo", "--store", "memory,memory"]);
    assert_eq!(output.status.code(), Some(1));
    let (_, said) = texts(&output);
    assert!(said.contains("three, one for each"), "{said}");
}
