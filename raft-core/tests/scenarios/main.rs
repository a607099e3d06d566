//! Stories: several cores, driven by hand through what the thesis and the rules describe.
//!
//! A story is a text file below `tests/testdata`: a comment, one command a line, `----`, what is
//! seen, a blank line. `REGENERATE=1 cargo test -p raft-core --test scenarios` writes down what is
//! seen; read the difference before you keep it. `commands.rs` explains every command.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod command;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod inject;
mod lives;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod member;
#[cfg(all(test, feature = "mutants"))]
mod planted;
#[cfg(test)]
mod print;
#[cfg(test)]
mod restoring;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod story;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod survivors;
