//! Which chamber each pixel shows.

use crate::Vec3;
use crate::motion::HeartState;
use crate::phantom::Phantom;
use crate::pose::Pose;
use crate::tissue::Chamber;

impl Phantom {
    /// Draws the chambers of a frame: [`Chamber::number`], 0 elsewhere.
    ///
    /// # Shapes
    /// - `pixels`: `[height_px, width_px]` u8; nothing is written where it is shorter.
    pub fn mask(&self, frame: u32, pixels: &mut [u8]) {
        let layout = &self.exam().layout;
        let (state, pose) = (self.state(frame), self.pose(frame));
        let width = layout.width_px as usize;
        if pixels.len() < width * layout.height_px as usize {
            return;
        }
        let placement = self.placement();
        let rows = pixels
            .chunks_exact_mut(width)
            .take(layout.height_px as usize);
        for (row, line) in rows.enumerate() {
            let mut guess = None;
            for (column, pixel) in line.iter_mut().enumerate() {
                let (right, down) = placement.mm_from_px(column as u32, row as u32);
                let chamber = self.chamber_near(&pose, &state, right, down, &mut guess);
                *pixel = match self.is_in_sector(right, down) {
                    true => chamber.map_or(0, Chamber::number),
                    false => 0,
                };
            }
        }
    }

    /// The chamber at a point of the image plane: right of the probe's middle, below the skin.
    pub fn chamber_at(
        &self,
        pose: &Pose,
        state: &HeartState,
        right_mm: f32,
        down_mm: f32,
    ) -> Option<Chamber> {
        self.chamber_near(pose, state, right_mm, down_mm, &mut None)
    }

    fn chamber_near(
        &self,
        pose: &Pose,
        state: &HeartState,
        right_mm: f32,
        down_mm: f32,
        guess: &mut Option<Vec3>,
    ) -> Option<Chamber> {
        let place = pose.point(Vec3::new(right_mm, 0.0, down_mm));
        let near = guess.map_or(place, |shift| place + shift);
        let motion = self.heart().motion();
        let rest = motion.rest(place, state.contraction, state.atrial, near);
        *guess = Some(rest - place);
        self.heart().material(rest).chamber
    }
}
