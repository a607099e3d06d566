//! Which module of raft-core may import which: the table of the architecture.

use super::source::Source;

/// Modules that may know the same things.
type Ring = &'static [&'static str];

/// The words of the protocol. They know only each other.
const WORDS: Ring = &[
    "change",
    "codec",
    "config",
    "entry",
    "former_lives",
    "hard_state",
    "id",
    "membership",
    "message",
    "restoration",
    "snapshot",
    "time",
    "units",
];
/// The pure protocol.
const CORE: Ring = &["consensus"];
/// What backends implement.
const CONTRACTS: Ring = &["store", "transport", "state_machine"];
/// The shell, and what stands beside it.
const SHELL: Ring = &["node"];

/// Each module, and the rings it may import besides itself. `None`: everything.
const TABLE: &[(Ring, Option<&[Ring]>)] = &[
    (WORDS, Some(&[WORDS])),
    (CORE, Some(&[WORDS])),
    (CONTRACTS, Some(&[WORDS, CONTRACTS])),
    (SHELL, Some(&[WORDS, CORE, CONTRACTS])),
    (&["wire"], Some(&[WORDS, CORE, CONTRACTS])),
    (&["memory"], Some(&[WORDS, CORE, CONTRACTS, &["wire"]])),
    (
        &["conformance"],
        Some(&[WORDS, CORE, CONTRACTS, &["memory"]]),
    ),
    (
        &["sim"],
        Some(&[WORDS, CORE, CONTRACTS, SHELL, &["memory"], &["sessions"]]),
    ),
    (&["typed"], Some(&[WORDS, CORE, CONTRACTS, SHELL])),
    (&["recover"], Some(&[WORDS, CORE, CONTRACTS])),
    (&["migrate"], Some(&[WORDS, CONTRACTS])),
    (&["sessions"], Some(&[WORDS, CORE, CONTRACTS, SHELL])),
    (&["manual"], Some(&[])),
    (&["lib"], None),
];

/// What the crate's root gives out again, and where it comes from.
const ROOT_NAMES: &[(&str, &str)] = &[
    ("FormerLives", "former_lives"),
    ("HardState", "hard_state"),
    ("Identity", "hard_state"),
];

/// Every import in `source` that its ring does not allow.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let Some(path) = source.path.strip_prefix("raft-core/src/") else {
        return Vec::new();
    };
    let module = path.split(['/', '.']).next().unwrap_or(path);
    let Some((_, allowed)) = TABLE.iter().find(|(names, _)| names.contains(&module)) else {
        return vec![format!(
            "{}:1: module `{module}` has no ring: give it one in raft-core/tests/tidy/rings.rs",
            source.path
        )];
    };
    let Some(allowed) = allowed else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for line in source.lines.iter().filter(|line| !line.is_test) {
        for name in crate_paths(&line.code) {
            let target = ROOT_NAMES
                .iter()
                .find(|(given_out, _)| *given_out == name)
                .map_or(name, |(_, module)| module);
            if target.starts_with('{') || target.starts_with(char::is_uppercase) {
                findings.push(source.at(line, "import from the module that defines it"));
            } else if target != module && !allowed.iter().any(|ring| ring.contains(&target)) {
                findings.push(source.at(line, &format!("`{module}` may not import `{target}`")));
            }
        }
    }
    findings
}

/// What follows each `crate::` in a line of code.
fn crate_paths(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("crate::")
        .filter(|(at, _)| {
            !code[..*at].ends_with(|char: char| char.is_alphanumeric() || "_$".contains(char))
        })
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            let end = rest
                .find(|char: char| !(char.is_alphanumeric() || char == '_'))
                .unwrap_or(rest.len());
            if end == 0 { rest } else { &rest[..end] }
        })
}
