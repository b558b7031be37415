//! Tools that may come from elsewhere than Debian packages, found by trying them.

use crate::command::{on_path, succeeds};
use crate::debian::Needs;
use std::process::{Command, Stdio};

/// Oldest Node.js that the browser check runs on.
pub const NODE_MAJOR: u32 = 18;

/// Which tools work.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// A C++ compiler.
    pub cxx: bool,
    /// `make`, for CMake.
    pub make: bool,
    /// `pkg-config`, which finds OpenCV.
    pub pkg_config: bool,
    /// `python3 -m pip`; true without a look when nothing is to be downloaded.
    pub pip: bool,
    /// Node.js of [`NODE_MAJOR`] or newer.
    pub node: bool,
    /// `npm`.
    pub npm: bool,
    /// `gcc`.
    pub gcc: bool,
    /// `gcc` links the address and undefined-behaviour sanitizers.
    pub sanitizers: bool,
}

impl Probe {
    /// Tries the tools that `needs` asks for; the others count as working.
    pub fn take(needs: Needs) -> Self {
        let pip = || succeeds(Command::new("python3").args(["-m", "pip", "--version"]));
        let tests = needs.tests;
        Self {
            cxx: on_path("c++").is_some(),
            make: on_path("make").is_some(),
            pkg_config: on_path("pkg-config").is_some(),
            pip: !needs.pip || pip(),
            node: !tests || node_major().is_some_and(|major| major >= NODE_MAJOR),
            npm: !tests || on_path("npm").is_some(),
            gcc: !tests || on_path("gcc").is_some(),
            sanitizers: !tests || sanitizers(),
        }
    }
}

/// The major version of the Node.js on the `PATH`.
pub fn node_major() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn sanitizers() -> bool {
    let script = "echo 'int main(void) { return 0; }' \
                  | gcc -x c -fsanitize=address,undefined -o /dev/null -";
    Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_node_says() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v18.0.0-pre"), Some(18));
        assert_eq!(major("bash: node: not found"), None);
        assert_eq!(major(""), None);
    }
}
