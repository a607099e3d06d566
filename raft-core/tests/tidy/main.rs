//! Reads the workspace's own sources and checks the habits that a machine can check: which module
//! may know which, sizes, words that must not appear, and tables that name files.

#[cfg(test)]
mod manual;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod rings;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod source;
#[cfg(test)]
mod style;

#[cfg(test)]
mod workspace {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::source::Source;
    use super::{manual, rings, rules, style};

    /// The folders that hold our sources, from the workspace's root.
    const CRATES: [&str; 7] = [
        "raft-core",
        "raft-store-redb",
        "raft-store-rocksdb",
        "raft-transport-stream",
        "raft-transport-tcp",
        "raft-transport-quic",
        "examples",
    ];

    /// The table that maps every rule to its tests.
    const RULES: &str = "raft-core/src/manual/rules.md";

    #[test]
    fn the_sources_are_tidy() {
        let root = root();
        let mut findings = Vec::new();
        let (mut seen, mut seen_rules) = (0, false);
        for path in CRATES.iter().flat_map(|name| files(&root.join(name))) {
            let name = relative(&root, &path);
            let Ok(text) = fs::read_to_string(&path) else {
                continue; // Not text: a golden file, a store of a test.
            };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => {
                    let source = Source::new(&name, &text);
                    findings.extend(style::check(&source));
                    findings.extend(rings::check(&source));
                    seen += 1;
                }
                Some("toml") => findings.extend(style::check_manifest(&name, &text)),
                Some("md") => {
                    let read = |file: &str| fs::read_to_string(root.join(file)).ok();
                    findings.extend(manual::check(&name, &text, &read));
                    if name == RULES {
                        findings.extend(rules::check(&name, &text, &read));
                        seen_rules = true;
                    }
                }
                Some(_) | None => {}
            }
        }
        assert!(seen > 15, "only {seen} sources found below {root:?}");
        assert!(seen_rules, "{RULES} is not there");
        assert!(
            findings.is_empty(),
            "{} findings:\n{}",
            findings.len(),
            findings.join("\n")
        );
    }

    /// Who has read one store finds his way in the other.
    #[test]
    fn the_stores_have_the_same_files() {
        let names = |store: &str| -> Vec<String> {
            let folder = root().join(store);
            let found = files(&folder);
            found.iter().map(|path| relative(&folder, path)).collect()
        };
        let of_redb = names("raft-store-redb");
        assert!(of_redb.len() > 20, "{of_redb:?}");
        assert_eq!(of_redb, names("raft-store-rocksdb"));
    }

    fn root() -> PathBuf {
        let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        assert!(root.pop(), "raft-core lies in the workspace");
        root
    }

    fn relative(root: &Path, path: &Path) -> String {
        let relative = path.strip_prefix(root).unwrap_or(path);
        relative.to_string_lossy().replace('\\', "/")
    }

    /// Every file below `folder`, in order.
    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.file_name().is_some_and(|name| name == "target") {
                    continue;
                }
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path),
                }
            }
        }
        found.sort();
        found
    }
}
