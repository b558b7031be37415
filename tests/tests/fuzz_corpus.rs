//! The fuzz corpus once more, without a fuzzer: nothing that was found may come back.

#[path = "../fuzz/targets/entries.rs"]
#[expect(clippy::expect_used, reason = "a failure here is the test's")]
mod entries;

use std::fs;

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn replay(target: &str, entry: impl Fn(&[u8])) {
    let folder = echocart_tests::root()
        .join("tests/fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{}", folder.display());
    for file in files {
        println!("{}", file.display());
        entry(&fs::read(file).unwrap());
    }
}

#[test]
fn the_pickles_are_read_or_refused() {
    replay("pickle", entries::pickle);
}

#[test]
fn the_zips_are_read_or_refused() {
    replay("zip", entries::zip);
}

#[test]
fn the_recordings_are_read_and_replayed_or_refused() {
    replay("recording", entries::recording);
}

#[test]
fn the_manifests_are_read_or_refused() {
    replay("manifest", entries::manifest);
}
