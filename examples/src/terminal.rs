//! Words, tables and progress for the person at the terminal.

use std::fmt;
use std::io::Write as _;

use indicatif::{ProgressBar, ProgressStyle};

/// Columns of text under their headings, each as wide as its widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// Writes a line to the standard output. A closed output is no reason to stop.
pub fn say(words: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{words}").and_then(|()| out.flush());
}

/// Writes a line to the standard error.
pub fn complain(words: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}

/// A progress bar for `total` steps. It is drawn on the standard error, and only at a terminal.
pub fn progress(what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what);
    // The template is checked by a test; without it the bar looks plain.
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A number with its thousands set apart: `50,000`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Table {
    /// A table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        let headings = headings.into_iter().map(Into::into).collect();
        Self {
            rows: vec![headings],
        }
    }

    /// A table without headings.
    pub fn plain() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        for (at, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths);
            let padded = cells.map(|(cell, width)| format!("{cell:<width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            if at > 0 {
                writeln!(f)?;
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

const TEMPLATE: &str = "{msg:<24} [{bar:32}] {human_pos}/{human_len}, {eta} left";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let mut table = Table::new(["id", "role"]);
        table.row(["1", "leader"]);
        table.row(["22", "follower"]);
        assert_eq!(table.to_string(), "id  role\n1   leader\n22  follower");
    }

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1_000, 50_000, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "50,000", "1,234,567"]);
    }

    #[test]
    fn the_progress_template_is_understood() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
