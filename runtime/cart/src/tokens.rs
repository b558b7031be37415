//! `echocart keep-tokens`: what leaving out the patches outside the imaging area does to a variant.

use crate::exit::{Because, Cause, Failure};
use crate::export::{interrupted, print, stop_flag};
use crate::labelled::{
    LabelledArgs, NewPackage, Outcome, Played, PlayedClip, leave_interrupted, play_all,
};
use clap::Args;
use echocart_core::manifest::{HeadOutput, KeptTokens, LVEF, Manifest};
use std::fmt::Write;
use std::process::ExitCode;

const HELP: &str = "\
Every recording runs through the live path twice: with all tokens, then without the patches wholly
outside the imaging area. Clips of the same frames are compared: the most probable view, and the EF
where both have one. The result goes into a new package, for the variant that ran and no other.
From 98 % of clips with the same view and 1.0 point of EF on, carts leave those patches out. Labels
are looked at for one thing: how many views are right either way.

Examples:
  echocart keep-tokens --labels val.csv --package pkg --variant int8 --out pkg-fewer

Exit codes: 0 done, 1 a file was skipped or could not be written, 2 usage, configuration or nothing
to compare, 4 package, 5 ONNX Runtime library, 130 interrupted (nothing is left behind).";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct KeepTokensArgs {
    #[command(flatten)]
    labelled: LabelledArgs,
    #[command(flatten)]
    new: NewPackage,
}

/// Clips compared so far.
#[derive(Debug, Default, PartialEq)]
struct Compared {
    clips: u64,
    same_view: u64,
    /// Clips with a labelled view, and how many are right with all and with fewer tokens.
    labelled: u64,
    right: [u64; 2],
    /// Differences of EF, percentage points.
    shifts: Vec<f64>,
    used: u64,
    all: u64,
}

/// Measures, writes the package and prints what came out.
pub fn keep_tokens(args: &KeepTokensArgs) -> Result<ExitCode, Failure> {
    let stop = stop_flag()?;
    args.new.check()?;
    let mut ready = args.labelled.open(&stop)?;
    let variant = ready.player.engine_info().variant;
    let takes = ready.package.manifest.takes_fewer(&variant);
    takes.map_err(|why| Failure::text(Cause::Usage, format!("nothing to measure: {why}")))?;
    let mut play = |fewer| {
        ready.player.fewer(fewer);
        play_all(&mut ready, &stop, &mut None)
    };
    let (Some(all), Some(fewer)) = (play(false)?, play(true)?) else {
        leave_interrupted();
    };
    let points = points(&ready.package.manifest);
    let (mut compared, mut skipped) = (Compared::default(), Vec::new());
    for (label, pair) in ready.labels.rows.iter().zip(all.iter().zip(&fewer)) {
        match pair {
            (Outcome::Played(all), Outcome::Played(fewer)) => {
                compared.recording(label.view, (all, fewer), points);
            }
            (Outcome::Skipped(why), _) | (_, Outcome::Skipped(why)) => {
                skipped.push((label.shown.as_str(), why.as_str()));
            }
        }
    }
    let Some(found) = compared.found(&ready.package.manifest) else {
        let text = format!(
            "expected clips with fewer tokens, and EF among them where the package has it, found {} clips and {} EF: \
             the imaging area must be known and show something black beside it ({})",
            compared.clips,
            compared.shifts.len(),
            ready.labels.name
        );
        return Err(Failure::text(Cause::Usage, text));
    };
    let edit = |manifest: &mut Manifest| {
        manifest.kept_tokens.insert(variant.clone(), found);
    };
    let Some(report) = args.new.write(&ready.package, edit, stop)? else {
        return Ok(interrupted());
    };
    let mut text = format!(
        "package: {} ({}), variant {variant}\n",
        report.dir.display(),
        report.hash.get(..12).unwrap_or_default()
    );
    compared.words(&mut text);
    let _ = match report.manifest.may_keep_fewer(&variant) {
        Ok(()) => writeln!(text, "carts leave them out"),
        Err(why) => writeln!(text, "carts keep all tokens: {why}"),
    };
    for (path, why) in &skipped {
        let _ = writeln!(text, "skipped {path}: {why}");
    }
    print(&text).because(Cause::Other)?;
    Ok(ExitCode::from(u8::from(!skipped.is_empty())))
}

/// Percentage points of one standard deviation of the EF head.
fn points(manifest: &Manifest) -> Option<f64> {
    match manifest.heads.get(LVEF)?.output {
        HeadOutput::Regression { std, .. } => Some(std),
        HeadOutput::Classification { .. } => None,
    }
}

impl Compared {
    /// Takes in the clips of a recording that were encoded from fewer tokens.
    fn recording(
        &mut self,
        label: Option<usize>,
        (all, fewer): (&Played, &Played),
        points: Option<f64>,
    ) {
        for less in &fewer.clips {
            let same = |clip: &&PlayedClip| clip.frames == less.frames;
            let (Some(tokens), Some(clip)) = (less.tokens, all.clips.iter().find(same)) else {
                continue;
            };
            self.clips += 1;
            self.used += tokens.used as u64;
            self.all += tokens.all as u64;
            let views = [clip, less].map(|clip| most_probable(&clip.record.view));
            self.same_view += u64::from(views[0].is_some() && views[0] == views[1]);
            if label.is_some() {
                self.labelled += 1;
                for (right, view) in self.right.iter_mut().zip(views) {
                    *right += u64::from(view == label);
                }
            }
            if let (Some(a), Some(b), Some(points)) = (clip.lvef_z, less.lvef_z, points) {
                self.shifts.push(f64::from(b - a) * points);
            }
        }
    }

    /// What the manifest says; none where nothing was compared.
    fn found(&self, manifest: &Manifest) -> Option<KeptTokens> {
        let shift = (!self.shifts.is_empty()).then(|| self.mean(f64::abs));
        if self.clips == 0 || (shift.is_none() && manifest.heads.contains_key(LVEF)) {
            return None;
        }
        Some(KeptTokens {
            clips: self.clips,
            view_agreement: self.same_view as f64 / self.clips as f64,
            ef_shift: shift,
        })
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.shifts.iter().copied().map(of).sum::<f64>() / self.shifts.len() as f64
    }

    fn words(&self, text: &mut String) {
        let share = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
        let _ = writeln!(
            text,
            "tokens: {:.1} % of them, {} clips\nview: the same in {} clips ({:.1} %)",
            share(self.used, self.all),
            self.clips,
            self.same_view,
            share(self.same_view, self.clips)
        );
        if self.labelled > 0 {
            let _ = writeln!(
                text,
                "  right, of {} labelled: {} with all, {} with fewer",
                self.labelled, self.right[0], self.right[1]
            );
        }
        if !self.shifts.is_empty() {
            let _ = writeln!(
                text,
                "EF: {:.2} points off in the mean, {:+.2} with its sign, {} clips",
                self.mean(f64::abs),
                self.mean(|shift| shift),
                self.shifts.len()
            );
        }
    }
}

fn most_probable(logits: &[f32]) -> Option<usize> {
    let all = logits.iter().enumerate();
    all.max_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at)
}
