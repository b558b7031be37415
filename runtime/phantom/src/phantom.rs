//! The phantom: an exam that can be rendered frame by frame.

use std::f32::consts::TAU;

use crate::PhantomError;
use crate::cloud::{Cloud, SPARE_MM};
use crate::cycle;
use crate::echo::Drift;
use crate::exam::{Exam, Subject};
use crate::gain::GainMap;
use crate::heart::Heart;
use crate::motion::HeartState;
use crate::other;
use crate::pose::{Pose, PoseOffset};
use crate::rhythm::Beats;
use crate::scan::Placement;
use crate::scanner::Scanner;
use crate::valve::Valves;

/// One breath.
const BREATH_MILLIS: f64 = 4200.0;

/// A simulated clip.
///
/// One thread at a time renders it. What a frame shows depends on the exam alone, but for the
/// persistence: frames are to be rendered in order, from 0 or after [`Phantom::restart`].
#[derive(Debug, Clone)]
pub struct Phantom {
    exam: Exam,
    heart: Heart,
    beats: Beats,
    valves: Valves,
    scanner: Scanner,
    slice: Slice,
}

/// What the probe sees around one pose.
#[derive(Debug, Clone)]
struct Slice {
    pose: Pose,
    cloud: Cloud,
    gain: GainMap,
}

impl Phantom {
    /// Sets up an exam.
    ///
    /// # Errors
    /// [`PhantomError`] for a parameter outside its range.
    pub fn new(exam: Exam) -> Result<Self, PhantomError> {
        exam.check()?;
        let heart = Heart::new(exam.anatomy.clone())?;
        let seconds = exam.frames as f32 / exam.frame_rate_hz + 2.0;
        let mut beats = Beats::new(exam.rhythm, exam.rate_bpm, seconds, exam.seed)?;
        for &(from_seconds, ef_percent) in &exam.ef_changes {
            let share = heart.motion().contraction_for_ef(ef_percent);
            beats.weaken(f64::from(from_seconds) * 1000.0, share);
        }
        let scanner = Scanner::new(&exam.imaging, &exam.layout);
        let slice = Slice::new(&heart, hand(&exam, 0.0), &exam, &scanner);
        Ok(Self {
            valves: Valves::new(&heart),
            exam,
            heart,
            beats,
            scanner,
            slice,
        })
    }

    /// The exam.
    pub fn exam(&self) -> &Exam {
        &self.exam
    }

    /// The heart.
    pub fn heart(&self) -> &Heart {
        &self.heart
    }

    /// The beats, from before the first frame to after the last one.
    pub fn beats(&self) -> &Beats {
        &self.beats
    }

    /// Capture time of a frame.
    ///
    /// # Units
    /// Nanoseconds from frame 0.
    pub fn time_nanos(&self, frame: u32) -> i64 {
        (f64::from(frame) * 1e9 / f64::from(self.exam.frame_rate_hz)).round() as i64
    }

    /// The heart's state in a frame.
    pub fn state(&self, frame: u32) -> HeartState {
        let shown = match self.exam.subject {
            Subject::Still => 0,
            _ => frame,
        };
        let millis = self.time_nanos(shown) as f64 / 1e6;
        if self.shows_a_heart() {
            return cycle::state(&self.beats, millis);
        }
        let phase = std::f64::consts::TAU * millis / BREATH_MILLIS + self.exam.seed as f64 % 7.0;
        HeartState {
            contraction: (0.5 - 0.5 * phase.cos()) as f32,
            ..HeartState::default()
        }
    }

    /// Where the sector lies in the frame.
    pub fn placement(&self) -> Placement {
        self.scanner.placement
    }

    /// The sector's pixels, by their place in the frame.
    pub fn sector(&self) -> impl Iterator<Item = usize> {
        self.scanner.sector()
    }

    fn shows_a_heart(&self) -> bool {
        matches!(self.exam.subject, Subject::Heart | Subject::Still)
    }

    pub(crate) fn shows_a_beating_heart(&self) -> bool {
        self.exam.subject == Subject::Heart
    }

    pub(crate) fn is_in_sector(&self, right_mm: f32, down_mm: f32) -> bool {
        let imaging = &self.exam.imaging;
        let down = down_mm + imaging.origin_mm;
        let angle_deg = right_mm.atan2(down).to_degrees();
        let distance = right_mm.hypot(down);
        (angle_deg - imaging.steer_deg).abs() <= 0.5 * imaging.sector_deg
            && (imaging.origin_mm..=imaging.origin_mm + imaging.depth_mm).contains(&distance)
    }

    /// Starts a new pass: the next frame forgets the one before.
    pub fn restart(&mut self) {
        self.scanner.restart();
        let pose = self.pose(0);
        if pose != self.slice.pose {
            self.slice = Slice::new(&self.heart, pose, &self.exam, &self.scanner);
        }
    }

    /// Renders a frame's sector; pixels outside it keep what they hold.
    ///
    /// # Shapes
    /// - `pixels`: `[height_px, width_px]` u8; nothing is written where it is shorter.
    pub fn render(&mut self, frame: u32, pixels: &mut [u8]) {
        let size = self.exam.layout.width_px as usize * self.exam.layout.height_px as usize;
        if pixels.len() < size {
            return;
        }
        let state = self.state(frame);
        let pose = self.pose(frame);
        let drift = Drift::between(&self.slice.pose, &pose);
        let reach = self.exam.imaging.depth_mm;
        let drift = if drift.across_mm(reach) > SPARE_MM {
            self.slice = Slice::new(&self.heart, pose, &self.exam, &self.scanner);
            Drift::between(&pose, &pose)
        } else {
            drift
        };
        self.scanner.begin();
        self.scanner.cast(&self.slice.cloud, &state, &drift);
        if self.shows_a_heart() {
            let scanner = &mut self.scanner;
            self.valves
                .for_each(&self.heart, &state, |point, amplitude| {
                    scanner.add(pose.seen(point), amplitude);
                });
        }
        let noise = match self.exam.subject {
            Subject::Still => 0,
            _ => u64::from(frame),
        };
        self.scanner
            .finish(&self.slice.gain, state.contraction, noise);
        self.scanner.write(pixels);
    }

    /// The probe's pose in a frame, the hand's unrest included.
    pub fn pose(&self, frame: u32) -> Pose {
        let seconds = self.time_nanos(frame) as f32 / 1e9;
        hand(&self.exam, seconds)
    }
}

impl Slice {
    fn new(heart: &Heart, pose: Pose, exam: &Exam, scanner: &Scanner) -> Self {
        let (imaging, grid) = (&exam.imaging, &scanner.grid);
        let (cloud, gain) = match exam.subject {
            Subject::Heart | Subject::Still => (
                Cloud::new(heart, &pose, imaging),
                GainMap::through(heart, &pose, imaging, grid),
            ),
            other => (
                other::cloud(other, imaging, exam.seed),
                GainMap::free(imaging, grid),
            ),
        };
        Self { pose, cloud, gain }
    }
}

/// The probe's pose at a moment, the hand's unrest included.
fn hand(exam: &Exam, seconds: f32) -> Pose {
    let offset = exam.offset_at(seconds);
    let phase = (exam.seed % 1000) as f32 * 0.1;
    let sway = |rate_hz: f32, shift: f32| {
        (TAU * rate_hz * seconds + phase * shift).sin() - (phase * shift).sin()
    };
    let size = match exam.subject {
        Subject::Still => 0.0,
        _ => exam.tremor_mm,
    };
    Pose::standard(exam.view, &exam.anatomy).moved(&PoseOffset {
        rotation_deg: offset.rotation_deg + 0.2 * size * sway(0.21, 1.0),
        tilt_deg: offset.tilt_deg + 0.25 * size * sway(0.27, 1.7),
        rock_deg: offset.rock_deg + 0.8 * size * sway(0.24, 2.3),
        slide_lateral_mm: offset.slide_lateral_mm + size * sway(0.26, 3.1),
        slide_elevation_mm: offset.slide_elevation_mm + 0.3 * size * sway(0.22, 4.3),
    })
}
