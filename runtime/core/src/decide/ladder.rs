//! How much is computed when the machine cannot keep up.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is computed, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Everything, at the full rate.
    Full,
    /// Everything, at half the rate.
    LowerRate,
    /// The view alone.
    ViewOnly,
    /// The image signal alone; the engine rests.
    SignalOnly,
    /// Nothing.
    Off,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full rate",
            Self::LowerRate => "lower rate",
            Self::ViewOnly => "view only",
            Self::SignalOnly => "image signal only",
            Self::Off => "off",
        })
    }
}

impl Level {
    const ALL: [Self; 5] = [
        Self::Full,
        Self::LowerRate,
        Self::ViewOnly,
        Self::SignalOnly,
        Self::Off,
    ];

    fn lower(self) -> Self {
        let at = Self::ALL.get(self as usize + 1);
        at.copied().unwrap_or(Self::Off)
    }

    fn upper(self) -> Option<Self> {
        let at = (self as usize).checked_sub(1)?;
        Self::ALL.get(at).copied()
    }
}

/// What was measured since the last step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// When, nanoseconds of the session's clock.
    pub at_nanos: i64,
    /// Time the work of the present level takes over the time there is for it; 1 is just in time.
    pub busy: f64,
    /// True while the device says that it is too hot.
    pub hot: bool,
    /// True when the engine failed since the last step.
    pub failed: bool,
}

/// When the ladder moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LadderRules {
    /// Load above which it steps down.
    pub down_above: f64,
    /// Load, as expected one level up, at which it may step up; below `down_above`.
    pub up_below: f64,
    /// How long the load stays above before a step down.
    pub down_after_nanos: i64,
    /// How long it stays below before a step up.
    pub up_after_nanos: i64,
    /// Longest wait for a step up, after steps up that did not last.
    pub up_at_most_nanos: i64,
    /// Work of each level over that of [`Level::Full`].
    pub cost: [f64; 5],
}

impl Default for LadderRules {
    fn default() -> Self {
        Self {
            down_above: 1.0,
            up_below: 0.8,
            down_after_nanos: 2_000_000_000,
            up_after_nanos: 5_000_000_000,
            up_at_most_nanos: 80_000_000_000,
            cost: [1.0, 0.5, 0.4, 0.02, 0.0],
        }
    }
}

/// The level and what moves it: one level at a time, but for a failed engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    #[serde(skip)]
    rules: LadderRules,
    level: Level,
    above_since: Option<i64>,
    below_since: Option<i64>,
    wait_nanos: i64,
    stepped_up_at: Option<i64>,
}

impl Ladder {
    /// Starts at [`Level::Full`].
    pub fn new(rules: LadderRules) -> Self {
        Self {
            rules,
            level: Level::Full,
            above_since: None,
            below_since: None,
            wait_nanos: rules.up_after_nanos,
            stepped_up_at: None,
        }
    }

    /// Every instant and duration it holds.
    pub(crate) fn times(&self) -> impl Iterator<Item = i64> {
        let instants = [self.above_since, self.below_since, self.stepped_up_at];
        instants.into_iter().flatten().chain([self.wait_nanos])
    }

    /// The present level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Takes one measurement and gives the level from now on.
    ///
    /// A load that is no number counts as too high. After a step up that did not last, the next
    /// one waits twice as long, up to the longest wait.
    ///
    /// # Real-time
    /// No allocation.
    pub fn step(&mut self, load: Load) -> Level {
        let now = load.at_nanos;
        if load.failed && self.level < Level::SignalOnly {
            self.move_to(Level::SignalOnly);
            self.relapsed(now);
            return self.level;
        }
        let calm = load.busy <= self.rules.down_above;
        if load.hot || load.failed || !calm {
            self.below_since = None;
            let since = *self.above_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.rules.down_after_nanos && self.level < Level::Off {
                self.move_to(self.level.lower());
                self.relapsed(now);
            }
            return self.level;
        }
        self.above_since = None;
        let Some(upper) = self.level.upper() else {
            return self.level;
        };
        if self.expected(load.busy, upper) > self.rules.up_below {
            self.below_since = None;
            return self.level;
        }
        let since = *self.below_since.get_or_insert(now);
        if now.saturating_sub(since) >= self.wait_nanos {
            self.move_to(upper);
            self.stepped_up_at = Some(now);
        }
        self.level
    }

    fn move_to(&mut self, level: Level) {
        self.level = level;
        self.above_since = None;
        self.below_since = None;
    }

    /// Doubles the wait when the last step up did not last, and starts afresh when it did.
    fn relapsed(&mut self, now: i64) {
        let lasted = self.stepped_up_at.take().map(|at| now.saturating_sub(at));
        self.wait_nanos = match lasted {
            Some(lasted) if lasted < self.rules.up_at_most_nanos => self
                .wait_nanos
                .saturating_mul(2)
                .min(self.rules.up_at_most_nanos),
            _ => self.rules.up_after_nanos,
        };
    }

    /// Load at `upper` if the present one is `busy`. Where the present level does next to nothing
    /// it says nothing about the upper one, which must then be tried.
    fn expected(&self, busy: f64, upper: Level) -> f64 {
        let cost = |level: Level| self.rules.cost.get(level as usize).copied();
        match (cost(self.level), cost(upper)) {
            (Some(here), Some(there)) if self.level < Level::SignalOnly && here > 0.0 => {
                busy * there / here
            }
            _ => busy,
        }
    }
}
