//! A new head from features that another program has written: `echocart probe fit`.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::fit::{Fitted, Item, Plan, Target};
use crate::measure::{arg_max, mean};
use crate::store::{Stored, Width, tensors, write};
use crate::{TrainError, render};

/// One recording, or one patient, in so many is held out.
const HELD_OUT: usize = 5;

/// What is to be fitted.
#[derive(Debug, Clone, Copy)]
pub struct HeadFit<'a> {
    /// Safetensors: `clip.0`, `clip.1` and so on `[tokens, dim]`, `targets` `[clips]` (class or
    /// standardised value) and `groups` `[clips]` (equal numbers stay together).
    pub features: &'a Path,
    /// Clips in it.
    pub clips: usize,
    /// Token width.
    pub dim: usize,
    /// Attention heads.
    pub heads: usize,
    /// Classes; none for a value.
    pub classes: Option<usize>,
    /// Passes over the clips.
    pub epochs: usize,
    /// Seed.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
}

/// What a head fitted on the other clips says of the held-out ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldOut {
    /// Clips.
    pub clips: usize,
    /// Accuracy, or the mean absolute error in standard deviations.
    pub found: f64,
    /// The same of always saying the commonest class, or the mean, of the other clips.
    pub constant: f64,
}

/// A clip's features, its target and its group.
struct Clip {
    x: Vec<f32>,
    target: Target,
    group: usize,
}

/// Fits a head on all clips into `out`, after one on a part of them has been held against the
/// rest. Nothing if it was stopped.
///
/// # Errors
/// [`TrainError`].
pub fn fit(
    plan: HeadFit<'_>,
    out: &Path,
    stop: &AtomicBool,
) -> Result<Option<Option<HeldOut>>, TrainError> {
    let clips = read(plan)?;
    let held = held_out(&clips, plan.seed);
    let both = clips.iter().partition(|clip| held.contains(&clip.group));
    let (checked, rest): (Vec<&Clip>, Vec<&Clip>) = both;
    let mut check = None;
    if !checked.is_empty() {
        let Some(trial) = fitted("held-out check", &rest, plan, stop)? else {
            return Ok(None);
        };
        check = Some(compare(&trial, &rest, &checked, plan));
    }
    let all: Vec<&Clip> = clips.iter().collect();
    let Some(head) = fitted("all recordings", &all, plan, stop)? else {
        return Ok(None);
    };
    write(out, &tensors(&head.layout, &head.params, ""), Width::Full)?;
    Ok(Some(check))
}

fn read(plan: HeadFit<'_>) -> Result<Vec<Clip>, TrainError> {
    let stored = Stored::open(plan.features)?;
    let targets = stored.values("targets", plan.clips)?;
    let groups = stored.values("groups", plan.clips)?;
    let pairs = targets.into_iter().zip(groups).enumerate();
    pairs
        .map(|(at, (target, group))| {
            let x = stored.all(&format!("clip.{at}"))?;
            if x.is_empty() || !x.len().is_multiple_of(plan.dim) {
                let expected = format!("tokens of width {}", plan.dim);
                return Err(TrainError::setting("features", expected, x.len()));
            }
            let target = match plan.classes {
                Some(classes) if (target as usize) < classes => Target::Class(target as usize),
                Some(classes) => {
                    let expected = format!("a class below {classes}");
                    return Err(TrainError::setting("target", expected, target));
                }
                None => Target::Value(target),
            };
            Ok(Clip {
                x,
                target,
                group: group as usize,
            })
        })
        .collect()
}

/// The groups that only check; none of fewer than [`HELD_OUT`].
fn held_out(clips: &[Clip], seed: u64) -> Vec<usize> {
    let mut groups: Vec<usize> = clips.iter().map(|clip| clip.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let order = render::shuffled(groups.len(), seed, 0);
    let held = order.iter().take(groups.len() / HELD_OUT);
    held.map(|at| groups[*at]).collect()
}

fn fitted(
    name: &str,
    clips: &[&Clip],
    plan: HeadFit<'_>,
    stop: &AtomicBool,
) -> Result<Option<Fitted>, TrainError> {
    let items: Vec<Item<'_>> = clips
        .iter()
        .map(|clip| (clip.x.as_slice(), clip.target))
        .collect();
    let (last, outputs) = match plan.classes {
        Some(classes) => ("linear", classes),
        None => ("regressor", 1),
    };
    let mut head = Fitted::start((plan.dim, plan.heads), last, outputs, plan.seed);
    let how = Plan {
        epochs: plan.epochs,
        batch: 16,
        rate: 1e-3,
        decay: 0.05,
        seed: plan.seed,
        threads: plan.threads,
    };
    Ok(head.fit((name, &items), how, stop)?.then_some(head))
}

fn compare(head: &Fitted, rest: &[&Clip], checked: &[&Clip], plan: HeadFit<'_>) -> HeldOut {
    let x: Vec<&[f32]> = checked.iter().map(|clip| clip.x.as_slice()).collect();
    let answers = head.answers(&x, plan.threads);
    let constant = constant(rest, plan.classes);
    let score = |answer: &[f32], target: Target| match target {
        Target::Class(class) => f64::from(u8::from(arg_max(answer) == class)),
        Target::Value(value) => f64::from((answer.first().unwrap_or(&0.0) - value).abs()),
    };
    let of = |answer: &dyn Fn(usize) -> Vec<f32>| {
        let scores = checked.iter().enumerate();
        let scores = scores.map(|(at, clip)| score(&answer(at), clip.target));
        mean(&scores.collect::<Vec<f64>>())
    };
    HeldOut {
        clips: checked.len(),
        found: of(&|at| answers[at].clone()),
        constant: of(&|_| constant.clone()),
    }
}

/// The answer that fits the clips best without looking at any.
fn constant(clips: &[&Clip], classes: Option<usize>) -> Vec<f32> {
    let mut counts = vec![0.0; classes.unwrap_or(1)];
    for clip in clips {
        match clip.target {
            Target::Class(class) => counts[class] += 1.0,
            Target::Value(value) => counts[0] += value / clips.len() as f32,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Tensor;

    fn written(dir: &Path, targets: &[f32], groups: &[f32]) -> std::path::PathBuf {
        let row = |target: f32, at: usize| {
            let noise = 0.1 * (at as f32 * 1.7).sin();
            vec![
                target + noise,
                1.0 - target,
                noise,
                0.3,
                0.1,
                0.0,
                0.2,
                -target,
            ]
        };
        let mut all: Vec<Tensor> = targets
            .iter()
            .enumerate()
            .map(|(at, target)| Tensor {
                name: format!("clip.{at}"),
                shape: vec![2, 8],
                values: row(*target, at).repeat(2),
            })
            .collect();
        for (name, values) in [("targets", targets), ("groups", groups)] {
            all.push(Tensor {
                name: name.to_owned(),
                shape: vec![values.len()],
                values: values.to_vec(),
            });
        }
        let path = dir.join("features.safetensors");
        write(&path, &all, Width::Full).unwrap();
        path
    }

    #[test]
    fn classes_that_differ_are_told_apart_on_recordings_held_out() {
        let dir = tempfile::tempdir().unwrap();
        let targets: Vec<f32> = (0..60).map(|at| (at % 2) as f32).collect();
        let groups: Vec<f32> = (0..60).map(|at| (at / 2) as f32).collect();
        let features = written(dir.path(), &targets, &groups);
        let plan = HeadFit {
            features: &features,
            clips: 60,
            dim: 8,
            heads: 2,
            classes: Some(2),
            epochs: 60,
            seed: 1,
            threads: 1,
        };
        let out = dir.path().join("head.safetensors");
        let stop = AtomicBool::new(false);
        let found = fit(plan, &out, &stop).unwrap().unwrap().unwrap();
        assert_eq!((found.clips, found.constant), (12, 0.5));
        assert!(found.found > 0.9, "{found:?}");
        assert!(out.exists());
        let wrong = HeadFit {
            classes: Some(1),
            ..plan
        };
        let error = fit(wrong, &out, &stop).unwrap_err().to_string();
        assert!(error.contains("expected a class below 1"), "{error}");
    }
}
