//! The parity gate through the binary: a graph that answers wrongly never serves.

mod zeroed;

use echocart_tests::{echocart, root, text};
use std::fs;
use zeroed::zeroed;

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
