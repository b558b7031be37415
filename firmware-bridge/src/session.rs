//! Life cycle: from a configuration to a running pipeline and its end.

use crate::abi::{
    ECHOCART_MAX_LABELS, ECHOCART_TRAINED_CLINICAL, ECHOCART_TRAINED_NOTHING,
    ECHOCART_TRAINED_SIMULATED, echocart_session_info_t,
};
use crate::codes::Code;
use crate::fault::Fault;
use crate::frames::{FramePort, Intake};
use crate::results::{ResultPort, chars};
use crossbeam_channel::{Receiver, Sender, bounded};
use echocart_core::clock::Pace;
use echocart_core::config::CartConfig;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::events::Event;
use echocart_core::manifest::{Manifest, Trained};
use echocart_core::package::Package;
use echocart_core::session::{Session, SessionSetup};
use echocart_core::signature::Signed;
use echocart_infer::{Libraries, open_configured};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the caller asked for, checked.
#[derive(Debug)]
pub(crate) struct Request<'call> {
    pub package_dir: &'call str,
    pub library_path: &'call str,
    pub config_toml: &'call str,
    pub pace: Pace,
    pub allow_demonstration: bool,
}

/// State of a session handle.
pub(crate) struct SessionState {
    running: Option<Session>,
    intake: Arc<Intake>,
    engine_end: Receiver<Infallible>,
    events: Receiver<Event>,
    results_dropped: Arc<AtomicU64>,
    info: echocart_session_info_t,
}

/// Tells by its end that the thread which owned the engine is through with it.
struct Watched {
    engine: Box<dyn Engine>,
    _alive: Sender<Infallible>,
}

impl Engine for Watched {
    fn info(&self) -> EngineInfo {
        self.engine.info()
    }

    fn slots(&self) -> usize {
        self.engine.slots()
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        self.engine.encode(tubelets, slot)
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        self.engine.encode_kept(rows, ids, slot)
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.engine.head(name, slots, out)
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.engine.multi_view_head(name, places, slots, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.engine.tokens(slot, out)
    }
}

/// Loads what the request names and starts the pipeline.
pub(crate) fn create(request: &Request) -> Result<(SessionState, FramePort, ResultPort), Fault> {
    let library_path = Path::new(request.library_path);
    if !library_path.is_absolute() {
        return Err(Fault::bad(
            "library_path",
            "the absolute path of the ONNX Runtime library this version was built for",
            format!("{:?}", request.library_path),
        ));
    }
    if request.package_dir.is_empty() {
        return Err(Fault::bad(
            "package_dir",
            "the folder of a package",
            "nothing",
        ));
    }
    let config = match request.config_toml {
        "" => CartConfig::demo()?,
        text => CartConfig::parse(text)?,
    };
    let package = Package::open(Path::new(request.package_dir), &config.package)?;
    let labels = package.manifest.view_labels().len();
    if labels > ECHOCART_MAX_LABELS {
        return Err(Fault::new(
            Code::PackageUnsupported,
            format!(
                "view labels: expected at most {ECHOCART_MAX_LABELS}, found {labels}: {}",
                package.name()
            ),
        ));
    }
    let libraries = Libraries::File(library_path);
    let engine = open_configured(&config.engine, libraries, &package)?;
    start(
        package.manifest.clone(),
        package.name(),
        package.signed,
        config,
        Box::new(engine),
        request.pace,
        request.allow_demonstration,
    )
}

/// Starts the pipeline over an engine.
pub(crate) fn start(
    manifest: Manifest,
    package: String,
    signed: Signed,
    config: CartConfig,
    engine: Box<dyn Engine>,
    pace: Pace,
    allow_demonstration: bool,
) -> Result<(SessionState, FramePort, ResultPort), Fault> {
    let info = info(&manifest, &package, signed, &config, &engine.info());
    let labels: Arc<[String]> = manifest.view_labels().into();
    let show_raw = allow_demonstration || manifest.card.trained == Trained::Clinical;
    let (alive, engine_end) = bounded(0);
    let engine = Box::new(Watched {
        engine,
        _alive: alive,
    });
    let (running, producer, events) = Session::start(SessionSetup {
        manifest,
        package,
        signed,
        config,
        engine,
        pace,
    })?;
    let intake = Arc::new(Intake::new(producer));
    let results_dropped = Arc::new(AtomicU64::new(0));
    let session = SessionState {
        running: Some(running),
        intake: intake.clone(),
        engine_end,
        events: events.clone(),
        results_dropped: results_dropped.clone(),
        info,
    };
    let frames = FramePort::new(intake.clone(), pace);
    let results = ResultPort::new(events, results_dropped, labels, pace, show_raw, intake);
    Ok((session, frames, results))
}

impl SessionState {
    pub fn info(&self) -> echocart_session_info_t {
        self.info
    }

    /// Closes the frame port, lets the pipeline run dry for at most `patience`, and ends it.
    pub fn stop(&mut self, patience: Duration) -> Result<(), Fault> {
        let start = Instant::now();
        self.intake.close();
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        let finished = running.wait_finished(patience);
        if finished {
            self.make_room(patience.saturating_sub(start.elapsed()));
        }
        running.stop();
        if finished {
            Ok(())
        } else {
            Err(Code::Timeout.into())
        }
    }

    /// Makes sure that the summary finds a place in the queue: at maximum pace it would wait for
    /// one, and the thread that stops may be the one that polls.
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
    }
}

fn info(
    manifest: &Manifest,
    package: &str,
    signed: Signed,
    config: &CartConfig,
    engine: &EngineInfo,
) -> echocart_session_info_t {
    echocart_session_info_t {
        struct_size: size_of::<echocart_session_info_t>() as u32,
        trained: match manifest.card.trained {
            Trained::Untrained => ECHOCART_TRAINED_NOTHING,
            Trained::Simulated => ECHOCART_TRAINED_SIMULATED,
            Trained::Clinical => ECHOCART_TRAINED_CLINICAL,
        },
        unsigned_package: (!signed.is_trusted()).into(),
        label_count: manifest.view_labels().len() as u32,
        package: chars(package),
        card: chars(&manifest.card.title),
        model: chars(&manifest.encoder.words()),
        provider: chars(&engine.provider),
        library: chars(&engine.library),
        config: chars(&config.hash12()),
        version: chars(env!("CARGO_PKG_VERSION")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{
        ECHOCART_NO_LABEL, ECHOCART_PIXEL_GRAY8, ECHOCART_RESULT_ESTIMATE,
        ECHOCART_STATUS_DEMONSTRATION, ECHOCART_STATUS_VALUE, echocart_frame_t, echocart_result_t,
    };

    struct Fixed;

    impl Engine for Fixed {
        fn info(&self) -> EngineInfo {
            EngineInfo {
                provider: "FIXED".to_owned(),
                library: "none".to_owned(),
                ..EngineInfo::default()
            }
        }

        fn slots(&self) -> usize {
            4
        }

        fn encode(&mut self, _: &[Arc<Vec<f32>>], _: usize) -> Result<(), EngineError> {
            Ok(())
        }

        fn encode_kept(&mut self, _: &[f32], _: &[usize], _: usize) -> Result<(), EngineError> {
            Ok(())
        }

        fn multi_view_head(
            &mut self,
            _: &str,
            _: &[usize],
            _: &[usize],
            out: &mut Vec<f32>,
        ) -> Result<(), EngineError> {
            *out = vec![0.0];
            Ok(())
        }

        fn head(&mut self, _: &str, _: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
            *out = vec![0.5, 2.5];
            Ok(())
        }

        fn tokens(&mut self, _: usize, _: &mut Vec<f32>) -> Result<(), EngineError> {
            Ok(())
        }
    }

    const MANIFEST: &str = r#"
        format = 2
        min_version = "0.1.0"
        id = "fixed"
        card = { title = "Fixed", text = "", trained = "TRAINED" }
        checkpoint = { source = "none", sha256 = "", key = "target_encoder" }
        sampling = { rate_hz = 8.0, hop_slots = 2, max_skew_millis = 60.0 }
        view = { threshold = 0.5 }
        limits = { population = "none", min_fps = 8.0, max_fps = 60.0 }
        variants = {}
        golden = {}
        calibration = {}
        files = {}
        [encoder]
        family = "vjepa2"
        dim = 8
        depth = 1
        heads = 1
        mlp_ratio = 4.0
        frames = 4
        height_px = 16
        width_px = 16
        tubelet_frames = 2
        patch_px = 16
        channels = 3
        [preprocess]
        steps = [{ op = "squash", width_px = 16, height_px = 16 }]
        mean = [0.5, 0.5, 0.5]
        std = [0.5, 0.5, 0.5]
        orientation = "any"
        mask = { kind = "none" }
        [heads.view]
        segments = 1
        probe = "attentive"
        heads = 1
        depth = 1
        classifier_index = 0
        classifier_choice = "only"
        output = { kind = "classification", labels = ["A2C", "A4C"] }
    "#;

    fn first_estimate(trained: &str, allow_demonstration: bool) -> echocart_result_t {
        let manifest = toml::from_str(&MANIFEST.replace("TRAINED", trained)).unwrap();
        let config = CartConfig::demo().unwrap();
        let engine = Box::new(Fixed);
        let name = "fixed@0".to_owned();
        let (mut session, mut frames, mut results) = start(
            manifest,
            name,
            Signed::No,
            config,
            engine,
            Pace::Max,
            allow_demonstration,
        )
        .unwrap();
        let pixels = [7u8; 32 * 32];
        for number in 0..4 {
            let frame = echocart_frame_t {
                struct_size: size_of::<echocart_frame_t>() as u32,
                format: ECHOCART_PIXEL_GRAY8,
                width_px: 32,
                height_px: 32,
                row_stride_bytes: 32,
                pass: 0,
                pixels: pixels.as_ptr(),
                pixel_bytes: pixels.len() as u64,
                capture_nanos: number * 125_000_000,
            };
            assert_eq!(frames.push(&frame, &pixels).unwrap(), number as u64);
        }
        session.stop(Duration::from_secs(60)).unwrap();
        loop {
            let result = results.poll().unwrap();
            if result.kind == ECHOCART_RESULT_ESTIMATE {
                return result;
            }
        }
    }

    #[test]
    fn a_clinical_value_needs_no_leave() {
        let result = first_estimate("clinical", false);
        assert_eq!(result.view.status, ECHOCART_STATUS_VALUE);
        assert_eq!((result.view_label, result.view.segments[0].view), (1, 1));
        assert_eq!(result.raw_view[..2], [0.5, 2.5]);
        assert_eq!(
            (result.raw_view_count, result.view_probability_count),
            (2, 2)
        );
        assert!(result.view.valid_until_nanos > 0);
    }

    #[test]
    fn a_demonstration_needs_leave() {
        for trained in ["untrained", "simulated"] {
            let shown = first_estimate(trained, true);
            assert_eq!(shown.view.status, ECHOCART_STATUS_DEMONSTRATION);
            assert_eq!(shown.view_label, 1);
            let hidden = first_estimate(trained, false);
            assert_eq!(hidden.view.status, ECHOCART_STATUS_DEMONSTRATION);
            assert_eq!(hidden.view_label, ECHOCART_NO_LABEL);
            assert_eq!(
                (hidden.raw_view_count, hidden.view_probability_count),
                (0, 0)
            );
            assert!(hidden.view_probabilities.iter().all(|p| p.is_nan()));
        }
    }
}
