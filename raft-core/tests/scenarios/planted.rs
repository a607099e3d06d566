//! Faults that a story finds too: with the fault, the story goes another way.

use std::{fs, panic};

use raft_core::sim::{Mutant, expect_panics, under};

use super::stories::{folder, told};

#[test]
fn every_fault_that_a_story_finds_changes_it() {
    expect_panics();
    let mut survivors = Vec::new();
    for fault in Mutant::ALL {
        let Some(story) = fault.story() else {
            continue;
        };
        let text = fs::read_to_string(folder().join(format!("{story}.txt"))).unwrap();
        assert_eq!(told(&text), text, "{story} is told without a fault");
        let found = panic::catch_unwind(|| under(*fault, || told(&text)));
        if found.is_ok_and(|found| found == text) {
            survivors.push(fault.name());
        }
    }
    assert_eq!(survivors, Vec::<&str>::new(), "the story stays the same");
}
