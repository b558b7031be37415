//! `cargo xtask test`.

use crate::command::{self, cargo};
use crate::layout::Layout;
use crate::setup::Setup;
use crate::{package, tensorrt, ui};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// Gives `false` when it did not run because something optional is not there.
type Check = fn(&Layout) -> Result<bool>;

const STEPS: [(&str, Check); 7] = [
    ("formatting", |layout| {
        command::run(cargo(layout).args(["fmt", "--all", "--check"])).map(ran)
    }),
    ("clippy", |layout| {
        let what = ["clippy", "--release", "--workspace", "--all-targets"];
        command::run(cargo(layout).args(what).args(["--", "-D", "warnings"])).map(ran)
    }),
    ("build", |layout| {
        command::run(cargo(layout).args(["build", "--release", "--workspace"])).map(ran)
    }),
    ("packages", |layout| {
        package::make(layout)?;
        package::make_generated(layout).map(ran)
    }),
    ("unit and integration tests", |layout| {
        let what = ["test", "--release", "--workspace", "--no-fail-fast"];
        command::run(cargo(layout).args(what)).map(ran)
    }),
    ("TensorRT without a GPU", tensorrt::where_present),
    ("page in a browser", |layout| ui::check(layout).map(ran)),
];

/// Sets up and runs every check; the first that fails ends it.
///
/// # Errors
/// The set-up's, or the failed check's with its name.
pub fn run(layout: &Layout, system: bool) -> Result<()> {
    let mut times = Vec::new();
    let mut not_run = 0;
    let start = Instant::now();
    announce("set-up");
    Setup {
        system,
        tests: true,
        cine: true,
    }
    .run(layout)?;
    times.push(("set-up", start.elapsed()));
    for (name, check) in STEPS {
        announce(name);
        let start = Instant::now();
        let ran = check(layout).with_context(|| format!("failed: {name}"))?;
        not_run += usize::from(!ran);
        times.push((name, start.elapsed()));
    }
    announce("summary");
    print!("{}", table(&times));
    println!(
        "{} passed, 0 failed, {not_run} not run",
        STEPS.len() - not_run
    );
    Ok(())
}

fn ran((): ()) -> bool {
    true
}

fn announce(name: &str) {
    println!("== {name} ==");
}

fn table(times: &[(&str, Duration)]) -> String {
    let all = times.iter().map(|(_, time)| *time).sum();
    times
        .iter()
        .copied()
        .chain([("all", all)])
        .map(|(name, time)| format!("{name:<28}{:>8.1} s\n", time.as_secs_f64()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_step_and_the_sum() {
        let times = [
            ("one", Duration::from_millis(1_500)),
            ("two", Duration::from_secs(60)),
        ];
        let expected = format!(
            "{:<28}{:>8} s\n{:<28}{:>8} s\n{:<28}{:>8} s\n",
            "one", "1.5", "two", "60.0", "all", "61.5"
        );
        assert_eq!(table(&times), expected);
    }
}
