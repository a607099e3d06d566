//! Sizes, and words that must not appear.

use super::source::{Line, Source};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Every finding in one source.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    if source.lines.len() > FILE_LINES_MAX {
        let lines = source.lines.len();
        findings.push(format!(
            "{}:1: {lines} lines, at most {FILE_LINES_MAX}: one idea a file",
            source.path
        ));
    }
    findings.extend(long_functions(source));
    for line in &source.lines {
        findings.extend(forbidden(source, line).map(|text| source.at(line, text)));
    }
    findings
}

/// Functions over the limit, by the indentation that rustfmt gives them.
fn long_functions(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        if !begins_function(&line.code) {
            continue;
        }
        let indent = line.code.len() - line.code.trim_start().len();
        let length = source.lines[at..]
            .iter()
            .position(|line| ends_function(&line.code, indent))
            .map_or(1, |last| last + 1);
        if length > FUNCTION_LINES_MAX {
            let text = format!("function of {length} lines, at most {FUNCTION_LINES_MAX}");
            findings.push(source.at(line, &text));
        }
    }
    findings
}

/// A function ends at its own indentation: with a brace, or without a body with a semicolon.
fn ends_function(code: &str, indent: usize) -> bool {
    let rest = code.trim_start();
    let ends = rest.starts_with('}') || rest.ends_with(';') || rest.ends_with("{}");
    ends && code.len() - rest.len() == indent
}

fn begins_function(code: &str) -> bool {
    let words = [
        "pub ",
        "pub(crate) ",
        "pub(super) ",
        "const ",
        "async ",
        "unsafe ",
    ];
    let mut rest = code.trim_start();
    while let Some(shorter) = words.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = shorter;
    }
    rest.starts_with("fn ")
}

/// What must not stand in this line, and what to do instead.
fn forbidden<'a>(source: &Source, line: &Line) -> impl Iterator<Item = &'a str> {
    let path = source.path.as_str();
    let code = line.code.as_str();
    let library = path.contains("/src/") && !path.starts_with("examples/");
    let in_tidy = path.starts_with("raft-core/tests/tidy/");
    let paused = source
        .lines
        .iter()
        .any(|line| line.code.contains("start_paused = true"));
    let rules = [
        (
            unfinished(&line.text) && !in_tidy,
            "unfinished work: finish it, or write it down as an issue",
        ),
        (is_ruler(&line.text), "a ruler is a file waiting to be made"),
        (
            code.contains("#[allow(") || code.contains("#![allow("),
            "use #[expect(.., reason = \"..\")]",
        ),
        (
            code.contains("bincode::") && path != "raft-core/src/codec.rs",
            "only raft-core/src/codec.rs names bincode",
        ),
        (
            code.contains(".unwrap()") && !line.is_test,
            "outside tests say why it cannot fail (expect), or return the error",
        ),
        (
            code.contains("sleep(") && line.is_test && !paused,
            "a test waits for the event, never for a while",
        ),
        (
            prints(code) && library && !line.is_test,
            "a library does not print: return it, or trace it",
        ),
        (
            code.contains("_ => {}") && path.starts_with("raft-core/src/consensus/"),
            "name what is ignored here, and say why",
        ),
    ];
    rules
        .into_iter()
        .filter(|(found, _)| *found)
        .map(|(_, text)| text)
}

fn unfinished(text: &str) -> bool {
    ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("]
        .iter()
        .any(|word| text.contains(word))
}

fn is_ruler(text: &str) -> bool {
    let Some(comment) = text.trim_start().strip_prefix("//") else {
        return false;
    };
    let comment = comment.trim_start_matches(['/', '!']).trim();
    ["-", "=", "*", "#", "~"]
        .iter()
        .any(|mark| comment.starts_with(&mark.repeat(4)))
}

fn prints(code: &str) -> bool {
    ["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("]
        .iter()
        .any(|word| code.contains(word))
}

/// A crate's manifest: who may depend on what.
pub(crate) fn check_manifest(path: &str, text: &str) -> Vec<String> {
    let names_it = text.lines().any(|line| line.starts_with("bincode"));
    if names_it && path != "raft-core/Cargo.toml" {
        return vec![format!("{path}:1: only raft-core depends on bincode")];
    }
    let adapter = path.starts_with("raft-store-") || path.starts_with("raft-transport-");
    text.lines()
        .filter(|line| {
            let sibling = line.starts_with("raft-store-") || line.starts_with("raft-transport-");
            // What all transports share is no adapter itself.
            let shared =
                path.starts_with("raft-transport-") && line.starts_with("raft-transport-stream");
            adapter && sibling && !shared
        })
        .map(|line| format!("{path}:1: an adapter knows no other adapter: {line}"))
        .collect()
}
