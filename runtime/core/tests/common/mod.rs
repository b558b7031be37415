//! A pipeline over a scripted engine.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![expect(clippy::unwrap_used, reason = "test helpers")]

pub mod heart;
pub mod seated;

use crossbeam_channel::Receiver;
use echocart_core::clock::Pace;
use echocart_core::config::CartConfig;
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::events::{Counters, Estimate, Event, Summary};
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::kept::Kept;
use echocart_core::manifest::{Calibration, Manifest};
use echocart_core::ring::{FrameProducer, Pushed};
use echocart_core::session::{Session, SessionSetup};
use echocart_core::signature::Signed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const MILLI: i64 = 1_000_000;

/// What the scripted engine does with clip `n`.
pub type Script = Box<dyn FnMut(u64) -> Act + Send>;

pub enum Act {
    /// View logits and EF z-score.
    Say([f32; 2], f32),
    Fail,
    Absent,
    Panic,
    /// The encoder answers, the first head panics.
    PanicInHead,
    Sleep(Duration),
}

pub const A4C: Act = Act::Say([0.0, 5.0], 0.5);

pub struct Scripted {
    script: Script,
    clips: u64,
    act: Option<Act>,
    rows: Rows,
}

/// What an encoder was given for the newest clip.
pub type Rows = Arc<Mutex<Vec<f32>>>;

impl Scripted {
    pub fn engine(script: impl FnMut(u64) -> Act + Send + 'static) -> Box<dyn Engine> {
        Self::noting(script, Rows::default())
    }

    /// As [`Scripted::engine`]; keeps what it is given in `rows`.
    pub fn noting(script: impl FnMut(u64) -> Act + Send + 'static, rows: Rows) -> Box<dyn Engine> {
        Box::new(Self {
            script: Box::new(script),
            clips: 0,
            act: None,
            rows,
        })
    }
}

impl Engine for Scripted {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            provider: "SCRIPT".to_owned(),
            library: "none".to_owned(),
            ..EngineInfo::default()
        }
    }

    fn slots(&self) -> usize {
        16
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], _slot: usize) -> Result<(), EngineError> {
        assert_eq!(tubelets.len(), 2);
        let mut rows = self.rows.lock().unwrap();
        rows.clear();
        tubelets
            .iter()
            .for_each(|block| rows.extend_from_slice(block));
        drop(rows);
        let act = (self.script)(self.clips);
        self.clips += 1;
        self.act = Some(match act {
            Act::Fail => {
                return Err(EngineError::Failed {
                    what: "encoder".to_owned(),
                    message: "scripted".to_owned(),
                });
            }
            Act::Absent => {
                return Err(EngineError::Absent {
                    message: "scripted".to_owned(),
                });
            }
            Act::Panic => panic!("scripted"),
            Act::Sleep(time) => {
                std::thread::sleep(time);
                A4C
            }
            act @ (Act::Say(..) | Act::PanicInHead) => act,
        });
        Ok(())
    }

    fn encode_kept(
        &mut self,
        _rows: &[f32],
        _ids: &[usize],
        slot: usize,
    ) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }

    fn multi_view_head(
        &mut self,
        _name: &str,
        _places: &[usize],
        slots: &[usize],
        _out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot: slots[0] })
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        out.clear();
        assert!(!matches!(self.act, Some(Act::PanicInHead)), "scripted");
        let Some(Act::Say(logits, z)) = &self.act else {
            return Err(EngineError::EmptySlot { slot: slots[0] });
        };
        match name {
            "view" => out.extend(logits),
            _ => out.push(*z),
        }
        Ok(())
    }

    fn tokens(&mut self, slot: usize, _out: &mut Vec<f32>) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }
}

pub fn manifest() -> Manifest {
    let manifest: Manifest = toml::from_str(include_str!("manifest.toml")).unwrap();
    manifest.validate().unwrap();
    manifest
}

/// A calibration of view and EF, for labels of this range.
pub fn calibration(temperature: f64, range: [f64; 2]) -> Calibration {
    let text = format!(
        "view = {{ temperature = {temperature}, patients = 20, clips = 40 }}
        lvef = {{ coverage = 0.9, half_width = 8.5, patients = 20, estimates = 40, \
            range = [{:?}, {:?}], views = [\"A4C\"] }}
        domain = {{ sources = [\"test\"], patients = 25, files = 30, clips = 60, \
            views = {{ A4C = 30 }}, split = \"none\" }}",
        range[0], range[1]
    );
    toml::from_str(&text).unwrap()
}

pub fn start(
    engine: Box<dyn Engine>,
    pace: Pace,
    edit: impl FnOnce(&mut CartConfig),
) -> (Session, FrameProducer, Receiver<Event>) {
    start_package(manifest(), engine, pace, edit)
}

/// As [`start`], for a package with this manifest.
pub fn start_package(
    manifest: Manifest,
    engine: Box<dyn Engine>,
    pace: Pace,
    edit: impl FnOnce(&mut CartConfig),
) -> (Session, FrameProducer, Receiver<Event>) {
    let mut config = CartConfig::demo().unwrap();
    config.pipeline.event_queue = 65_536;
    edit(&mut config);
    Session::start(SessionSetup {
        manifest,
        package: "fixture@000000000000".to_owned(),
        signed: Signed::No,
        config,
        engine,
        pace,
        kept: Kept::AsAllowed,
        guide: None,
    })
    .unwrap()
}

pub fn meta(capture_nanos: i64) -> FrameMeta {
    FrameMeta {
        width_px: 20,
        height_px: 18,
        format: PixelFormat::Gray8,
        capture_nanos,
        pass: 0,
        host: Default::default(),
    }
}

/// A picture of its own for every capture time.
pub fn fill(meta: &FrameMeta) -> impl FnOnce(&mut Vec<u8>) + use<> {
    fill_with(meta, (meta.capture_nanos as u64).wrapping_add(1))
}

/// The picture with this number.
pub fn fill_with(meta: &FrameMeta, picture: u64) -> impl FnOnce(&mut Vec<u8>) + use<> {
    let bytes = meta.frame_bytes() as u64;
    move |pixels| {
        let mut state = picture.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        pixels.clear();
        pixels.extend((0..bytes).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        }));
    }
}

/// Pushes without losing a frame.
pub fn push_all(producer: &mut FrameProducer, metas: impl IntoIterator<Item = FrameMeta>) {
    for meta in metas {
        while producer.offer(meta, fill(&meta)).unwrap() == Pushed::RingFull {
            std::thread::yield_now();
        }
    }
}

/// Frames every `period` milliseconds.
pub fn frames(count: i64, period: i64) -> impl Iterator<Item = FrameMeta> {
    (0..count).map(move |i| meta(i * period * MILLI))
}

/// Closes the source, waits for the end and gives every event.
pub fn finish(
    mut session: Session,
    producer: FrameProducer,
    events: &Receiver<Event>,
) -> (Summary, Vec<Event>) {
    drop(producer);
    let mut all = Vec::new();
    while !session.wait_finished(Duration::from_millis(5)) {
        all.extend(events.try_iter());
    }
    let summary = session.stop();
    all.extend(events.try_iter());
    (summary, all)
}

pub fn estimates(events: &[Event]) -> Vec<&Estimate> {
    let mut estimates = Vec::new();
    for event in events {
        if let Event::Estimate(estimate) = event {
            estimates.push(estimate.as_ref());
        }
    }
    estimates
}

#[track_caller]
pub fn assert_identity(c: &Counters) {
    let rejected: u64 = c.rejected.values().sum();
    let ended = c.used + c.unused + c.dropped_ring_full + rejected + c.in_flight;
    assert_eq!(c.captured, ended, "{c:?}");
}
