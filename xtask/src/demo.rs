//! `cargo xtask demo`.

use crate::command::{self, cargo, without_our_cargo};
use crate::layout::Layout;
use crate::setup::Setup;
use crate::{package, pins};
use anyhow::{Context, Result};
use clap::Args;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// What a person may choose about the demo.
#[derive(Debug, Args)]
pub struct Demo {
    /// Run without the page
    #[arg(long)]
    headless: bool,
    /// End this long after the first frame
    #[arg(long, value_name = "N", value_parser = positive)]
    seconds: Option<f64>,
    /// Write events to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Do not look for Debian packages, and install none
    #[arg(long)]
    no_system: bool,
    /// Replay this file or URI in place of the demo's cine
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// More arguments for `echocart run`
    #[arg(last = true, value_name = "ARGS")]
    extra: Vec<OsString>,
}

impl Demo {
    /// Sets up, builds, and becomes `echocart run`; returns only when that fails.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        Setup {
            system: !self.no_system,
            tests: false,
            cine: self.source.is_none(),
        }
        .run(layout)?;
        println!("building echocart in release mode (some minutes the first time)");
        let what = ["build", "--release", "--workspace", "--bin", "echocart"];
        let worker = ["--bin", "echocart-worker"];
        command::run(cargo(layout).args(what).args(worker))?;
        package::make(layout)?;
        let mut cart = Command::new(layout.binary());
        cart.args(self.arguments(layout)?).current_dir(&layout.root);
        without_our_cargo(&mut cart);
        println!("running: {}", command::line(&cart));
        Err(cart.exec()).with_context(|| format!("cannot start `{}`", command::line(&cart)))
    }

    fn arguments(&self, layout: &Layout) -> Result<Vec<OsString>> {
        let cine = layout.data().join(pins::CINE);
        let source = match &self.source {
            Some(source) => located(source)?,
            None => layout.short(&cine).to_owned(),
        };
        let package = layout.demo_package();
        let mut arguments: Vec<OsString> = vec![
            "run".into(),
            "--source".into(),
            source.into(),
            "--package".into(),
            layout.short(&package).into(),
            "--loop".into(),
        ];
        if self.headless {
            arguments.push("--headless".into());
        }
        if let Some(seconds) = self.seconds {
            arguments.extend(["--seconds".into(), seconds.to_string().into()]);
        }
        if let Some(events) = &self.events {
            arguments.extend(["--events".into(), located(events)?.into()]);
        }
        arguments.extend_from_slice(&self.extra);
        Ok(arguments)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("expected a number above 0, found {text:?}")),
    }
}

/// Starts of sources that are no file.
const SCHEMES: [&str; 5] = ["phantom:", "fault:", "shm:", "v4l2:", "gst:"];

/// The path as seen from any folder; a URI and what is no file stay as they are.
fn located(path: &std::path::Path) -> Result<PathBuf> {
    let text = path.to_string_lossy();
    if text.contains("://") || SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(path.to_owned());
    }
    std::path::absolute(path).with_context(|| format!("not a path ({})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: Demo,
    }

    fn arguments(line: &[&str]) -> Vec<String> {
        let layout = Layout {
            root: "/checkout".into(),
        };
        let line = Line::try_parse_from([&["demo"], line].concat()).unwrap();
        let arguments = line.demo.arguments(&layout).unwrap();
        arguments
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_demo_loops_the_cine_through_the_demo_package() {
        let cine = ".echocart/data/color3d_jpeg_baseline.dcm";
        let package = ".echocart/packages/demo";
        let expected = ["run", "--source", cine, "--package", package, "--loop"];
        assert_eq!(arguments(&[]), expected);
    }

    #[test]
    fn what_a_person_chose_reaches_the_cart() {
        let line = [
            "--headless",
            "--seconds",
            "20",
            "--events",
            "/tmp/e",
            "--",
            "--pace",
            "max",
        ];
        let expected = [
            "--headless",
            "--seconds",
            "20",
            "--events",
            "/tmp/e",
            "--pace",
            "max",
        ];
        assert_eq!(arguments(&line)[6..], expected);
    }

    #[test]
    fn a_time_that_is_no_positive_number_is_refused() {
        for seconds in ["0", "-1", "NaN", "inf", "soon"] {
            let line = ["demo".to_owned(), format!("--seconds={seconds}")];
            assert!(Line::try_parse_from(line).is_err(), "{seconds}");
        }
    }

    #[test]
    fn a_source_is_found_from_the_folder_of_the_person_and_a_uri_is_left_alone() {
        assert!(arguments(&["--source", "clip.dcm"])[2].starts_with('/'));
        for source in ["v4l2://0", "phantom:view=A4C,ef=55"] {
            assert_eq!(arguments(&["--source", source])[2], source);
        }
    }
}
