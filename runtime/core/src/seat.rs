//! The engine's seat: what runs in it now, or why nothing does.

use crate::engine::{Engine, EngineInfo, EngineWatch, Standing};
use crate::events::{Reason, SessionInfo, StateKind};
use crate::kept::Kept;
use crate::manifest::{Calibration, Manifest};
use crate::recorder::EngineRecord;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What stands in estimates where no engine has run yet.
const NOBODY: &str = "none";

/// What an estimate repeats of the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    pub provider: String,
    pub degraded: Option<String>,
    /// The variant that runs, if one does.
    pub variant: Option<String>,
    /// That of the variant.
    pub calibration: Option<Calibration>,
    /// Why no clip may be inferred, if so.
    pub rests: Option<Reason>,
    /// The encoder may be given a clip without the patches outside the imaging area.
    pub keeps_fewer: bool,
}

/// A change of the seat.
#[derive(Debug)]
pub(crate) struct News {
    pub kind: StateKind,
    pub detail: String,
    pub rests: Option<Reason>,
    pub session: SessionInfo,
}

pub(crate) struct Seat {
    watch: Option<Arc<dyn EngineWatch>>,
    manifest: Arc<Manifest>,
    kept: Kept,
    /// The session without its engine; none of a recorded one, which tells no news.
    session: Option<SessionInfo>,
    held: Mutex<Held>,
}

struct Held {
    number: u64,
    facts: Arc<Facts>,
    /// What serves, but for what is to come.
    serving: Option<EngineInfo>,
}

impl Seat {
    /// Takes the engine as it is; the news is what STARTED tells of it.
    pub fn new(
        engine: &dyn Engine,
        manifest: Arc<Manifest>,
        kept: Kept,
        session: SessionInfo,
    ) -> (Self, News) {
        let watch = engine.watch();
        let (number, standing) = match &watch {
            Some(watch) => (watch.number(), watch.standing()),
            None => (0, Standing::Serving(Box::new(engine.info()))),
        };
        let seat = Self {
            watch,
            manifest,
            kept,
            session: Some(session.clone()),
            held: Mutex::new(Held {
                number,
                facts: Arc::default(),
                serving: None,
            }),
        };
        let news = seat.take(&mut seat.lock(), standing, session);
        (seat, news)
    }

    /// That of a recorded session: it is what it is [set](Seat::set) to.
    pub fn recorded(manifest: Arc<Manifest>) -> Self {
        Self {
            watch: None,
            manifest,
            kept: Kept::default(),
            session: None,
            held: Mutex::new(Held {
                number: 0,
                facts: Arc::default(),
                serving: None,
            }),
        }
    }

    /// What a recording says of the engine.
    pub fn set(&self, engine: &EngineRecord) {
        let calibration = engine.variant.as_ref();
        self.lock().facts = Arc::new(Facts {
            provider: engine.provider.clone(),
            degraded: engine.degraded.clone(),
            variant: engine.variant.clone(),
            calibration: calibration.and_then(|v| self.manifest.calibration.get(v).cloned()),
            rests: engine.rests,
            // A recording says of each clip what it was encoded without.
            keeps_fewer: true,
        });
    }

    pub fn facts(&self) -> Arc<Facts> {
        self.lock().facts.clone()
    }

    /// The newest change, told once.
    pub fn look(&self) -> Option<News> {
        let (watch, session) = self.watch.as_ref().zip(self.session.as_ref())?;
        let mut held = self.lock();
        let number = watch.number();
        if number == held.number {
            return None;
        }
        held.number = number;
        Some(self.take(&mut held, watch.standing(), session.clone()))
    }

    pub fn begin_exam(&self) {
        if let Some(watch) = &self.watch {
            watch.begin_exam();
        }
    }

    fn take(&self, held: &mut Held, standing: Standing, mut session: SessionInfo) -> News {
        let provider = held.facts.provider.as_str();
        let provider = if provider.is_empty() {
            NOBODY
        } else {
            provider
        };
        let provider = provider.to_owned();
        let nothing = |reason| Facts {
            provider: provider.clone(),
            rests: Some(reason),
            ..Facts::default()
        };
        let before = held.serving.take();
        let (kind, detail, facts) = match standing {
            Standing::Serving(mut info) => {
                let coming = info.coming.take();
                held.serving = Some(EngineInfo::clone(&info));
                let (kind, detail) = match coming {
                    Some(coming) if held.serving == before => (StateKind::EngineProgress, coming),
                    _ => (StateKind::EngineReady, words(&info)),
                };
                (kind, detail, self.serving(&mut session, *info))
            }
            Standing::WarmingUp(what) => {
                let banner = format!("The engine is being made ready: {what}.");
                session.banners.push(banner);
                let facts = nothing(Reason::WarmingUp);
                (StateKind::EngineWarmingUp, what, facts)
            }
            Standing::Down(why) => {
                session.banners.push(format!("No engine serves: {why}."));
                let facts = Facts {
                    degraded: Some(why.clone()),
                    ..nothing(Reason::EngineDown)
                };
                session.degraded = Some(why.clone());
                (StateKind::EngineDown, why, facts)
            }
        };
        held.facts = Arc::new(facts);
        News {
            kind,
            detail,
            rests: held.facts.rests,
            session,
        }
    }

    fn serving(&self, session: &mut SessionInfo, mut info: EngineInfo) -> Facts {
        let allowed = self.manifest.may_keep_fewer(&info.variant);
        let can = self.manifest.takes_fewer(&info.variant).is_ok();
        let keeps_fewer = allowed.is_ok() || (self.kept == Kept::Forced && can);
        session.tokens = match (keeps_fewer, &allowed) {
            (true, _) => "those in the imaging area".to_owned(),
            (false, Ok(())) => "all".to_owned(),
            (false, Err(why)) => format!("all: {why}"),
        };
        if let (true, Err(why)) = (keeps_fewer, allowed) {
            let said = format!("bench: fewer tokens, although {why}");
            info.degraded = Some(match info.degraded {
                Some(before) => format!("{before}; {said}"),
                None => said,
            });
        }
        if let Some(degraded) = &info.degraded {
            let banner = format!("Engine degraded: {degraded}.");
            session.banners.push(banner);
        }
        let calibration = self.manifest.calibration.get(&info.variant).cloned();
        if let Some(calibration) = &calibration {
            session.calibration = calibration.words();
        }
        session.provider.clone_from(&info.provider);
        session.degraded.clone_from(&info.degraded);
        session.nodes = info.nodes;
        session.library = info.library;
        session.variant.clone_from(&info.variant);
        Facts {
            provider: info.provider,
            degraded: info.degraded,
            variant: Some(info.variant),
            calibration,
            rests: None,
            keeps_fewer,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `CPU fp32 on onnxruntime 1.28.0 serves; gate: hit: proven before`.
fn words(info: &EngineInfo) -> String {
    let mut words = format!(
        "{} {} on {} serves",
        info.provider, info.variant, info.library
    );
    if let Some(gate) = &info.gate {
        words += &format!("; gate: {gate}");
    }
    words
}
