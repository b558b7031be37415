//! Numbers that make a model's outputs honest: pure functions over labelled results.

use std::ops::RangeInclusive;

/// Temperatures that are looked for.
pub const TEMPERATURES: RangeInclusive<f64> = 0.05..=20.0;

/// Shares that an interval may promise to cover.
pub const COVERAGES: RangeInclusive<f64> = 0.5..=0.999;

/// Rounding allowed where a sum of shares is compared with a number of patients.
const SLACK: f64 = 1e-9;

/// Why nothing can be calibrated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The coverage is no share that an interval may promise.
    #[error("coverage: expected {} to {}, found {found}", COVERAGES.start(), COVERAGES.end())]
    Coverage {
        /// The coverage given.
        found: f64,
    },
    /// The patients are too few for the coverage: the interval would have no end.
    #[error("patients: expected at least {needed} for a coverage of {coverage}, found {found}")]
    TooFew {
        /// Patients needed.
        needed: usize,
        /// The coverage.
        coverage: f64,
        /// Patients with an estimate.
        found: usize,
    },
    /// A number is not one.
    #[error("{what}: expected finite numbers, found {found}")]
    NotFinite {
        /// Which number.
        what: &'static str,
        /// The number.
        found: f64,
    },
    /// A label does not belong to the logits.
    #[error("label: expected below {expected}, the number of logits, found {found}")]
    Label {
        /// Number of logits.
        expected: usize,
        /// The label.
        found: usize,
    },
    /// No labelled clip.
    #[error("labelled clips: expected at least one, found none")]
    NoClip,
    /// The likelihood grows up to the end of [`TEMPERATURES`].
    #[error(
        "view temperature: expected a likelihood with a maximum, found it still growing at \
         {at}: {why}"
    )]
    NoMaximum {
        /// The end it grows up to.
        at: f64,
        /// What that says about the clips.
        why: &'static str,
    },
}

/// Fewest groups from which a conformal interval of `coverage` has an end.
pub fn fewest_groups(coverage: f64) -> usize {
    (coverage / (1.0 - coverage) - SLACK).ceil() as usize
}

/// Half width of a split conformal interval from absolute residuals, one group per patient.
///
/// With one residual per patient it is the smallest one whose rank is at least
/// `ceil((n + 1) * coverage)`. A patient's residuals share one rank between them, so that the
/// promise holds for any estimate of a new patient, however many estimates each patient has.
/// Patients without a residual do not count.
///
/// # Errors
/// [`CalibrationError::TooFew`] where that rank is beyond `n`; for a coverage outside
/// [`COVERAGES`] and residuals that are not finite.
///
/// # Source
/// Split conformal prediction with hierarchical data, one random observation per new group:
/// Lee, Barber and Willett, arXiv 2306.06342.
pub fn conformal_half_width(groups: &[Vec<f64>], coverage: f64) -> Result<f64, CalibrationError> {
    if !COVERAGES.contains(&coverage) {
        return Err(CalibrationError::Coverage { found: coverage });
    }
    let mut residuals = Vec::new();
    let mut count = 0;
    for group in groups.iter().filter(|g| !g.is_empty()) {
        count += 1;
        for residual in group {
            if !residual.is_finite() {
                return Err(CalibrationError::NotFinite {
                    what: "residual",
                    found: *residual,
                });
            }
            residuals.push((residual.abs(), 1.0 / group.len() as f64));
        }
    }
    residuals.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let rank = coverage * (count + 1) as f64 - SLACK;
    let mut reached = 0.0;
    for (residual, share) in residuals {
        reached += share;
        if count >= fewest_groups(coverage) && reached >= rank {
            return Ok(residual);
        }
    }
    Err(CalibrationError::TooFew {
        needed: fewest_groups(coverage),
        coverage,
        found: count,
    })
}

/// One labelled clip for [`fit_temperature`].
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledClip {
    /// View logits.
    pub logits: Vec<f32>,
    /// Index of the true view.
    pub label: usize,
    /// What it counts: one over the patient's clips, where patients shall count alike.
    pub weight: f64,
}

/// Temperature that the view logits are divided by, of maximum likelihood.
///
/// The likelihood is concave in one over the temperature, so its slope is bisected.
///
/// # Errors
/// [`CalibrationError::NoMaximum`] where the slope keeps its sign over all of [`TEMPERATURES`];
/// without clips, and for labels and numbers that are none.
pub fn fit_temperature(clips: &[LabelledClip]) -> Result<f64, CalibrationError> {
    if clips.is_empty() {
        return Err(CalibrationError::NoClip);
    }
    for clip in clips {
        check(clip)?;
    }
    let slope = |inverse: f64| -> f64 {
        let each = clips.iter().map(|c| c.weight * slope(c, inverse));
        sum(each)
    };
    let (hottest, coldest) = (*TEMPERATURES.end(), *TEMPERATURES.start());
    let (mut low, mut high) = (1.0 / hottest, 1.0 / coldest);
    if slope(low) <= 0.0 {
        return Err(CalibrationError::NoMaximum {
            at: hottest,
            why: "the logits say nothing about the labels",
        });
    }
    if slope(high) >= 0.0 {
        return Err(CalibrationError::NoMaximum {
            at: coldest,
            why: "hardly a clip is wrong",
        });
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if slope(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok((2.0 / (low + high)).clamp(coldest, hottest))
}

/// Mean negative logarithm of the probability that the clips' true views are given.
///
/// # Errors
/// As for [`fit_temperature`], but for the maximum.
pub fn view_loss(clips: &[LabelledClip], temperature: f64) -> Result<f64, CalibrationError> {
    if clips.is_empty() {
        return Err(CalibrationError::NoClip);
    }
    for clip in clips {
        check(clip)?;
    }
    let loss = |clip: &LabelledClip| {
        let (_, partition) = powers(clip, 1.0 / temperature);
        let most = most(clip);
        partition.ln() - (own(clip) - most) / temperature
    };
    let weights = sum(clips.iter().map(|c| c.weight));
    Ok(sum(clips.iter().map(|c| c.weight * loss(c))) / weights)
}

/// Mean distance between how certain the view head is and how often it is right, over ten bins of
/// certainty (expected calibration error).
///
/// # Errors
/// As for [`view_loss`].
pub fn certainty_error(clips: &[LabelledClip], temperature: f64) -> Result<f64, CalibrationError> {
    const BINS: usize = 10;
    if clips.is_empty() {
        return Err(CalibrationError::NoClip);
    }
    let mut excess: [Vec<f64>; BINS] = Default::default();
    for clip in clips {
        check(clip)?;
        let certainty = 1.0 / powers(clip, 1.0 / temperature).1;
        let right = f64::from(u8::from(own(clip) >= most(clip)));
        let bin = (certainty * BINS as f64) as usize;
        if let Some(bin) = excess.get_mut(bin.min(BINS - 1)) {
            bin.push(clip.weight * (certainty - right));
        }
    }
    let weights = sum(clips.iter().map(|c| c.weight));
    let bins = excess.into_iter().map(|bin| sum(bin.into_iter()).abs());
    Ok(bins.sum::<f64>() / weights)
}

fn check(clip: &LabelledClip) -> Result<(), CalibrationError> {
    let finite = |what, found: f64| match found.is_finite() {
        true => Ok(()),
        false => Err(CalibrationError::NotFinite { what, found }),
    };
    for &logit in &clip.logits {
        finite("view logits", logit.into())?;
    }
    finite("weight", clip.weight)?;
    if clip.label >= clip.logits.len() {
        return Err(CalibrationError::Label {
            expected: clip.logits.len(),
            found: clip.label,
        });
    }
    Ok(())
}

fn most(clip: &LabelledClip) -> f64 {
    let most = clip
        .logits
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, f32::max);
    f64::from(most)
}

fn own(clip: &LabelledClip) -> f64 {
    clip.logits.get(clip.label).map_or(0.0, |&l| l.into())
}

/// Sums of the logits' powers, weighted by the logits and not.
fn powers(clip: &LabelledClip, inverse: f64) -> (f64, f64) {
    let most = most(clip);
    let each = clip.logits.iter().map(|&l| f64::from(l));
    let power = |l: f64| ((l - most) * inverse).exp();
    (
        each.clone().map(|l| l * power(l)).sum(),
        each.map(power).sum(),
    )
}

/// Derivative of one clip's log likelihood by one over the temperature.
fn slope(clip: &LabelledClip, inverse: f64) -> f64 {
    let (weighted, partition) = powers(clip, inverse);
    own(clip) - weighted / partition
}

/// A sum that does not depend on the order of its terms.
pub(crate) fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut terms: Vec<f64> = terms.collect();
    terms.sort_by(f64::total_cmp);
    terms.iter().sum()
}

#[cfg(test)]
mod tests;
