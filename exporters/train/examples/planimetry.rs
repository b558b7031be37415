//! How far off the ejection fraction would be if the ventricle's outline were seen perfectly: the simulated hearts' true masks
//! in one four-chamber plane, summed in discs, and a straight line from that to the truth, fitted on one half of the hearts.
//!
//! `cargo run --release -p echocart-train --example planimetry [HEARTS]`, the hearts of the validation split.

use clap::Parser;
use echocart_phantom::{Chamber, Decoration, Exam, Layout, Phantom, View};
use echocart_train::cache::Split;
use echocart_train::{TrainError, parallel, render};

/// Says how far off the ejection fraction would be if the ventricle's outline were seen perfectly.
#[derive(Debug, Parser)]
struct Cli {
    /// Hearts: one half fits the line, the other one is judged.
    #[arg(default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=9000))]
    hearts: u32,
}

/// Side of the masks.
const SIDE_PX: u32 = 128;
/// Frames of 24 a second; a clip has every third.
const FRAMES: u32 = 48;
const KEPT: usize = 3;

/// True ejection fraction of a heart, and what discs give of all frames and of those of a clip.
fn heart(seed: u64) -> Result<Option<[f64; 3]>, TrainError> {
    let phantom = |error| TrainError::Phantom { error, index: seed };
    let screen = Decoration::sample(seed).skin.layout(640, 480);
    let layout = Layout {
        width_px: SIDE_PX,
        height_px: SIDE_PX,
        ..screen
    };
    let mut exam = Exam::sample(View::A4c, seed, layout, 24.0, FRAMES);
    // Nothing is rendered.
    exam.imaging.scatterer_mm = 3.0;
    let phantom = Phantom::new(exam).map_err(phantom)?;
    let truth = phantom.truth(0, FRAMES);
    let (Some(View::A4c), Some(true_ef)) = (truth.label, truth.ef_percent) else {
        return Ok(None);
    };
    let placement = phantom.placement();
    let volumes: Vec<f64> = (0..FRAMES)
        .map(|frame| {
            let (state, pose) = (phantom.state(frame), phantom.pose(frame));
            let width = |row| {
                let inside = |column: &u32| {
                    let (right, down) = placement.mm_from_px(*column, row);
                    phantom.chamber_at(&pose, &state, right, down) == Some(Chamber::LeftVentricle)
                };
                (0..SIDE_PX).filter(inside).count() as f64
            };
            (0..SIDE_PX).map(|row| width(row).powi(2)).sum()
        })
        .collect();
    let clip: Vec<f64> = volumes
        .iter()
        .copied()
        .skip(KEPT - 1)
        .step_by(KEPT)
        .collect();
    Ok(Some([true_ef, ejection(&volumes), ejection(&clip)]))
}

fn ejection(volumes: &[f64]) -> f64 {
    let least = volumes.iter().copied().fold(f64::INFINITY, f64::min);
    let most = volumes.iter().copied().fold(0.0, f64::max);
    100.0 * (1.0 - least / most)
}

/// The line from what discs give to the truth, by least squares.
fn line(hearts: &[[f64; 3]], at: usize) -> [f64; 2] {
    let mean =
        |of: &dyn Fn(&[f64; 3]) -> f64| hearts.iter().map(of).sum::<f64>() / hearts.len() as f64;
    let (x, y) = (mean(&|heart| heart[at]), mean(&|heart| heart[0]));
    let both = mean(&|heart| (heart[at] - x) * (heart[0] - y));
    let slope = both / mean(&|heart| (heart[at] - x).powi(2));
    [y - slope * x, slope]
}

fn main() -> Result<(), TrainError> {
    let wanted = Cli::parse().hearts as usize;
    let first = Split::Validation.first_seed();
    let four_chambers = |index: &u64| render::view(*index) == View::A4c;
    let seeds = (0..).filter(four_chambers).map(|index| first + index);
    let seeds: Vec<u64> = seeds.take(wanted).collect();
    let found = parallel::map(&seeds, 2, |seed| heart(**seed));
    let found: Vec<[f64; 3]> = found
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    let (fitted, judged) = found.split_at(found.len() / 2);
    for (what, at) in [("24 frames/s", 1), ("8 frames/s, as a clip", 2)] {
        let [offset, slope] = line(fitted, at);
        let errors = judged
            .iter()
            .map(|heart| (offset + slope * heart[at] - heart[0]).abs());
        let mean = errors.sum::<f64>() / judged.len() as f64;
        println!(
            "true outlines at {what}: EF off by {mean:.2} points ({} hearts; {offset:.1} + {slope:.2} times what the discs give)",
            judged.len()
        );
    }
    Ok(())
}
