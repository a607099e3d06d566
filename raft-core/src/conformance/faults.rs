//! Properties of a store whose device fails.

use super::Backend;
use super::history::{Call, History, State, Step, run};
use crate::store::{StableKey, StoreError, Stores};

/// A backend whose device can be told to fail.
pub trait FaultyBackend: Backend {
    /// The next sync of the device fails, once. [`Backend::open`] then finds the device repaired, and
    /// on it what was durable before, and perhaps what was to be synced.
    fn fail_next_sync(&mut self);
}

/// A test for each property of a store whose device fails. `$backend` makes a new, empty
/// [`FaultyBackend`].
#[macro_export]
macro_rules! fault_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { faults, $backend, [
            a_failed_sync_is_final_until_the_store_is_opened_anew,
            a_failed_record_is_final_until_the_store_is_opened_anew,
            a_failure_names_the_place_and_the_operation,
        ] }
    };
}

/// The device says that all is well when it is asked again, and it is not (RULE 4).
pub fn a_failed_sync_is_final_until_the_store_is_opened_anew(backend: &mut dyn FaultyBackend) {
    let (mut stores, mut history) = used(backend);
    let step = Step::Append { term: 2, count: 3 };
    for call in step.calls(&history.now()) {
        history.begun(&call);
        if matches!(call, Call::Sync) {
            backend.fail_next_sync();
            assert_io(&call.make(&mut stores));
        } else {
            call.make(&mut stores).expect("the call");
        }
    }
    for _ in 0..2 {
        assert!(stores.log.sync().is_err(), "a second sync says all is well");
    }
    let calls = step.calls(&history.now());
    let done: Result<(), StoreError> = calls.iter().try_for_each(|call| {
        history.begun(call);
        call.make(&mut stores)
    });
    assert!(done.is_err(), "entries after the failure are acknowledged");
    assert_goes_on(backend, stores, &history);
}

/// Whether the record was replaced is not known; no other one is believed to be.
pub fn a_failed_record_is_final_until_the_store_is_opened_anew(backend: &mut dyn FaultyBackend) {
    let (mut stores, mut history) = used(backend);
    let vote = Call::Set(StableKey::HardState, b"term 2".to_vec());
    history.begun(&vote);
    backend.fail_next_sync();
    assert_io(&vote.make(&mut stores));
    for _ in 0..2 {
        let again = vote.make(&mut stores);
        assert!(again.is_err(), "a second attempt says all is well");
    }
    assert_goes_on(backend, stores, &history);
}

/// Whoever reads it must find the device.
pub fn a_failure_names_the_place_and_the_operation(backend: &mut dyn FaultyBackend) {
    let (mut stores, _) = used(backend);
    backend.fail_next_sync();
    let failed = stores.stable.set(StableKey::HardState, b"term 2");
    let Err(StoreError::Io {
        place, operation, ..
    }) = failed
    else {
        unreachable!("{failed:?} is no failure of the device");
    };
    assert!(!place.is_empty(), "no place");
    assert!(!operation.is_empty(), "no operation");
}

/// A store with some acknowledged history.
fn used(backend: &mut dyn FaultyBackend) -> (Stores, History) {
    let mut stores = backend.open();
    let mut history = History::default();
    let steps = [
        Step::Append { term: 1, count: 5 },
        Step::Vote {
            number: 1,
            bytes: 40,
        },
        Step::Replace {
            keep: 3,
            term: 2,
            count: 4,
        },
    ];
    run(&mut stores, &mut history, &steps);
    (stores, history)
}

#[track_caller]
fn assert_io(failed: &Result<(), StoreError>) {
    assert!(matches!(failed, Err(StoreError::Io { .. })), "{failed:?}");
}

/// Opened anew, the store holds what it had acknowledged, and goes on from there.
#[track_caller]
fn assert_goes_on(backend: &mut dyn FaultyBackend, stores: Stores, history: &History) {
    drop(stores);
    let mut stores = backend.open();
    let found = State::read(&stores).expect("everything is readable");
    history.check(&found, &"after the failure");
    let mut history = History::of(found);
    let steps = [
        Step::Append { term: 3, count: 2 },
        Step::Vote {
            number: 3,
            bytes: 9,
        },
    ];
    run(&mut stores, &mut history, &steps);
    drop(stores);
    let found = State::read(&backend.open()).expect("everything is readable");
    assert_eq!(found, history.now());
}
