//! Two packages in one session: a small one that guides, and the one that measures.
//!
//! Both see the same clips. The guide alone says which view is shown; an EF is released only while
//! it says the view that the measuring package saw.

use crate::decide::ViewDecision;
use crate::events::{Exam, Reason};
use crate::manifest::{HeadOutput, LVEF, Manifest};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Clips of the guide that are remembered: 16 s of four a second.
const REMEMBERED: usize = 64;

/// What a package is in its session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// The only one.
    #[default]
    Alone,
    /// Says the view.
    Guide,
    /// Says the EF, beside a guide.
    Measure,
}

/// Why two packages do not make a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("guide package {guide}: {what}: expected {expected}, found {found}")]
pub struct PairError {
    /// The guide's id.
    pub guide: String,
    /// Which part of its manifest.
    pub what: &'static str,
    /// What the measuring package needs.
    pub expected: String,
    /// What the guide has.
    pub found: String,
}

/// Whether `guide` may guide what `measure` measures: they see the same clips of the same frames,
/// and the guide knows the views that the EF needs.
///
/// # Errors
/// [`PairError`] for the first thing that does not fit.
pub fn check(guide: &Manifest, measure: &Manifest) -> Result<(), PairError> {
    let differs = |what, expected: String, found: String| {
        let guide = guide.id.clone();
        match expected == found {
            true => Ok(()),
            false => Err(PairError {
                guide,
                what,
                expected,
                found,
            }),
        }
    };
    let clip = |m: &Manifest| {
        let (s, e) = (&m.sampling, &m.encoder);
        format!(
            "{} frames at {} Hz, a clip every {} slots, frames within {} ms, tubelets of {}",
            e.frames, s.rate_hz, s.hop_slots, s.max_skew_millis, e.tubelet_frames
        )
    };
    let mask = |m: &Manifest| format!("{:?}", m.preprocess.mask);
    differs("sampling", clip(measure), clip(guide))?;
    differs("preprocess.mask", mask(measure), mask(guide))?;
    let missing = |view: &&String| !guide.view_labels().contains(view);
    match accepted(measure) {
        [] => differs(
            "heads.lvef",
            "one in the package that measures".to_owned(),
            "none".to_owned(),
        ),
        views => match views.iter().find(missing) {
            Some(view) => {
                let found = guide.view_labels().join(", ");
                differs(
                    "heads.view.output.labels",
                    format!("{view} among them"),
                    found,
                )
            }
            None => Ok(()),
        },
    }
}

/// The views that a package's EF is measured in.
fn accepted(manifest: &Manifest) -> &[String] {
    match manifest.heads.get(LVEF).map(|head| &head.output) {
        Some(HeadOutput::Regression { required_views, .. }) => required_views,
        _ => &[],
    }
}

/// What both packages say of the view, between their threads.
#[derive(Debug)]
pub(crate) struct Agreement {
    accepted: Vec<String>,
    labels: Vec<String>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    exam: u64,
    /// Oldest first.
    said: VecDeque<Said>,
    /// The view of the EF that stands.
    released: Option<String>,
}

#[derive(Debug)]
struct Said {
    clip: u64,
    view: Result<String, Reason>,
    until_nanos: i64,
}

impl Agreement {
    pub fn new(guide: &Manifest, measure: &Manifest) -> Self {
        Self {
            accepted: accepted(measure).to_vec(),
            labels: guide.view_labels().to_vec(),
            held: Mutex::default(),
        }
    }

    /// Takes what the guide decided at a clip, and gives why no EF may be shown, if so.
    pub fn say(
        &self,
        exam: Exam,
        clip: u64,
        decision: ViewDecision,
        until_nanos: i64,
    ) -> Result<(), Reason> {
        let view = match decision {
            ViewDecision::WarmingUp => Err(Reason::WarmingUp),
            ViewDecision::Uncertain => Err(Reason::Uncertain),
            ViewDecision::Shown(at) => self.labels.get(at).cloned().ok_or(Reason::EngineDown),
        };
        let mut held = self.lock();
        held.enter(exam.number);
        if held.said.len() == REMEMBERED {
            held.said.pop_front();
        }
        held.said.push_back(Said {
            clip,
            view: view.clone(),
            until_nanos,
        });
        let view = view?;
        let stands = held
            .released
            .as_ref()
            .is_none_or(|released| *released == view);
        match stands && self.accepted.contains(&view) {
            true => Ok(()),
            false => Err(Reason::WrongView),
        }
    }

    /// The guide says nothing any more.
    pub fn lost(&self) {
        let mut held = self.lock();
        held.said.clear();
        held.released = None;
    }

    /// Why an EF of `view`, whose newest clip is `clip`, may not be released at `now_nanos`, if so:
    /// the guide must have said that view of this clip and of every one since.
    pub fn check(
        &self,
        exam: Exam,
        clip: u64,
        view: &str,
        now_nanos: Option<i64>,
    ) -> Result<(), Reason> {
        let mut held = self.lock();
        held.enter(exam.number);
        held.released = None;
        let newest = held.said.back().ok_or(Reason::WarmingUp)?;
        if now_nanos.is_some_and(|now| now > newest.until_nanos) {
            return Err(Reason::Stale);
        }
        let since = held.said.iter().filter(|said| said.clip >= clip);
        for said in since.chain([newest]) {
            match &said.view {
                Ok(found) if found == view => {}
                Ok(_) => return Err(Reason::WrongView),
                Err(reason) => return Err(*reason),
            }
        }
        Ok(())
    }

    /// An EF of `view` is shown from now on; none, if there is no view.
    pub fn release(&self, view: Option<&str>) {
        self.lock().released = view.map(str::to_owned);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Forgets everything of another exam.
    fn enter(&mut self, exam: u64) {
        if self.exam != exam {
            *self = Self {
                exam,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: i64 = 1_000;

    fn manifest() -> Manifest {
        toml::from_str(include_str!("../tests/common/manifest.toml")).unwrap()
    }

    fn agreement() -> Agreement {
        Agreement {
            accepted: vec!["A4C".to_owned(), "A2C".to_owned()],
            labels: ["A2C", "A4C", "PLAX"].map(str::to_owned).to_vec(),
            held: Mutex::default(),
        }
    }

    fn exam(number: u64) -> Exam {
        Exam {
            number,
            ..Exam::default()
        }
    }

    #[test]
    fn a_guide_must_see_the_same_clips_and_know_the_ef_s_views() {
        let (guide, measure) = (manifest(), manifest());
        check(&guide, &measure).unwrap();
        let refused =
            |guide: &Manifest, measure: &Manifest| check(guide, measure).unwrap_err().what;
        let mut other = manifest();
        other.sampling.rate_hz += 1.0;
        assert_eq!(refused(&other, &measure), "sampling");
        let mut other = manifest();
        other.encoder.tubelet_frames *= 2;
        assert_eq!(refused(&other, &measure), "sampling");
        let mut without = manifest();
        without.heads.remove(LVEF);
        assert_eq!(refused(&guide, &without), "heads.lvef");
        let mut needy = manifest();
        for head in needy.heads.values_mut() {
            if let HeadOutput::Regression { required_views, .. } = &mut head.output {
                required_views.push("nowhere".to_owned());
            }
        }
        let error = check(&guide, &needy).unwrap_err().to_string();
        assert!(
            error.contains("expected nowhere among them, found "),
            "{error}"
        );
    }

    #[test]
    fn an_ef_needs_the_guide_s_word_on_its_clip_and_on_every_one_since() {
        let pair = agreement();
        let now = Some(0);
        assert_eq!(pair.check(exam(0), 1, "A4C", now), Err(Reason::WarmingUp));
        assert_eq!(pair.say(exam(0), 1, ViewDecision::Shown(1), LATE), Ok(()));
        assert_eq!(pair.check(exam(0), 1, "A4C", now), Ok(()));
        assert_eq!(pair.check(exam(0), 1, "A2C", now), Err(Reason::WrongView));
        let late = pair.check(exam(0), 1, "A4C", Some(LATE + 1));
        assert_eq!(late, Err(Reason::Stale));
        let unsure = pair.say(exam(0), 2, ViewDecision::Uncertain, LATE);
        assert_eq!(unsure, Err(Reason::Uncertain));
        let _ = pair.say(exam(0), 3, ViewDecision::Shown(1), LATE);
        assert_eq!(pair.check(exam(0), 2, "A4C", now), Err(Reason::Uncertain));
        assert_eq!(pair.check(exam(0), 3, "A4C", now), Ok(()));
        // A guide that is behind is asked for its newest word.
        assert_eq!(pair.check(exam(0), 9, "A4C", now), Ok(()));
        pair.lost();
        assert_eq!(pair.check(exam(0), 3, "A4C", now), Err(Reason::WarmingUp));
    }

    #[test]
    fn another_view_ends_the_ef_that_stands_even_where_it_is_accepted() {
        let pair = agreement();
        assert_eq!(pair.say(exam(0), 1, ViewDecision::Shown(1), LATE), Ok(()));
        pair.release(Some("A4C"));
        let turned = pair.say(exam(0), 2, ViewDecision::Shown(0), LATE);
        assert_eq!(turned, Err(Reason::WrongView));
        let away = pair.say(exam(0), 3, ViewDecision::Shown(2), LATE);
        assert_eq!(away, Err(Reason::WrongView));
        pair.release(None);
        assert_eq!(pair.say(exam(0), 4, ViewDecision::Shown(0), LATE), Ok(()));
    }

    #[test]
    fn a_new_exam_starts_without_a_word() {
        let pair = agreement();
        let _ = pair.say(exam(0), 1, ViewDecision::Shown(1), LATE);
        let other = pair.check(exam(1), 1, "A4C", Some(0));
        assert_eq!(other, Err(Reason::WarmingUp));
    }
}
