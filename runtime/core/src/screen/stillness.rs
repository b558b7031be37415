//! Frozen and repeating images, from a coarse grid of samples.

/// Samples across and down.
const GRID: (usize, usize) = (64, 48);
const SAMPLES: usize = GRID.0 * GRID.1;
/// Distinct pictures remembered: 10 s at 25 per second.
const REMEMBERED: usize = 256;

/// Rows of one or more bytes a pixel; of several, the second is looked at (green, or one grey).
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Rows from top to bottom.
    pub pixels: &'a [u8],
    /// Bytes from the start of one row to the start of the next.
    pub stride_bytes: usize,
    /// Bytes of a pixel.
    pub pixel_bytes: usize,
    /// Width in pixels.
    pub width_px: usize,
    /// Height in pixels.
    pub height_px: usize,
}

/// A rectangle of the screen, as far as it lies on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Left edge.
    pub x_px: usize,
    /// Upper edge.
    pub y_px: usize,
    /// Width.
    pub width_px: usize,
    /// Height.
    pub height_px: usize,
}

/// When an image counts as frozen or repeating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StillnessRules {
    /// Grey levels by which a sample must differ to count as changed.
    pub changed_above: u8,
    /// Changed samples, in a thousand, up to which two pictures are the same.
    pub same_per_mille: usize,
    /// How long nothing changes until it is frozen.
    pub frozen_after_nanos: i64,
    /// Pictures in a row that were seen before, in the same order, until it is a loop.
    pub repeated: u32,
}

impl Default for StillnessRules {
    fn default() -> Self {
        Self {
            changed_above: 6,
            same_per_mille: 2,
            frozen_after_nanos: 400_000_000,
            repeated: 8,
        }
    }
}

/// What the image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// It changes, or has not stood still for long enough.
    Live,
    /// Nothing has changed for long enough.
    Frozen,
    /// It shows pictures it has shown before, in the same order.
    Repeating,
}

/// Compares each picture with the last distinct one and with those remembered.
#[derive(Debug, Clone)]
pub struct Stillness {
    rules: StillnessRules,
    area: Option<(Area, usize, usize)>,
    now: Vec<u8>,
    /// Distinct pictures, a ring; the newest is at `newest`.
    pictures: Vec<u8>,
    newest: usize,
    held: usize,
    changed_at_nanos: i64,
    /// Where in the ring the last distinct picture was found again.
    met_at: Option<usize>,
    met: u32,
}

impl Stillness {
    /// Starts with nothing seen; takes all the memory it will use, about 800 KB.
    pub fn new(rules: StillnessRules) -> Self {
        Self {
            rules,
            area: None,
            now: vec![0; SAMPLES],
            pictures: vec![0; SAMPLES * REMEMBERED],
            newest: 0,
            held: 0,
            changed_at_nanos: 0,
            met_at: None,
            met: 0,
        }
    }

    /// Forgets everything seen.
    pub fn reset(&mut self) {
        self.held = 0;
        self.met_at = None;
        self.met = 0;
    }

    /// Takes one picture; `area` is the imaging area, which a moving ECG must not be part of.
    ///
    /// A changed area or size starts afresh. Bytes that are missing count as black.
    ///
    /// # Real-time
    /// No allocation. At most 3072 pixels are read; comparison with the pictures remembered is
    /// broken off as soon as they differ.
    pub fn push(&mut self, picture: Picture<'_>, area: Area, at_nanos: i64) -> Motion {
        let place = Some((area, picture.width_px, picture.height_px));
        if self.area != place {
            self.area = place;
            self.reset();
        }
        sample(picture, area, &mut self.now);
        if self.held > 0 && self.same_as(self.newest) {
            let still = at_nanos.saturating_sub(self.changed_at_nanos);
            return match still >= self.rules.frozen_after_nanos {
                true => Motion::Frozen,
                false => self.motion(),
            };
        }
        self.changed_at_nanos = at_nanos;
        self.find();
        self.remember();
        self.motion()
    }

    fn motion(&self) -> Motion {
        match self.met >= self.rules.repeated {
            true => Motion::Repeating,
            false => Motion::Live,
        }
    }

    /// Looks for the picture of now among those remembered: first where the loop would go on.
    fn find(&mut self) {
        let next = self.met_at.map(|at| (at + 1) % REMEMBERED);
        if let Some(next) = next.filter(|next| self.holds(*next) && self.same_as(*next)) {
            self.met_at = Some(next);
            self.met = self.met.saturating_add(1);
            return;
        }
        let back = |steps: usize| (self.newest + REMEMBERED - steps) % REMEMBERED;
        let found = (1..self.held).map(back).find(|at| self.same_as(*at));
        self.met_at = found;
        self.met = u32::from(found.is_some());
    }

    fn holds(&self, at: usize) -> bool {
        (self.newest + REMEMBERED - at) % REMEMBERED < self.held
    }

    fn remember(&mut self) {
        self.newest = (self.newest + 1) % REMEMBERED;
        self.held = (self.held + 1).min(REMEMBERED);
        let from = self.newest * SAMPLES;
        if let Some(slot) = self.pictures.get_mut(from..from + SAMPLES) {
            slot.copy_from_slice(&self.now);
        }
    }

    fn same_as(&self, at: usize) -> bool {
        let most = SAMPLES * self.rules.same_per_mille / 1000;
        let Some(other) = self.pictures.get(at * SAMPLES..(at + 1) * SAMPLES) else {
            return false;
        };
        let mut changed = 0;
        for (now, other) in self.now.chunks(GRID.0).zip(other.chunks(GRID.0)) {
            let differ = |(a, b): &(&u8, &u8)| a.abs_diff(**b) > self.rules.changed_above;
            changed += now.iter().zip(other).filter(differ).count();
            if changed > most {
                return false;
            }
        }
        true
    }
}

fn sample(picture: Picture<'_>, area: Area, into: &mut [u8]) {
    let Picture {
        pixels,
        stride_bytes,
        pixel_bytes,
        width_px,
        height_px,
    } = picture;
    let right = area.x_px.saturating_add(area.width_px).min(width_px);
    let below = area.y_px.saturating_add(area.height_px).min(height_px);
    let (across, down) = (
        right.saturating_sub(area.x_px),
        below.saturating_sub(area.y_px),
    );
    let byte = pixel_bytes.saturating_sub(1).min(1);
    for (row, y) in into.chunks_mut(GRID.0).zip(0..) {
        let y_px = area
            .y_px
            .saturating_add(down.saturating_mul(2 * y + 1) / (2 * GRID.1));
        let start = y_px.saturating_mul(stride_bytes);
        for (value, x) in row.iter_mut().zip(0..) {
            let x_px = area
                .x_px
                .saturating_add(across.saturating_mul(2 * x + 1) / (2 * GRID.0));
            let at = start.saturating_add(x_px.saturating_mul(pixel_bytes).saturating_add(byte));
            let visible = x_px < right && y_px < below;
            *value = pixels.get(at).copied().filter(|_| visible).unwrap_or(0);
        }
    }
}
