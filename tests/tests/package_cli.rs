//! `echocart package`: what is verified, what is refused, who vouches.

use echocart_core::config::DEMO_TOML;
use echocart_core::hash::sha256_file;
use echocart_core::manifest::{FileEntry, Manifest};
use echocart_core::signature::PrivateKey;
use echocart_tests::{echocart, events, fetched, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

const CINE: &str = "data/color3d_jpeg_baseline.dcm";
const DEMO: &str = "configs/models/demo.toml";

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn run(args: &[&str]) -> Output {
    echocart().unwrap().args(args).output().unwrap()
}

#[track_caller]
fn expect(args: &[&str], code: i32, words: &[&str]) -> String {
    let output = run(args);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} not in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// A demo package of its own.
struct Made {
    dir: TempDir,
    package: PathBuf,
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
impl Made {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("package");
        let made = Self { dir, package };
        made.export(made.text(), &[]);
        made
    }

    #[track_caller]
    fn export(&self, to: &str, more: &[&str]) {
        let mut args = vec![
            "export",
            "--recipe",
            DEMO,
            "--generated-weights",
            "demo",
            "--out",
            to,
        ];
        args.extend(more);
        expect(&args, 0, &[]);
    }

    fn text(&self) -> &str {
        shown(&self.package)
    }

    fn manifest(&self) -> Manifest {
        toml::from_str(&fs::read_to_string(self.package.join("package.toml")).unwrap()).unwrap()
    }

    /// Changes a file and makes the manifest vouch for it again.
    fn rehashed(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.package.join(name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let (sha256, bytes) = sha256_file(&path).unwrap();
        let mut manifest = self.manifest();
        let entry = FileEntry { bytes, sha256 };
        manifest.files.insert(name.to_owned(), entry).unwrap();
        let text = toml::to_string(&manifest).unwrap();
        fs::write(self.package.join("package.toml"), text).unwrap();
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A private key file and a configuration that trusts that key alone.
    fn key(&self, seed: u8) -> (PathBuf, PathBuf) {
        let key = PrivateKey::from_random(&[seed; 32]);
        let file = self.write(&format!("{seed}.pem"), &key.to_pem());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let config = DEMO_TOML
            .replace("allow_unsigned = true", "allow_unsigned = false")
            .replace(
                "trusted_keys = []",
                &format!("trusted_keys = [\"{}\"]", key.public()),
            );
        (file, self.write(&format!("{seed}.toml"), &config))
    }
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|e| entry(e.unwrap())).collect()
}

#[test]
fn an_exported_package_verifies_and_two_exports_are_the_same_bytes() {
    let made = Made::new();
    let words = [
        "not signed",
        "variant fp32 on CPU",
        ": pass",
        "heart1",
        "head lvef 2",
    ];
    expect(&["package", "verify", made.text()], 0, &words);
    let other = made.dir.path().join("other");
    made.export(shown(&other), &[]);
    assert_eq!(files(&made.package), files(&other));
    let json = run(&["package", "verify", "--json", made.text()]).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    let variant = &json["variants"][0];
    assert_eq!(variant["outcome"], "pass");
    assert_eq!(variant["checks"].as_array().unwrap().len(), 2 * (1 + 4));
}

#[test]
fn an_altered_byte_is_refused_by_its_hash() {
    let made = Made::new();
    let path = made.package.join("head.view.fp32.weights");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let words = ["package file altered", "head.view.fp32.weights"];
    expect(&["package", "verify", made.text()], 4, &words);
    expect(&["package", "show", made.text()], 4, &words);
}

#[test]
fn a_rehashed_head_without_weights_is_refused_by_its_name() {
    let made = Made::new();
    made.rehashed("head.lvef.fp32.weights", |bytes| bytes.fill(0));
    let said = expect(
        &["package", "verify", made.text()],
        1,
        &["variant fp32", ": fail"],
    );
    for line in said
        .lines()
        .filter(|line| line.contains(" head ") || line.contains(" tokens "))
    {
        assert_eq!(line.contains("lvef"), line.contains("  fail"), "{line}");
    }
}

#[test]
fn rehashed_frames_outputs_and_sampling_are_noticed() {
    for (name, at) in [("golden.heart1.frames", 5_000), ("golden.heart2.npz", 2000)] {
        let made = Made::new();
        made.rehashed(name, |bytes| bytes[at..at + 600].fill(0x40));
        expect(&["package", "verify", made.text()], 1, &[": fail"]);
    }
    let made = Made::new();
    let path = made.package.join("package.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    let other = manifest
        .replace("rate_hz = 8.0", "rate_hz = 9.0")
        .replace("max_skew_millis = 60.0", "max_skew_millis = 50.0");
    assert_ne!(manifest, other);
    fs::write(path, other).unwrap();
    expect(&["package", "verify", made.text()], 1, &[": fail"]);
}

#[test]
fn only_a_signature_by_a_trusted_key_satisfies_a_cart_that_wants_one() {
    let made = Made::new();
    let ((key, config), (other, _)) = (made.key(1), made.key(2));
    let verify = ["package", "verify", "--config", shown(&config), made.text()];
    let live = [
        "run",
        "--headless",
        "--seconds",
        "1",
        "--source",
        "no-such.dcm",
        "--config",
        shown(&config),
        "--package",
        made.text(),
    ];
    expect(&verify, 4, &["not signed"]);
    expect(&live, 4, &["not signed"]);
    let before = files(&made.package);
    expect(
        &["package", "sign", "--key", shown(&key), made.text()],
        0,
        &["is signed by"],
    );
    let mut after = files(&made.package);
    assert!(after.remove("package.sig").is_some());
    assert_eq!(before, after);
    expect(&verify, 0, &["signed by the trusted key", ": pass"]);
    expect(&live, 3, &["no-such.dcm"]);

    let sign_other = ["package", "sign", "--key", shown(&other), made.text()];
    expect(&sign_other, 4, &["expected none, or --replace"]);
    expect(
        &[&sign_other[..], &["--replace"]].concat(),
        0,
        &["is signed by"],
    );
    expect(&verify, 4, &["none of the trusted keys"]);

    let path = made.package.join("package.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{manifest}\n")).unwrap();
    let words = ["package signature", "something else", "package.sig"];
    expect(&["package", "verify", made.text()], 4, &words);
    expect(&["run", "--headless", "--package", made.text()], 4, &words);
}

#[test]
fn an_unsigned_package_says_so_in_every_run_and_a_signed_one_does_not() {
    let made = Made::new();
    let (key, config) = made.key(1);
    let cine = fetched(CINE).unwrap();
    let file = made.dir.path().join("events.jsonl");
    let banners = |config: &[&str]| {
        let args = [
            "run",
            "--headless",
            "--pace",
            "max",
            "--seconds",
            "1",
            "--source",
            shown(&cine),
            "--package",
            made.text(),
            "--events",
            shown(&file),
        ];
        expect(&[&args[..], config].concat(), 0, &[]);
        let started = events(&file).unwrap().remove(0);
        started["session"]["banners"].to_string()
    };
    assert!(banners(&[]).contains("Unsigned package"));
    expect(
        &["package", "sign", "--key", shown(&key), made.text()],
        0,
        &[],
    );
    assert!(banners(&[]).contains("does not trust"));
    assert!(!banners(&["--config", shown(&config)]).contains("Unsigned"));
}

#[test]
fn a_private_key_is_never_replaced_and_never_read_when_others_can() {
    let made = Made::new();
    let file = made.dir.path().join("new.pem");
    let keygen = ["package", "keygen", "--out", shown(&file)];
    expect(&keygen, 0, &["public key: ", "trusted_keys = [\""]);
    let key = fs::read(&file).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    expect(&keygen, 1, &["expected no file yet"]);
    assert_eq!(fs::read(&file).unwrap(), key);
    let sign = ["package", "sign", "--key", shown(&file), made.text()];
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    expect(&sign, 2, &["mode 0640"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "no key").unwrap();
    expect(&sign, 2, &["expected an Ed25519 key"]);
    assert!(!made.package.join("package.sig").exists());
}

#[test]
fn recorded_images_get_in_only_with_words_that_permit_it() {
    let made = Made::new();
    let cine = fetched(CINE).unwrap();
    let out = made.dir.path().join("recorded");
    let export = [
        "export",
        "--recipe",
        DEMO,
        "--generated-weights",
        "demo",
        "--out",
        shown(&out),
        "--golden-from",
        shown(&cine),
    ];
    expect(&export, 2, &["--distribution-permitted"]);
    expect(
        &[&export[..], &["--distribution-permitted", " "]].concat(),
        2,
        &["who permits"],
    );
    assert!(!out.exists());
    let words = "example data of a public collection";
    expect(
        &[&export[..], &["--distribution-permitted", words]].concat(),
        0,
        &[],
    );
    let card = expect(
        &["package", "show", shown(&out)],
        0,
        &["golden clip recorded1", words],
    );
    assert_eq!(card.matches(words).count(), 2, "{card}");
    expect(
        &["package", "verify", shown(&out)],
        0,
        &["recorded1", ": pass"],
    );
}

#[test]
fn a_variant_that_nothing_here_runs_is_named_with_the_reason() {
    let made = Made::new();
    let verify = ["package", "verify", made.text()];
    let words = [
        "variant fp32: not run",
        "made for CPU, CUDA, not for OpenVINO",
    ];
    expect(
        &[&verify[..], &["--provider", "OpenVINO"]].concat(),
        1,
        &words,
    );
    let other = ["--variant", "int8"];
    expect(
        &[&verify[..], &other].concat(),
        2,
        &["expected one of fp32"],
    );
}
