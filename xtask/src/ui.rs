//! The browser check of the page, and the driver that it needs.

use crate::command::{self, on_path, without_our_cargo};
use crate::layout::Layout;
use crate::probe::{NODE_MAJOR, node_major};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "package.json";
const LOCK: &str = "package-lock.json";

/// Whether the driver that `tests/ui` pins is there.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn installed(layout: &Layout) -> Result<bool> {
    let (from, to) = (sources(layout), layout.ui());
    for name in [PACKAGE, LOCK] {
        if read(&from.join(name))? != read(&to.join(name))? {
            return Ok(false);
        }
    }
    Ok(to.join("node_modules").is_dir())
}

/// Installs the driver with npm, whole or not at all.
///
/// # Errors
/// When npm fails or writing fails.
pub fn install(layout: &Layout) -> Result<()> {
    let (from, to) = (sources(layout), layout.ui());
    let part = to.with_extension("part");
    if !from.join(PACKAGE).is_file() {
        bail!(
            "the browser check is missing ({})",
            from.join(PACKAGE).display()
        );
    }
    println!(
        "fetching the browser driver and axe-core that tests/ui/package.json pins into {}: with npm, about 3 MB",
        layout.short(&to).display()
    );
    remove(&part)?;
    fs::create_dir_all(&part).with_context(|| format!("cannot create ({})", part.display()))?;
    for name in [PACKAGE, LOCK] {
        if let Some(content) = read(&from.join(name))? {
            let copy = part.join(name);
            fs::write(&copy, content)
                .with_context(|| format!("cannot write ({})", copy.display()))?;
        }
    }
    let locked = part.join(LOCK).exists();
    let mut npm = Command::new("npm");
    npm.arg(if locked { "ci" } else { "install" })
        .args(["--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&part);
    if !locked {
        npm.args(["--no-save", "--no-package-lock"]);
    }
    command::run(&mut npm)?;
    remove(&to)?;
    fs::rename(&part, &to).with_context(|| format!("cannot write ({})", to.display()))
}

/// Looks at the page in a headless browser.
///
/// # Errors
/// When Node.js is too old, or the check fails.
pub fn check(layout: &Layout) -> Result<()> {
    match node_major() {
        Some(major) if major >= NODE_MAJOR => {}
        Some(major) => bail!("Node.js is too old: expected {NODE_MAJOR} or newer, found {major}"),
        None => bail!("Node.js is missing: expected {NODE_MAJOR} or newer, found none on the PATH"),
    }
    let mut node = Command::new("node");
    node.arg("tests/ui/run.mjs")
        .current_dir(&layout.root)
        .env("ECHOCART_BIN", layout.binary())
        .env("ECHOCART_ROOT", &layout.root)
        .env("ECHOCART_UI_MODULES", layout.ui().join("node_modules"));
    if let (None, Some(chromium)) = (std::env::var_os("CHROMIUM"), on_path("chromium")) {
        node.env("CHROMIUM", chromium);
    }
    without_our_cargo(&mut node);
    command::run(&mut node)
}

fn sources(layout: &Layout) -> std::path::PathBuf {
    layout.root.join("tests").join("ui")
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read ({})", path.display())),
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove ({})", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pin_or_a_half_install_counts_as_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            root: dir.path().to_owned(),
        };
        fs::create_dir_all(sources(&layout)).unwrap();
        fs::write(sources(&layout).join(PACKAGE), "1").unwrap();
        assert!(!installed(&layout).unwrap());
        fs::create_dir_all(layout.ui()).unwrap();
        fs::write(layout.ui().join(PACKAGE), "1").unwrap();
        assert!(!installed(&layout).unwrap());
        fs::create_dir(layout.ui().join("node_modules")).unwrap();
        assert!(installed(&layout).unwrap());
        fs::write(sources(&layout).join(PACKAGE), "2").unwrap();
        assert!(!installed(&layout).unwrap());
    }
}
