//! What a package must be before anything of it is used.
#![expect(clippy::unwrap_used, reason = "tests")]

use echocart_core::config::PackageConfig;
use echocart_core::hash::sha256_hex;
use echocart_core::package::{MANIFEST, Package, PackageError};
use echocart_core::signature::{PrivateKey, SIGNATURE, Signed};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const FIXTURE: &str = include_str!("common/manifest.toml");

struct Fixture {
    dir: TempDir,
}

impl Fixture {
    /// A package whose graphs are one byte each.
    fn new() -> Self {
        let fixture = Self {
            dir: TempDir::new().unwrap(),
        };
        for file in [
            "encoder.fp32.onnx",
            "head.view.s1.fp32.onnx",
            "head.lvef.s2.fp32.onnx",
        ] {
            fs::write(fixture.path(file), "x").unwrap();
        }
        fixture.manifest(&FIXTURE.replace(&"0".repeat(64), &sha256_hex(b"x")));
        fixture
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn manifest(&self, text: &str) {
        fs::write(self.path(MANIFEST), text).unwrap();
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(MANIFEST)).unwrap();
        assert!(text.contains(from));
        self.manifest(&text.replacen(from, to, 1));
    }

    fn sign(&self, key: &PrivateKey) {
        let bytes = fs::read(self.path(MANIFEST)).unwrap();
        fs::write(self.path(SIGNATURE), key.sign(&bytes).to_text()).unwrap();
    }

    fn open(&self, trust: &PackageConfig) -> Result<Package, PackageError> {
        Package::open(self.dir.path(), trust)
    }

    #[track_caller]
    fn refused(&self, trust: &PackageConfig) -> String {
        self.open(trust).unwrap_err().to_string()
    }
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_random(&[seed; 32])
}

fn only(key: &PrivateKey) -> PackageConfig {
    PackageConfig {
        allow_unsigned: false,
        trusted_keys: vec![key.public()],
    }
}

#[test]
fn a_package_signed_by_a_trusted_key_loads() {
    let package = Fixture::new();
    package.sign(&key(1));
    let signed = package.open(&only(&key(1))).unwrap().signed;
    assert_eq!(signed, Signed::Trusted(key(1).public()));
    let signed = package.open(&PackageConfig::ANY).unwrap().signed;
    assert_eq!(signed, Signed::Unknown(key(1).public()));
}

#[test]
fn without_a_trusted_signature_it_loads_only_where_that_is_allowed() {
    let package = Fixture::new();
    let error = package.refused(&only(&key(1)));
    assert!(error.contains("found it not signed"), "{error}");
    assert_eq!(
        package.open(&PackageConfig::ANY).unwrap().signed,
        Signed::No
    );
    package.sign(&key(2));
    let error = package.refused(&only(&key(1)));
    let other = key(2).public().to_string();
    assert!(
        error.contains(&other) && error.contains("none of the trusted keys"),
        "{error}"
    );
    let trust = PackageConfig {
        allow_unsigned: true,
        ..only(&key(1))
    };
    let signed = package.open(&trust).unwrap().signed;
    assert_eq!(signed, Signed::Unknown(key(2).public()));
}

#[test]
fn an_altered_manifest_is_refused_even_where_unsigned_packages_are_allowed() {
    let package = Fixture::new();
    package.sign(&key(1));
    package.edit("threshold = 0.6", "threshold = 0.5");
    for trust in [PackageConfig::ANY, only(&key(1))] {
        let error = package.open(&trust).unwrap_err();
        assert!(matches!(error, PackageError::Signature { .. }), "{error}");
    }
}

#[test]
fn what_is_no_signature_is_refused_even_where_unsigned_packages_are_allowed() {
    let package = Fixture::new();
    let path = package.path(SIGNATURE);
    for content in [String::new(), "no".to_owned(), "x".repeat(513)] {
        fs::write(&path, &content).unwrap();
        let error = package.refused(&PackageConfig::ANY);
        assert!(error.starts_with("package signature: "), "{error}");
    }
    fs::write(&path, "x".repeat(513)).unwrap();
    let error = package.refused(&PackageConfig::ANY);
    assert!(error.contains("expected at most 512 bytes"), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(
        package
            .refused(&PackageConfig::ANY)
            .contains("no plain file")
    );
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_manifest_signature_or_file_is_refused() {
    for name in [MANIFEST, SIGNATURE, "encoder.fp32.onnx"] {
        let (package, elsewhere) = (Fixture::new(), TempDir::new().unwrap());
        package.sign(&key(1));
        let target = elsewhere.path().join("target");
        fs::copy(package.path(name), &target).unwrap();
        fs::remove_file(package.path(name)).unwrap();
        std::os::unix::fs::symlink(&target, package.path(name)).unwrap();
        let error = package.refused(&only(&key(1)));
        assert!(error.contains("found a link"), "{error}");
    }
}

#[test]
fn nothing_is_parsed_before_the_signature_is_checked() {
    let package = Fixture::new();
    package.manifest("this is = = no TOML");
    let unsigned = package.open(&only(&key(1))).unwrap_err();
    assert!(
        matches!(unsigned, PackageError::Unsigned { .. }),
        "{unsigned}"
    );
    let malformed = package.open(&PackageConfig::ANY).unwrap_err();
    assert!(
        matches!(malformed, PackageError::Syntax { .. }),
        "{malformed}"
    );
    package.sign(&key(1));
    package.manifest("neither is = = this");
    let signature = package.open(&only(&key(1))).unwrap_err();
    assert!(
        matches!(signature, PackageError::Signature { .. }),
        "{signature}"
    );
}

#[test]
fn a_newer_manifest_is_named_before_its_unknown_keys_are() {
    let package = Fixture::new();
    let text = fs::read_to_string(package.path(MANIFEST)).unwrap();
    let newer = text.replace("min_version = \"0.1.0\"", "min_version = \"99.0.0\"");
    package.manifest(&format!("{newer}\n[future]\nkey = 1\n"));
    fs::write(package.path("encoder.fp32.onnx"), "altered").unwrap();
    let error = package.refused(&PackageConfig::ANY);
    assert!(error.contains("needs a newer echocart") && error.contains("99.0.0"));
    package.manifest(&text.replacen("format = 2", "format = 3\nfuture = 1", 1));
    let error = package.refused(&PackageConfig::ANY);
    assert!(error.contains("format: expected 2, found 3"), "{error}");
    package.manifest(&text.replacen("format = 2", "format = 2\nfuture = 1", 1));
    let error = package.refused(&PackageConfig::ANY);
    assert!(error.contains("unknown field `future`"), "{error}");
}

#[test]
fn an_altered_byte_and_a_file_too_many_are_refused() {
    let package = Fixture::new();
    package.sign(&key(1));
    fs::write(package.path("encoder.fp32.onnx"), "y").unwrap();
    let error = package.open(&only(&key(1))).unwrap_err();
    assert!(matches!(error, PackageError::Altered { .. }), "{error}");
    fs::write(package.path("encoder.fp32.onnx"), "x").unwrap();
    fs::write(package.path("notes.txt"), "mine").unwrap();
    let error = package.open(&only(&key(1))).unwrap_err();
    assert!(matches!(error, PackageError::Unlisted { .. }), "{error}");
}

#[test]
fn a_manifest_beyond_its_size_is_refused() {
    let package = Fixture::new();
    package.manifest(&"#".repeat((1 << 20) + 1));
    let error = package.refused(&PackageConfig::ANY);
    assert!(error.contains("expected at most 1048576 bytes"), "{error}");
}
