//! The demo package, made on the spot by the cart's own exporter.

use crate::command::{self, without_our_cargo};
use crate::layout::Layout;
use crate::lock::Lock;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

const MANIFEST: &str = "package.toml";
const RECIPE: &str = "configs/models/demo.toml";

/// Makes the demo package unless it is there and no older than its recipe and the binary.
///
/// # Errors
/// When the export fails.
pub fn make(layout: &Layout) -> Result<()> {
    let package = layout.demo_package();
    let sources = [layout.root.join(RECIPE), layout.binary()];
    if fresh(&package.join(MANIFEST), &sources) {
        return Ok(());
    }
    let _lock = Lock::take(layout)?;
    println!(
        "making the demo package (untrained, generated weights) in {}",
        layout.short(&package).display()
    );
    let mut export = Command::new(layout.binary());
    export
        .args([
            "export",
            "--recipe",
            RECIPE,
            "--generated-weights",
            "demo",
            "--out",
        ])
        .arg(layout.short(&package))
        .current_dir(&layout.root);
    if package.exists() {
        fs::remove_dir_all(&package)
            .with_context(|| format!("cannot remove ({})", package.display()))?;
    }
    without_our_cargo(&mut export);
    let dir = package.parent().unwrap_or(&layout.root);
    fs::create_dir_all(dir).with_context(|| format!("cannot create ({})", dir.display()))?;
    command::run(&mut export)
}

fn fresh(made: &Path, sources: &[std::path::PathBuf]) -> bool {
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
