//! The JSON Schemas in `configs/` are the ones of the types.
//!
//! `ECHOCART_WRITE_SCHEMAS=1 cargo test -p echocart-core schema` rewrites them.

use crate::config::CartConfig;
use crate::manifest::Manifest;
use schemars::{JsonSchema, schema_for};
use std::path::Path;

fn check<T: JsonSchema>(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../configs")
        .join(name);
    let made = serde_json::to_string_pretty(&schema_for!(T)).unwrap() + "\n";
    if std::env::var_os("ECHOCART_WRITE_SCHEMAS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "configs/{name} is not the schema of the types; see runtime/core/src/schema.rs"
    );
}

#[test]
fn the_schema_of_package_toml_is_that_of_its_types() {
    check::<Manifest>("package.schema.json");
}

#[test]
fn the_schema_of_a_cart_configuration_is_that_of_its_types() {
    check::<CartConfig>("cart.schema.json");
}
