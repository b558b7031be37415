//! Labelled recordings through the live path, for `evaluate` and `calibrate`.

mod csv;
mod labels;
mod player;
mod recorder;
mod tensors;

pub use csv::field;
pub use labels::{Label, LabelForm, Labels};
pub use player::{Outcome, Played, PlayedClip, Player};
pub use tensors::{TensorFile, TensorPlace};

use crate::exit::Failure;
use crate::export::{Bar, failure};
use crate::run::{config, hint};
use clap::Args;
use echocart_core::config::MarkerSide;
use echocart_core::engine::Engine;
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use echocart_export::{ExportError, ExportReport, KeptCalibration, check_out_dir, derive};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `evaluate` and `calibrate` are told alike.
#[derive(Debug, Args)]
pub struct LabelledArgs {
    /// Labels of the recordings: a header line with `path` and any of `view`, `lvef`, `patient`,
    /// comma separated; or two columns, path and label, separated by a space, as in the EchoJEPA
    /// repository. Relative paths start at the file's folder. A simulated heart, `phantom:...`, is a
    /// path too; its commas need quotes in the first form.
    #[arg(long, value_name = "CSV")]
    pub labels: PathBuf,
    /// What the label of the two-column form is.
    #[arg(long, value_enum, value_name = "KIND")]
    pub label: Option<LabelForm>,
    /// Model package.
    #[arg(long, value_name = "DIR")]
    pub package: PathBuf,
    /// Cart configuration: engine and pipeline. Without it: the embedded configs/carts/demo.toml, with
    /// the orientation mark on any side.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Variant of the package. Without it: what the configuration chooses.
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Frame rate to assume for files that do not state one.
    #[arg(long, value_name = "FPS", value_parser = crate::cli::positive)]
    pub assume_fps: Option<f64>,
    /// ONNX Runtime library; its SHA-256 must be one this version knows.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

/// Everything that is there before the first recording is played.
pub struct Ready {
    /// The package.
    pub package: Package,
    /// The labels, checked against it.
    pub labels: Labels,
    /// What plays the recordings.
    pub player: Player,
}

impl LabelledArgs {
    /// Opens labels, package and engine.
    pub fn open(&self, stop: &Arc<AtomicBool>) -> Result<Ready, Failure> {
        let mut config = config(self.config.as_deref())?;
        if self.config.is_none() {
            // The demo's scanner is not the one that these files are of.
            config.screen.marker = MarkerSide::Any;
        }
        let package =
            Package::open(&self.package, &config.package).map_err(|e| hint(e, &self.package))?;
        let labels = Labels::open(&self.labels, self.label, &package.manifest)?;
        if self.variant.is_some() {
            config.engine.variant.clone_from(&self.variant);
        }
        let say = &mut |text: &str| drop(writeln!(std::io::stderr(), "{text}"));
        let library = self.library.as_deref();
        let engine = crate::engine::open(&config.engine, library, &package, say)?;
        let player = Player::new(
            &package,
            config,
            Box::new(engine) as Box<dyn Engine>,
            self.assume_fps,
            stop.clone(),
        );
        Ok(Ready {
            package,
            labels,
            player,
        })
    }
}

/// Plays every labelled recording, one after the other; none once a signal has come.
pub fn play_all(
    ready: &mut Ready,
    stop: &Arc<AtomicBool>,
    tensors: &mut Option<TensorFile>,
) -> Result<Option<Vec<Outcome>>, Failure> {
    let mut bar = Bar::new(stop.clone());
    let total = ready.labels.rows.len();
    let mut outcomes = Vec::with_capacity(total);
    for (at, label) in ready.labels.rows.iter().enumerate() {
        let tick = &mut || {
            let _ = bar.show(&label.shown, at, total);
        };
        tick();
        let outcome = ready.player.play(&label.path, tensors, tick);
        if stop.load(Ordering::Relaxed) {
            bar.clear();
            return Ok(None);
        }
        let outcome = outcome.inspect_err(|_| bar.clear())?;
        if let Some(tensors) = tensors {
            tensors.file(&label.shown, &outcome)?;
        }
        outcomes.push(outcome);
    }
    bar.clear();
    Ok(Some(outcomes))
}

/// Where a package with what was measured goes.
#[derive(Debug, Args)]
pub struct NewPackage {
    /// Package folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace a package that is already there.
    #[arg(long)]
    replace: bool,
    /// Also write what was measured to this file, for `export --calibration` with the same weights.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

impl NewPackage {
    /// Checks the folder before anything is played.
    pub fn check(&self) -> Result<(), Failure> {
        check_out_dir(&self.out, self.replace).map_err(failure)
    }

    /// Writes the package with another manifest, and what is kept of it. Nothing if it was stopped.
    pub fn write(
        &self,
        package: &Package,
        edit: impl FnOnce(&mut Manifest),
        stop: Arc<AtomicBool>,
    ) -> Result<Option<ExportReport>, Failure> {
        let mut bar = Bar::new(stop);
        let progress = &mut |what: &str, done, total| bar.show(what, done, total);
        let made = derive(package, edit, &self.out, self.replace, progress);
        bar.clear();
        let report = match made {
            Err(ExportError::Interrupted) => return Ok(None),
            made => made.map_err(failure)?,
        };
        if let Some(file) = &self.keep {
            let kept = KeptCalibration::of(&report.manifest);
            kept.write(file).map_err(failure)?;
        }
        Ok(Some(report))
    }
}

/// A status or reason as it is written in events.
pub fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Ends an interrupted command without waiting for an inference call in flight: exit handlers
/// would pull the library away under it. Everything temporary must be gone by now.
pub fn leave_interrupted() -> ! {
    let _: ExitCode = crate::export::interrupted();
    signal_hook::low_level::exit(130)
}
