//! The parity gate through the binary: a graph that answers wrongly never serves.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use echocart_core::hash;
use echocart_core::manifest::Manifest;
use echocart_tests::{echocart, fetched, root, text};
use std::fs;
use std::path::{Path, PathBuf};

/// The demo's package with the weights of one head zeroed, every hash put right.
fn zeroed(dir: &Path) -> PathBuf {
    let (from, to) = (fetched("packages/demo").unwrap(), dir.join("package"));
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

#[test]
fn a_rehashed_head_without_weights_does_not_serve_under_any_policy() {
    let dir = tempfile::tempdir().unwrap();
    let package = zeroed(dir.path());
    let demo = fs::read_to_string(root().join("configs/carts/demo.toml")).unwrap();
    for policy in ["degrade", "strict"] {
        let config = dir.path().join("cart.toml");
        let changed = demo.replace("policy = \"degrade\"", &format!("policy = \"{policy}\""));
        assert!(changed.contains(&format!("policy = \"{policy}\"")));
        fs::write(&config, changed).unwrap();
        let mut doctor = echocart().unwrap();
        doctor.arg("doctor").arg("--config").arg(&config);
        let output = doctor.arg("--package").arg(&package).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(
            said.contains("variant fp32 on CPU") && said.contains("head lvef"),
            "{said}"
        );
        let mut run = echocart().unwrap();
        run.args(["run", "--headless", "--pace", "max", "--seconds", "1"]);
        run.arg("--config")
            .arg(&config)
            .arg("--package")
            .arg(&package);
        let output = run.output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("head lvef"), "{said}");
    }
}
