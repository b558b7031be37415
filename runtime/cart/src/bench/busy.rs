//! An engine that keeps one core busy and always says the same.

use crate::exit::{Because, Cause, Failure};
use crossbeam_channel::Receiver;
use echocart_core::clock::Pace;
use echocart_core::config::{CartConfig, PackageConfig};
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::events::Event;
use echocart_core::kept::Kept;
use echocart_core::manifest::{HeadOutput, LVEF, Manifest, Trained, VIEW};
use echocart_core::package::Package;
use echocart_core::ring::FrameProducer;
use echocart_core::session::{Session, SessionSetup};
use echocart_core::signature::Signed;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Computes for a fixed time per clip.
pub struct Busy {
    per_clip: Duration,
    labels: usize,
    shown: usize,
    rows: f32,
}

impl Busy {
    /// Spins `per_clip` on every clip; says the view that the EF head accepts.
    pub fn new(manifest: &Manifest, per_clip: Duration) -> Self {
        let labels = manifest.view_labels();
        let wanted = match manifest.heads.get(LVEF).map(|h| &h.output) {
            Some(HeadOutput::Regression { required_views, .. }) => required_views.first(),
            _ => None,
        };
        let shown = wanted.and_then(|w| labels.iter().position(|l| l == w));
        Self {
            per_clip,
            labels: labels.len(),
            shown: shown.unwrap_or(0),
            rows: 0.0,
        }
    }
}

impl Engine for Busy {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            provider: "none".to_owned(),
            library: "a loop that keeps one core busy".to_owned(),
            variant: "none".to_owned(),
            ..EngineInfo::default()
        }
    }

    fn slots(&self) -> usize {
        16
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], _slot: usize) -> Result<(), EngineError> {
        let until = Instant::now() + self.per_clip;
        loop {
            for tubelet in tubelets {
                self.rows += tubelet.iter().sum::<f32>();
                if Instant::now() >= until {
                    return Ok(());
                }
            }
        }
    }

    fn encode_kept(
        &mut self,
        _rows: &[f32],
        _ids: &[usize],
        slot: usize,
    ) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }

    fn head(
        &mut self,
        name: &str,
        _slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        out.clear();
        match name {
            VIEW => out.extend((0..self.labels).map(|l| if l == self.shown { 9.0 } else { 0.0 })),
            _ => out.push(0.0),
        }
        Ok(())
    }

    fn multi_view_head(
        &mut self,
        _name: &str,
        _places: &[usize],
        _slots: &[usize],
        _out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot: 0 })
    }

    fn tokens(&mut self, slot: usize, _out: &mut Vec<f32>) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }
}

/// A running session over a busy engine.
pub struct Rig {
    pub session: Session,
    pub producer: FrameProducer,
    pub events: Receiver<Event>,
    pub words: String,
}

/// Starts a session of a package's geometry over an engine that spins `per_clip` on every clip.
pub fn rig(dir: &Path, per_clip: Duration) -> Result<Rig, Failure> {
    let package = Package::open(dir, &PackageConfig::ANY).because(Cause::Package)?;
    let mut manifest = package.manifest.clone();
    manifest.card.trained = Trained::Untrained;
    let words = format!(
        "{}, {}; engine: a loop of {} ms a clip on one core",
        package.name(),
        manifest.encoder.words(),
        per_clip.as_millis()
    );
    let engine = Box::new(Busy::new(&manifest, per_clip));
    let (session, producer, events) = Session::start(SessionSetup {
        package: package.name(),
        signed: Signed::No,
        manifest,
        config: CartConfig::demo().because(Cause::Usage)?,
        engine,
        pace: Pace::Real,
        kept: Kept::AsAllowed,
        guide: None,
    })
    .because(Cause::Other)?;
    Ok(Rig {
        session,
        producer,
        events,
        words,
    })
}
