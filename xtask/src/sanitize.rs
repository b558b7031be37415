//! `cargo xtask sanitize`: ThreadSanitizer and valgrind over the C interface.

use crate::command::{self, cargo, on_path};
use crate::layout::Layout;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const WARNINGS: [&str; 7] = [
    "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread",
];
/// Rust instruments its own code; the standard library stays as it is.
const THREAD_FLAGS: &str = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";

/// Run the C interface under ThreadSanitizer and valgrind, each with a build of its own below target/
#[derive(Debug, Args)]
pub struct Sanitize {
    /// Only this tool
    #[arg(long)]
    only: Option<Tool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tool {
    Thread,
    Valgrind,
}

impl Sanitize {
    /// Builds and runs.
    ///
    /// # Errors
    /// When a tool finds something, or is not there.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        let wanted = |tool| self.only.is_none_or(|only| only == tool);
        if wanted(Tool::Thread) {
            thread(layout)?;
            println!("ThreadSanitizer found nothing");
        }
        if wanted(Tool::Valgrind) {
            valgrind(layout)?;
            println!("valgrind found nothing");
        }
        Ok(())
    }
}

fn thread(layout: &Layout) -> Result<()> {
    let folder = layout.target().join("thread");
    let options = format!(
        "suppressions={} halt_on_error=0 exitcode=66",
        layout.root.join("tests/sanitize/thread.supp").display()
    );
    let with = |command: &mut Command| {
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", THREAD_FLAGS)
            .env("TSAN_OPTIONS", &options)
            .args(["--release", "--locked", "--target", TARGET, "--target-dir"])
            .arg(&folder);
    };
    for (what, arguments) in [
        (
            "test",
            &[
                "--package",
                "echocart-core",
                "--test",
                "pipeline",
                "--test",
                "exams",
                "--test",
                "standing",
            ][..],
        ),
        ("test", &["--package", "echocart-bridge", "--lib"]),
        (
            "build",
            &["--package", "echocart-bridge", "--features", "trial"],
        ),
    ] {
        let mut run = cargo(layout);
        with(run.arg(what));
        command::run(run.args(arguments))?;
    }
    let built = folder.join(TARGET).join("release");
    let archive = built.join("libechocart.a");
    let program = instrumented(layout, &built)?;
    for (what, file) in [("the program", &program), ("the library", &archive)] {
        let symbols = command::output(Command::new("nm").arg("--quiet").arg(file))?;
        if !symbols.contains("__tsan_func_entry") {
            bail!(
                "expected ThreadSanitizer in {what}, found none ({})",
                file.display()
            );
        }
    }
    let mut threads = Command::new(&program);
    command::run(threads.arg("12").env("TSAN_OPTIONS", &options))
}

fn valgrind(layout: &Layout) -> Result<()> {
    on_path("valgrind").context("expected valgrind, found none: apt-get install valgrind")?;
    let folder = layout.target().join("trial");
    let mut build = cargo(layout);
    build
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "echocart-bridge",
        ])
        .args(["--features", "trial", "--target-dir"]);
    command::run(build.arg(&folder))?;
    let built = folder.join("release");
    let suppressions = layout.root.join("tests/sanitize/valgrind.supp");
    let check = |program: &Path, arguments: &[&str]| {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--quiet", "--error-exitcode=99", "--leak-check=full"])
            .args(["--show-leak-kinds=definite,indirect,possible"])
            .args(["--errors-for-leak-kinds=definite,indirect,possible"])
            .arg(format!("--suppressions={}", suppressions.display()))
            .arg(program)
            .args(arguments);
        command::run(&mut valgrind)
    };
    check(&compile(layout, &built, "threads")?, &["12"])?;
    check(&compile(layout, &built, "refusals")?, &[])
}

/// Compiles `tests/c/threads.c` for ThreadSanitizer and links it with the compiler's runtime: that of gcc
/// does not know all that newer compilers call.
fn instrumented(layout: &Layout, built: &Path) -> Result<PathBuf> {
    let object = built.join("threads.o");
    let mut gcc = Command::new("gcc");
    gcc.args(WARNINGS).args(["-fsanitize=thread", "-c", "-I"]);
    gcc.arg(layout.root.join("firmware-bridge/include"));
    gcc.arg(layout.root.join("tests/c/threads.c"));
    command::run(gcc.arg("-o").arg(&object))?;
    let sysroot = command::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let runtime = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib/librustc-stable_rt.tsan.a");
    let program = built.join("threads-thread");
    let mut link = Command::new("gcc");
    link.arg("-pthread")
        .arg(object)
        .arg(built.join("libechocart.a"))
        .arg("-Wl,--whole-archive")
        .arg(runtime)
        .args([
            "-Wl,--no-whole-archive",
            "-lm",
            "-ldl",
            "-lrt",
            "-lresolv",
            "-o",
        ])
        .arg(&program);
    command::run(&mut link)?;
    Ok(program)
}

/// Compiles `tests/c/NAME.c` with the static library.
fn compile(layout: &Layout, built: &Path, name: &str) -> Result<PathBuf> {
    let program = built.join(name);
    let mut gcc = Command::new("gcc");
    gcc.args(WARNINGS)
        .arg("-I")
        .arg(layout.root.join("firmware-bridge/include"))
        .arg(layout.root.join(format!("tests/c/{name}.c")))
        .arg(built.join("libechocart.a"))
        .args(["-lm", "-ldl", "-o"])
        .arg(&program);
    command::run(&mut gcc)?;
    Ok(program)
}
