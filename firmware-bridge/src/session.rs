//! Life cycle of a session and what it tells about itself.

use crate::abi::*;
use crate::callback::Log;
use crate::codes::Code;
use crate::fault::Fault;
use crate::frames::FramePort;
use crate::intake::{Intake, Phase};
use crate::request::Standing;
use crate::results::{Reader, ResultPort, chars, counters};
use crate::system;
use crossbeam_channel::{Receiver, Sender, bounded};
use echocart_core::clock::Pace;
use echocart_core::config::{CartConfig, Isolation};
use echocart_core::engine::{Engine, EngineError, EngineInfo, EngineWatch, Standing as Seat};
use echocart_core::engine_of_field;
use echocart_core::events::{Counters, Event};
use echocart_core::exam::NewestExam;
use echocart_core::kept::Kept;
use echocart_core::latency::{Histogram, Latencies};
use echocart_core::manifest::{Calibration, Manifest, Trained};
use echocart_core::recorder::{Recorder, Saved};
use echocart_core::ring::PoolSize;
use echocart_core::session::{Session, SessionSetup};
use echocart_core::signature::Signed;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// State of a session handle.
pub(crate) struct SessionState {
    running: Option<Session>,
    intake: Arc<Intake>,
    engine_end: Receiver<Infallible>,
    events: Receiver<Event>,
    results_dropped: Arc<AtomicU64>,
    info: echocart_session_info_t,
    watch: Option<Arc<dyn EngineWatch>>,
    /// What each variant is calibrated on, in words.
    calibrations: BTreeMap<String, String>,
    warning: Option<String>,
    counters: Counters,
    latencies: Arc<Latencies>,
    newest_exam: NewestExam,
    /// Keeps what is held until the handle is destroyed.
    recorder: Option<Recorder>,
    pool: Arc<PoolSize>,
    max_frame_bytes: u64,
    log: Log,
    pace: Pace,
    /// Resident bytes gained while the session was made.
    pub create_bytes: u64,
}

/// Tells by its end that the thread which owned the engine is through with it.
struct Watched {
    engine: Box<dyn Engine>,
    log: Log,
    failing: bool,
    _alive: Sender<Infallible>,
}

impl Watched {
    /// Says once that the engine fails, until it works again.
    fn noting(&mut self, outcome: Result<(), EngineError>) -> Result<(), EngineError> {
        if let Err(error) = &outcome
            && !self.failing
        {
            self.log.say(ECHOCART_LOG_ERROR, &error.to_string());
        }
        self.failing = outcome.is_err();
        outcome
    }
}

impl Engine for Watched {
    fn info(&self) -> EngineInfo {
        self.engine.info()
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        let outcome = self.engine.encode(tubelets, slot);
        self.noting(outcome)
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        self.engine.encode_kept(rows, ids, slot)
    }

    engine_of_field!(engine);
}

/// What a pipeline is started from.
pub(crate) struct Parts {
    pub manifest: Manifest,
    pub package: String,
    pub signed: Signed,
    pub config: CartConfig,
    pub engine: Box<dyn Engine>,
    pub pace: Pace,
    pub allow_demonstration: bool,
    pub standing: Standing,
    pub reserve_frame_bytes: usize,
    pub log: Log,
    /// What works less well than asked for.
    pub warning: Option<String>,
}

/// Makes the pipeline over an engine; no frame is let in yet.
pub(crate) fn assemble(parts: Parts) -> Result<(SessionState, FramePort, ResultPort), Fault> {
    let info = info(&parts);
    let watch = parts.engine.watch();
    let words = |(name, c): (&String, &Calibration)| (name.clone(), c.words());
    let calibrations = parts.manifest.calibration.iter().map(words).collect();
    let warning = parts.warning.clone();
    let Parts {
        manifest,
        package,
        signed,
        config,
        engine,
        pace,
        log,
        ..
    } = parts;
    let labels: Arc<[String]> = manifest.view_labels().into();
    let show = parts.allow_demonstration || manifest.card.trained == Trained::Clinical;
    let max_frame_bytes = config.pipeline.max_frame_bytes as u64;
    let valid_for = Duration::from_millis(config.pipeline.valid_for_millis);
    let (alive, engine_end) = bounded(0);
    let engine = Box::new(Watched {
        engine,
        log,
        failing: false,
        _alive: alive,
    });
    let (running, producer, events) = Session::start(SessionSetup {
        manifest,
        package,
        signed,
        config,
        engine,
        pace,
        kept: Kept::AsAllowed,
        guide: None,
    })?;
    let pool = producer.pool();
    let intake = Arc::new(Intake::new(producer));
    let results_dropped = Arc::new(AtomicU64::new(0));
    let newest_exam = running.newest_exam();
    let reader = Reader::new(
        events.clone(),
        results_dropped.clone(),
        labels,
        pace,
        show,
        newest_exam.clone(),
        i64::try_from(valid_for.as_nanos()).unwrap_or(i64::MAX),
    );
    let session = SessionState {
        latencies: running.latencies(),
        recorder: running.recorder(),
        running: Some(running),
        intake: intake.clone(),
        engine_end,
        events,
        results_dropped,
        info,
        watch,
        calibrations,
        warning,
        counters: Counters::default(),
        newest_exam,
        pool,
        max_frame_bytes,
        log,
        pace,
        create_bytes: 0,
    };
    let frames = FramePort::new(intake.clone(), pace);
    intake.reserve(parts.reserve_frame_bytes);
    let results = ResultPort::new(reader, intake, parts.standing);
    Ok((session, frames, results))
}

impl SessionState {
    pub fn info(&mut self) -> echocart_session_info_t {
        match self.watch.as_ref().map(|watch| watch.standing()) {
            Some(Seat::Serving(engine)) => {
                let calibration = self.calibrations.get(&engine.variant);
                let calibration = calibration.map_or("none", String::as_str);
                describe(&mut self.info, &engine, calibration, self.warning.as_ref());
            }
            Some(Seat::Down(why) | Seat::WarmingUp(why)) => self.info.degraded = chars(&why),
            None => {}
        }
        self.info
    }

    /// Lets frames in.
    pub fn start(&mut self) -> Result<(), Fault> {
        let from = [Phase::Created, Phase::Running];
        self.intake.change(&from, Phase::Running)?;
        self.log.say(ECHOCART_LOG_INFO, "started");
        Ok(())
    }

    /// Lets no frame in.
    pub fn pause(&mut self) -> Result<(), Fault> {
        let from = [Phase::Running, Phase::Paused];
        self.intake.change(&from, Phase::Paused)?;
        self.log.say(ECHOCART_LOG_INFO, "paused");
        Ok(())
    }

    /// Lets frames in again.
    pub fn resume(&mut self) -> Result<(), Fault> {
        self.intake.change(&[Phase::Paused], Phase::Running)?;
        self.log.say(ECHOCART_LOG_INFO, "resumed");
        Ok(())
    }

    /// Counts and times.
    pub fn stats(&mut self) -> echocart_session_stats_t {
        if let Some(running) = &self.running {
            self.counters = running.counters();
        }
        echocart_session_stats_t {
            struct_size: size_of::<echocart_session_stats_t>() as u32,
            running: (self.intake.phase() == Phase::Running).into(),
            exams: self.newest_exam.number() + u64::from(self.counters.captured > 0),
            frames_missing: self.intake.frames_missing(),
            results_waiting: self.events.len() as u64,
            counters: counters(&self.counters),
            push: spread(&self.intake.push),
            commit: spread(&self.intake.commit),
            clip_wait: spread(&self.latencies.clip_wait),
            inference: spread(&self.latencies.inference),
            event: spread(&self.latencies.event),
        }
    }

    /// How much memory there is.
    pub fn memory(&mut self) -> echocart_session_memory_t {
        let buffers = self.pool.buffers();
        echocart_session_memory_t {
            struct_size: size_of::<echocart_session_memory_t>() as u32,
            frame_buffers: buffers as u32,
            frame_buffer_bytes: self.pool.bytes(),
            frame_buffer_limit_bytes: (buffers as u64).saturating_mul(self.max_frame_bytes),
            clip_bytes: self.latencies.clip_bytes.load(Ordering::Relaxed),
            create_bytes: self.create_bytes,
            process_bytes: system::resident_bytes(),
        }
    }

    /// Writes what the recorder holds to a new file.
    pub fn save(&mut self, path: &Path) -> Result<Saved, Fault> {
        let Some(recorder) = &self.recorder else {
            let text = "expected [recorder] in the configuration, found none: session";
            return Err(Fault::new(Code::BadState, text));
        };
        Ok(recorder.save(path)?)
    }

    /// Closes the frame port, lets the pipeline run dry for at most `patience`, and ends it.
    pub fn stop(&mut self, patience: Duration) -> Result<(), Fault> {
        let start = Instant::now();
        self.intake.close();
        self.log.say(ECHOCART_LOG_INFO, "stopping");
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        let finished = running.wait_finished(patience);
        if finished {
            let left = patience.saturating_sub(start.elapsed());
            self.make_room(match self.pace {
                Pace::Max => left,
                Pace::Real => Duration::ZERO,
            });
        }
        let last = running.stop();
        self.counters = last.counters;
        if finished {
            Ok(())
        } else {
            Err(Code::Timeout.into())
        }
    }

    /// Makes sure that the summary finds a place in the queue, where the thread that stops may be the one
    /// that polls: waits for one, at maximum pace, then takes out the oldest.
    fn make_room(&self, patience: Duration) {
        let start = Instant::now();
        while self.events.is_full() {
            if start.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(1));
            } else if self.events.try_recv().is_ok() {
                self.results_dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Ends the session and waits until the inference call in flight has returned.
    pub fn end(mut self) {
        let _ = self.stop(Duration::ZERO);
        let _ = self.engine_end.recv();
        if let Some(recorder) = self.recorder.take() {
            recorder.end();
        }
    }
}

fn spread(histogram: &Histogram) -> echocart_histogram_t {
    let spread = histogram.spread();
    let nanos = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
    echocart_histogram_t {
        count: spread.count,
        min_nanos: nanos(spread.min_nanos),
        mean_nanos: nanos(spread.mean_nanos),
        p50_nanos: nanos(spread.p50_nanos),
        p90_nanos: nanos(spread.p90_nanos),
        p99_nanos: nanos(spread.p99_nanos),
        p999_nanos: nanos(spread.p999_nanos),
        max_nanos: nanos(spread.max_nanos),
    }
}

fn info(parts: &Parts) -> echocart_session_info_t {
    let (manifest, engine) = (&parts.manifest, parts.engine.info());
    let calibration = manifest.calibration.get(&engine.variant);
    let calibration = calibration.map_or_else(|| "none".to_owned(), Calibration::words);
    let mut info = echocart_session_info_t {
        struct_size: size_of::<echocart_session_info_t>() as u32,
        trained: match manifest.card.trained {
            Trained::Untrained => ECHOCART_TRAINED_NOTHING,
            Trained::Simulated => ECHOCART_TRAINED_SIMULATED,
            Trained::Clinical => ECHOCART_TRAINED_CLINICAL,
        },
        unsigned_package: (!parts.signed.is_trusted()).into(),
        label_count: manifest.view_labels().len() as u32,
        package: chars(&parts.package),
        card: chars(&manifest.card.title),
        model: chars(&manifest.encoder.words()),
        provider: chars(""),
        library: chars(""),
        config: chars(&parts.config.hash12()),
        version: chars(env!("CARGO_PKG_VERSION")),
        variant: chars(""),
        calibration: chars(""),
        degraded: chars(""),
        isolation: match parts.config.engine.isolation {
            Isolation::Worker => ECHOCART_ISOLATION_WORKER,
            Isolation::InProcess => ECHOCART_ISOLATION_IN_PROCESS,
        },
        threads: parts.config.engine.intra_op_threads as u32,
        clip_frames: manifest.encoder.frames as u32,
        sampling_hz: manifest.sampling.rate_hz as f32,
        min_fps: manifest.limits.min_fps as f32,
        max_fps: manifest.limits.max_fps as f32,
    };
    describe(&mut info, &engine, &calibration, parts.warning.as_ref());
    info
}

/// Fills in what the engine says of itself.
fn describe(
    info: &mut echocart_session_info_t,
    engine: &EngineInfo,
    calibration: &str,
    warning: Option<&String>,
) {
    let degraded: Vec<&str> = [engine.degraded.as_ref(), warning]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    info.provider = chars(&engine.provider);
    info.library = chars(&engine.library);
    info.variant = chars(&engine.variant);
    info.calibration = chars(calibration);
    info.degraded = chars(&degraded.join("; "));
}

#[cfg(test)]
mod tests;
