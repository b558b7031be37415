//! What the events say that an exam must know: newest valid outputs, held views, absent ultrasound.

use echocart_core::events::{Estimate, HeartRate, LvefValue, Output, Reason, Segment, Status};
use std::collections::{BTreeMap, VecDeque};

/// How long after its newest frame a heart rate still stands for the heart.
const HEART_NANOS: i64 = 3_000_000_000;

/// The newest output of EF: its estimate, itself, its package.
pub type Ef = (u64, Output<LvefValue>, String);

/// One estimate as far as a capture needs it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub label: String,
    pub probability: f32,
    pub demonstration: bool,
    pub standard: Option<String>,
    pub signal: Option<f32>,
    /// The EF that stood then, with its estimate and package.
    pub lvef: Option<Ef>,
    pub heart: Option<HeartRate>,
    pub package: String,
    pub first_nanos: i64,
    pub last_nanos: i64,
    pub valid_until_nanos: i64,
}

impl Seen {
    /// How good a clip is: how sure of its view, times the image signal where that is measured.
    pub fn score(&self) -> f32 {
        self.probability * self.signal.unwrap_or(1.0)
    }

    /// Time of the first and last frame behind its EF, or else behind its view.
    pub fn span(&self) -> (i64, i64) {
        let valued = self
            .lvef
            .as_ref()
            .filter(|(_, output, _)| output.has_value());
        valued
            .and_then(|(_, output, _)| span(&output.evidence.segments))
            .unwrap_or((self.first_nanos, self.last_nanos))
    }
}

fn span(segments: &[Segment]) -> Option<(i64, i64)> {
    let first = segments.iter().map(|s| s.first_capture_nanos).min()?;
    let last = segments.iter().map(|s| s.last_capture_nanos).max()?;
    Some((first, last))
}

/// Follows the estimates of one exam.
#[derive(Debug, Default)]
pub struct Watch {
    /// Standard view by label of the package.
    map: BTreeMap<String, String>,
    /// Signal meter below which a view is not held.
    least_signal: f32,
    /// Those of the last seconds with a view, oldest first.
    seen: VecDeque<Seen>,
    lvef: Option<Ef>,
    /// The heart rate of the newest estimate, and its newest frame.
    heart: Option<(HeartRate, i64)>,
    hold: Option<(String, i64, i64)>,
    frozen: bool,
    present_nanos: Option<i64>,
}

/// What an estimate led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    Nothing,
    /// The image has stood still just now.
    Froze,
}

impl Watch {
    pub fn new(map: BTreeMap<String, String>, least_signal: f32) -> Self {
        Self {
            map,
            least_signal,
            ..Self::default()
        }
    }

    /// True when the package tells `view` from all others.
    pub fn is_automatic(&self, view: &str) -> bool {
        self.map.values().any(|v| v == view)
    }

    /// Forgets what belongs to a patient.
    pub fn forget(&mut self) {
        *self = Self::new(std::mem::take(&mut self.map), self.least_signal);
    }

    /// Takes the newest estimate; what is older than `keep_nanos` before it is forgotten.
    pub fn take(&mut self, estimate: &Estimate, keep_nanos: i64) -> Turn {
        let frozen = estimate.view.reason == Some(Reason::Frozen);
        if estimate.lvef.status != Status::NotDue && !frozen {
            let package = estimate.package.clone();
            self.lvef = Some((estimate.clip, estimate.lvef.clone(), package));
        }
        if estimate.view.status == Status::NotDue {
            return Turn::Nothing;
        }
        let segments = &estimate.view.evidence.segments;
        let reason = estimate.view.reason;
        let absent = matches!(
            reason,
            Some(Reason::Frozen | Reason::ReviewLoop | Reason::NotUltrasound | Reason::Gap)
        );
        if let Some((_, last)) = span(segments).filter(|_| !absent) {
            self.present_nanos = self.present_nanos.max(Some(last));
        }
        let froze = frozen && !self.frozen;
        self.frozen = frozen;
        self.follow(estimate, frozen, keep_nanos);
        match froze {
            true => Turn::Froze,
            false => Turn::Nothing,
        }
    }

    fn follow(&mut self, estimate: &Estimate, frozen: bool, keep_nanos: i64) {
        let signal = estimate.signal.value.as_ref().map(|s| s.meter);
        if frozen {
            self.hold = None;
            return;
        }
        let newest = span(&estimate.view.evidence.segments).map(|(_, last)| last);
        self.heart = estimate.heart.zip(newest);
        let (Some(value), Some((first_nanos, last_nanos))) =
            (&estimate.view.value, span(&estimate.view.evidence.segments))
        else {
            self.hold = None;
            if !matches!(
                estimate.view.reason,
                Some(Reason::WarmingUp | Reason::Uncertain)
            ) {
                self.seen.clear();
            }
            return;
        };
        let standard = self.map.get(&value.label).cloned();
        let most = value.probabilities.iter().copied().fold(0.0, f32::max);
        let signal_fails = estimate.signal.status == Status::Withheld
            || signal.is_some_and(|s| s < self.least_signal);
        self.hold = match (&standard, self.hold.take()) {
            (None, _) => None,
            (Some(_), _) if signal_fails => None,
            (Some(view), Some((held, since, _))) if *view == held => {
                Some((held, since, last_nanos))
            }
            (Some(view), _) => Some((view.clone(), last_nanos, last_nanos)),
        };
        self.seen.push_back(Seen {
            label: value.label.clone(),
            probability: most,
            demonstration: estimate.view.status == Status::Demonstration,
            standard,
            signal,
            lvef: self.lvef(last_nanos),
            heart: estimate.heart,
            package: estimate.package.clone(),
            first_nanos,
            last_nanos,
            valid_until_nanos: estimate.view.valid_until_nanos.unwrap_or(last_nanos),
        });
        while self
            .seen
            .front()
            .is_some_and(|s| s.last_nanos < last_nanos - keep_nanos)
        {
            self.seen.pop_front();
        }
    }

    /// The view held, and for how long, nanoseconds.
    pub fn held(&self) -> Option<(&str, i64)> {
        let (view, since, last) = self.hold.as_ref()?;
        Some((view, last - since))
    }

    /// Begins holding anew.
    pub fn rearm(&mut self) {
        self.hold = None;
    }

    /// The newest clip with a view that may still be shown at `now_nanos`.
    pub fn newest(&self, now_nanos: i64) -> Option<&Seen> {
        self.seen.back().filter(|s| now_nanos < s.valid_until_nanos)
    }

    /// The newest EF, or why there is none, at `now_nanos`: estimate, output, package.
    pub fn lvef(&self, now_nanos: i64) -> Option<Ef> {
        let (clip, output, package) = self.lvef.clone()?;
        let stale = output
            .valid_until_nanos
            .is_some_and(|until| now_nanos >= until);
        Some(match stale {
            true => (
                clip,
                Output::withheld(Reason::Stale, output.evidence),
                package,
            ),
            false => (clip, output, package),
        })
    }

    /// The heart rate of the newest estimate, while it is that of now.
    pub fn heart(&self, now_nanos: i64) -> Option<HeartRate> {
        let (heart, newest_nanos) = self.heart?;
        (now_nanos.saturating_sub(newest_nanos) <= HEART_NANOS).then_some(heart)
    }

    /// The best clip of the last seconds, of `view` if one is asked for.
    pub fn best(&self, view: Option<&str>, reaches: impl Fn(i64) -> bool) -> Option<&Seen> {
        let fits = |s: &&Seen| view.is_none_or(|v| s.standard.as_deref() == Some(v));
        let whole = |s: &&Seen| reaches(s.span().0);
        let better = |a: &&Seen, b: &&Seen| a.score().total_cmp(&b.score());
        self.seen.iter().filter(fits).filter(whole).max_by(better)
    }

    /// Capture time of the last live ultrasound image.
    pub fn present_nanos(&self) -> Option<i64> {
        self.present_nanos
    }
}
