//! C programs of the tests: compiled against the library that Cargo built with them, plain or sanitized.
#![expect(clippy::unwrap_used, reason = "a test helper")]

use echocart_tests::{build_dir, fetched, root, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const STRICT: [&str; 6] = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-pthread",
];
const SANITIZERS: [&str; 3] = [
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
];

/// The shared library that Cargo built with this test.
pub fn shared_library() -> PathBuf {
    let path = deps().join("libechocart.so");
    assert!(path.is_file(), "not built: {}", path.display());
    path
}

/// The worker of this build.
pub fn worker() -> PathBuf {
    let path = build_dir().unwrap().join("echocart-worker");
    assert!(
        path.is_file(),
        "build it first: cargo build --release ({})",
        path.display()
    );
    path
}

pub fn deps() -> PathBuf {
    let mut dir = std::env::current_exe().unwrap();
    dir.pop();
    dir
}

pub fn runtime_library() -> PathBuf {
    let lib = fetched("lib/onnxruntime-1.28.0").unwrap();
    let mut found: Vec<PathBuf> = fs::read_dir(lib)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("libonnxruntime.so"))
        .collect();
    found.sort();
    found.pop().unwrap()
}

pub fn source(path: &str) -> PathBuf {
    root().join(path)
}

pub fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{e}: {command:?}"))
}

#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Compiles a C file against the shared library in `dir`, under the name its soname asks for.
pub fn compile(dir: &Path, file: &str, sanitized: bool) -> PathBuf {
    let library = dir.join("libechocart.so.0");
    if !library.exists() {
        fs::copy(shared_library(), &library).unwrap();
        fs::copy(worker(), dir.join("echocart-worker")).unwrap();
    }
    let program = dir.join(if sanitized { "sanitized" } else { "plain" });
    let mut gcc = Command::new("gcc");
    gcc.args(STRICT)
        .args(if sanitized { &SANITIZERS[..] } else { &["-O2"] })
        .arg("-I")
        .arg(source("firmware-bridge/include"))
        .arg(source(file))
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", dir.display()))
        .arg("-lm")
        .arg("-o")
        .arg(&program);
    succeed(&mut gcc);
    let symbols = succeed(Command::new("nm").arg(&program));
    assert_eq!(symbols.contains("__asan_init"), sanitized);
    assert_eq!(symbols.contains("__ubsan_handle"), sanitized);
    program
}

/// The sanitizer stops at the first finding; leaks of the program and the library count.
pub fn sanitized_run(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env(
            "ASAN_OPTIONS",
            "detect_leaks=1:abort_on_error=0:exitcode=99",
        )
        .env("UBSAN_OPTIONS", "print_stacktrace=1");
    command
}
