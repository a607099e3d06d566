//! The protocol as a pure function: state, time and event in, state and effects out.

mod effect;
mod event;

pub use effect::{Effect, Effects, Fault, Nonsense, Refusal, RoleName, Standing, Write};
pub use event::{Event, IndexRange, Reader, Sequence};
