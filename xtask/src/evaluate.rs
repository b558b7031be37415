//! `cargo xtask evaluate`.

use crate::command::{self, cargo, without_our_cargo};
use crate::layout::Layout;
use crate::package;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Simulated hearts of one seed. The trainer's splits take the first four, from 1 million on, and
/// draw from their beginning; those that are rendered as a cart sees them come from the middle.
const HEARTS: u64 = 1_000_000;
const MIDDLE: u64 = 500_000;
const CALIBRATION: u64 = 3;
const TEST: u64 = 4;
/// Simulated hearts that INT8 is calibrated on.
const RANGES: usize = 12;
/// Simulated hearts that fewer tokens are measured on.
const FEWER: usize = 60;
/// What `echocart calibrate` and `keep-tokens` end with where the recordings do not give what it fits.
const REFUSED: i32 = 2;

/// Say what the stand-in reaches on simulated hearts that nothing was fitted on
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Which test hearts: 0 those of the shipped report, 1 and so on others
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Test hearts, and as many to calibrate on
    #[arg(long, default_value_t = 2000)]
    hearts: usize,
    /// Test hearts that also run through the package and the live path
    #[arg(long, default_value_t = 300)]
    live_hearts: usize,
    /// Fit temperature and interval anew and write everything beside the weights: after new weights
    #[arg(long)]
    ship: bool,
    /// Hearts to fit them on with --ship, through the live path
    #[arg(long, default_value_t = 600)]
    calibration_hearts: usize,
    /// Folder of the weights. Without it: exporters/train/standin
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Cache of rendered clips. Without it: target/standin/cache
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: u8,
}

/// Where things are read and written.
struct Places<'a> {
    layout: &'a Layout,
    weights: PathBuf,
    cache: PathBuf,
    work: PathBuf,
}

impl Evaluate {
    /// Builds, calibrates if asked, runs the package and the trainer's evaluation.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn run(&self, layout: &Layout) -> Result<()> {
        let what = ["build", "--release", "--workspace"];
        let bins = ["echocart", "echocart-worker", "echocart-train"];
        let bins = bins.iter().flat_map(|bin| ["--bin", bin]);
        command::run(cargo(layout).args(what).args(bins))?;
        let own = |path: &Option<PathBuf>, or: PathBuf| match path {
            Some(path) => std::path::absolute(path).context("not a path"),
            None => Ok(or),
        };
        let target = layout.target().join("standin");
        let places = Places {
            layout,
            weights: own(&self.weights, layout.standin())?,
            cache: own(&self.cache, target.join("cache"))?,
            work: target.join(format!("evaluation-{}", self.seed)),
        };
        fs::create_dir_all(&places.work)
            .with_context(|| format!("cannot create ({})", places.work.display()))?;
        let package = self.package(&places)?;
        let live = self.live(&places, &package)?;
        let int8 = self.int8(&places, &package)?;
        self.report(&places, &live, &int8)
    }

    /// The package of the weights, calibrated anew or with what was kept.
    fn package(&self, places: &Places) -> Result<PathBuf> {
        let kept = places.weights.join("calibration.toml");
        let out = places.work.join("package");
        if !self.ship {
            let mut export = places.export(&out);
            if kept.is_file() {
                export.arg("--calibration").arg(&kept);
            }
            command::run(&mut export)?;
            return Ok(out);
        }
        let plain = places.work.join("uncalibrated");
        command::run(&mut places.export(&plain))?;
        let first = CALIBRATION * HEARTS + MIDDLE;
        let labels = places.phantoms("calibration.csv", first, self.calibration_hearts)?;
        let views = places.work.join("views.csv");
        fs::write(&views, without_fractions(&read(&labels)?))
            .with_context(|| format!("cannot write ({})", views.display()))?;
        for labels in [labels, views] {
            let mut calibrate = places.cart();
            calibrate
                .args(["calibrate", "--replace", "--source", "simulated hearts"])
                .arg("--labels")
                .arg(&labels)
                .arg("--package")
                .arg(&plain)
                .arg("--keep")
                .arg(&kept)
                .arg("--out")
                .arg(&out);
            if places.unless_skipped(&mut calibrate, &[0, 1, REFUSED])? != REFUSED {
                return self.fewer_tokens(places, out, &kept);
            }
            println!("not calibrated with {}", labels.display());
        }
        match fs::remove_file(&kept) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove ({})", kept.display()))
            }
            _ => Ok(plain),
        }
    }

    /// The calibrated package with a measurement of fewer tokens, which is kept with the calibration; itself where
    /// nothing could be compared.
    fn fewer_tokens(&self, places: &Places, package: PathBuf, kept: &Path) -> Result<PathBuf> {
        let first = CALIBRATION * HEARTS + MIDDLE + self.calibration_hearts as u64;
        let labels = places.phantoms("tokens.csv", first, FEWER)?;
        let out = places.work.join("fewer-tokens");
        let mut measure = places.cart();
        measure
            .args(["keep-tokens", "--replace", "--labels"])
            .arg(labels)
            .arg("--package")
            .arg(&package)
            .arg("--keep")
            .arg(kept)
            .arg("--out")
            .arg(&out);
        match places.unless_skipped(&mut measure, &[0, 1, REFUSED])? {
            REFUSED => {
                println!("fewer tokens: not measured");
                Ok(package)
            }
            _ => Ok(out),
        }
    }

    /// What a reader of the page would have seen of test hearts.
    fn live(&self, places: &Places, package: &Path) -> Result<PathBuf> {
        let first = (TEST + u64::from(self.seed)) * HEARTS + MIDDLE;
        let labels = places.phantoms("test.csv", first, self.live_hearts)?;
        let out = places.work.join("live");
        let mut evaluate = places.cart();
        evaluate
            .args(["evaluate", "--replace", "--labels"])
            .arg(labels)
            .arg("--package")
            .arg(package)
            .arg("--out")
            .arg(&out);
        places.unless_skipped(&mut evaluate, &[0, 1])?;
        Ok(out.join("evaluation.json"))
    }

    /// INT8 beside fp32, on test hearts.
    fn int8(&self, places: &Places, package: &Path) -> Result<PathBuf> {
        let out = places.work.join("int8");
        let ranges = locations(&places.phantoms("ranges.csv", HEARTS + MIDDLE, RANGES)?)?;
        let tests = locations(&places.work.join("test.csv"))?;
        let mut quantise = places.cart();
        quantise
            .args(["quantise", "--variants", "int8", "--replace", "--package"])
            .arg(package)
            .arg("--calibrate")
            .args(ranges)
            .arg("--held-out")
            .args(&tests)
            .arg(format!("--held-out-clips={}", tests.len().min(1024)))
            .arg("--out")
            .arg(&out);
        places.unless_skipped(&mut quantise, &[0, 1])?;
        Ok(out.join("report.json"))
    }

    /// Everything else, and the report.
    fn report(&self, places: &Places, live: &Path, int8: &Path) -> Result<()> {
        let out = match self.ship {
            true => places.weights.clone(),
            false => places.work.clone(),
        };
        let mut evaluate = places.trainer();
        evaluate
            .arg("evaluate")
            .arg("--weights")
            .arg(&places.weights)
            .arg("--cache")
            .arg(&places.cache)
            .arg("--package")
            .arg(live)
            .arg("--int8")
            .arg(int8)
            .arg("--out")
            .arg(out)
            .arg(format!("--hearts={}", self.hearts))
            .arg(format!("--calibration={}", self.hearts))
            .arg(format!("--seed={}", self.seed))
            .arg(format!("--threads={}", self.threads));
        command::run(&mut evaluate)
    }
}

impl Places<'_> {
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.layout.binary().with_file_name(name));
        command.current_dir(&self.layout.root);
        without_our_cargo(&mut command);
        command
    }

    fn cart(&self) -> Command {
        self.program("echocart")
    }

    fn trainer(&self) -> Command {
        self.program("echocart-train")
    }

    fn export(&self, out: &Path) -> Command {
        let mut export = self.cart();
        export
            .args(["export", "--replace", "--recipe", package::STANDIN])
            .args(package::standin(&self.weights))
            .arg("--out")
            .arg(out);
        export
    }

    /// Writes labels of simulated hearts.
    fn phantoms(&self, name: &str, first: u64, hearts: usize) -> Result<PathBuf> {
        let path = self.work.join(name);
        let file = fs::File::create(&path)
            .with_context(|| format!("cannot write ({})", path.display()))?;
        let mut phantoms = self.trainer();
        phantoms
            .arg("phantoms")
            .arg(format!("--first={first}"))
            .arg(format!("--hearts={hearts}"))
            .stdout(Stdio::from(file));
        command::run(&mut phantoms)?;
        Ok(path)
    }

    /// Runs a command whose exit code is to be one of `expected`, and gives it: 1 is a recording
    /// that gives no clip, or a missed target, and no failure here.
    fn unless_skipped(&self, command: &mut Command, expected: &[i32]) -> Result<i32> {
        let status = command
            .status()
            .with_context(|| format!("cannot start `{}`", command::line(command)))?;
        match status.code().filter(|code| expected.contains(code)) {
            Some(code) => Ok(code),
            None => bail!(
                "expected exit code {}, found {} (`{}`)",
                expected
                    .iter()
                    .map(i32::to_string)
                    .collect::<Vec<_>>()
                    .join(" or "),
                command::ending(status),
                command::line(command)
            ),
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read ({})", path.display()))
}

/// The locations in a label file of simulated hearts.
fn locations(path: &Path) -> Result<Vec<OsString>> {
    let text = read(path)?;
    let found = text
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.split_once('"'));
    Ok(found.map(|(location, _)| location.into()).collect())
}

/// The labels without EF, for weights that release too few to make an interval of.
fn without_fractions(text: &str) -> String {
    let line = |line: &str| match line.rsplitn(3, ',').collect::<Vec<_>>()[..] {
        [patient, _, rest] if line.starts_with('"') => format!("{rest},,{patient}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_the_quoted_paths_of_a_label_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.csv");
        let text = "path,view,lvef,patient\n\"phantom:view=A4C,seed=1\",A4C,55.00,heart 1\n";
        fs::write(&path, text).unwrap();
        assert_eq!(locations(&path).unwrap(), ["phantom:view=A4C,seed=1"]);
        assert!(locations(&dir.path().join("none.csv")).is_err());
        let expected = text.replace(",55.00,", ",,");
        assert_eq!(without_fractions(text), expected);
    }
}
