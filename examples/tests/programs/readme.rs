//! The README shows the code and the commands that are really there.

use std::process::Command;

use raft_examples::config::ServerConfig;

const README: &str = include_str!("../../../README.md");
const HELLO: &str = include_str!("../../src/bin/hello.rs");

/// The fenced blocks: the language, and what stands between the fences.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut parts = README.split("\n```");
    parts.next();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap();
        blocks.push((language.to_owned(), format!("{text}\n")));
    }
    blocks
}

#[test]
fn the_first_two_blocks_are_the_two_commands() {
    let blocks = blocks();
    let (_, first) = &blocks[0];
    assert_eq!(
        first.trim(),
        "cargo run --release -p raft-examples --bin kv -- demo"
    );
    let (_, second) = &blocks[1];
    assert_eq!(second.trim(), "scripts/test.sh");
}

#[test]
fn the_configuration_of_the_readme_is_one() {
    let blocks = blocks();
    let configuration = blocks.iter().find(|(language, _)| language == "toml");
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("one.toml");
    std::fs::write(&path, &configuration.unwrap().1).unwrap();
    let config = ServerConfig::read(&path).unwrap();
    assert_eq!((config.id, config.peers.len()), (1, 3));
}

#[test]
fn the_code_of_the_readme_is_the_hello_program() {
    let blocks = blocks();
    let (_, code) = blocks
        .iter()
        .find(|(language, _)| language == "rust")
        .unwrap();
    assert_eq!(code, HELLO);
}

#[test]
fn the_hello_program_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_hello")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!output.stdout.is_empty());
}
