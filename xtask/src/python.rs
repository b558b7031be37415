//! The Python environment of the tests, and where another one would come from.

use crate::command::{self, succeeds};
use crate::layout::Layout;
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

const STAMP: &str = "requirements.txt";

/// A virtual environment, made from a list of pinned and hashed wheels.
#[derive(Debug, Clone)]
pub struct Environment {
    /// What it is for, for people.
    pub title: &'static str,
    /// About how much is fetched, MB.
    pub megabytes: u32,
    /// The list.
    pub requirements: PathBuf,
    /// Where it lies.
    pub dir: PathBuf,
    /// A module that must be importable.
    pub module: &'static str,
}

/// The environment that the tests read graphs with.
pub fn tests(layout: &Layout) -> Environment {
    Environment {
        title: "the Python checks of the tests",
        megabytes: 27,
        requirements: layout.root.join("tests/python").join(STAMP),
        dir: layout.echocart().join("python"),
        module: "onnx",
    }
}

impl Environment {
    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.dir.join("bin").join("python")
    }

    /// Whether it is there, whole, made from the list as it is now, and its Python still starts.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn installed(&self) -> Result<bool> {
        let made_from = read(&self.dir.join(STAMP))?;
        Ok(made_from.is_some()
            && made_from == read(&self.requirements)?
            && succeeds(
                Command::new(self.python()).args(["-c", &format!("import {}", self.module)]),
            ))
    }

    /// Makes it anew; the stamp that [`Environment::installed`] looks for is written last.
    ///
    /// # Errors
    /// When Python or pip fails, a wheel is not a pinned one, or writing fails.
    pub fn install(&self, layout: &Layout) -> Result<()> {
        println!(
            "fetching {} into {}: {} with pip, about {} MB",
            self.title,
            layout.short(&self.dir).display(),
            layout.short(&self.requirements).display(),
            self.megabytes
        );
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove ({})", self.dir.display()))?
            }
            _ => {}
        }
        let mut environment = Command::new("python3");
        environment
            .args(["-m", "venv", "--without-pip"])
            .arg(&self.dir);
        command::run(&mut environment)?;
        command::run(&mut self.pip())?;
        let stamp = self.dir.join(STAMP);
        fs::copy(&self.requirements, &stamp)
            .map(|_| ())
            .with_context(|| format!("cannot write ({})", stamp.display()))
    }

    fn pip(&self) -> Command {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--disable-pip-version-check", "--python"])
            .arg(self.python())
            .args(["install", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--require-hashes", "--no-warn-script-location", "-r"])
            .arg(&self.requirements);
        pip
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read ({})", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn environment(root: &Path, python: &str) -> Environment {
        let environment = Environment {
            title: "a test",
            megabytes: 1,
            requirements: root.join("list.txt"),
            dir: root.join("python"),
            module: "json",
        };
        fs::create_dir_all(environment.dir.join("bin")).unwrap();
        fs::write(environment.python(), python).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(environment.python(), executable).unwrap();
        environment
    }

    #[test]
    fn another_list_no_stamp_or_a_python_that_fails_counts_as_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        let made = environment(dir.path(), "#!/bin/sh\nexit 0\n");
        fs::write(&made.requirements, "1").unwrap();
        assert!(!made.installed().unwrap());
        fs::write(made.dir.join(STAMP), "1").unwrap();
        assert!(made.installed().unwrap());
        fs::write(&made.requirements, "2").unwrap();
        assert!(!made.installed().unwrap());
        fs::write(made.dir.join(STAMP), "2").unwrap();
        fs::write(made.python(), "#!/bin/sh\nexit 1\n").unwrap();
        assert!(!made.installed().unwrap());
    }

    #[test]
    fn the_list_pins_every_package_by_hash() {
        let layout = Layout::find().unwrap();
        let list = fs::read_to_string(tests(&layout).requirements).unwrap();
        let lines = list.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let hash = line
                .trim()
                .strip_prefix("--hash=sha256:")
                .map(|rest| rest.trim_end_matches([' ', '\\']));
            match hash {
                Some(hash) => assert_eq!(hash.len(), 64, "{line}"),
                None => assert!(line.contains("==") && line.ends_with('\\'), "{line}"),
            }
        }
    }
}
