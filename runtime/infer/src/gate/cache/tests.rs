use super::*;
use std::os::unix::fs::PermissionsExt;

fn subject(graph: &str) -> Subject {
    let pairs = [("variant", "int8"), ("provider", "CPU"), ("graph", graph)];
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}

fn timings() -> Timings {
    Timings {
        encode_nanos: 7,
        heads_nanos: [(("view".to_owned(), "0+1".to_owned()), 9)].into(),
    }
}

fn kept() -> (tempfile::TempDir, Cache, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("gate")).unwrap();
    cache.keep(&subject("a"), &timings()).unwrap();
    let path = cache.path(&subject("a"));
    (dir, cache, path)
}

#[test]
fn what_was_kept_is_found_and_a_change_is_named() {
    let (dir, cache, _) = kept();
    assert_eq!(cache.find(&subject("a")).unwrap(), timings());
    let again = Cache::open(&dir.path().join("gate")).unwrap();
    assert_eq!(again.find(&subject("a")).unwrap(), timings());
    let why = cache.find(&subject("b")).unwrap_err();
    assert_eq!(why, "proven before with another graph");
    let mut other = subject("a");
    other.insert("variant", "fp32".to_owned());
    assert_eq!(cache.find(&other).unwrap_err(), "never proven here");
}

#[test]
fn any_altered_byte_and_any_shorter_file_is_no_proof() {
    let (_dir, cache, path) = kept();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        cache.find(&subject("a")).unwrap_err();
        fs::write(&path, &whole[..at]).unwrap();
        cache.find(&subject("a")).unwrap_err();
    }
}

#[test]
fn a_record_under_another_name_or_another_key_is_no_proof() {
    let (_dir, cache, path) = kept();
    fs::copy(&path, cache.path(&subject("b"))).unwrap();
    let why = cache.find(&subject("b")).unwrap_err();
    assert_eq!(why, "the record is of another engine");
    let other = Cache {
        folder: cache.folder.clone(),
        key: [1; 32],
    };
    let why = other.find(&subject("a")).unwrap_err();
    assert_eq!(why, "the record is damaged or was not made here");
}

#[test]
fn a_folder_or_a_key_that_others_can_reach_is_refused() {
    let (dir, cache, _) = kept();
    let open = |path: &Path| Cache::open(path).map(|_| ()).unwrap_err();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let gate = dir.path().join("gate");
    mode(&gate, 0o770);
    assert!(open(&gate).contains("no other user can write"));
    mode(&gate, 0o700);
    mode(dir.path(), 0o777);
    assert!(open(&gate).contains("no other user can write"));
    mode(dir.path(), 0o700);
    mode(&cache.folder.join("key"), 0o640);
    assert!(open(&gate).contains("expected mode 600, found 640"));
    mode(&cache.folder.join("key"), 0o600);
    fs::write(cache.folder.join("key"), b"short").unwrap();
    assert!(open(&gate).contains("expected 32 bytes, found 5"));
}
