//! The crates that are linked into the library, as Cargo resolves them.

use crate::command::{cargo, output};
use crate::layout::Layout;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const PACKAGE: &str = "echocart-bridge";

/// Crates that must never be linked: the library has no camera and no async runtime.
pub const FORBIDDEN: [&str; 4] = ["opencv", "tokio", "axum", "openssl-sys"];

/// One crate that is linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Name in the registry.
    pub name: String,
    /// Version.
    pub version: String,
    /// Licence expression, SPDX.
    pub licence: String,
    /// Authors as the crate names them.
    pub authors: Vec<String>,
    /// SHA-256 of the crate's archive from Cargo.lock; none for a crate of this checkout.
    pub sha256: Option<String>,
    /// Folder of its source.
    pub folder: PathBuf,
    /// Linked crates it uses, `name@version`.
    pub uses: Vec<String>,
}

impl Crate {
    /// `name@version`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Package URL.
    pub fn purl(&self) -> String {
        format!("pkg:cargo/{}", self.id())
    }
}

/// Lists the linked crates, sorted by name and version.
///
/// # Errors
/// When Cargo fails, a crate has no licence, or a crate of [`FORBIDDEN`] is linked.
pub fn linked(layout: &Layout, target: &str) -> Result<Vec<Crate>> {
    let linked = tree(layout, target)?;
    let metadata = output(cargo(layout).args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        target,
    ]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("cannot read what cargo metadata says")?;
    let checksums = checksums(&fs::read_to_string(layout.root.join("Cargo.lock"))?);
    let packages: BTreeMap<&str, &Value> = array(&metadata, "packages")
        .filter_map(|package| Some((package.get("id")?.as_str()?, package)))
        .collect();
    let id = |package: &Value| format!("{}@{}", text(package, "name"), text(package, "version"));
    let mut crates = Vec::new();
    for node in array(metadata.get("resolve").unwrap_or(&Value::Null), "nodes") {
        let Some(package) = packages.get(text(node, "id")) else {
            continue;
        };
        if !linked.contains(&id(package)) {
            continue;
        }
        let mut uses: Vec<String> = array(node, "deps")
            .filter_map(|dep| packages.get(text(dep, "pkg")).map(|package| id(package)))
            .filter(|id| linked.contains(id))
            .collect();
        uses.sort();
        crates.push(one(package, uses, &checksums)?);
    }
    crates.sort();
    if crates.len() != linked.len() {
        bail!(
            "expected {} linked crates as cargo tree lists them, found {} in cargo metadata",
            linked.len(),
            crates.len()
        );
    }
    if let Some(found) = crates.iter().find(|c| FORBIDDEN.contains(&&*c.name)) {
        bail!(
            "expected no crate of this name in the library, found {}",
            found.id()
        );
    }
    Ok(crates)
}

fn one(package: &Value, uses: Vec<String>, checksums: &BTreeMap<String, String>) -> Result<Crate> {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let folder = Path::new(text(package, "manifest_path")).parent();
    let mut made = Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: spdx(text(package, "license")),
        authors: array(package, "authors")
            .filter_map(|author| Some(author.as_str()?.to_owned()))
            .collect(),
        sha256: None,
        folder: folder.context("no folder")?.to_owned(),
        uses,
    };
    if made.licence.is_empty() {
        bail!("expected a licence expression, found none: {}", made.id());
    }
    made.sha256 = checksums.get(&made.id()).cloned();
    if made.sha256.is_none() && !package.get("source").is_none_or(Value::is_null) {
        bail!(
            "expected a checksum in Cargo.lock, found none: {}",
            made.id()
        );
    }
    Ok(made)
}

/// `name@version` of what `cargo tree` says is linked for this package alone.
fn tree(layout: &Layout, target: &str) -> Result<Vec<String>> {
    let lines = output(cargo(layout).args([
        "tree",
        "--package",
        PACKAGE,
        "--locked",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}",
        "--target",
        target,
    ]))?;
    let mut ids: Vec<String> = lines
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| format!("{name}@{}", rest.split(' ').next().unwrap_or(rest)))
        .collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        bail!("cargo tree lists nothing: {PACKAGE}");
    }
    Ok(ids)
}

/// Checksums of Cargo.lock by `name@version`.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in lock.split("[[package]]") {
        let field = |key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (field("name"), field("version"), field("checksum"))
        {
            found.insert(format!("{name}@{version}"), sum);
        }
    }
    found
}

/// Old crates write `/` for `OR`.
fn spdx(licence: &str) -> String {
    licence.replace('/', " OR ")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_by_name_and_version_and_ours_have_none() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    source = \"registry\"\nchecksum = \"aa\"\n\n\
                    [[package]]\nname = \"ours\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
        let found = checksums(lock);
        assert_eq!(found.get("a@1.0.0").map(String::as_str), Some("aa"));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn an_old_licence_line_becomes_an_expression() {
        assert_eq!(spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(spdx("ISC"), "ISC");
    }
}
