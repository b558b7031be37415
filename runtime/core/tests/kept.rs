//! Patches outside the imaging area are left out where the package allows it, and only there.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod common;

use common::{estimates, finish, manifest, meta, push_all};
use echocart_core::clock::Pace;
use echocart_core::config::{
    ApexSide, AreaConfig, CartConfig, MarkerSide, RecorderConfig, ScreenConfig,
};
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::events::{Event, TokenCount};
use echocart_core::frame::FrameMeta;
use echocart_core::kept::Kept;
use echocart_core::manifest::{KeptTokens, Manifest, Tokens, Trained};
use echocart_core::recorder::replay::Replay;
use echocart_core::recorder::{Entry, Record, RecordingReader};
use echocart_core::screen::sector::Shape;
use echocart_core::session::{Session, SessionSetup};
use echocart_core::signature::Signed;
use std::sync::{Arc, Mutex};

/// What an encoder was given: everything, or these places.
type Given = Arc<Mutex<Vec<Option<Vec<usize>>>>>;

/// An engine of variant `fp32` that notes what it is given.
struct Noting {
    given: Given,
    row: usize,
}

impl Engine for Noting {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            provider: "CPU".to_owned(),
            variant: "fp32".to_owned(),
            ..EngineInfo::default()
        }
    }

    fn slots(&self) -> usize {
        16
    }

    fn encode(&mut self, _: &[Arc<Vec<f32>>], _: usize) -> Result<(), EngineError> {
        self.given.lock().unwrap().push(None);
        Ok(())
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], _: usize) -> Result<(), EngineError> {
        assert_eq!(rows.len(), ids.len() * self.row);
        self.given.lock().unwrap().push(Some(ids.to_vec()));
        Ok(())
    }

    fn head(&mut self, name: &str, _: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        out.clear();
        match name {
            "view" => out.extend([0.0, 5.0]),
            _ => out.push(0.5),
        }
        Ok(())
    }

    fn multi_view_head(
        &mut self,
        _: &str,
        _: &[usize],
        slots: &[usize],
        _: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot: slots[0] })
    }

    fn tokens(&mut self, slot: usize, _: &mut Vec<f32>) -> Result<(), EngineError> {
        Err(EngineError::EmptySlot { slot })
    }
}

/// Four by four patches, and what was measured of leaving some out.
fn measured(view_agreement: f64, ef_shift: f64) -> Manifest {
    let mut manifest = manifest();
    manifest.encoder.patch_px = 4;
    let found = KeptTokens {
        clips: 100,
        view_agreement,
        ef_shift: Some(ef_shift),
    };
    manifest.kept_tokens.insert("fp32".to_owned(), found);
    manifest.validate().unwrap();
    manifest
}

/// A fan that touches no part of the upper corners.
fn area() -> ScreenConfig {
    let corners = [[0.5, 0.1], [0.9, 0.7], [0.7, 0.9], [0.3, 0.9], [0.1, 0.7]];
    ScreenConfig {
        apex: ApexSide::Any,
        marker: MarkerSide::Any,
        area: Some(AreaConfig {
            shape: Shape::Phased,
            outline: corners.to_vec(),
        }),
    }
}

struct Played {
    given: Vec<Option<Vec<usize>>>,
    events: Vec<Event>,
    recording: Vec<u8>,
}

fn play(manifest: Manifest, kept: Kept, screen: ScreenConfig) -> Played {
    let given = Given::default();
    let engine = Noting {
        given: given.clone(),
        row: manifest.encoder.row(),
    };
    let mut config = CartConfig::demo().unwrap();
    config.pipeline.event_queue = 65_536;
    config.screen = screen;
    config.recorder = Some(RecorderConfig {
        budget_mib: 64,
        folder: ".".into(),
    });
    let (session, mut producer, events) = Session::start(SessionSetup {
        manifest,
        package: "fixture@000000000000".to_owned(),
        signed: Signed::No,
        config,
        engine: Box::new(engine),
        pace: Pace::Max,
        kept,
        guide: None,
    })
    .unwrap();
    let recorder = session.recorder().unwrap();
    push_all(
        &mut producer,
        (0..80).map(|at| FrameMeta {
            width_px: 160,
            height_px: 120,
            ..meta(at * 40_000_000)
        }),
    );
    let (_, events) = finish(session, producer, &events);
    let mut recording = Vec::new();
    recorder.snapshot().unwrap().write(&mut recording).unwrap();
    let given = given.lock().unwrap().clone();
    Played {
        given,
        events,
        recording,
    }
}

fn session_tokens(events: &[Event]) -> &str {
    match &events[0] {
        Event::State(started) => &started.session.as_ref().unwrap().tokens,
        other => panic!("{other:?}"),
    }
}

/// The patches that the area touches, of sixteen.
const INSIDE: [u32; 14] = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Their places in the two tubelets.
fn places() -> Option<Vec<usize>> {
    let of = |from: usize| INSIDE.map(|patch| from + patch as usize);
    Some([of(0), of(16)].concat())
}

#[test]
fn where_the_package_allows_it_the_encoder_is_given_the_imaging_area_alone() {
    let played = play(measured(0.98, 1.0), Kept::AsAllowed, area());
    // Drawn noise soon counts as too little signal, so that only the first clips are inferred.
    assert!(!played.given.is_empty());
    assert!(
        played.given.iter().all(|ids| *ids == places()),
        "{:?}",
        played.given
    );
    assert_eq!(session_tokens(&played.events), "those in the imaging area");
    let count = TokenCount { used: 28, all: 32 };
    let inferred = estimates(&played.events);
    let inferred: Vec<_> = inferred.iter().filter(|e| e.raw.is_some()).collect();
    assert_eq!(inferred.len(), played.given.len());
    for estimate in inferred {
        assert_eq!((estimate.tokens, &estimate.degraded), (Some(count), &None));
    }
}

#[test]
fn without_a_measurement_that_allows_it_the_encoder_is_given_everything() {
    let allowed = || measured(0.98, 1.0);
    let unmeasured = Manifest {
        kept_tokens: Default::default(),
        ..allowed()
    };
    let mut without_ef = allowed();
    without_ef.kept_tokens.get_mut("fp32").unwrap().ef_shift = None;
    let mut untrained = allowed();
    untrained.card.trained = Trained::Untrained;
    let mut fixed = allowed();
    fixed.variants.get_mut("fp32").unwrap().tokens = Tokens::Exactly(32);
    for (manifest, screen, why) in [
        (
            unmeasured,
            area(),
            "all: variant fp32 was not measured with fewer",
        ),
        (
            measured(0.979, 0.0),
            area(),
            "all: variant fp32 gives the same view on 97.9 %",
        ),
        (
            measured(1.0, 1.1),
            area(),
            "all: variant fp32 gives an EF 1.1 points off",
        ),
        (
            without_ef,
            area(),
            "all: variant fp32 was measured without its EF",
        ),
        (untrained, area(), "all: the package is not trained"),
        (fixed, area(), "all: variant fp32 takes 32"),
        (
            allowed(),
            ScreenConfig {
                area: None,
                ..area()
            },
            "those in the imaging area",
        ),
    ] {
        let played = play(manifest, Kept::AsAllowed, screen);
        assert!(!played.given.is_empty(), "{why}");
        assert!(played.given.iter().all(Option::is_none), "{why}");
        assert!(
            session_tokens(&played.events).starts_with(why),
            "{:?}",
            played.events[0]
        );
        assert!(estimates(&played.events).iter().all(|e| e.tokens.is_none()));
    }
}

#[test]
fn a_bench_may_force_it_and_every_event_says_so() {
    let manifest = Manifest {
        kept_tokens: Default::default(),
        ..measured(1.0, 0.0)
    };
    let played = play(manifest, Kept::Forced, area());
    assert!(!played.given.is_empty() && played.given.iter().all(Option::is_some));
    for estimate in estimates(&played.events) {
        let degraded = estimate.degraded.as_deref().unwrap_or_default();
        assert!(
            degraded.contains("bench: fewer tokens, although"),
            "{estimate:?}"
        );
    }
}

#[test]
fn a_recording_of_it_comes_out_again() {
    let played = play(measured(1.0, 0.0), Kept::AsAllowed, area());
    let mut reader = RecordingReader::new(played.recording.as_slice()).unwrap();
    let again = Given::default();
    let engine = Noting {
        given: again.clone(),
        row: 3 * 2 * 4 * 4,
    };
    let mut replay = Replay::new(&reader.header().clone(), Some(Box::new(engine))).unwrap();
    let mut judged = 0;
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Record(Record::Judged(clip)) = &entry {
            judged += 1;
            assert_eq!(clip.kept.as_deref(), Some(INSIDE.as_slice()));
        }
        replay.entry(entry).unwrap();
    }
    let compared = replay.compared();
    assert_eq!((compared.skipped, compared.lost), (0, 0), "{compared:?}");
    assert!(judged > 0);
    let again = again.lock().unwrap();
    assert!(!again.is_empty(), "frames were stored");
    assert!(again.iter().all(|ids| *ids == places()), "{again:?}");
}
