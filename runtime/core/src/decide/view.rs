//! The view label over several clips.

use serde::{Deserialize, Serialize};

/// When a smoothed view is shown and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ViewRules {
    /// Weight of the newest clip in the running mean, above 0 up to 1.
    pub newest_weight: f64,
    /// Mean probability at which a label is shown.
    pub enter: f64,
    /// Mean probability below which a shown label is given up; at most `enter`.
    pub leave: f64,
    /// Clips before anything is shown.
    pub clips: u32,
}

impl Default for ViewRules {
    fn default() -> Self {
        Self {
            newest_weight: 0.4,
            enter: 0.6,
            leave: 0.45,
            clips: 2,
        }
    }
}

/// What the clips so far say about the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewDecision {
    /// Too few clips since the last reset.
    WarmingUp,
    /// No label is certain enough.
    Uncertain,
    /// The label with this index.
    Shown(usize),
}

/// Running mean of the view probabilities with hysteresis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewSmoother {
    #[serde(skip)]
    rules: ViewRules,
    means: Vec<f64>,
    clips: u32,
    shown: Option<usize>,
}

impl ViewSmoother {
    /// Starts empty, for `labels` view labels.
    pub fn new(rules: ViewRules, labels: usize) -> Self {
        Self {
            rules,
            means: vec![0.0; labels],
            clips: 0,
            shown: None,
        }
    }

    /// Goes on where another one stands, by this one's own rules; one of other labels is as none.
    pub(crate) fn resume(&mut self, other: Self) {
        let rules = self.rules;
        match other.means.len() == self.means.len() {
            true => *self = Self { rules, ..other },
            false => self.reset(),
        }
    }

    /// Forgets every clip: a new exam, a changed sector, a freeze.
    pub fn reset(&mut self) {
        self.means.fill(0.0);
        self.clips = 0;
        self.shown = None;
    }

    /// Takes the probabilities of one clip, calibrated, in the order of the labels.
    ///
    /// A clip with a wrong count or a number outside 0 to 1 counts as no evidence: everything is
    /// forgotten.
    ///
    /// # Real-time
    /// No allocation; O(labels).
    pub fn push(&mut self, probabilities: &[f32]) -> ViewDecision {
        let fits = probabilities.len() == self.means.len()
            && probabilities.iter().all(|p| (0.0..=1.0).contains(p));
        if !fits {
            self.reset();
            return ViewDecision::WarmingUp;
        }
        self.clips = self.clips.saturating_add(1);
        let weight = self.rules.newest_weight.max(1.0 / f64::from(self.clips));
        for (mean, p) in self.means.iter_mut().zip(probabilities) {
            *mean += weight * (f64::from(*p) - *mean);
        }
        self.decide()
    }

    /// What the clips so far say.
    pub fn decision(&self) -> ViewDecision {
        match self.shown {
            _ if self.clips < self.rules.clips => ViewDecision::WarmingUp,
            Some(label) => ViewDecision::Shown(label),
            None => ViewDecision::Uncertain,
        }
    }

    /// Mean probabilities in the order of the labels.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    fn decide(&mut self) -> ViewDecision {
        let mean = |at: usize| self.means.get(at).copied().unwrap_or(0.0);
        let mut best = 0;
        for at in 0..self.means.len() {
            if mean(at) > mean(best) {
                best = at;
            }
        }
        self.shown = match self.shown {
            Some(label) if mean(label) >= self.rules.leave && mean(best) < self.rules.enter => {
                Some(label)
            }
            _ => (mean(best) >= self.rules.enter).then_some(best),
        };
        self.decision()
    }
}
