//! What the tests across crates share: where things are, and how to say that something is not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The checkout's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// A folder of the shared reference material, or none, said in one line.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let path = root().join("../shared").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: ../shared/{folder} is not here");
    None
}

/// The folder of this build's binaries and libraries.
///
/// # Errors
/// When the test is not run from a Cargo target folder.
pub fn build_dir() -> std::io::Result<PathBuf> {
    let mut dir = std::env::current_exe()?;
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    Ok(dir)
}

/// A command that runs this build's `echocart` in the checkout's root.
///
/// # Errors
/// When the binary has not been built.
pub fn echocart() -> std::io::Result<Command> {
    let binary = build_dir()?.join("echocart");
    if !binary.is_file() {
        let message = format!(
            "build it first: cargo build --release ({})",
            binary.display()
        );
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, message));
    }
    let mut command = Command::new(binary);
    command.current_dir(root());
    Ok(command)
}

/// The demo's configuration with the page on any free port and the exam's folder in `dir`, which
/// only one process may have open.
///
/// # Errors
/// When the demo's configuration cannot be read.
pub fn demo_config(dir: &Path) -> std::io::Result<String> {
    let demo = std::fs::read_to_string(root().join("configs/carts/demo.toml"))?;
    let folder = format!("\"{}\"", dir.join("exam").display());
    Ok(demo
        .replace("127.0.0.1:8787", "127.0.0.1:0")
        .replace("\".echocart/exam\"", &folder))
}

/// The generated package in a new folder, without the files that begin with `without`; nothing is
/// left out where it is empty.
///
/// # Errors
/// The operating system's.
pub fn generated_at(to: &Path, without: &str) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for file in std::fs::read_dir(fetched("packages/generated")?)? {
        let file = file?;
        let name = file.file_name();
        if without.is_empty() || !name.to_string_lossy().starts_with(without) {
            std::fs::copy(file.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// Below `.echocart`, where `cargo xtask setup` and `demo` put what they fetch and make.
///
/// # Errors
/// When it is not there; these tests never skip for want of set-up.
pub fn fetched(path: &str) -> std::io::Result<PathBuf> {
    let path = root().join(".echocart").join(path);
    if path.exists() {
        return Ok(path);
    }
    let message = format!("run `cargo xtask setup` first ({})", path.display());
    Err(std::io::Error::new(std::io::ErrorKind::NotFound, message))
}

/// Standard output and standard error of a finished command, for messages.
pub fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

/// Runs the demo package on a source in virtual time, and gives what it printed and its events; none
/// where it failed.
///
/// # Errors
/// The operating system's, or a line of the events that is not JSON.
pub fn demo_run(
    source: &str,
    arguments: &[&str],
) -> std::io::Result<(Output, Vec<serde_json::Value>)> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("events.jsonl");
    let mut command = echocart()?;
    command.args(["run", "--headless", "--pace", "max", "--source", source]);
    command.arg("--package").arg(fetched("packages/demo")?);
    let output = command
        .arg("--events")
        .arg(&file)
        .args(arguments)
        .output()?;
    let events = match output.status.success() {
        true => events(&file)?,
        false => Vec::new(),
    };
    Ok((output, events))
}

/// The events of a file, one JSON value per line.
///
/// # Errors
/// When the file cannot be read or a line is not JSON.
pub fn events(path: &Path) -> std::io::Result<Vec<serde_json::Value>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).map_err(Into::into));
    lines.collect()
}
