//! The bill of materials (CycloneDX 1.6, JSON) and the licences of what is linked.

use super::crates::Crate;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;

/// A file of the delivery that is described: its path in the archive and its bytes.
pub type Described<'a> = (&'a str, &'a [u8]);

/// Writes the bill of materials; the same input gives the same bytes.
///
/// `compiler` is the release of `rustc` whose standard library is linked.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn sbom(
    version: &str,
    target: &str,
    compiler: &str,
    crates: &[Crate],
    files: &[Described],
) -> Result<Vec<u8>> {
    let top = format!("libechocart@{version}");
    let std_id = format!("rust-std@{compiler}");
    let mut components: Vec<Value> = crates.iter().map(component).collect();
    components.push(json!({
        "type": "library",
        "bom-ref": std_id,
        "name": "rust-std",
        "version": compiler,
        "description": "the Rust standard library and what it links",
        "purl": format!("pkg:generic/rust-std@{compiler}"),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    }));
    components.extend(files.iter().map(|(path, bytes)| {
        json!({
            "type": "file",
            "bom-ref": format!("file:{path}"),
            "name": path,
            "hashes": [{ "alg": "SHA-256", "content": sha256(bytes) }],
        })
    }));
    let root = crates.iter().find(|c| c.name == "echocart-bridge");
    let mut direct: Vec<String> = root.map(Crate::id).into_iter().collect();
    direct.push(std_id);
    let mut dependencies = vec![json!({ "ref": top, "dependsOn": direct })];
    dependencies.extend(
        crates
            .iter()
            .map(|c| json!({ "ref": c.id(), "dependsOn": c.uses })),
    );
    let mut bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": top,
                "name": "libechocart",
                "version": version,
                "purl": format!("pkg:generic/libechocart@{version}?target={target}"),
                "licenses": [{ "expression": "Apache-2.0 OR MIT" }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    let serial = serial(&serde_json::to_vec(&bom)?);
    if let Some(object) = bom.as_object_mut() {
        object.insert("serialNumber".to_owned(), json!(serial));
    }
    let mut text = serde_json::to_vec_pretty(&bom)?;
    text.push(b'\n');
    Ok(text)
}

fn component(linked: &Crate) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": linked.id(),
        "name": linked.name,
        "version": linked.version,
        "purl": linked.purl(),
        "licenses": [{ "expression": linked.licence }],
    });
    if let (Some(sha256), Some(object)) = (&linked.sha256, value.as_object_mut()) {
        let hashes = json!([{ "alg": "SHA-256", "content": sha256 }]);
        object.insert("hashes".to_owned(), hashes);
    }
    value
}

/// A UUID of version 8 made from the content, since a random one would change with every run.
fn serial(content: &[u8]) -> String {
    let mut hex = sha256(content);
    hex.truncate(32);
    hex.replace_range(12..13, "8");
    hex.replace_range(16..17, "8");
    for at in [20, 16, 12, 8] {
        hex.insert(at, '-');
    }
    format!("urn:uuid:{hex}")
}

/// SHA-256, lower case hex.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lists every linked crate with its licence, and after that each licence text once.
///
/// # Errors
/// When a licence file cannot be read.
pub fn licences(crates: &[Crate], compiler: &str) -> Result<String> {
    let mut list = String::from(
        "What is linked into libechocart, with its licence. Texts follow, each once, with the\n\
         crates they come from. ONNX Runtime is not part of this: it is loaded while running.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for linked in crates {
        list += &format!("{:<32} {}", linked.id(), linked.licence);
        if !linked.authors.is_empty() {
            list += &format!("  [{}]", linked.authors.join(", "));
        }
        list.push('\n');
        for text in files(linked)? {
            texts.entry(text).or_default().push(linked.id());
        }
    }
    list += &format!("{:<32} MIT OR Apache-2.0\n", format!("rust-std@{compiler}"));
    let mut ordered: Vec<_> = texts.into_iter().collect();
    ordered.sort_by(|a, b| a.1.cmp(&b.1));
    for (text, ids) in ordered {
        list += &format!("\n---- {} ----\n\n{}\n", ids.join(", "), text.trim_end());
    }
    Ok(list)
}

/// The texts of a crate's own licence files.
fn files(linked: &Crate) -> Result<Vec<String>> {
    let folder = &linked.folder;
    let cannot_read = || format!("cannot read ({})", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let entry = entry.with_context(cannot_read)?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let licence = [
            "LICENSE",
            "LICENCE",
            "COPYING",
            "COPYRIGHT",
            "NOTICE",
            "UNLICENSE",
        ];
        if licence.iter().any(|begin| name.starts_with(begin)) && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let read = |path| {
        fs::read_to_string(path)
            .map(|text: String| text.replace("\r\n", "\n"))
            .with_context(|| format!("cannot read ({})", folder.display()))
    };
    paths.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(name: &str, sha256: Option<&str>) -> Crate {
        Crate {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            licence: "MIT".to_owned(),
            authors: vec!["A. Person".to_owned()],
            sha256: sha256.map(str::to_owned),
            folder: std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."),
            uses: Vec::new(),
        }
    }

    #[test]
    fn every_component_has_a_package_url_or_a_hash_and_the_bytes_repeat() {
        let crates = [linked("echocart-bridge", None), linked("sha2", Some("aa"))];
        let make = || sbom("0.1.0", "x86_64", "1.92.0", &crates, &[("lib/a", b"abc")]).unwrap();
        assert_eq!(make(), make());
        let bom: Value = serde_json::from_slice(&make()).unwrap();
        for component in bom["components"].as_array().unwrap() {
            assert!(component["purl"].is_string() || component["hashes"].is_array());
        }
        assert_eq!(bom["components"][1]["hashes"][0]["content"], "aa");
        assert_eq!(
            bom["components"][3]["hashes"][0]["content"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let serial = bom["serialNumber"].as_str().unwrap();
        assert_eq!((serial.len(), serial.as_bytes()[23]), (45, b'8'));
    }

    #[test]
    fn a_licence_text_that_two_crates_share_stands_once() {
        let list = licences(&[linked("a", None), linked("b", None)], "1.92.0").unwrap();
        assert!(list.contains("---- a@1.2.3, b@1.2.3 ----"), "{list}");
        assert!(list.contains("a@1.2.3                          MIT  [A. Person]"));
    }
}
