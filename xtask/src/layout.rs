//! Where things lie in the checkout.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Paths of one checkout.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder that holds the workspace's `Cargo.toml`.
    pub root: PathBuf,
}

impl Layout {
    /// Finds the checkout that this tool was built in.
    ///
    /// # Errors
    /// When the folder is gone.
    pub fn find() -> Result<Self> {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.join("..");
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot find the checkout ({})", root.display()))?;
        Ok(Self { root })
    }

    /// Holds everything fetched or made; ignored by git.
    pub fn echocart(&self) -> PathBuf {
        self.root.join(".echocart")
    }

    /// Holds one family's ONNX Runtime library and what it needs.
    pub fn library_folder(&self, name: &str) -> PathBuf {
        self.echocart().join("lib").join(name)
    }

    /// Holds NVIDIA's ahead-of-time compiler.
    pub fn tensorrt(&self) -> PathBuf {
        self.echocart().join("tensorrt")
    }

    /// Holds the real cine of the demo.
    pub fn data(&self) -> PathBuf {
        self.echocart().join("data")
    }

    /// The package of the demo: the stand-in.
    pub fn demo_package(&self) -> PathBuf {
        self.echocart().join("packages").join("demo")
    }

    /// The package of generated weights that tests use.
    pub fn generated_package(&self) -> PathBuf {
        self.echocart().join("packages").join("generated")
    }

    /// Holds the stand-in's weights, its report and what was measured with it.
    pub fn standin(&self) -> PathBuf {
        self.root.join("exporters").join("train").join("standin")
    }

    /// Holds the browser driver of the page's check.
    pub fn ui(&self) -> PathBuf {
        self.echocart().join("ui")
    }

    /// Cargo's target folder.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The cart's binary.
    pub fn binary(&self) -> PathBuf {
        self.target().join("release").join("echocart")
    }

    /// `path` as a person would type it from the checkout's root.
    pub fn short<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}
