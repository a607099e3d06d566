//! The book: what the words mean, how the thesis became code, and how it is tested.
//!
//! | chapter | what it tells |
//! |---|---|
//! | [`glossary`] | the words, each with one meaning |
//! | [`thesis_map`] | from a section of the thesis to the code and to the story that shows it |
//! | [`divergences`] | where we leave the thesis, and why |
//! | [`names_elsewhere`] | what hashicorp/raft calls it |
//! | [`rules`] | rules learnt from other systems, and the test that holds each |
//! | [`model`] | what the model check searches, and what it does not |
//! | [`snapshots`] | taking, sending and keeping snapshots; backups, and how to restore them |
//! | [`planted_faults`] | the faults that are planted to be found: how to run them, and to add one |
//! | [`stories`] | how to read and write a scenario |
//! | [`your_own_backend`] | how to write a store and a transport, and how to prove them |
//! | `simulate_your_own_machine` | the simulator on a state machine of yours (feature `sim`) |
//!
//! "The thesis" is always Diego Ongaro's *Consensus: Bridging Theory and Practice* (2014).

#[doc = include_str!("divergences.md")]
pub mod divergences {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}

#[doc = include_str!("model.md")]
pub mod model {}

#[doc = include_str!("names_elsewhere.md")]
pub mod names_elsewhere {}

#[doc = include_str!("planted_faults.md")]
pub mod planted_faults {}

#[doc = include_str!("rules.md")]
pub mod rules {}

#[doc = include_str!("snapshots.md")]
pub mod snapshots {}

#[doc = include_str!("stories.md")]
pub mod stories {}

#[doc = include_str!("thesis_map.md")]
pub mod thesis_map {}

#[doc = include_str!("your_own_backend.md")]
pub mod your_own_backend {}

#[cfg(feature = "sim")]
#[doc = include_str!("simulate_your_own_machine.md")]
pub mod simulate_your_own_machine {}
