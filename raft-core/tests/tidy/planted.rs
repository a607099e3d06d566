//! Tidy finds what it is there to find: each test plants one fault.

use super::source::Source;
use super::{manual, rings, rules, style};

fn findings(path: &str, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    let mut findings = style::check(&source);
    findings.extend(rings::check(&source));
    findings
}

#[track_caller]
fn assert_found(path: &str, text: &str, expected: &[&str]) {
    let found = findings(path, text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found} does not say {expected}");
    }
}

const CORE_FILE: &str = "raft-core/src/consensus/a.rs";

#[test]
fn clean_code_has_no_findings() {
    let text =
        "use crate::id::Term;\n// Why: not bincode, see .unwrap() and crate::node.\nfn a() {}\n";
    assert_found(CORE_FILE, text, &[]);
}

#[test]
fn an_import_from_an_outer_ring_is_found() {
    let text = "use crate::id::Term;\nuse crate::node::Node;\n";
    assert_found(
        CORE_FILE,
        text,
        &["a.rs:2: `consensus` may not import `node`"],
    );
    assert_found(
        "raft-core/src/id.rs",
        "use crate::consensus::Raft;",
        &["`id` may not"],
    );
    assert_found(
        "raft-core/src/store/log.rs",
        "use crate::consensus::Raft;",
        &["`store` may"],
    );
    assert_found(
        "raft-core/src/node/mod.rs",
        "use crate::consensus::Raft;",
        &[],
    );
    assert_found(
        "raft-core/src/node/mod.rs",
        "use crate::typed::Typed;",
        &["`node` may not"],
    );
}

#[test]
fn an_import_that_hides_its_module_is_found() {
    assert_found(CORE_FILE, "use crate::Config;", &["module that defines it"]);
    assert_found(
        CORE_FILE,
        "use crate::{id, node};",
        &["module that defines it"],
    );
    assert_found(CORE_FILE, "use crate::HardState;", &[]);
}

#[test]
fn a_module_without_a_ring_is_found() {
    assert_found("raft-core/src/clever.rs", "", &["`clever` has no ring"]);
}

#[test]
fn a_test_may_import_everything() {
    let text = "#[cfg(test)]\nmod tests {\n    use crate::node::Node;\n}\n";
    assert_found(CORE_FILE, text, &[]);
}

#[test]
fn a_long_file_is_found() {
    assert_found(CORE_FILE, &"\n".repeat(600), &[]);
    assert_found(CORE_FILE, &"\n".repeat(601), &["601 lines"]);
}

#[test]
fn a_long_function_is_found() {
    let function = |body| {
        format!(
            "    pub(crate) async fn a() {{\n{}    }}\n",
            "\n".repeat(body)
        )
    };
    assert_found(CORE_FILE, &function(68), &[]);
    assert_found(CORE_FILE, &function(69), &["a.rs:1: function of 71 lines"]);
    let in_a_macro = format!("    fn a() {{\n    }})*\n{}", "\n".repeat(80));
    assert_found(CORE_FILE, &in_a_macro, &[]);
    let declared = format!("    fn a();\n{}", "\n".repeat(80));
    assert_found(CORE_FILE, &declared, &[]);
}

#[test]
fn forbidden_words_are_found() {
    for (text, expected) in [
        ("// TODO", "unfinished"),
        ("fn a() { unimplemented!() }", "unfinished"),
        ("// ------- helpers", "ruler"),
        ("#[allow(dead_code)]", "#[expect("),
        ("use bincode::config;", "names bincode"),
        ("let a = b.unwrap();", "outside tests"),
        ("println!();", "does not print"),
        ("match a { _ => {} }", "name what is ignored"),
    ] {
        assert_found(CORE_FILE, text, &[expected]);
    }
}

#[test]
fn a_test_that_sleeps_is_found() {
    let path = "raft-core/tests/a.rs";
    assert_found(path, "thread::sleep(SECOND);", &["waits for the event"]);
    let paused = "#[tokio::test(start_paused = true)]\nasync fn a() { sleep(SECOND).await }";
    assert_found(path, paused, &[]);
}

#[test]
fn what_tests_and_programs_may_do_is_not_found() {
    assert_found("raft-core/tests/a.rs", "let a = b.unwrap();", &[]);
    assert_found("examples/src/bin/a.rs", "println!();", &[]);
    assert_found("raft-store-redb/src/a.rs", "match a { _ => {} }", &[]);
    assert_found("raft-core/src/codec.rs", "use bincode::config;", &[]);
}

#[test]
fn a_manifest_that_names_what_it_must_not_know_is_found() {
    let check = style::check_manifest;
    assert_eq!(
        check("raft-core/Cargo.toml", "bincode.workspace = true").len(),
        0
    );
    assert_eq!(
        check("examples/Cargo.toml", "bincode.workspace = true").len(),
        1
    );
    let sibling = "raft-transport-tcp.workspace = true";
    assert_eq!(check("raft-store-redb/Cargo.toml", sibling).len(), 1);
    assert_eq!(check("raft-transport-stream/Cargo.toml", sibling).len(), 1);
    assert_eq!(check("examples/Cargo.toml", sibling).len(), 0);
    let shared = "raft-transport-stream.workspace = true";
    assert_eq!(check("raft-transport-quic/Cargo.toml", shared).len(), 0);
    assert_eq!(check("raft-store-redb/Cargo.toml", shared).len(), 1);
}

#[test]
fn a_table_that_names_what_is_not_there_is_found() {
    let read = |file: &str| (file == "src/a.rs").then(|| "fn is_there() {}".to_owned());
    let check = |text: &str| manual::check("m.md", text, &read);
    assert_eq!(
        check("| `src/a.rs` | `src/a.rs::is_there` | `Node::start` |"),
        [""; 0]
    );
    assert_eq!(
        check("| 1 | `src/b.rs` |"),
        ["m.md:1: `src/b.rs` does not exist"]
    );
    assert_eq!(
        check("\n| `src/a.rs::is_the` |"),
        ["m.md:2: `src/a.rs` has no function `is_the`"]
    );
    assert_eq!(check("In prose, `src/b.rs` may be an example."), [""; 0]);
}

#[test]
fn a_table_of_rules_with_a_gap_or_an_empty_promise_is_found() {
    const CHECKS: &str = "raft-core/tests/scenarios/checks.rs";
    let read = |file: &str| match file {
        "a.rs" => Some("#[test]\nfn runs() {}\n\nfn helps() {}\n".to_owned()),
        CHECKS => Some("fn writes() {}\n".to_owned()),
        "raft-core/src/consensus/mutant.rs" => Some("{\n    VotesTwice = 9, \"x\";\n}".to_owned()),
        _ => None,
    };
    let check = |rows: &str| {
        let mut findings = rules::check("m.md", &format!("## Part one\n{rows}"), &read);
        let end = findings.pop();
        assert!(end.is_some_and(|end| end.starts_with("m.md: part 1 ends")));
        findings
    };
    let good = "| 1 | x | `a.rs::runs` |\n| 2 | x | cannot be broken: y |\n| 3 | x | `raft-core/tests/scenarios/checks.rs::writes`, `raft-core/src/consensus/mutant.rs::VotesTwice` |";
    assert_eq!(check(good), [""; 0]);
    assert_eq!(
        check("| 2 | x | `a.rs::runs` |\n| 2 | x | no rule has this number |"),
        [
            "m.md:2: rule 2 follows rule 0",
            "m.md:3: rule 2 follows rule 2"
        ]
    );
    assert_eq!(
        check("| 1 | x | later |\n| 2 | x | `Node::start` |"),
        [
            "m.md:2: nothing holds rule 1",
            "m.md:3: nothing holds rule 2"
        ]
    );
    assert_eq!(
        check(
            "| 1 | x | `a.rs::runs`, `a.rs::helps` |\n| 2 | x | `raft-core/src/consensus/mutant.rs::VotesNever`, `a.rs::runs` |"
        ),
        [
            "m.md:2: nothing runs `a.rs::helps`",
            "m.md:3: nothing runs `raft-core/src/consensus/mutant.rs::VotesNever`"
        ]
    );
}
