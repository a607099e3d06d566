//! Tables in the manual name files and tests: each must exist.

/// Every row of a table in `text` that names a file, or a test in a file, that is not there.
///
/// In a table, `` `a/b.rs` `` names a file from the workspace's root, and `` `a/b.rs::fact` `` a
/// function in it, or with a capital letter a variant. `read` returns a file's text.
pub(crate) fn check(path: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if !line.trim_start().starts_with('|') {
            continue;
        }
        for name in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| is_file(name))
        {
            if let Some(problem) = problem(name, read) {
                findings.push(format!("{path}:{}: {problem}", at + 1));
            }
        }
    }
    findings
}

fn is_file(name: &str) -> bool {
    let file = name.split("::").next().unwrap_or(name);
    let known = [".rs", ".txt", ".md", ".toml", ".sh"];
    file.contains('/') && known.iter().any(|end| file.ends_with(end))
}

fn problem(name: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let (file, function) = match name.split_once("::") {
        Some((file, function)) => (file, Some(function)),
        None => (name, None),
    };
    let Some(text) = read(file) else {
        return Some(format!("`{file}` does not exist"));
    };
    let function = function?;
    if function.starts_with(char::is_uppercase) {
        let is_there = text.contains(&format!("\n    {function} = "));
        return (!is_there).then(|| format!("`{file}` has no variant `{function}`"));
    }
    let declared = format!("fn {function}");
    let found = text.match_indices(&declared).any(|(at, _)| {
        !text[at + declared.len()..].starts_with(|char: char| char.is_alphanumeric() || char == '_')
    });
    (!found).then(|| format!("`{file}` has no function `{function}`"))
}
