//! The demonstration through the real binary, with fewer entries.

use crate::common::{kv, texts};

#[test]
fn the_demonstration_loses_its_leader_and_ends_with_equal_digests() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let data = data.to_str().unwrap();
    let output = kv(&[
        "demo",
        "--entries",
        "2000",
        "--writers",
        "32",
        "--directory",
        data,
    ]);
    let (told, said) = texts(&output);
    assert!(output.status.success(), "{told}\n{said}");
    for words in [
        "time without a leader",
        "latency, p99",
        "6,000 values, all as written",
    ] {
        assert!(told.contains(words), "{words:?} is missing: {told}");
    }
    let digest = |id: u64| {
        let heading = format!("digest of node {id}");
        let line = told
            .lines()
            .find(|line| line.starts_with(&heading))
            .unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(digest(1), digest(2));
    assert_eq!(digest(2), digest(3));
}

#[test]
fn the_demonstration_refuses_a_directory_in_use_and_an_input_that_is_not_there() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("precious"), "data").unwrap();
    let output = kv(&["demo", "--directory", place.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("it is not empty"));
    assert!(place.path().join("precious").exists());
    let output = kv(&["demo", "--input", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        texts(&output)
            .1
            .contains("cannot read --input /no/such/file")
    );
}
