//! `cargo xtask check-tensorrt`: every TensorRT flavour through NVIDIA's own compiler, without a GPU.

use crate::command::{self, cargo, without_our_cargo};
use crate::debian::{self, Needs};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::pins::{self, Wheel};
use crate::{package, wheels};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "exporters/tensorrt/compile.py";
const TARGETS: &str = "sm80,sm86,sm89,sm120";

/// What to check.
#[derive(Debug, Args)]
pub struct CheckTensorRt {
    /// Package to check; without it one is made: generated weights, with the variants fp16, int8 and fp8
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Numbers of tokens to compile for where a variant takes any; a clip's whole number if not given
    #[arg(long, value_name = "NUMBERS")]
    tokens: Option<String>,
    /// Only fetch the compiler into .echocart/tensorrt, for `echocart package compile`
    #[arg(long, conflicts_with_all = ["package", "tokens"])]
    fetch: bool,
    /// Do not look for Debian packages, and install none
    #[arg(long)]
    no_system: bool,
}

impl CheckTensorRt {
    /// Fetches the compiler where it is missing, and compiles.
    ///
    /// # Errors
    /// The first thing that could not be fetched or built, or a graph that did not come out as it should.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        fetch(layout, !self.no_system)?;
        if self.fetch {
            return Ok(());
        }
        let what = ["build", "--release", "--workspace", "--bin", "echocart"];
        command::run(cargo(layout).args(what))?;
        match &self.package {
            Some(dir) => {
                let dir = fs::canonicalize(dir)
                    .with_context(|| format!("cannot read ({})", dir.display()))?;
                compile(layout, &dir, self.tokens.as_deref())
            }
            None => {
                package::make_generated(layout)?;
                generated(layout, self.tokens.as_deref())
            }
        }
    }
}

/// The check as a part of the tests: runs where the compiler is present and says so where not.
///
/// `false` when it did not run.
///
/// # Errors
/// A graph that did not come out as it should.
pub fn where_present(layout: &Layout) -> Result<bool> {
    if !present(layout)? {
        println!(
            "not run: the compiler is not here; `cargo xtask check-tensorrt` fetches it (100 MB)"
        );
        return Ok(false);
    }
    generated(layout, None).map(|()| true)
}

fn wheels(layout: &Layout) -> Result<[Wheel; 3]> {
    pins::tensorrt(layout, std::env::consts::ARCH)
}

fn present(layout: &Layout) -> Result<bool> {
    if std::env::consts::ARCH != "x86_64" {
        return Ok(false);
    }
    for wheel in wheels(layout)? {
        if !wheels::lacking(&wheel)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fetch(layout: &Layout, system: bool) -> Result<()> {
    let pinned = wheels(layout)?;
    if !present(layout)? {
        if system {
            debian::install_missing(Needs {
                pip: true,
                tests: false,
            })?;
        }
        let _lock = Lock::take(layout)?;
        for wheel in &pinned {
            let lacking = wheels::lacking(wheel)?;
            if !lacking.is_empty() {
                wheels::fetch(wheel, &lacking, layout)?;
            }
        }
    }
    program(layout)?;
    println!("compiler: {}", layout.short(&layout.tensorrt()).display());
    Ok(())
}

/// Puts our part of the compiler beside NVIDIA's.
fn program(layout: &Layout) -> Result<()> {
    let from = layout.root.join(PROGRAM);
    let to = layout.tensorrt().join("compile.py");
    let content = fs::read(&from).with_context(|| format!("cannot read ({})", from.display()))?;
    if fs::read(&to).ok().as_ref() == Some(&content) {
        return Ok(());
    }
    fs::write(&to, content).with_context(|| format!("cannot write ({})", to.display()))
}

/// Checks the package of generated weights with variants added, which are calibrated on the demo's
/// cine.
fn generated(layout: &Layout, tokens: Option<&str>) -> Result<()> {
    let package = layout.echocart().join("packages").join("tensorrt");
    let cine = layout.data().join(pins::CINE);
    let mut quantise = Command::new(layout.binary());
    quantise
        .args(["quantise", "--variants", "fp16,int8,fp8", "--clips", "4"])
        .args(["--held-out-clips", "2", "--package"])
        .arg(layout.short(&layout.generated_package()))
        .arg("--calibrate")
        .arg(layout.short(&cine))
        .arg("--out")
        .arg(layout.short(&package))
        .current_dir(&layout.root);
    if package.exists() {
        quantise.arg("--replace");
    }
    without_our_cargo(&mut quantise);
    println!("running: {}", command::line(&quantise));
    let status = quantise
        .status()
        .with_context(|| format!("cannot start `{}`", command::line(&quantise)))?;
    let target_missed = status.code() == Some(1) && package.join("package.toml").is_file();
    if !status.success() && !target_missed {
        let line = command::line(&quantise);
        bail!(
            "expected exit code 0, found {} (`{line}`)",
            command::ending(status)
        );
    }
    compile(layout, &package, tokens)
}

fn compile(layout: &Layout, package: &Path, tokens: Option<&str>) -> Result<()> {
    program(layout)?;
    let mut compile = Command::new(layout.binary());
    compile
        .args(["package", "compile"])
        .arg(layout.short(package))
        .args(["--check", "--target", TARGETS, "--compiler"])
        .arg(layout.short(&layout.tensorrt()))
        .current_dir(&layout.root);
    if let Some(tokens) = tokens {
        compile.args(["--tokens", tokens]);
    }
    without_our_cargo(&mut compile);
    println!("running: {}", command::line(&compile));
    command::run(&mut compile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_copied_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            root: dir.path().to_owned(),
        };
        let from = layout.root.join(PROGRAM);
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        fs::create_dir_all(layout.tensorrt()).unwrap();
        for content in ["one", "two"] {
            fs::write(&from, content).unwrap();
            program(&layout).unwrap();
            let copy = fs::read_to_string(layout.tensorrt().join("compile.py")).unwrap();
            assert_eq!(copy, content);
        }
    }

    #[test]
    fn without_its_libraries_the_compiler_is_not_present() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            root: dir.path().to_owned(),
        };
        assert!(!present(&layout).unwrap());
    }
}
