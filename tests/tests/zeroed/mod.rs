//! A package whose head answers wrongly, with every hash put right.

#![expect(clippy::unwrap_used, reason = "a test helper")]

use echocart_core::hash;
use echocart_core::manifest::Manifest;
use echocart_tests::fetched;
use std::fs;
use std::path::{Path, PathBuf};

/// The demo's package with the weights of one head zeroed, every hash put right.
pub fn zeroed(dir: &Path) -> PathBuf {
    let (from, to) = (fetched("packages/generated").unwrap(), dir.join("package"));
    fs::create_dir(&to).unwrap();
    let text = fs::read_to_string(from.join("package.toml")).unwrap();
    let mut manifest: Manifest = toml::from_str(&text).unwrap();
    for (name, entry) in &mut manifest.files {
        let mut bytes = fs::read(from.join(name)).unwrap();
        if name == "head.lvef.fp32.weights" {
            bytes.fill(0);
            entry.sha256 = hash::sha256_hex(&bytes);
        }
        fs::write(to.join(name), bytes).unwrap();
    }
    fs::write(to.join("package.toml"), toml::to_string(&manifest).unwrap()).unwrap();
    to
}
