//! The true ejection fraction against what the pictures show.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use echocart_phantom::{
    Anatomy, Chamber, Exam, HeartState, Imaging, Layout, Phantom, Pose, PoseOffset, View,
};

const DISCS: usize = 20;
/// Points by which planimetry may differ from the volume curve.
const TOLERANCE: f64 = 2.0;

fn apical(view: View, anatomy: &Anatomy) -> Phantom {
    let mut exam = Exam::standard(view, anatomy.clone(), Layout::plain(224, 224));
    exam.imaging = Imaging {
        depth_mm: 210.0,
        sector_deg: 110.0,
        scatterer_mm: 3.0,
        ..Imaging::default()
    };
    exam.tremor_mm = 0.0;
    if view == View::A4c {
        exam.hold(PoseOffset {
            tilt_deg: 4.0,
            ..PoseOffset::default()
        });
    }
    exam.frames = 1;
    Phantom::new(exam).unwrap()
}

/// Width of the left ventricle in each disc, and its length, in millimetres.
///
/// The discs lie across the image's middle, which is the ventricle's axis in these poses.
fn discs(phantom: &Phantom, state: &HeartState) -> (Vec<f64>, f64) {
    let layout = phantom.exam().layout;
    let pose: Pose = phantom.exam().pose_at(0.0);
    let placement = phantom.placement();
    let is_lv = |column, row| {
        let (right, down) = placement.mm_from_px(column, row);
        phantom.chamber_at(&pose, state, right, down) == Some(Chamber::LeftVentricle)
    };
    let widths: Vec<f64> = (0..layout.height_px)
        .map(|row| {
            let pixels = (0..layout.width_px)
                .filter(|&column| is_lv(column, row))
                .count();
            pixels as f64 / f64::from(placement.across_px_per_mm)
        })
        .collect();
    let first = widths.iter().position(|&w| w > 0.0).unwrap();
    let last = widths.iter().rposition(|&w| w > 0.0).unwrap();
    let rows = (last + 1 - first) as f64;
    let disc = (0..DISCS)
        .map(|disc| {
            let from = first as f64 + rows * disc as f64 / DISCS as f64;
            let to = first as f64 + rows * (disc + 1) as f64 / DISCS as f64;
            let (a, b) = (from.round() as usize, to.round() as usize);
            widths[a..b].iter().sum::<f64>() / (b - a) as f64
        })
        .collect();
    (disc, rows / f64::from(placement.down_px_per_mm))
}

/// Volume by the method of discs from two long-axis planes.
fn biplane_ml(four: &Phantom, two: &Phantom, contraction: f32) -> f64 {
    let state = HeartState {
        contraction,
        ..HeartState::default()
    };
    let (a, length) = discs(four, &state);
    let (b, other) = discs(two, &state);
    let sum: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    std::f64::consts::FRAC_PI_4 * sum * length.max(other) / DISCS as f64 / 1000.0
}

#[test]
fn biplane_planimetry_gives_the_true_ejection_fraction() {
    let mut worst = 0.0_f64;
    let hearts = if cfg!(miri) { 1 } else { 16 };
    for seed in 0..hearts {
        let ef = 20.0 + 55.0 * seed as f32 / 15.0;
        let anatomy = Anatomy::sample_with_ef(100 + seed, ef);
        let (four, two) = (apical(View::A4c, &anatomy), apical(View::A2c, &anatomy));
        let diastolic = biplane_ml(&four, &two, 0.0);
        let systolic = biplane_ml(&four, &two, 1.0);
        let measured = 100.0 * (1.0 - systolic / diastolic);
        let curve_ml = four.heart().motion().lv_volume_ml(0.0);
        println!(
            "seed {seed}: true EF {ef:.1}, planimetry {measured:.1}; EDV {curve_ml:.0} ml, planimetry {diastolic:.0} ml"
        );
        worst = worst.max((measured - f64::from(ef)).abs());
    }
    assert!(worst <= TOLERANCE, "{worst}");
}

#[test]
fn the_volume_curve_gives_the_asked_ejection_fraction_for_many_hearts() {
    for seed in 0..300 {
        let anatomy = Anatomy::sample(seed);
        let ef = f64::from(anatomy.ef_percent);
        let heart = echocart_phantom::Heart::new(anatomy).unwrap();
        let motion = heart.motion();
        let measured = 100.0 * (1.0 - motion.lv_volume_ml(1.0) / motion.lv_volume_ml(0.0));
        assert!(
            (measured - ef).abs() < 0.1,
            "seed {seed}: {measured} against {ef}"
        );
        assert!(
            (35.0..420.0).contains(&motion.lv_volume_ml(0.0)),
            "seed {seed}"
        );
    }
}
