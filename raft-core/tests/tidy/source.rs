//! One source file, with comments and texts told apart from code.

/// A Rust source: what is written in each line, and the code in it.
pub(crate) struct Source {
    /// The path from the workspace's root, with slashes.
    pub(crate) path: String,
    /// The lines, in order.
    pub(crate) lines: Vec<Line>,
}

/// One line.
pub(crate) struct Line {
    /// Counted from one.
    pub(crate) number: usize,
    /// As written.
    pub(crate) text: String,
    /// As written, without comments and with the contents of strings left out.
    pub(crate) code: String,
    /// Whether the line belongs to a test.
    pub(crate) is_test: bool,
}

impl Source {
    /// Takes `text` apart.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = code_only(text);
        let whole_file = path.contains("/tests/") || path.ends_with("/tests.rs");
        let mut lines: Vec<Line> = text
            .lines()
            .zip(code.lines().chain(std::iter::repeat("")))
            .enumerate()
            .map(|(at, (text, code))| Line {
                number: at + 1,
                text: text.to_owned(),
                code: code.to_owned(),
                is_test: whole_file,
            })
            .collect();
        mark_test_modules(&mut lines);
        Self {
            path: path.to_owned(),
            lines,
        }
    }

    /// A finding at `line`.
    pub(crate) fn at(&self, line: &Line, text: &str) -> String {
        format!("{}:{}: {text}", self.path, line.number)
    }
}

/// What `#[cfg(test)]` stands before is a test: one item, through its closing brace.
fn mark_test_modules(lines: &mut [Line]) {
    let mut end: Option<String> = None;
    let mut waiting = false;
    for line in lines {
        if let Some(closing) = &end {
            line.is_test = true;
            if line.code == *closing {
                end = None;
            }
            continue;
        }
        if line.code.trim() == "#[cfg(test)]" {
            (waiting, line.is_test) = (true, true);
            continue;
        }
        if !waiting || line.code.trim().starts_with("#[") {
            continue;
        }
        line.is_test = true;
        if line.code.ends_with('{') {
            let indent = line.code.len() - line.code.trim_start().len();
            end = Some(format!("{}}}", " ".repeat(indent)));
        }
        waiting = !(line.code.ends_with('{') || line.code.ends_with(';'));
    }
}

/// `text` with the same lines, without comments and without what stands in strings.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => string_length(rest),
            'r' if starts_raw_string(rest) && !ends_in_word(&out) => raw_string_length(rest),
            '\'' => char_length(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (skipped, after) = rest.split_at(length);
        let is_text = matches!(first, '"' | 'r');
        out.push_str(if is_text { "\"\"" } else { "" });
        out.extend(skipped.chars().filter(|char| *char == '\n'));
        rest = after;
    }
    trim_line_ends(&out)
}

fn trim_line_ends(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|char: char| char.is_alphanumeric() || char == '_')
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, char) in rest.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn starts_raw_string(rest: &str) -> bool {
    rest[1..].trim_start_matches('#').starts_with('"')
}

fn raw_string_length(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|char| *char == '#').count();
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = 1 + hashes + 1;
    rest[begin..]
        .find(&end)
        .map_or(rest.len(), |at| begin + at + end.len())
}

/// The length of a character literal; zero if the quote begins a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[2..].find('\'').map_or(0, |at| {
            let escaped_quote = rest[2..].starts_with('\'');
            at + 3 + usize::from(escaped_quote)
        }),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            Some(_) | None => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_comments_and_texts() {
        let text = "let a = \"x // \\\" y\"; // note\nlet b: &'a str = r#\"p \" q\"#; /* c\nd */ f('\"', '\\'');";
        let source = Source::new("a.rs", text);
        let code: Vec<&str> = source.lines.iter().map(|line| line.code.as_str()).collect();
        assert_eq!(code, ["let a = \"\";", "let b: &'a str = \"\";", " f(, );"]);
    }

    #[test]
    fn only_the_test_module_is_marked() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}";
        let source = Source::new("raft-core/src/a.rs", text);
        let tests: Vec<usize> = source
            .lines
            .iter()
            .filter(|line| line.is_test)
            .map(|line| line.number)
            .collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
    }
}
