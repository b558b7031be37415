//! Debian packages: which are needed, which are missing, and how they are installed.

use crate::command::{self, on_path};
use crate::probe::Probe;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::io::{IsTerminal, stderr, stdin};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// What the packages are needed for, beyond the build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Something is to be downloaded with pip.
    pub pip: bool,
    /// The tests are to run.
    pub tests: bool,
}

/// Packages are missing and this tool may not install them.
#[derive(Debug)]
pub struct PackagesMissing {
    names: Vec<&'static str>,
    line: String,
}

impl fmt::Display for PackagesMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.join(", ");
        write!(
            f,
            "Debian packages missing: {names}; not root, and no sudo that could be used here, so type this line \
             and run the command again (or pass --no-system):\n{}",
            self.line
        )
    }
}

impl std::error::Error for PackagesMissing {}

/// Installs the missing packages, or says how to.
///
/// # Errors
/// [`PackagesMissing`] when neither root nor sudo; otherwise what apt-get or a look at the tools found wrong.
pub fn install_missing(needs: Needs) -> Result<()> {
    let wanted = wanted(&Probe::take(needs), needs);
    if on_path("dpkg-query").is_none() || on_path("apt-get").is_none() {
        println!(
            "this is no Debian or Ubuntu system: going on without looking for its counterparts of {}",
            wanted.join(", ")
        );
        return Ok(());
    }
    let missing = missing(&wanted, &dpkg_status(&wanted)?);
    if missing.is_empty() {
        return Ok(());
    }
    let Some(prefix) = privilege() else {
        let line = by_hand(&missing, on_path("sudo").is_some());
        return Err(PackagesMissing {
            names: missing,
            line,
        }
        .into());
    };
    println!(
        "installing Debian packages (apt-get says how large): {}",
        missing.join(" ")
    );
    apt(&prefix, &["update", "-q"])?;
    let install = [
        "install",
        "-q",
        "-y",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=120",
    ];
    apt(&prefix, &[&install[..], &missing].concat())?;
    let still = self::missing(&missing, &dpkg_status(&missing)?);
    if !still.is_empty() {
        bail!(
            "apt-get ended well, but packages are still missing: {}",
            still.join(", ")
        );
    }
    Ok(())
}

/// The packages that a machine with these tools should have.
pub fn wanted(probe: &Probe, needs: Needs) -> Vec<&'static str> {
    let mut names = vec!["libopencv-dev", "clang", "libclang-dev", "cmake"];
    let mut add = |lacking: bool, name| {
        if lacking {
            names.push(name);
        }
    };
    add(!probe.cxx, "g++");
    add(!probe.make, "make");
    add(!probe.pkg_config, "pkg-config");
    add(needs.pip && !probe.pip, "python3-pip");
    if needs.tests {
        add(true, "chromium");
        add(true, "strace");
        add(!probe.node, "nodejs");
        add(!probe.npm, "npm");
        add(!probe.gcc, "gcc");
        add(probe.gcc && !probe.sanitizers, "libasan8");
        add(probe.gcc && !probe.sanitizers, "libubsan1");
    }
    names
}

fn missing(wanted: &[&'static str], status: &str) -> Vec<&'static str> {
    let installed: Vec<&str> = status
        .lines()
        .filter_map(|line| line.strip_suffix("\tinstall ok installed"))
        .collect();
    let mut names = wanted.to_vec();
    names.retain(|name| !installed.contains(name));
    names
}

fn dpkg_status(names: &[&str]) -> Result<String> {
    let mut command = Command::new("dpkg-query");
    command
        .args(["-W", "-f=${Package}\t${Status}\n"])
        .args(names);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{}`", command::line(&command)))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The words before `apt-get` that make it root; `None` when there is no way to become root.
fn privilege() -> Option<Vec<&'static str>> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if root {
        return Some(vec!["env", "DEBIAN_FRONTEND=noninteractive"]);
    }
    on_path("sudo")?;
    if command::succeeds(Command::new("sudo").args(["-n", "true"])) {
        return Some(vec!["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]);
    }
    let asks = stdin().is_terminal() && stderr().is_terminal();
    asks.then(|| vec!["sudo", "env", "DEBIAN_FRONTEND=noninteractive"])
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let words = [prefix, &["apt-get"], arguments].concat();
    let (program, rest) = words.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(rest);
    println!("running: {}", command::line(&command));
    command::run(&mut command)
}

fn by_hand(missing: &[&str], sudo: bool) -> String {
    let names = missing.join(" ");
    let install = format!("apt-get install -y --no-install-recommends {names}");
    if sudo {
        format!("sudo apt-get update && sudo {install}")
    } else {
        format!("su -c 'apt-get update && {install}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Probe = Probe {
        cxx: true,
        make: true,
        pkg_config: true,
        pip: true,
        node: true,
        npm: true,
        gcc: true,
        sanitizers: true,
    };

    const TESTS: Needs = Needs {
        pip: true,
        tests: true,
    };

    #[test]
    fn a_machine_with_all_tools_wants_only_the_libraries() {
        let names = wanted(&FULL, Needs::default());
        assert_eq!(names, ["libopencv-dev", "clang", "libclang-dev", "cmake"]);
    }

    #[test]
    fn the_tests_want_a_browser_and_strace_and_leave_a_good_node_alone() {
        let names = wanted(&FULL, TESTS);
        assert!(names.contains(&"chromium") && names.contains(&"strace"));
        assert!(!names.contains(&"nodejs") && !names.contains(&"npm"));
        let names = wanted(
            &Probe {
                node: false,
                npm: false,
                ..FULL
            },
            TESTS,
        );
        assert!(names.contains(&"nodejs") && names.contains(&"npm"));
    }

    #[test]
    fn pip_is_wanted_only_for_a_download() {
        let probe = Probe { pip: false, ..FULL };
        assert!(!wanted(&probe, Needs::default()).contains(&"python3-pip"));
        assert!(wanted(&probe, TESTS).contains(&"python3-pip"));
    }

    #[test]
    fn the_sanitizers_come_with_gcc_or_alone() {
        let without = Probe {
            sanitizers: false,
            ..FULL
        };
        assert!(wanted(&without, TESTS).contains(&"libasan8"));
        let without = Probe {
            gcc: false,
            sanitizers: false,
            ..FULL
        };
        let names = wanted(&without, TESTS);
        assert!(names.contains(&"gcc") && !names.contains(&"libasan8"));
    }

    #[test]
    fn a_removed_package_with_its_config_left_is_missing() {
        let status = "cmake\tinstall ok installed\nclang\tdeinstall ok config-files\n\
                      npm\tunknown ok not-installed\n";
        let names = missing(&["clang", "cmake", "npm", "strace"], status);
        assert_eq!(names, ["clang", "npm", "strace"]);
    }

    #[test]
    fn the_line_to_type_is_whole() {
        assert_eq!(
            by_hand(&["cmake", "clang"], true),
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends cmake clang"
        );
        assert_eq!(
            by_hand(&["cmake"], false),
            "su -c 'apt-get update && apt-get install -y --no-install-recommends cmake'"
        );
    }
}
