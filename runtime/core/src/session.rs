//! A running pipeline: two named threads between a [`FrameProducer`] and an event queue.

use crate::assembler::{Assembler, Handoff, Lane, Snapshot};
use crate::clock::Pace;
use crate::config::{CartConfig, ConfigError};
use crate::context::Context;
use crate::effort::Effort;
use crate::engine::Engine;
use crate::events::{Counters, Event, SCHEMA, SessionInfo, State, StateKind, Summary};
use crate::exam::NewestExam;
use crate::inference::Inference;
use crate::kept::Kept;
use crate::latency::Latencies;
use crate::manifest::{LVEF, Manifest, ManifestError, Trained};
use crate::observer::Observer;
use crate::outbox::Outbox;
use crate::pair::{self, Agreement, PairError, Role};
use crate::preprocess::Preprocessor;
use crate::recorder::{Header, Recorder, Tap};
use crate::ring::{FrameProducer, frame_ring};
use crate::seat::{News, Seat};
use crate::signature::Signed;
use crossbeam_channel::{Receiver, bounded};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why a session does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The manifest's preprocessing cannot be built.
    #[error("package manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// The configuration's screen cannot be.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// Guide and package do not go together.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A recording holds the answers of one package.
    #[error("recorder: expected no guide beside it, found {guide}: remove [recorder] or the guide")]
    RecordedPair {
        /// The guide's id.
        guide: String,
    },
    /// The operating system gives no thread.
    #[error("cannot start thread {name}: {source}")]
    Thread {
        /// The thread.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// What a session is started from.
pub struct SessionSetup {
    /// The package's manifest.
    pub manifest: Manifest,
    /// `id@hash`, see `Package::name`.
    pub package: String,
    /// Who vouches for the package, see `Package::signed`.
    pub signed: Signed,
    /// The cart's configuration.
    pub config: CartConfig,
    /// The engine over the package.
    pub engine: Box<dyn Engine>,
    /// How time passes.
    pub pace: Pace,
    /// When patches outside the imaging area are left out.
    pub kept: Kept,
    /// A smaller package that says the view in its place; then an EF is released only while both see
    /// the same view.
    pub guide: Option<GuideSetup>,
}

/// The package that guides, see [`SessionSetup::guide`].
pub struct GuideSetup {
    /// The package's manifest.
    pub manifest: Manifest,
    /// `id@hash`, see `Package::name`.
    pub package: String,
    /// Who vouches for the package, see `Package::signed`.
    pub signed: Signed,
    /// The engine over the package.
    pub engine: Box<dyn Engine>,
}

/// A running pipeline.
///
/// Dropping it stops the threads without waiting for an inference call in flight.
pub struct Session {
    context: Arc<Context>,
    outbox: Outbox,
    stop: Arc<AtomicBool>,
    snapshot: Snapshot,
    assembler: Option<JoinHandle<()>>,
    /// One of each package.
    inference: Vec<JoinHandle<()>>,
    guide: Option<Arc<Latencies>>,
    finished: Receiver<Counters>,
    last: Option<Counters>,
    recorder: Option<Recorder>,
}

impl Session {
    /// Starts the threads and sends STARTED.
    ///
    /// # Errors
    /// [`SessionError`]; no thread is left behind.
    pub fn start(
        setup: SessionSetup,
    ) -> Result<(Self, FrameProducer, Receiver<Event>), SessionError> {
        let SessionSetup {
            manifest,
            package,
            signed,
            config,
            engine,
            pace,
            kept,
            guide,
        } = setup;
        if let Some(guide) = &guide {
            pair::check(&guide.manifest, &manifest)?;
            if config.recorder.is_some() {
                let guide = guide.manifest.id.clone();
                return Err(SessionError::RecordedPair { guide });
            }
        }
        let preprocessor = Preprocessor::new(&manifest.preprocess, &manifest.encoder)?;
        let screen = config.screen.setup()?;
        let session = session_info(&manifest, &package, signed, &config);
        let manifest = Arc::new(manifest);
        let (seat, news) = Seat::new(engine.as_ref(), manifest.clone(), kept, session);
        let newest_exam = NewestExam::default();
        let (recorder, tap) =
            match &config.recorder {
                None => (None, Tap::default()),
                Some(rules) => {
                    let facts = seat.facts();
                    let header = Header {
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        package: package.clone(),
                        config: config.hash12(),
                        manifest: toml::to_string(manifest.as_ref()).unwrap_or_default(),
                        variant: facts.variant.clone().unwrap_or_default(),
                        provider: facts.provider.clone(),
                        real_pace: pace == Pace::Real,
                        valid_for_nanos: millis(config.pipeline.valid_for_millis),
                        max_segment_gap_nanos: millis(config.pipeline.max_segment_gap_millis),
                        exam: 0,
                    };
                    let frames = manifest.encoder.frames;
                    let exam = newest_exam.clone();
                    let (recorder, tap) = Recorder::start(rules, header, frames, pace, exam)
                        .map_err(|source| SessionError::Thread {
                            name: "echocart-rec",
                            source,
                        })?;
                    (Some(recorder), tap)
                }
            };
        let agreement = guide
            .as_ref()
            .map(|g| Agreement::new(&g.manifest, &manifest));
        let agreement = agreement.map(Arc::new);
        let measures = manifest.heads.contains_key(LVEF);
        let context = Arc::new(Context {
            manifest,
            package,
            config: config.hash12(),
            seat,
            pace,
            valid_for_nanos: millis(config.pipeline.valid_for_millis),
            max_segment_gap_nanos: millis(config.pipeline.max_segment_gap_millis),
            newest_exam,
            latencies: Arc::default(),
            effort: Effort::new(pace, tap.clone()),
            screen,
            signal: Arc::default(),
            recorder: tap.clone(),
            role: match guide {
                None => Role::Alone,
                Some(_) => Role::Measure,
            },
            measures,
            agreement,
        });
        let mut guide_news = None;
        let mut packages = vec![(context.clone(), preprocessor, engine)];
        if let Some(setup) = guide {
            let (own, news) = guided(setup, &context, &config)?;
            guide_news = Some(news.session);
            packages.push(own);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (outbox, events) = Outbox::new(config.pipeline.event_queue, pace, stop.clone(), tap);
        let (mut producer, consumer) = frame_ring(
            config.pipeline.ring_frames,
            config.pipeline.max_frame_bytes,
            &context.newest_exam,
        );
        let snapshot: Snapshot = Arc::new(Mutex::new(Counters::default()));
        let (finished_in, finished) = bounded(1);

        outbox.send(Event::State(Box::new(State {
            schema: SCHEMA,
            state: StateKind::Started,
            at_nanos: 0,
            detail: news.detail,
            degraded: news.session.degraded.clone(),
            counters: None,
            session: Some(news.session),
            guide: guide_news,
            area: None,
            signal: None,
        })));
        let (mut lanes, mut inference) = (Vec::new(), Vec::new());
        for (own, preprocessor, engine) in packages {
            let (clips_in, clips_out) = bounded(1);
            let (returns_in, returns_out) = bounded(4);
            let handoff = Handoff {
                clips: clips_in,
                superseded: clips_out.clone(),
                returns: returns_out,
            };
            let name = match own.role {
                Role::Guide => "echocart-guide",
                Role::Alone | Role::Measure => "echocart-infer",
            };
            lanes.push(Lane::new(own.clone(), preprocessor, handoff));
            let thread = Inference::new(own, engine, outbox.clone());
            inference.push(spawn(name, move || thread.run(&clips_out, &returns_in))?);
        }
        let guide = lanes.get(1).map(|lane| lane.context.latencies.clone());
        let assembler = Assembler::new(
            context.clone(),
            lanes,
            consumer,
            outbox.clone(),
            stop.clone(),
            snapshot.clone(),
        );
        let assembler = spawn("echocart-clips", move || {
            let counters = assembler.run();
            let _ = finished_in.send(counters);
        })?;
        producer.wake(assembler.thread().clone());
        let session = Self {
            context,
            outbox,
            stop,
            snapshot,
            assembler: Some(assembler),
            inference,
            guide,
            finished,
            last: None,
            recorder,
        };
        Ok((session, producer, events))
    }

    /// Where every frame is, as of the assembler's newest decision.
    pub fn counters(&self) -> Counters {
        self.snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How long things take.
    pub fn latencies(&self) -> Arc<Latencies> {
        self.context.latencies.clone()
    }

    /// The same of the guide, where there is one: its clips alone.
    pub fn guide_latencies(&self) -> Option<Arc<Latencies>> {
        self.guide.clone()
    }

    /// For a monitor that outlives this handle.
    pub fn observer(&self) -> Observer {
        Observer::new(self.context.clone(), self.snapshot.clone())
    }

    /// The flight recorder, if the configuration asks for one. A copy keeps what is held beyond the
    /// session's end.
    pub fn recorder(&self) -> Option<Recorder> {
        self.recorder.clone()
    }

    /// Which exam is the newest.
    pub fn newest_exam(&self) -> NewestExam {
        self.context.newest_exam.clone()
    }

    /// True when the pipeline's thread has ended, with the source or without.
    pub fn has_ended(&self) -> bool {
        self.assembler.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits at most `patience` for the source's end to have gone through, and tells whether it
    /// has. The [`FrameProducer`] must have been dropped for that.
    pub fn wait_finished(&mut self, patience: Duration) -> bool {
        if self.last.is_none() {
            self.last = self.finished.recv_timeout(patience).ok();
        }
        self.last.is_some() || self.has_ended()
    }

    /// Ends the session and sends the summary, the last event.
    ///
    /// After [`Session::wait_finished`] every frame is settled. Otherwise it stops at once:
    /// an inference call in flight is not waited for and its frames are in flight in the summary.
    ///
    /// # Real-time
    /// Blocks for half a second at most.
    pub fn stop(mut self) -> Summary {
        if self.last.is_none() {
            self.stop.store(true, Ordering::Relaxed);
            if let Some(assembler) = &self.assembler {
                assembler.thread().unpark();
            }
            self.last = self.finished.recv_timeout(Duration::from_millis(300)).ok();
        }
        self.end()
    }

    fn end(&mut self) -> Summary {
        let counters = self.last.take().unwrap_or_else(|| self.counters());
        let mut summary = None;
        self.outbox.close(|tally| {
            let made = Summary {
                schema: SCHEMA,
                counters,
                estimates: tally.estimates,
                values: tally.values.clone(),
                events_dropped: tally.events_dropped,
            };
            summary = Some(made.clone());
            Event::Summary(Box::new(made))
        });
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.assembler.take().into_iter();
        for thread in threads.chain(self.inference.drain(..)) {
            join_within(thread, Duration::from_millis(100));
        }
        summary.unwrap_or_default()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(assembler) = &self.assembler {
            assembler.thread().unpark();
        }
    }
}

/// A context, its preprocessing and its engine.
type Own = (Arc<Context>, Preprocessor, Box<dyn Engine>);

/// The guide beside the package of `measure`: what both share stays one.
fn guided(
    setup: GuideSetup,
    measure: &Context,
    config: &CartConfig,
) -> Result<(Own, News), SessionError> {
    let GuideSetup {
        manifest,
        package,
        signed,
        engine,
    } = setup;
    let preprocessor = Preprocessor::new(&manifest.preprocess, &manifest.encoder)?;
    let session = session_info(&manifest, &package, signed, config);
    let manifest = Arc::new(manifest);
    let (seat, news) = Seat::new(engine.as_ref(), manifest.clone(), Kept::AsAllowed, session);
    let context = Context {
        manifest,
        package,
        config: measure.config.clone(),
        seat,
        pace: measure.pace,
        valid_for_nanos: measure.valid_for_nanos,
        max_segment_gap_nanos: measure.max_segment_gap_nanos,
        newest_exam: measure.newest_exam.clone(),
        latencies: Arc::default(),
        effort: Effort::new(measure.pace, Tap::default()),
        screen: measure.screen,
        signal: measure.signal.clone(),
        recorder: Tap::default(),
        role: Role::Guide,
        measures: measure.measures,
        agreement: measure.agreement.clone(),
    };
    Ok(((Arc::new(context), preprocessor, engine), news))
}

fn join_within(thread: JoinHandle<()>, patience: Duration) {
    let until = Instant::now() + patience;
    while !thread.is_finished() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    if thread.is_finished() {
        let _ = thread.join();
    }
}

fn millis(millis: u64) -> i64 {
    i64::try_from(millis)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000)
}

fn spawn(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, SessionError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _ = catch_unwind(AssertUnwindSafe(body));
        })
        .map_err(|source| SessionError::Thread { name, source })
}

/// The session without its engine.
fn session_info(
    manifest: &Manifest,
    package: &str,
    signed: Signed,
    config: &CartConfig,
) -> SessionInfo {
    let mut banners = Vec::new();
    match manifest.card.trained {
        Trained::Untrained => banners.push(
            "Untrained model: generated weights. Every view and number is a demonstration and \
             means nothing."
                .to_owned(),
        ),
        Trained::Simulated => banners.push(
            "Trained on simulated hearts: no clinical meaning. Numbers of anything but the \
             simulated heart are a demonstration."
                .to_owned(),
        ),
        Trained::Clinical => {}
    }
    match signed {
        Signed::Trusted(_) => {}
        Signed::Unknown(_) => banners.push(
            "Unsigned package: its signature is by a key that this configuration does not trust."
                .to_owned(),
        ),
        Signed::No => banners.push("Unsigned package: nobody vouches for it.".to_owned()),
    }
    if let Some(what) = config.screen.unchecked() {
        banners.push(format!(
            "Orientation not checked: by [screen] the configuration takes any {what}."
        ));
    }
    SessionInfo {
        package: package.to_owned(),
        card: manifest.card.title.clone(),
        trained: manifest.card.trained.as_str().to_owned(),
        signed: signed.to_string(),
        model: manifest.encoder.words(),
        provider: String::new(),
        nodes: BTreeMap::new(),
        degraded: None,
        library: String::new(),
        calibration: "none".to_owned(),
        variant: String::new(),
        tokens: String::new(),
        labels: manifest.view_labels().to_vec(),
        banners,
        config: config.hash12(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
