//! From single clips to what a person is told: pure functions and small state machines.
//!
//! Only comparison, addition, multiplication and division are used, so the same inputs give the
//! same decisions on every machine. Nothing here allocates after it was built, locks or asks for
//! the time. An EF is shown only if every row lets it pass; the first row that does not gives the
//! reason:
//!
//! | asked in this order | reason |
//! |---|---|
//! | [`gate`]: the screen gives a reason (FROZEN, REVIEW_LOOP, COLOUR_ON, ...) | that |
//! | the ladder is below [`Level::LowerRate`] | DEGRADED |
//! | the smoothed view is not there yet, uncertain, or one the head does not accept | WARMING_UP, UNCERTAIN, WRONG_VIEW |
//! | [`combine`]: a reading is NaN or infinite | ENGINE_DOWN |
//! | there is no reading | WARMING_UP |
//! | readings are of several exams | NEW_EXAM |
//! | readings are of several sectors | SECTOR_CHANGED |
//! | readings are of several views | WRONG_VIEW |
//! | beats do not rise in time | BAD_TIMESTAMP |
//! | a heart rate that is given is outside the tested range | NOT_PERMITTED |
//! | less than one whole beat within the evidence | WARMING_UP |
//! | the rhythm is irregular and fewer than five beats are within the evidence | RHYTHM |
//! | the newest reading or the median is outside 5 to 85 percent | OUT_OF_RANGE |

mod beats;
mod ejection;
mod ladder;
mod view;

pub use beats::{BeatRules, Rhythm, check as check_beats};
pub use ejection::{
    Combined, EjectionRules, MAX_READINGS, Reading, Span, combine, covered_nanos, gate,
};
pub use ladder::{Ladder, LadderRules, Level, Load};
pub use view::{ViewDecision, ViewRules, ViewSmoother};

#[cfg(test)]
mod tests;
