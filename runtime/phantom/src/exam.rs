//! One exam: a heart, a rhythm, a probe that may move.

use crate::anatomy::Anatomy;
use crate::error::within;
use crate::label::label;
use crate::pose::{Pose, PoseOffset};
use crate::random::Random;
use crate::rhythm::Rhythm;
use crate::scan::Layout;
use crate::{Imaging, PhantomError, View};

/// The longest clip.
const LONGEST_SECONDS: f32 = 3600.0;

/// What the probe is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The beating heart.
    Heart,
    /// The heart in a picture that does not move.
    Still,
    /// Liver, kidney and gallbladder, moving with the breath.
    Abdomen,
    /// The pleural line and its repetitions.
    Lung,
    /// Nothing: the probe hangs in air.
    Air,
    /// A layer of gel and nothing behind it.
    Gel,
}

/// A moment at which the probe has a known pose; in between it moves evenly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waypoint {
    /// Seconds from the first frame.
    pub seconds: f32,
    /// The hand's movement from the view's standard pose.
    pub offset: PoseOffset,
}

/// Everything that determines a simulated clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Exam {
    /// What is seen.
    pub subject: Subject,
    /// The heart.
    pub anatomy: Anatomy,
    /// Its rhythm.
    pub rhythm: Rhythm,
    /// Its mean rate, 40 to 130.
    pub rate_bpm: f32,
    /// The view whose standard pose the waypoints start from.
    pub view: View,
    /// The probe's path: at least one waypoint, in order of time.
    pub path: Vec<Waypoint>,
    /// How unsteady the hand is, 0 to 5 mm.
    pub tremor_mm: f32,
    /// Later ejection fractions in percent with the seconds from which beats have them, in order
    /// of time; none above the anatomy's.
    pub ef_changes: Vec<(f32, f32)>,
    /// The machine's settings.
    pub imaging: Imaging,
    /// Size of the frames and place of the sector.
    pub layout: Layout,
    /// Frames per second, 1 to 200.
    pub frame_rate_hz: f32,
    /// Number of frames, 1 to 1,000,000.
    pub frames: u32,
    /// Seed of the beats and of the hand.
    pub seed: u64,
}

impl Exam {
    /// A standard view of a heart, well set and 5 seconds long.
    pub fn standard(view: View, anatomy: Anatomy, layout: Layout) -> Self {
        Self {
            subject: Subject::Heart,
            rhythm: Rhythm::Sinus,
            rate_bpm: 70.0,
            view,
            path: vec![Waypoint {
                seconds: 0.0,
                offset: PoseOffset::default(),
            }],
            tremor_mm: 0.3,
            ef_changes: Vec::new(),
            imaging: Imaging {
                noise_seed: anatomy.texture_seed,
                ..Imaging::default()
            },
            layout,
            frame_rate_hz: 30.0,
            frames: 150,
            seed: anatomy.texture_seed,
            anatomy,
        }
    }

    /// Draws a clip of one view: heart, hand, machine and quality; drawn again where the pose would
    /// carry another label.
    pub fn sample(view: View, seed: u64, layout: Layout, frame_rate_hz: f32, frames: u32) -> Self {
        Self::sample_heart(
            view,
            Anatomy::sample(seed),
            seed,
            layout,
            frame_rate_hz,
            frames,
        )
    }

    /// Like [`Exam::sample`], for a heart that is known: several clips of one patient.
    pub fn sample_heart(
        view: View,
        anatomy: Anatomy,
        seed: u64,
        layout: Layout,
        frame_rate_hz: f32,
        frames: u32,
    ) -> Self {
        let mut random = Random::new(seed, 9);
        let mut exam = Self::standard(view, anatomy, layout);
        exam.seed = random.bits();
        exam.imaging = Imaging::sample(random.bits());
        exam.imaging.depth_mm = match view {
            View::Plax | View::PsaxAp | View::PsaxAv | View::PsaxMv | View::PsaxPm => {
                random.range(115.0, 160.0)
            }
            _ => exam.imaging.depth_mm,
        };
        exam.frame_rate_hz = frame_rate_hz;
        exam.frames = frames;
        exam.rate_bpm = random.normal().mul_add(14.0, 74.0).clamp(45.0, 125.0);
        exam.rhythm = match random.unit() {
            x if x < 0.86 => Rhythm::Sinus,
            x if x < 0.93 => Rhythm::Ectopic,
            _ => Rhythm::AtrialFibrillation,
        };
        exam.tremor_mm = random.range(0.1, 0.9);
        let mut offset = PoseOffset::default();
        if view == View::Other {
            exam.sample_other(&mut random);
            return exam;
        }
        for _ in 0..64 {
            offset = PoseOffset {
                rotation_deg: 9.0 * random.normal(),
                tilt_deg: 4.5 * random.normal(),
                rock_deg: 6.0 * random.normal(),
                slide_lateral_mm: 5.0 * random.normal(),
                slide_elevation_mm: 3.0 * random.normal(),
            };
            let pose = Pose::standard(view, &exam.anatomy).moved(&offset);
            if label(&pose, &exam.anatomy) == Some(view) {
                break;
            }
            offset = PoseOffset::default();
        }
        exam.hold(offset);
        exam
    }

    /// Sets a path of one waypoint.
    pub fn hold(&mut self, offset: PoseOffset) {
        self.path = vec![Waypoint {
            seconds: 0.0,
            offset,
        }];
    }

    /// The view's label at a moment, as the rule of [`label`] gives it.
    pub fn label_at(&self, seconds: f32) -> Option<View> {
        match self.subject {
            Subject::Heart => label(&self.pose_at(seconds), &self.anatomy),
            _ => Some(View::Other),
        }
    }

    /// The probe's pose at a moment, without the hand's unrest.
    pub fn pose_at(&self, seconds: f32) -> Pose {
        Pose::standard(self.view, &self.anatomy).moved(&self.offset_at(seconds))
    }

    pub(crate) fn offset_at(&self, seconds: f32) -> PoseOffset {
        let next = self.path.partition_point(|point| point.seconds <= seconds);
        let before = next.checked_sub(1).and_then(|index| self.path.get(index));
        match (before, self.path.get(next)) {
            (Some(from), Some(to)) => {
                let share = (seconds - from.seconds) / (to.seconds - from.seconds).max(1e-6);
                from.offset.towards(&to.offset, share.clamp(0.0, 1.0))
            }
            (Some(only), None) | (None, Some(only)) => only.offset,
            (None, None) => PoseOffset::default(),
        }
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`PhantomError`] for the first parameter outside its range.
    pub fn check(&self) -> Result<(), PhantomError> {
        self.anatomy.check()?;
        self.imaging.check()?;
        within("hr", self.rate_bpm, 40.0, 130.0, "beats per minute")?;
        within("fps", self.frame_rate_hz, 1.0, 200.0, "frames per second")?;
        within("frames", self.frames as f32, 1.0, 1e6, "frames")?;
        let seconds = self.frames as f32 / self.frame_rate_hz;
        within("seconds", seconds, 0.0, LONGEST_SECONDS, "s")?;
        within("tremor", self.tremor_mm, 0.0, 5.0, "mm")?;
        let layout = &self.layout;
        within("width", layout.width_px as f32, 16.0, 4096.0, "pixels")?;
        within("height", layout.height_px as f32, 16.0, 4096.0, "pixels")?;
        within("aspect", layout.aspect, 0.2, 5.0, "")?;
        for margin in layout.margins {
            within("margin", margin, 0.0, 0.45, "")?;
        }
        within(
            "waypoints",
            self.path.len() as f32,
            1.0,
            1000.0,
            "waypoints",
        )?;
        let mut last = 0.0;
        for &(seconds, ef_percent) in &self.ef_changes {
            within("ef_at", seconds, last, 1e6, "s")?;
            within("to_ef", ef_percent, 20.0, self.anatomy.ef_percent, "%")?;
            last = seconds;
        }
        let mut last = 0.0;
        for point in &self.path {
            within("waypoint", point.seconds, last, 1e6, "s")?;
            point.offset.check()?;
            last = point.seconds;
        }
        Ok(())
    }

    fn sample_other(&mut self, random: &mut Random) {
        self.subject = match random.unit() {
            x if x < 0.22 => Subject::Abdomen,
            x if x < 0.40 => Subject::Lung,
            x if x < 0.52 => Subject::Air,
            x if x < 0.62 => Subject::Gel,
            x if x < 0.70 => Subject::Still,
            _ => Subject::Heart,
        };
        if self.subject == Subject::Still {
            let index = random.bits() as usize % View::ALL.len();
            self.view = View::ALL[index];
        }
        if self.subject != Subject::Heart {
            return;
        }
        let from = [
            View::A4c,
            View::A2c,
            View::Plax,
            View::PsaxPm,
            View::Subcostal,
        ];
        for _ in 0..200 {
            self.view = from[random.bits() as usize % from.len()];
            let offset = PoseOffset {
                rotation_deg: 30.0 * random.normal(),
                tilt_deg: 18.0 * random.normal(),
                rock_deg: 14.0 * random.normal(),
                slide_lateral_mm: 14.0 * random.normal(),
                slide_elevation_mm: 12.0 * random.normal(),
            };
            let pose = Pose::standard(self.view, &self.anatomy).moved(&offset);
            if label(&pose, &self.anatomy) == Some(View::Other) {
                self.hold(offset);
                return;
            }
        }
        self.subject = Subject::Air;
    }
}
