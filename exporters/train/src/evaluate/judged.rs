//! What every encoder says of every heart.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::few::{self, Drawn, FEW};
use super::figures::{self, FewFigures};
use super::model::{Model, Shape, answer, kept};
use super::report::{Encoder, KeptTokens, Report};
use super::{Evidence, OTHERS, PRETRAINED, RANDOM, SUPERVISED};
use crate::cache::{Clips, Label};
use crate::fit::Fitted;
use crate::measure::{self, arg_max, mean};
use crate::net::probe::softmax;
use crate::net::vit::Size;
use crate::perturb::Disturbance;
use crate::probing::{COVERAGE, EF_MEAN, EF_STD, EF_VIEW, class};
use crate::{TrainError, parallel, render};

/// Logits or probabilities, with the true class.
type Answers = Vec<(Vec<f32>, usize)>;

/// An encoder with everything that was fitted on its features.
pub struct Judge {
    model: Model,
    encoder: Size,
    /// One entry per member of [`FEW`], each with one probe per draw.
    few: Vec<Vec<Fitted>>,
    temperature: f32,
    half_width: Option<f64>,
}

/// One encoder's answers on one clip.
struct Said {
    view: Option<Vec<f32>>,
    few: Vec<Vec<Vec<f32>>>,
    ef: Option<f64>,
    disturbed: Vec<f64>,
    kept: Option<Kept>,
}

/// The answers from the sector's tokens alone.
struct Kept {
    share: f64,
    view: Vec<f32>,
    ef: Option<f64>,
}

/// A test heart and the answers on it, in the order of the judges.
pub struct Heart {
    class: Option<usize>,
    /// The true EF, where it is one of the views that it is stated for.
    ef: Option<f64>,
    said: Vec<Said>,
    /// What the networks say that were taught by 60 labels alone, one per draw.
    scratch: Vec<Vec<f32>>,
}

impl Judge {
    /// Fits what is fitted on other hearts. Nothing if it was stopped.
    pub fn new(
        model: Model,
        (shape, drawn, calibration): (Shape, &Drawn, &Clips),
        threads: usize,
        stop: &AtomicBool,
    ) -> Result<Option<Self>, TrainError> {
        let mut few = Vec::new();
        for (labels, draws) in FEW.into_iter().zip(drawn) {
            match few::fit(&model, shape, (labels, draws), threads, stop)? {
                Some(probes) => few.push(probes),
                None => return Ok(None),
            }
        }
        let answers = parallel::map(0..calibration.len(), threads, |&at| {
            let x = model.features(calibration.pixels(at), None);
            let logits = model.view.as_ref().map(|probe| answer(probe, &x));
            (
                logits,
                model.lvef.as_ref().and_then(|probe| percent(probe, &x)),
            )
        });
        let both = || calibration.labels.iter().zip(&answers);
        let logits =
            both().filter_map(|(label, (logits, _))| Some((logits.clone()?, class(label)?)));
        let logits: Answers = logits.collect();
        let residuals =
            both().filter_map(|(label, (_, found))| Some(((*found)? - fraction(label)?).abs()));
        Ok(Some(Self {
            encoder: shape.encoder,
            few,
            temperature: match logits.is_empty() {
                true => 1.0,
                false => measure::temperature(&logits),
            },
            half_width: measure::conformal(residuals.collect(), COVERAGE),
            model,
        }))
    }

    fn say(&self, drawn: &render::Drawn, with_kept: bool) -> Said {
        let model = &self.model;
        let x = model.features(&drawn.pixels, None);
        let fraction = fraction(&drawn.label);
        let ef = |x: &[f32]| {
            let probe = model.lvef.as_ref().filter(|_| fraction.is_some())?;
            percent(probe, x)
        };
        let disturbed = |disturbance: &Disturbance| {
            let pixels = disturbance.apply(&drawn.pixels, drawn.label.seed);
            ef(&model.features(&pixels, None))
        };
        let with_ef = model.lvef.is_some() && fraction.is_some();
        let disturbances = Disturbance::ALL.iter().filter(|_| with_ef);
        let places = kept(&drawn.inside, self.encoder);
        let view = model.view.as_ref();
        let view = view.filter(|_| with_kept && !places.is_empty());
        Said {
            view: model.view.as_ref().map(|probe| answer(probe, &x)),
            few: self
                .few
                .iter()
                .map(|draws| draws.iter().map(|probe| answer(probe, &x)).collect())
                .collect(),
            ef: ef(&x),
            disturbed: disturbances.filter_map(disturbed).collect(),
            kept: view.map(|probe| {
                let x = model.features(&drawn.pixels, Some(&places));
                Kept {
                    share: places.len() as f64 / self.encoder.tokens() as f64,
                    view: answer(probe, &x),
                    ef: ef(&x),
                }
            }),
        }
    }
}

impl Heart {
    /// Renders heart `index` from seed `first` on and asks every judge; the first one also about
    /// the sector's tokens.
    pub fn new(
        first: u64,
        index: u64,
        (judges, scratch): (&[Judge], &[Model]),
    ) -> Result<Self, TrainError> {
        let drawn = render::draw(first, index)?;
        let said = judges.iter().zip(0..);
        Ok(Self {
            class: class(&drawn.label),
            ef: fraction(&drawn.label),
            said: said.map(|(judge, at)| judge.say(&drawn, at == 0)).collect(),
            scratch: scratch
                .iter()
                .filter_map(|model| {
                    let x = model.features(&drawn.pixels, None);
                    Some(answer(model.view.as_ref()?, &x))
                })
                .collect(),
        })
    }
}

/// The EF of a clip, where it is one of those that it is stated for.
fn fraction(label: &Label) -> Option<f64> {
    label
        .ef_percent
        .filter(|_| label.view.as_deref() == Some(EF_VIEW))
}

fn percent(probe: &Fitted, features: &[f32]) -> Option<f64> {
    let z = answer(probe, features);
    Some(f64::from(*z.first()?) * EF_STD + EF_MEAN)
}

/// Puts everything together.
pub fn evidence(
    judges: &[Judge],
    hearts: &[Heart],
    calibration: &Clips,
    first_seed: u64,
) -> Evidence {
    let known: Vec<f64> = calibration.labels.iter().filter_map(fraction).collect();
    let encoders: Vec<Encoder> = judges
        .iter()
        .enumerate()
        .map(|(at, judge)| encoder(judge, at, hearts, mean(&known)))
        .collect();
    let first = encoders.first();
    let of = |name: &str| encoders.iter().find(|encoder| encoder.name == name);
    let sixty = |name: &str| of(name).and_then(|encoder| encoder.few.first());
    let scratch = scratch(hearts);
    // An encoder that has seen every label is no baseline for few.
    let mut baselines = BTreeMap::new();
    baselines.extend(sixty(RANDOM).map(|few| (RANDOM, few)));
    baselines.extend(scratch.as_ref().map(|few| (SUPERVISED, few)));
    let highest = baselines.values().map(|few| few.interval[1]);
    let highest = highest.max_by(f64::total_cmp);
    let ejection = first.and_then(|encoder| encoder.ejection.as_ref());
    let mut not_done = Vec::new();
    for name in OTHERS {
        if of(name).is_none() {
            not_done.push(format!("{name} encoder: no weights"));
        }
    }
    let report = Report {
        hearts: "simulated hearts; no clinical meaning".to_owned(),
        test_clips: hearts.len(),
        first_seed,
        shipped: first.map(|encoder| encoder.name),
        calibration_clips: calibration.len(),
        view_accuracy_all: first.and_then(|e| Some(e.view.as_ref()?.views.accuracy)),
        view_accuracy_60: sixty(PRETRAINED).map(|few| few.accuracy),
        view_accuracy_60_baselines: baselines
            .iter()
            .map(|(name, few)| (*name, few.accuracy))
            .collect(),
        view_accuracy_60_disjoint: sixty(PRETRAINED)
            .zip(highest)
            .map(|(few, high)| few.interval[0] > high),
        ef_mae: ejection.map(|found| found.ejection.mae),
        ef_mae_predict_mean: ejection.map(|found| found.ejection.mae_predict_mean),
        interval_coverage: ejection.map(|found| found.ejection.coverage),
        perturbation_degradation: first.and_then(|encoder| encoder.degradation),
        perturbation_degradation_supervised: of(SUPERVISED).and_then(|e| e.degradation),
        kept_tokens: kept_tokens(hearts),
        package: None,
        int8: None,
        not_done,
        scratch,
        encoders,
    };
    Evidence {
        fractions: fractions(hearts, 0, |said| said.ef),
        report,
    }
}

/// The networks that were taught by few labels alone.
fn scratch(hearts: &[Heart]) -> Option<FewFigures> {
    let draws = hearts.first()?.scratch.len();
    let draw = |draw: usize| -> Answers {
        let answers = hearts
            .iter()
            .filter_map(|heart| Some((heart.scratch.get(draw)?.clone(), heart.class?)));
        answers.collect()
    };
    let draws: Vec<Answers> = (0..draws).map(draw).collect();
    (!draws.is_empty()).then(|| figures::few(FEW[0].count, &draws))
}

fn encoder(judge: &Judge, at: usize, hearts: &[Heart], known_mean: f64) -> Encoder {
    let logits = answers(hearts, at, |said| said.view.clone());
    let probabilities = logits.into_iter().map(|(mut logits, class)| {
        for logit in &mut logits {
            *logit /= judge.temperature;
        }
        softmax(&mut logits);
        (logits, class)
    });
    let probabilities: Answers = probabilities.collect();
    let few = FEW.iter().enumerate().map(|(kind, labels)| -> FewFigures {
        let draw = |draw: usize| {
            answers(hearts, at, move |said| {
                said.few.get(kind)?.get(draw).cloned()
            })
        };
        let draws: Vec<Answers> = (0..labels.draws).map(draw).collect();
        figures::few(labels.count, &draws)
    });
    let estimates = fractions(hearts, at, |said| said.ef);
    let ejection = judge.half_width.filter(|_| !estimates.is_empty());
    let disturbed = Disturbance::ALL
        .iter()
        .enumerate()
        .map(|(kind, disturbance)| {
            let changed = fractions(hearts, at, |said| said.disturbed.get(kind).copied());
            figures::disturbed(*disturbance, &estimates, &changed)
        });
    let disturbed: Vec<_> = disturbed.filter(|_| !estimates.is_empty()).collect();
    let shares: Vec<f64> = disturbed.iter().map(|found| found.degradation).collect();
    Encoder {
        name: judge.model.name,
        view: (!probabilities.is_empty())
            .then(|| figures::views(&probabilities, judge.temperature)),
        few: few.collect(),
        ejection: ejection.map(|half| figures::ejection(&estimates, known_mean, half)),
        degradation: (!shares.is_empty()).then(|| mean(&shares)),
        disturbed,
    }
}

fn answers(hearts: &[Heart], at: usize, pick: impl Fn(&Said) -> Option<Vec<f32>>) -> Answers {
    let answers = hearts
        .iter()
        .filter_map(|heart| Some((pick(heart.said.get(at)?)?, heart.class?)));
    answers.collect()
}

fn fractions(hearts: &[Heart], at: usize, pick: impl Fn(&Said) -> Option<f64>) -> Vec<(f64, f64)> {
    let pairs = hearts
        .iter()
        .filter_map(|heart| Some((pick(heart.said.get(at)?)?, heart.ef?)));
    pairs.collect()
}

/// What all tokens and the sector's alone say of one clip.
type Both<'a> = (&'a Heart, &'a Vec<f32>, &'a Said, &'a Kept);

fn kept_tokens(hearts: &[Heart]) -> Option<KeptTokens> {
    let both = hearts.iter().filter_map(|heart| {
        let said = heart.said.first()?;
        Some((heart, said.view.as_ref()?, said, said.kept.as_ref()?))
    });
    let both: Vec<_> = both.collect();
    let of = |pick: &dyn Fn(&Both<'_>) -> Option<f64>| {
        mean(&both.iter().filter_map(pick).collect::<Vec<f64>>())
    };
    let same = |yes: bool| Some(f64::from(u8::from(yes)));
    (!both.is_empty()).then(|| KeptTokens {
        clips: both.len(),
        share: of(&|(_, _, _, kept)| Some(kept.share)),
        view_agreement: of(&|(_, view, _, kept)| same(arg_max(view) == arg_max(&kept.view))),
        view_accuracy: of(&|(heart, _, _, kept)| same(arg_max(&kept.view) == heart.class?)),
        ef_shift: of(&|(_, _, said, kept)| Some(kept.ef? - said.ef?)),
        ef_shift_absolute: of(&|(_, _, said, kept)| Some((kept.ef? - said.ef?).abs())),
        ef_mae: of(&|(heart, _, _, kept)| Some((kept.ef? - heart.ef?).abs())),
    })
}
