//! The packages of the checkout, made on the spot by the cart's own exporter.

use crate::command::{self, without_our_cargo};
use crate::layout::Layout;
use crate::lock::Lock;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const MANIFEST: &str = "package.toml";
/// The recipe of the stand-in.
pub const STANDIN: &str = "configs/models/standin.toml";
const GENERATED: &str = "configs/models/demo.toml";

/// Makes the demo package: the stand-in, trained on simulated hearts.
///
/// # Errors
/// When the export fails.
pub fn make(layout: &Layout) -> Result<()> {
    let weights = layout.standin();
    let (calibration, card) = (weights.join("calibration.toml"), weights.join("card.txt"));
    let mut arguments = standin(&weights);
    let mut sources = ["encoder", "view", "lvef"]
        .map(|name| weights.join(format!("{name}.safetensors")))
        .to_vec();
    for (option, file) in [("--calibration", calibration), ("--card", card)] {
        if file.is_file() {
            arguments.extend([option.into(), file.clone().into()]);
            sources.push(file);
        }
    }
    let about = "the demo package (trained on simulated hearts, no clinical meaning)";
    export(
        layout,
        &layout.demo_package(),
        (STANDIN, about),
        &arguments,
        sources,
    )
}

/// Makes the package of generated weights, whose every clip has a view and an EF: for tests.
///
/// # Errors
/// When the export fails.
pub fn make_generated(layout: &Layout) -> Result<()> {
    let arguments = ["--generated-weights".into(), "demo".into()];
    let about = "a package of generated weights (untrained)";
    let package = layout.generated_package();
    export(layout, &package, (GENERATED, about), &arguments, Vec::new())
}

/// What `echocart export` is told of the stand-in's weights.
pub fn standin(weights: &Path) -> Vec<OsString> {
    let file = |name: &str| weights.join(format!("{name}.safetensors"));
    let probe = |name: &str| {
        let mut pair = OsString::from(format!("{name}="));
        pair.push(file(name));
        pair
    };
    vec![
        "--checkpoint".into(),
        file("encoder").into(),
        "--probe".into(),
        probe("view"),
        "--probe".into(),
        probe("lvef"),
    ]
}

/// Exports unless the package is there and no older than its sources, recipe and binary included.
fn export(
    layout: &Layout,
    package: &Path,
    (recipe, about): (&str, &str),
    arguments: &[OsString],
    mut sources: Vec<PathBuf>,
) -> Result<()> {
    sources.extend([layout.root.join(recipe), layout.binary()]);
    if fresh(&package.join(MANIFEST), &sources) {
        return Ok(());
    }
    let _lock = Lock::take(layout)?;
    println!("making {about} in {}", layout.short(package).display());
    let mut export = Command::new(layout.binary());
    export
        .args(["export", "--recipe", recipe])
        .args(arguments)
        .arg("--out")
        .arg(layout.short(package))
        .current_dir(&layout.root);
    if package.exists() {
        fs::remove_dir_all(package)
            .with_context(|| format!("cannot remove ({})", package.display()))?;
    }
    without_our_cargo(&mut export);
    let dir = package.parent().unwrap_or(&layout.root);
    fs::create_dir_all(dir).with_context(|| format!("cannot create ({})", dir.display()))?;
    command::run(&mut export)
}

fn fresh(made: &Path, sources: &[PathBuf]) -> bool {
    let changed = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let Some(made) = changed(made) else {
        return false;
    };
    sources
        .iter()
        .all(|source| changed(source).is_some_and(|changed| changed <= made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn a_package_is_fresh_until_a_source_changes_or_goes() {
        let dir = tempfile::tempdir().unwrap();
        let [made, source] = ["package.toml", "recipe"].map(|name| dir.path().join(name));
        let sources = [source.clone()];
        assert!(!fresh(&made, &sources));
        File::create(&made).unwrap();
        assert!(!fresh(&made, &sources));
        let file = File::create(&source).unwrap();
        let then = fs::metadata(&made).unwrap().modified().unwrap();
        file.set_modified(then - Duration::from_secs(1)).unwrap();
        assert!(fresh(&made, &sources));
        file.set_modified(then + Duration::from_secs(1)).unwrap();
        assert!(!fresh(&made, &sources));
    }
}
