//! The set-up that every command shares.

use crate::command::{self, cargo};
use crate::debian::{self, Needs};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::pins;
use crate::python;
use crate::ui;
use crate::wheels;
use anyhow::Result;

/// What to set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Debian packages may be installed.
    pub system: bool,
    /// What the tests need, too.
    pub tests: bool,
    /// The demo's cine.
    pub cine: bool,
}

impl Setup {
    /// Brings the machine and `.echocart` into the state that the build and the demo need.
    ///
    /// Does nothing, and needs no network, where everything is there already.
    ///
    /// # Errors
    /// The first thing that could not be installed or fetched.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        let mut pinned = vec![pins::onnx_runtime(layout, std::env::consts::ARCH)?];
        if self.cine {
            pinned.push(pins::cine(layout));
        }
        if self.tests
            && let Ok(openvino) = pins::openvino(layout, std::env::consts::ARCH)
        {
            pinned.push(openvino);
        }
        let mut fetches = Vec::new();
        for wheel in pinned {
            if !wheels::lacking(&wheel)?.is_empty() {
                fetches.push(wheel);
            }
        }
        let checks = python::tests(layout);
        let lacks_checks = self.tests && !checks.installed()?;
        if self.system {
            debian::install_missing(Needs {
                pip: !fetches.is_empty() || lacks_checks,
                tests: self.tests,
            })?;
        }
        let driver = self.tests && !ui::installed(layout)?;
        if fetches.is_empty() && !driver && !lacks_checks {
            return Ok(());
        }
        let _lock = Lock::take(layout)?;
        for wheel in fetches {
            let lacking = wheels::lacking(&wheel)?;
            if !lacking.is_empty() {
                wheels::fetch(&wheel, &lacking, layout)?;
            }
        }
        if driver && !ui::installed(layout)? {
            ui::install(layout)?;
        }
        if lacks_checks && !checks.installed()? {
            checks.install(layout)?;
        }
        Ok(())
    }
}

/// `cargo xtask setup`: the set-up and the crates, so that a later build needs no network.
///
/// # Errors
/// The first thing that could not be installed or fetched.
pub fn only(layout: &Layout, system: bool, tests: bool) -> Result<()> {
    Setup {
        system,
        tests,
        cine: true,
    }
    .run(layout)?;
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    command::run(cargo(layout).args(["fetch", "--locked", "--target", &target]))?;
    println!("set up: {}", layout.echocart().display());
    Ok(())
}
