//! `cargo xtask check-aarch64`: the aarch64 delivery under qemu-user.

use crate::command::{self, on_path, output};
use crate::dist::Dist;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::{pins, wheels};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const MACHINE: &str = "aarch64";
const TARGET: &str = "aarch64-unknown-linux-gnu";
const GCC: &str = "aarch64-linux-gnu-gcc";
/// Comes with the arm64 package of the standard library; qemu -L with the cross compiler's libc beside
/// it mixes two glibcs, and threads then hang.
const LOADER: &str = "/lib/ld-linux-aarch64.so.1";
const DELIVERY: &str = "target/dist-aarch64";
/// qemu 7.2 crashes when ONNX Runtime is loaded, 10.0.2 does not.
const QEMU_MAJOR: u32 = 10;

/// Make the delivery for aarch64 on another machine, and run its example and conformance kit under
/// qemu-user; says "not run" where a tool is missing
#[derive(Debug, Args)]
pub struct CheckAarch64 {
    /// A rustc with the standard library of aarch64, as Debian's rustc-web
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/rustc")]
    rustc: PathBuf,
    /// qemu-user; 10 or later for what infers
    #[arg(long, value_name = "FILE", default_value = "qemu-aarch64")]
    qemu: PathBuf,
    /// Take the delivery that an earlier call left in target/dist-aarch64
    #[arg(long)]
    delivered: bool,
    /// A rule of the conformance kit to run, instead of all of them; may be given again
    #[arg(long, value_name = "RULE")]
    only: Vec<String>,
    /// Run the kit in one process, and leave out the example, which asks for a worker
    #[arg(long)]
    in_process: bool,
}

impl CheckAarch64 {
    /// Builds and runs.
    ///
    /// # Errors
    /// When a step fails.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        if let Some(missing) = self.missing()? {
            println!("not run: {missing} (firmware-bridge/JETSON.md lists the packages)");
            return Ok(());
        }
        let out = PathBuf::from(DELIVERY);
        if !self.delivered {
            Dist::for_target(TARGET, &self.rustc, &out).run(layout)?;
        }
        let work = tempfile::tempdir().context("cannot make a temporary folder")?;
        let sdk = unpack(&layout.root.join(&out), work.path())?;
        let programs = Programs {
            sdk: &sdk,
            folder: work.path(),
            qemu: &self.qemu,
        };
        programs.stand_in_for_the_worker()?;
        let minimal = programs.compile("minimal", &["examples/minimal.c"])?;
        let kit = programs.compile("conformance", &[])?;
        let rules = command::output(programs.start(&kit).arg("--list"))?;
        println!("{} rules in the kit for {MACHINE}", rules.lines().count());
        let version = output(Command::new(&self.qemu).arg("--version"))?;
        if major(&version).is_none_or(|major| major < QEMU_MAJOR) {
            let first = version.lines().next().unwrap_or_default();
            println!(
                "not run: example and rules, expected qemu {QEMU_MAJOR} or later, found {first}"
            );
            return Ok(());
        }
        let library = onnx_runtime(layout)?;
        let package = layout.generated_package();
        let frames = package.join("golden.heart1.frames");
        if !frames.is_file() {
            println!(
                "not run: example and rules, there is no package of generated weights (cargo xtask test)"
            );
            return Ok(());
        }
        let mut conformance = programs.start(&kit);
        if self.in_process {
            conformance.args(["--isolation", "in_process"]);
        } else {
            command::run(programs.start(&minimal).args([&frames, &package, &library]))?;
        }
        conformance.arg("--package").arg(&package);
        conformance.arg("--library").arg(&library);
        for rule in &self.only {
            conformance.args(["--only", rule]);
        }
        command::run(&mut conformance)
    }

    fn missing(&self) -> Result<Option<String>> {
        for tool in [Path::new(GCC), &self.qemu] {
            let name = tool.to_string_lossy();
            if !tool.is_file() && on_path(&name).is_none() {
                return Ok(Some(format!("{name} is not here")));
            }
        }
        for file in [self.rustc.as_path(), Path::new(LOADER)] {
            if !file.is_file() {
                return Ok(Some(format!("{} is not here", file.display())));
            }
        }
        let sysroot = output(Command::new(&self.rustc).args(["--print", "sysroot"]))?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
        Ok((!library.is_dir()).then(|| format!("no {} with {TARGET}", self.rustc.display())))
    }
}

/// Programs over one unpacked delivery.
struct Programs<'a> {
    sdk: &'a Path,
    folder: &'a Path,
    qemu: &'a Path,
}

impl Programs<'_> {
    /// Puts a script that starts qemu where the worker was: the kernel here cannot start that.
    fn stand_in_for_the_worker(&self) -> Result<()> {
        let worker = self.sdk.join("lib/echocart-worker");
        let moved = self.folder.join("echocart-worker");
        fs::rename(&worker, &moved)
            .with_context(|| format!("no worker in the delivery ({})", worker.display()))?;
        let qemu = on_path(&self.qemu.to_string_lossy()).unwrap_or_else(|| self.qemu.to_owned());
        let script = format!(
            "#!/bin/sh\nexec '{}' '{}' \"$@\"\n",
            qemu.display(),
            moved.display()
        );
        fs::write(&worker, script)?;
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Compiles sources of the delivery's `share`; without any those of the conformance kit.
    fn compile(&self, name: &str, sources: &[&str]) -> Result<PathBuf> {
        let share = self.sdk.join("share/echocart");
        let program = self.folder.join(name);
        let mut gcc = Command::new(GCC);
        gcc.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"]);
        gcc.arg(self.sdk.join("include"));
        if sources.is_empty() {
            gcc.args(kit(&share.join("conformance"))?);
        }
        gcc.args(sources.iter().map(|source| share.join(source)));
        gcc.arg("-L").arg(self.sdk.join("lib"));
        gcc.arg(format!("-Wl,-rpath,{}", self.sdk.join("lib").display()));
        gcc.args(["-lechocart", "-lm", "-ldl", "-pthread", "-o"]);
        command::run(gcc.arg(&program))?;
        Ok(program)
    }

    fn start(&self, program: &Path) -> Command {
        let mut start = Command::new(self.qemu);
        start.arg(program);
        start
    }
}

/// The C files of the kit's one program.
fn kit(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no kit ({})", folder.display()))?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.extension().is_some_and(|end| end == "c") && name != "scanner_main.c" {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

fn unpack(delivery: &Path, into: &Path) -> Result<PathBuf> {
    let cannot = || format!("no delivery ({})", delivery.display());
    let mut tars = fs::read_dir(delivery)
        .with_context(cannot)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with("-aarch64-linux.tar.gz"));
    let tar = tars.next().with_context(cannot)?;
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(tar);
    unpack.args(["--strip-components=1", "--one-top-level=sdk", "-C"]);
    command::run(unpack.arg(into))?;
    Ok(into.join("sdk"))
}

/// Fetches the pinned ONNX Runtime for aarch64, which lies beside this machine's own.
fn onnx_runtime(layout: &Layout) -> Result<PathBuf> {
    let mut wheel = pins::onnx_runtime(layout, MACHINE)?;
    wheel.into = layout.library_folder("aarch64").join("onnxruntime-1.28.0");
    if !wheels::lacking(&wheel)?.is_empty() {
        let _lock = Lock::take(layout)?;
        let lacking = wheels::lacking(&wheel)?;
        wheels::fetch(&wheel, &lacking, layout)?;
    }
    let library = wheel.members.first().context("no library is pinned")?;
    let path = wheel.into.join(library.name);
    if !path.is_file() {
        bail!("expected the library, found none ({})", path.display());
    }
    Ok(path)
}

/// The first number of `qemu-aarch64 version 10.0.2 (...)`.
fn major(version: &str) -> Option<u32> {
    let number = version.split("version ").nth(1)?;
    number.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_qemu_is_read() {
        let debian = "qemu-aarch64 version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(major(debian), Some(10));
        assert_eq!(major("qemu-aarch64 version 7.2.22"), Some(7));
        assert_eq!(major("something else"), None);
    }
}
