//! What only sockets of TCP show.

use crate::End;
use crate::strangers::Raw;

#[tokio::test]
async fn one_address_has_so_many_connections_and_is_told_so() {
    let two = End::start_with(2, |config| config.inbound_connections_per_address_max = 3);
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(Raw::dial(&two).await);
    }
    two.counts(|stats| stats.inbound_open == 3).await;
    let refusal = Raw::dial(&two).await.refusal().await;
    let setting = "inbound_connections_per_address_max";
    assert!(refusal.text.contains(setting), "{refusal}");
    drop(callers);
    two.counts(|stats| stats.inbound_open == 0).await;
    let mut one = End::start(1);
    let mut two = two;
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    two.beat(&one.peer(), 2);
    assert_eq!(one.round().await, 2);
}
