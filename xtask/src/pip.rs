//! pip, used only to download.

use crate::command;
use crate::pins::Wheel;
use anyhow::{Context, Result, bail};
use std::io::{IsTerminal, stderr, stdout};
use std::path::Path;
use std::process::{Command, Stdio};

fn command_line(wheel: &Wheel, into: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "--disable-pip-version-check", "download"]);
    for platform in wheel.platforms {
        command.args(["--platform", platform]);
    }
    if !wheel.platforms.is_empty() {
        command.args([
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--abi",
            "cp311",
        ]);
    }
    command
        .args(["--only-binary=:all:", "--no-deps", wheel.requirement, "-d"])
        .arg(into);
    command
}

/// Downloads a wheel's file into a folder.
///
/// # Errors
/// When pip does not start or does not end with 0; says its last lines.
pub fn download(wheel: &Wheel, into: &Path) -> Result<()> {
    let mut command = command_line(wheel, into);
    let shown = stdout().is_terminal() && stderr().is_terminal();
    if !shown {
        command
            .args(["--progress-bar", "off"])
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
    }
    let output = command
        .stdin(Stdio::inherit())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .with_context(|| format!("cannot start `{}`", command::line(&command)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = if shown {
        "its output is above".to_owned()
    } else {
        format!(
            "its last lines were:\n{}",
            last_lines(&[output.stdout, output.stderr].concat(), 3)
        )
    };
    let ending = command::ending(output.status);
    let line = command::line(&command);
    bail!("pip failed with {ending} (`{line}`); this download needs the network once; {said}")
}

fn last_lines(output: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::pins;

    #[test]
    fn every_python_is_asked_for_the_same_file() {
        let layout = Layout { root: "".into() };
        let wheel = pins::onnx_runtime(&layout, "aarch64").unwrap();
        let line = command::line(&command_line(&wheel, Path::new("d")));
        let expected = "--platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
                        --python-version 3.11 --implementation cp --abi cp311 \
                        --only-binary=:all: --no-deps onnxruntime==1.28.0 -d d";
        assert!(line.ends_with(expected), "{line}");
    }

    #[test]
    fn the_last_lines_skip_empty_ones() {
        assert_eq!(last_lines(b"one\n\ntwo\nthree\n\n", 2), "two\nthree");
    }
}
