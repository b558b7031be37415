//! The JSON Schema of recipes in `configs/` is the one of the types.
//!
//! `ECHOCART_WRITE_SCHEMAS=1 cargo test -p echocart-export --lib schema` rewrites it. The parts that a
//! recipe has in common with a package are those of `package.schema.json`.

use crate::recipe::Recipe;
use schemars::{JsonSchema, Schema, SchemaGenerator, schema_for};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    configs.join(name)
}

/// The parts of the package's schema, by the name of their type.
fn parts() -> Map<String, Value> {
    let text = std::fs::read_to_string(file("package.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    schema["$defs"].as_object().unwrap().clone()
}

macro_rules! of_the_package {
    ($($name:ident),*) => {$(
        pub(crate) struct $name;
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                parts()[stringify!($name)].clone().try_into().unwrap()
            }
        }
    )*};
}

of_the_package!(
    Card, Encoder, Limits, Preprocess, ProbeKind, Sampling, Slots, ViewRule
);

/// Names of the parts that a schema refers to.
fn names(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|name| name.strip_prefix("#/$defs/"));
            found.extend(name.map(str::to_owned));
            map.values().for_each(|value| names(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[test]
fn the_schema_of_a_recipe_is_that_of_its_types() {
    let parts = parts();
    let mut schema = schema_for!(Recipe).to_value();
    let mut open = Vec::new();
    names(&schema, &mut open);
    while let Some(name) = open.pop() {
        if schema["$defs"].get(&name).is_none() {
            names(&parts[&name], &mut open);
            schema["$defs"][&name] = parts[&name].clone();
        }
    }
    schema.sort_all_objects();
    let schema = Schema::try_from(schema).unwrap();
    let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = file("recipe.schema.json");
    if std::env::var_os("ECHOCART_WRITE_SCHEMAS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "configs/recipe.schema.json is not the schema of the types; see exporters/export/src/schema.rs"
    );
}
