//! Properties of a stable store.

use super::{Backend, entries_after};
use crate::id::ChainLink;
use crate::store::{StableKey, Stores};

/// A test for each property of a [`StableStore`](crate::store::StableStore). `$backend` makes a new,
/// empty [`Backend`].
#[macro_export]
macro_rules! stable_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { stable, $backend, [
            a_record_that_was_never_set_is_none,
            a_set_record_is_there_at_once_and_after_reopening,
            a_record_is_replaced_as_a_whole,
            records_do_not_touch_each_other_or_the_log,
            an_empty_record_is_not_an_absent_one,
        ] }
    };
}

/// Absence is an answer of its own.
pub fn a_record_that_was_never_set_is_none(backend: &mut dyn Backend) {
    let stores = backend.open();
    for key in KEYS {
        assert_eq!(get(&stores, key), None);
    }
}

/// Durable on return, without a sync.
pub fn a_set_record_is_there_at_once_and_after_reopening(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    set(&mut stores, StableKey::HardState, b"term 3");
    assert_eq!(get(&stores, StableKey::HardState), some(b"term 3"));
    drop(stores);
    let stores = backend.open();
    assert_eq!(get(&stores, StableKey::HardState), some(b"term 3"));
    assert_eq!(get(&stores, StableKey::Identity), None);
}

/// Nothing of a longer predecessor stays.
pub fn a_record_is_replaced_as_a_whole(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    for value in [&[1; 300][..], &[2; 20], &[3; 7000], &[4]] {
        set(&mut stores, StableKey::HardState, value);
        assert_eq!(get(&stores, StableKey::HardState), some(value));
        drop(stores);
        stores = backend.open();
        assert_eq!(get(&stores, StableKey::HardState), some(value));
    }
}

/// Each key has its record, and the log has its own life.
pub fn records_do_not_touch_each_other_or_the_log(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let entries = entries_after(ChainLink::ORIGIN, 1, 5);
    set(&mut stores, StableKey::Identity, b"node 1");
    stores.log.append(&entries).expect("append");
    set(&mut stores, StableKey::HardState, b"term 1");
    stores.log.sync().expect("sync");
    set(&mut stores, StableKey::HardState, b"term 2");
    drop(stores);
    let stores = backend.open();
    assert_eq!(get(&stores, StableKey::Identity), some(b"node 1"));
    assert_eq!(get(&stores, StableKey::HardState), some(b"term 2"));
    super::calls::assert_log(&stores, ChainLink::ORIGIN, &entries);
}

/// Bytes are opaque: also no bytes.
pub fn an_empty_record_is_not_an_absent_one(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    set(&mut stores, StableKey::HardState, b"");
    drop(stores);
    assert_eq!(get(&backend.open(), StableKey::HardState), some(b""));
}

pub(super) const KEYS: [StableKey; 2] = [StableKey::HardState, StableKey::Identity];

fn some(value: &[u8]) -> Option<Vec<u8>> {
    Some(value.to_vec())
}

#[track_caller]
fn get(stores: &Stores, key: StableKey) -> Option<Vec<u8>> {
    stores.stable.get(key).expect("get")
}

#[track_caller]
fn set(stores: &mut Stores, key: StableKey, value: &[u8]) {
    stores.stable.set(key, value).expect("set");
}
