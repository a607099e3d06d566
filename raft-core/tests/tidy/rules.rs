//! The table of rules: every number once and in order, each rule held by tests that run, or with a
//! reason why it needs none.

/// How many rules each part has.
const PARTS: [usize; 2] = [112, 73];
/// How a row begins that names no test.
const REASONS: [&str; 3] = ["cannot be broken: ", "does not apply: ", "no rule"];
/// Functions here are checkers, which run after every step of every story or simulated life.
const CHECKERS: [&str; 3] = [
    "raft-core/tests/scenarios/checks.rs",
    "raft-core/src/consensus/invariants.rs",
    "raft-core/src/sim/check/",
];
/// The conformance suites that list properties of other files.
const SUITES: [&str; 2] = [
    "raft-core/src/conformance/mod.rs",
    "raft-core/src/conformance/transport/mod.rs",
];
/// Variants here are faults that the simulator must find.
const MUTANTS: &str = "raft-core/src/consensus/mutant.rs";

/// Every gap, repetition and empty promise in the table `text`. `read` returns a file's text.
pub(crate) fn check(path: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut parts: usize = 0;
    let mut last: usize = 0;
    for (at, line) in text.lines().enumerate() {
        let mut find = |what: String| findings.push(format!("{path}:{}: {what}", at + 1));
        if line.starts_with("## Part ") {
            let wanted = parts.checked_sub(1).and_then(|part| PARTS.get(part));
            if wanted.is_some_and(|wanted| *wanted != last) {
                find(format!("the part before ends with rule {last}"));
            }
            (parts, last) = (parts + 1, 0);
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        let number = cells[0].strip_prefix("| ").map(str::parse::<usize>);
        let (Some(Ok(number)), [_, _, held]) = (number, cells.as_slice()) else {
            continue;
        };
        if number != last + 1 {
            find(format!("rule {number} follows rule {last}"));
        }
        last = number;
        let names: Vec<&str> = held.split('`').skip(1).step_by(2).collect();
        let holds = names.iter().filter(|name| runs(name, read)).count();
        for name in names.iter().filter(|name| name.contains(".rs::")) {
            if !runs(name, read) {
                find(format!("nothing runs `{name}`"));
            }
        }
        if holds == 0 && !REASONS.iter().any(|reason| held.starts_with(reason)) {
            find(format!("nothing holds rule {number}"));
        }
    }
    if PARTS.last() != Some(&last) || parts != PARTS.len() {
        findings.push(format!("{path}: part {parts} ends with rule {last}"));
    }
    findings
}

/// Whether `name` is a story, a test, a property of the conformance suite, a checker or a mutant.
fn runs(name: &str, read: &dyn Fn(&str) -> Option<String>) -> bool {
    let Some((file, item)) = name.split_once("::") else {
        return name.starts_with("raft-core/tests/testdata/") && name.ends_with(".txt");
    };
    let Some(text) = read(file) else {
        return false;
    };
    if item.starts_with(char::is_uppercase) {
        return file == MUTANTS && text.contains(&format!("\n    {item} = "));
    }
    if CHECKERS.iter().any(|checkers| file.starts_with(checkers)) {
        return text.contains(&format!("fn {item}("));
    }
    if file.starts_with("raft-core/src/conformance/") {
        let mut suites = SUITES.iter().filter_map(|suite| read(suite));
        return suites.any(|suite| {
            let mut lines = suite.lines().map(|line| line.trim().trim_end_matches(','));
            lines.any(|listed| listed == item)
        });
    }
    is_test(&text, item)
}

/// Whether what stands right before the function says that it is a test.
fn is_test(text: &str, function: &str) -> bool {
    let declared = format!("fn {function}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let before = lines[..at].iter().rev();
        let mut above = before.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        line.contains(&declared)
            && above.any(|line| line.starts_with("#[") && line.contains("test"))
    })
}
