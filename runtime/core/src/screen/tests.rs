use super::{Area, Motion, Picture, Stillness, StillnessRules};
use echocart_phantom::Spec;

const FRAME_NANOS: i64 = 33_333_333;

/// Frames of a phantom, without its ECG's strip.
struct Cine {
    frames: Vec<Vec<u8>>,
    width_px: usize,
    height_px: usize,
}

impl Cine {
    fn new(spec: &str, frames: u32) -> Self {
        let mut screen = Spec::parse(spec).unwrap().screen().unwrap();
        let layout = screen.phantom().exam().layout;
        let (width_px, height_px) = (layout.width_px as usize, layout.height_px as usize);
        let rendered = (0..frames).map(|at| {
            let mut pixels = vec![0; width_px * height_px * 3];
            screen.render(at, &mut pixels);
            pixels
        });
        Self {
            frames: rendered.collect(),
            width_px,
            height_px,
        }
    }

    fn push(&self, stillness: &mut Stillness, frame: usize, slot: i64) -> Motion {
        let picture = Picture {
            pixels: &self.frames[frame],
            stride_bytes: self.width_px * 3,
            pixel_bytes: 3,
            width_px: self.width_px,
            height_px: self.height_px,
        };
        let area = Area {
            x_px: 0,
            y_px: 0,
            width_px: self.width_px,
            height_px: self.height_px * 4 / 5,
        };
        stillness.push(picture, area, slot * FRAME_NANOS)
    }
}

#[test]
fn a_beating_heart_and_noise_in_air_are_live() {
    for spec in ["view=A4C,size=320x240", "view=air,size=320x240"] {
        let cine = Cine::new(spec, 60);
        let mut stillness = Stillness::new(StillnessRules::default());
        for slot in 0..60 {
            let motion = cine.push(&mut stillness, slot, slot as i64);
            assert_eq!(motion, Motion::Live, "{spec}, frame {slot}");
        }
    }
}

#[test]
fn a_frame_shown_for_400_ms_is_frozen_while_the_ecg_runs_on() {
    let cine = Cine::new("view=A4C,size=320x240", 20);
    let mut stillness = Stillness::new(StillnessRules::default());
    for slot in 0..20 {
        cine.push(&mut stillness, slot, slot as i64);
    }
    let shown = (20..40).map(|slot| cine.push(&mut stillness, 19, slot));
    let frozen_from = shown.take_while(|m| *m != Motion::Frozen).count();
    assert_eq!(frozen_from, 12);
    assert_eq!(cine.push(&mut stillness, 18, 41), Motion::Live);
}

#[test]
fn frames_shown_twice_by_a_faster_grabber_are_live() {
    let cine = Cine::new("view=A4C,size=320x240", 60);
    let mut stillness = Stillness::new(StillnessRules::default());
    for slot in 0..120 {
        assert_eq!(
            cine.push(&mut stillness, slot / 2, slot as i64),
            Motion::Live
        );
    }
}

#[test]
fn a_loop_is_called_in_its_second_pass_and_left_with_new_frames() {
    let cine = Cine::new("view=A4C,size=320x240", 60);
    let mut stillness = Stillness::new(StillnessRules::default());
    let mut motions = Vec::new();
    for slot in 0..60 {
        motions.push(cine.push(&mut stillness, slot % 30, slot as i64));
    }
    let called = motions.iter().position(|m| *m == Motion::Repeating);
    assert_eq!(called, Some(30 + 7));
    assert!(motions[37..].iter().all(|m| *m == Motion::Repeating));
    assert_eq!(cine.push(&mut stillness, 45, 60), Motion::Live);
}

#[test]
fn pictures_without_pixels_or_beyond_their_bytes_do_not_panic() {
    let mut stillness = Stillness::new(StillnessRules::default());
    for (width_px, height_px, pixel_bytes, bytes) in
        [(0, 0, 0, 0), (1, 1, 1, 1), (usize::MAX, usize::MAX, 4, 7)]
    {
        let pixels = vec![9; bytes];
        let picture = Picture {
            pixels: &pixels,
            stride_bytes: width_px,
            pixel_bytes,
            width_px,
            height_px,
        };
        let area = Area {
            x_px: 1,
            y_px: usize::MAX,
            width_px,
            height_px: 5,
        };
        assert_eq!(stillness.push(picture, area, 0), Motion::Live);
    }
}
