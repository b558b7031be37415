//! A package whose fp32 graphs also stand there with plain attention, which OpenVINO takes whole.

use echocart_core::hash;
use echocart_core::manifest::{FileEntry, Manifest};
use echocart_export::quantise::plan::GraphPlan;
use echocart_export::variant::{Form, Model, rewrite};
use std::error::Error;
use std::path::Path;

/// Name of the variant that is added.
pub const PLAIN: &str = "plain";

/// Writes a copy of a package, files linked, with variant [`PLAIN`] for `providers`.
pub fn plain_package(from: &Path, to: &Path, providers: &[&str]) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(from.join("package.toml"))?;
    let mut manifest: Manifest = toml::from_str(&text)?;
    std::fs::create_dir_all(to)?;
    for name in manifest.files.keys() {
        if std::fs::hard_link(from.join(name), to.join(name)).is_err() {
            std::fs::copy(from.join(name), to.join(name))?;
        }
    }
    let source = manifest.variants.get("fp32").ok_or("no variant fp32")?;
    let mut variant = source.clone();
    variant.providers = providers.iter().map(|&p| p.to_owned()).collect();
    let heads = variant.heads.values_mut().flat_map(|by| by.values_mut());
    for file in std::iter::once(&mut variant.encoder).chain(heads) {
        let model = Model::open(&to.join(file.as_str()))?;
        let form = Form::fp32(true);
        let plain = rewrite(&model, &GraphPlan::default(), &form)?.same_weights()?;
        let bytes = plain.graph_bytes();
        *file = file.replace(".fp32.", ".plain.");
        std::fs::write(to.join(file.as_str()), &bytes)?;
        let entry = FileEntry {
            bytes: bytes.len() as u64,
            sha256: hash::sha256_hex(&bytes),
        };
        manifest.files.insert(file.clone(), entry);
    }
    manifest.variants.insert(PLAIN.to_owned(), variant);
    std::fs::write(to.join("package.toml"), toml::to_string(&manifest)?)?;
    Ok(())
}
