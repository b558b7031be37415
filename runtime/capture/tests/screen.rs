//! The screen's checks on real clips, against marks made by hand (`tests/cases/screen`).
//!
//! `cargo test --release -p echocart-capture --test screen -- --nocapture` prints the table.
#![cfg(feature = "video")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod clips;

use clips::frames;
use echocart_core::frame::{FrameMeta, PixelLayout};
use echocart_core::screen::sector::{Outline, SectorMask, Shape};
use echocart_core::screen::{
    Area, Fault, Motion, Pixels, Scene, ScreenSetup, Stillness, StillnessRules,
};
use serde::Deserialize;
use std::path::PathBuf;

/// Least common share of the area found and the area marked.
const LEAST_COMMON: f32 = 0.85;
/// Least share of a range's frames of which the right thing is said.
const LEAST_RIGHT: f32 = 0.98;
/// One clip's marks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Below the folder of shared clips.
    file: String,
    /// Nothing was tuned on it.
    #[serde(default)]
    held_out: bool,
    /// The area is not found: a known miss.
    #[serde(default)]
    known_miss: bool,
    /// Least area in common, where the usual one is not reached.
    least_common: Option<f32>,
    /// Side of the scanner's orientation mark, where one can be seen beside a fan.
    marker: Option<String>,
    /// It is not found, and nothing is claimed of it.
    #[serde(default)]
    marker_missed: bool,
    shape: Option<Shape>,
    outline: Option<Vec<[f32; 2]>>,
    #[serde(default)]
    frames: Vec<Span>,
}

/// What is right to say of some frames.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    from: usize,
    to: usize,
    says: String,
}

#[derive(Clone, Copy)]
struct Said {
    fault: Option<Fault>,
    motion: Motion,
}

impl Said {
    fn is(&self, word: &str) -> bool {
        match word {
            "no fault" => self.fault.is_none(),
            "live" => self.fault.is_none() && self.motion != Motion::Frozen,
            "colour" => self.fault == Some(Fault::Colour),
            "linear" => self.fault == Some(Fault::LinearProbe),
            "in air" => self.fault == Some(Fault::InAir),
            "no image" => self.fault == Some(Fault::NoImage),
            "callipers" => self.fault == Some(Fault::Callipers),
            "frozen" => self.motion == Motion::Frozen,
            other => panic!("no such state: {other}"),
        }
    }
}

fn play(frames: &[(FrameMeta, Vec<u8>)]) -> (Scene, Vec<Said>) {
    let mut scene = Scene::new(ScreenSetup::default());
    let mut stillness = Stillness::new(StillnessRules::default());
    let mut said = Vec::new();
    for (meta, pixels) in frames {
        let pixels = Pixels::new(pixels, PixelLayout::packed(meta), meta);
        let fault = scene.look(&pixels, meta.capture_nanos);
        let picture = pixels.picture();
        let bounds = scene.sector().map(|s| s.outline.bounds());
        let [left, top, right, bottom] = bounds.unwrap_or([0.0, 0.0, 1.0, 1.0]);
        let at = |share: f32, side: usize| (share * side as f32) as usize;
        let area = Area {
            x_px: at(left, picture.width_px),
            y_px: at(top, picture.height_px),
            width_px: at(right - left, picture.width_px),
            height_px: at(bottom - top, picture.height_px),
        };
        said.push(Said {
            fault,
            motion: stillness.push(picture, area, meta.capture_nanos),
        });
    }
    (scene, said)
}

fn common(found: Option<&Outline>, marked: &Outline) -> f32 {
    const STEPS: u32 = 400;
    let masks = [found, Some(marked)].map(|outline| {
        let mut mask = SectorMask::default();
        if let Some(outline) = outline {
            mask.build(outline, STEPS, STEPS);
        }
        mask
    });
    let (mut both, mut either) = (0, 0);
    for y in 0..STEPS {
        for x in 0..STEPS {
            let [found, marked] = [0, 1].map(|at: usize| masks[at].contains(x, y));
            both += u32::from(found && marked);
            either += u32::from(found || marked);
        }
    }
    both as f32 / either as f32
}

#[test]
fn areas_and_states_of_real_clips_are_as_marked_by_hand() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = root.join("../shared/data");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root.join("tests/cases/screen"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() > 20, "{}", cases.len());
    let mut wrong = Vec::new();
    println!("clip, area in common, of frames: right / said, withheld though live");
    for path in cases {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let case: Case = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let file = shared.join(&case.file);
        if !file.is_file() {
            println!(
                "{name}: skipped, no shared/data/{} beside the checkout",
                case.file
            );
            continue;
        }
        let frames = frames(&file);
        let (scene, said) = play(&frames);
        let mut line = format!("{name}{}", if case.held_out { " (held out)" } else { "" });
        if let Some(corners) = &case.outline {
            let marked = Outline::new(corners).unwrap();
            let share = common(scene.sector().map(|s| &s.outline), &marked);
            line += &format!(", area {share:.3}");
            if share < case.least_common.unwrap_or(LEAST_COMMON) && !case.known_miss {
                wrong.push(format!("{name}: area {share:.3}"));
            }
            if let (Some(shape), Some(found)) = (case.shape, scene.sector()) {
                line += &format!(" {} (marked {})", found.shape.as_str(), shape.as_str());
            }
        }
        let marker = scene.marker().map_or("none", |side| side.as_str());
        let marked = case.marker.as_deref().unwrap_or("none");
        line += &format!(", mark {marker}");
        if marker != marked {
            line += &format!(" (marked {marked})");
        }
        let expected = if case.marker_missed { "none" } else { marked };
        if marker != expected {
            wrong.push(format!("{name}: mark {marker}, marked {marked}"));
        }
        for span in &case.frames {
            let of = said.get(span.from..=span.to.min(said.len() - 1)).unwrap();
            let right = of.iter().filter(|s| s.is(&span.says)).count();
            line += &format!(", {}: {right}/{}", span.says, of.len());
            let share = right as f32 / of.len() as f32;
            let least = if ["live", "no fault"].contains(&&*span.says) {
                1.0
            } else {
                LEAST_RIGHT
            };
            if share < least {
                let found: Vec<_> = of.iter().filter_map(|s| s.fault).take(1).collect();
                wrong.push(format!("{name}: {} in {share:.2}, {found:?}", span.says));
            }
        }
        println!("{line}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
