//! What is streamed in: real records, repeated under new keys.

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

use crate::failure::{Failure, OrFail};

/// The records, and how they are repeated.
#[derive(Debug)]
pub(super) struct Input {
    /// Where they come from, for the report.
    pub(super) origin: String,
    records: Vec<(String, Bytes)>,
    entries: u64,
}

/// The part of a Cargo.lock that is of interest.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Input {
    /// `entries` entries from the lines of a file, or from this workspace's Cargo.lock.
    ///
    /// # Errors
    /// [`Failure`] for a file that cannot be read, is no text, or is empty.
    pub(super) fn read(file: Option<&Path>, entries: u64) -> Result<Self, Failure> {
        let (origin, records) = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .or_fail(|| format!("cannot read --input {}", path.display()))?;
                (path.display().to_string(), lines(&text))
            }
            None => ("Cargo.lock".to_owned(), packages(CARGO_LOCK)?),
        };
        if records.is_empty() {
            let origin = format!("--input {origin} is empty: give a file with at least one line");
            return Err(Failure::new(origin));
        }
        Ok(Self {
            origin,
            records,
            entries,
        })
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn records(&self) -> usize {
        self.records.len()
    }

    /// The entry with this number; `None` from [`Input::entries`] on.
    pub(super) fn entry(&self, number: u64) -> Option<(String, Bytes)> {
        if number >= self.entries {
            return None;
        }
        let count = self.records.len() as u64;
        let at = usize::try_from(number % count).ok()?;
        let (name, value) = self.records.get(at)?;
        Some((format!("{name}/{}", number / count), value.clone()))
    }
}

fn lines(text: &str) -> Vec<(String, Bytes)> {
    let numbered = text.lines().enumerate();
    numbered
        .map(|(at, line)| (format!("line-{:06}", at + 1), Bytes::from(line.to_owned())))
        .collect()
}

fn packages(lock: &str) -> Result<Vec<(String, Bytes)>, Failure> {
    let lock: Lock = toml::from_str(lock).or_fail(|| "Cargo.lock is not understood".into())?;
    let record = |package: Package| {
        let checksum = package.checksum.as_deref().unwrap_or("none");
        let value = format!("version {} checksum {checksum}", package.version);
        (
            format!("{}-{}", package.name, package.version),
            value.into(),
        )
    };
    Ok(lock.package.into_iter().map(record).collect())
}

const CARGO_LOCK: &str = include_str!("../../../Cargo.lock");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn records_are_repeated_under_new_keys() {
        let input = Input::read(None, 1_000).unwrap();
        let keys = (0..1_000).map(|number| input.entry(number).unwrap().0);
        assert_eq!(keys.collect::<BTreeSet<_>>().len(), 1_000);
        assert_eq!(input.entry(1_000), None);
        let (key, value) = input.entry(0).unwrap();
        assert!(key.ends_with("/0"), "{key}");
        assert!(value.starts_with(b"version "), "{value:?}");
    }

    #[test]
    fn a_file_is_read_by_lines_and_an_empty_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        std::fs::write(&path, "one\n\nthree\n").unwrap();
        let input = Input::read(Some(&path), 4).unwrap();
        let entry = |number| input.entry(number).unwrap();
        assert_eq!(entry(2), ("line-000003/0".into(), "three".into()));
        assert_eq!(entry(3), ("line-000001/1".into(), "one".into()));
        std::fs::write(&path, "").unwrap();
        let error = Input::read(Some(&path), 4).unwrap_err();
        assert!(error.to_string().contains("is empty"), "{error}");
    }
}
