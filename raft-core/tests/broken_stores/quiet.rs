//! Failures that are wanted, and not printed.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `property`; if it panics, returns the message.
pub(crate) fn quietly(property: impl FnOnce()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            // Tests run on threads with names, what a property starts has none.
            if !IS_QUIET.get() && thread::current().name().is_some() {
                loud(panicked);
            }
        }));
    });
    IS_QUIET.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(property));
    IS_QUIET.set(false);
    done.map_err(|panicked| message(&*panicked))
}

fn message(panicked: &(dyn Any + Send)) -> String {
    let text = panicked.downcast_ref::<String>().cloned();
    let text = text.or_else(|| {
        panicked
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    });
    text.unwrap_or_default()
}
