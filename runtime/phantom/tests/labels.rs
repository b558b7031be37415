//! Which poses carry which label.

use echocart_phantom::{Anatomy, BORDER, Exam, Layout, Pose, PoseOffset, View, label, pose_error};

fn label_of(view: View, anatomy: &Anatomy, offset: PoseOffset) -> Option<View> {
    label(&Pose::standard(view, anatomy).moved(&offset), anatomy)
}

fn turned(rotation_deg: f32) -> PoseOffset {
    PoseOffset {
        rotation_deg,
        ..PoseOffset::default()
    }
}

fn tilted(tilt_deg: f32) -> PoseOffset {
    PoseOffset {
        tilt_deg,
        ..PoseOffset::default()
    }
}

#[test]
fn standard_poses_carry_their_own_label_in_every_heart() {
    for seed in 0..200 {
        let anatomy = Anatomy::sample(seed);
        for view in View::ALL.into_iter().filter(|view| *view != View::Other) {
            let found = label_of(view, &anatomy, PoseOffset::default());
            assert_eq!(found, Some(view), "seed {seed}");
        }
    }
}

#[test]
fn poses_within_five_degrees_of_a_border_carry_no_label() {
    let anatomy = Anatomy::sample(1);
    let labels: Vec<Option<View>> = (0..=60)
        .map(|deg| label_of(View::A4c, &anatomy, turned(deg as f32)))
        .collect();
    let unlabelled = labels.iter().filter(|label| label.is_none()).count();
    assert_eq!(labels[0], Some(View::A4c));
    assert_eq!(labels[60], Some(View::A2c));
    let width = (2.0 * BORDER) as usize;
    assert!(
        (width - 1..=width + 1).contains(&unlabelled),
        "{unlabelled}"
    );
    let order: Vec<_> = labels
        .windows(2)
        .filter(|pair| pair[0] != pair[1])
        .collect();
    assert_eq!(order.len(), 2, "{order:?}");
}

#[test]
fn short_axis_levels_have_unlabelled_borders_of_five_millimetres() {
    let anatomy = Anatomy::sample(1);
    let mut labels = Vec::new();
    for step in 0..400 {
        let offset = PoseOffset {
            slide_elevation_mm: step as f32 * 0.25 - 40.0,
            ..PoseOffset::default()
        };
        labels.push(label_of(View::PsaxMv, &anatomy, offset));
    }
    labels.dedup();
    let both_ways = [
        Some(View::PsaxAv),
        None,
        Some(View::PsaxMv),
        None,
        Some(View::PsaxPm),
    ];
    let reversed: Vec<_> = both_ways.iter().rev().copied().collect();
    let found = |order: &[Option<View>]| labels.windows(order.len()).any(|part| part == order);
    assert!(found(&both_ways) || found(&reversed), "{labels:?}");
}

#[test]
fn a_probe_far_from_every_view_is_other() {
    let anatomy = Anatomy::sample(1);
    for (view, offset) in [
        (View::A4c, tilted(40.0)),
        (View::A4c, turned(-75.0)),
        (View::Plax, turned(45.0)),
        (View::Subcostal, tilted(45.0)),
    ] {
        assert_eq!(
            label_of(view, &anatomy, offset),
            Some(View::Other),
            "{view} {offset:?}"
        );
    }
}

#[test]
fn tilting_from_four_chambers_gives_five() {
    let anatomy = Anatomy::sample(1);
    assert_eq!(label_of(View::A4c, &anatomy, tilted(12.5)), Some(View::A5c));
    assert_eq!(label_of(View::A4c, &anatomy, tilted(6.0)), None);
}

#[test]
fn the_pose_error_is_the_movement_of_the_hand() {
    let anatomy = Anatomy::sample(1);
    let offset = PoseOffset {
        rotation_deg: 12.0,
        slide_lateral_mm: 3.0,
        slide_elevation_mm: 4.0,
        ..PoseOffset::default()
    };
    for view in View::ALL {
        let pose = Pose::standard(view, &anatomy).moved(&offset);
        let error = pose_error(&pose, view, &anatomy);
        assert!((error.angle_deg - 12.0).abs() < 0.1, "{view} {error:?}");
        assert!((error.slide_mm - 5.0).abs() < 0.01, "{view} {error:?}");
    }
}

#[test]
fn drawn_clips_carry_the_label_they_were_drawn_for() {
    for seed in 0..300 {
        for view in View::ALL {
            let exam = Exam::sample(view, seed, Layout::plain(128, 128), 8.0, 16);
            assert_eq!(exam.label_at(0.0), Some(view), "seed {seed}");
            assert_eq!(exam.check(), Ok(()), "seed {seed}");
        }
    }
}
