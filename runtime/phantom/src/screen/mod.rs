//! The whole screen: sector, scales, texts, ECG, colour box.

mod colour;

use crate::canvas::Canvas;
use crate::cycle;
use crate::phantom::Phantom;
use crate::random::Random;
use crate::{Layout, PhantomError};

use colour::ColourBox;

const ECG_SECONDS: f64 = 3.0;

/// How a machine decorates its screen; no real vendor's look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skin {
    /// Nothing but the sector.
    Bare,
    /// Settings as text on the right, grey bar and depth dots on the left, bars above and below.
    Cart,
    /// Depth scale on the left, a round probe mark, settings in a narrow column.
    Tablet,
    /// Few texts in the corners, a row of keys below.
    Portable,
}

impl Skin {
    /// Every skin.
    pub const ALL: [Self; 4] = [Self::Bare, Self::Cart, Self::Tablet, Self::Portable];

    /// The skin's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Cart => "cart",
            Self::Tablet => "tablet",
            Self::Portable => "portable",
        }
    }

    /// Room for the decoration around the sector.
    pub fn layout(self, width_px: u32, height_px: u32) -> Layout {
        let margins = match self {
            Self::Bare => [0.02; 4],
            Self::Cart => [0.06, 0.07, 0.18, 0.15],
            Self::Tablet => [0.08, 0.03, 0.10, 0.09],
            Self::Portable => [0.12, 0.04, 0.10, 0.16],
        };
        Layout {
            margins,
            ..Layout::plain(width_px, height_px)
        }
    }
}

/// What is drawn besides the sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decoration {
    /// The look.
    pub skin: Skin,
    /// Whether an ECG runs along the lower edge.
    pub ecg: bool,
    /// Whether blood flow is shown in a colour box.
    pub colour_box: bool,
}

impl Decoration {
    /// The sector alone.
    pub const NONE: Self = Self {
        skin: Skin::Bare,
        ecg: false,
        colour_box: false,
    };

    /// Draws a decoration.
    pub fn sample(seed: u64) -> Self {
        let mut random = Random::new(seed, 11);
        Self {
            skin: Skin::ALL[random.bits() as usize % Skin::ALL.len()],
            ecg: random.chance(0.5),
            colour_box: false,
        }
    }
}

/// A phantom with its machine's screen around it.
#[derive(Debug, Clone)]
pub struct Screen {
    phantom: Phantom,
    decoration: Decoration,
    grey: Vec<u8>,
    /// Whether a pixel belongs to the sector.
    sector: Vec<bool>,
    colour: Option<ColourBox>,
}

impl Screen {
    /// Puts a screen around a phantom.
    ///
    /// # Errors
    /// [`PhantomError::Conflict`] for a colour box without a beating heart or on a moving probe.
    pub fn new(phantom: Phantom, decoration: Decoration) -> Result<Self, PhantomError> {
        let layout = phantom.exam().layout;
        let size = layout.width_px as usize * layout.height_px as usize;
        let mut sector = vec![false; size];
        for pixel in phantom.sector() {
            sector[pixel] = true;
        }
        let colour = decoration
            .colour_box
            .then(|| ColourBox::new(&phantom))
            .transpose()?;
        Ok(Self {
            phantom,
            decoration,
            grey: vec![0; size],
            sector,
            colour,
        })
    }

    /// The phantom.
    pub fn phantom(&self) -> &Phantom {
        &self.phantom
    }

    /// Starts a new pass: the next frame forgets the one before.
    pub fn restart(&mut self) {
        self.phantom.restart();
    }

    /// Renders a frame with everything around it.
    ///
    /// # Shapes
    /// - `pixels`: `[height_px, width_px]` or `[height_px, width_px, 3]` u8; nothing is written
    ///   where it has another size.
    pub fn render(&mut self, frame: u32, pixels: &mut [u8]) {
        let layout = self.phantom.exam().layout;
        self.phantom.render(frame, &mut self.grey);
        match pixels.len() / self.grey.len().max(1) {
            1 if pixels.len() == self.grey.len() => pixels.copy_from_slice(&self.grey),
            _ => {
                for (pixel, grey) in pixels.chunks_exact_mut(3).zip(&self.grey) {
                    pixel.fill(*grey);
                }
            }
        }
        let Some(mut canvas) = Canvas::new(pixels, layout.width_px, layout.height_px) else {
            return;
        };
        self.decorate(&mut canvas);
        if self.decoration.ecg {
            self.draw_ecg(&mut canvas, frame);
        }
        self.restore_sector(&mut canvas);
        if let Some(colour) = &self.colour {
            colour.draw(&mut canvas, &self.phantom, frame);
        }
    }

    /// Nothing covers the sector.
    fn restore_sector(&self, canvas: &mut Canvas) {
        let width = canvas.width();
        for ((inside, grey), at) in self.sector.iter().zip(&self.grey).zip(0..) {
            if *inside {
                canvas.set(at % width, at / width, [*grey; 3]);
            }
        }
    }

    fn decorate(&self, canvas: &mut Canvas) {
        let (width, height) = (canvas.width(), canvas.height());
        let scale = (height / 360).max(1);
        let exam = self.phantom.exam();
        let depth_cm = (exam.imaging.depth_mm / 10.0).round();
        let rate = exam.frame_rate_hz.round();
        let grey = [170, 170, 170];
        match self.decoration.skin {
            Skin::Bare => {}
            Skin::Cart => {
                canvas.fill((0, 0), (width, 14 * scale), [42, 46, 66]);
                canvas.fill((0, height - 14 * scale), (width, 14 * scale), [42, 46, 66]);
                canvas.text((6, 4 * scale), "SIMULATED HEART", scale, [210, 210, 220]);
                for row in 0..height / 4 {
                    let shade = 255 - (row * 1020 / height).clamp(0, 255);
                    canvas.fill(
                        (width / 100, height / 12 + row),
                        (width / 60, 1),
                        [shade as u8; 3],
                    );
                }
                let x = width - 17 * width / 100;
                let range = exam.imaging.range_db.round();
                let gain = exam.imaging.gain_db.round();
                let lines = [
                    format!("{depth_cm} CM"),
                    format!("{rate} HZ"),
                    format!("{range}DB T1/1"),
                    format!("GAIN {gain}DB"),
                ];
                for (line, y) in lines.iter().zip((0..).map(|i| (24 + 12 * i) * scale)) {
                    canvas.text((x, y), line, scale, grey);
                }
            }
            Skin::Tablet => {
                self.depth_scale(canvas, width * 4 / 100, true, grey);
                let x = width - 9 * width / 100;
                for (line, row) in ["MI 1.1", "TIS 0.4"].iter().zip(0..) {
                    canvas.text((x, height / 10 + row * 12 * scale), line, scale, grey);
                }
                let text = format!("{rate}HZ");
                canvas.text((x, height / 10 + 30 * scale), &text, scale, grey);
                let text = format!("{depth_cm}CM");
                canvas.text((x, height / 10 + 42 * scale), &text, scale, grey);
                canvas.fill(
                    (width * 44 / 100, 4 * scale),
                    (6 * scale, 6 * scale),
                    [120, 120, 120],
                );
            }
            Skin::Portable => {
                canvas.text((4, 6 * scale), "GEN THI", scale, [120, 130, 190]);
                canvas.text((4, 18 * scale), "SIM", scale, [120, 130, 190]);
                self.depth_scale(canvas, width - 8 * width / 100, false, [90, 90, 90]);
                let bar = height - 18 * scale;
                canvas.fill(
                    (width / 10, bar),
                    (8 * width / 10, 14 * scale),
                    [24, 30, 44],
                );
                for (key, place) in ["GEN", "0", "SECTOR", "MB OFF", "THI", "PAGE"]
                    .iter()
                    .zip(0..)
                {
                    let x = width / 10 + 8 + place * 8 * width / 60;
                    canvas.text((x, bar + 4 * scale), key, scale, [110, 130, 180]);
                }
            }
        }
    }

    fn depth_scale(&self, canvas: &mut Canvas, x: i32, numbers: bool, colour: [u8; 3]) {
        let depth_cm = (self.phantom.exam().imaging.depth_mm / 10.0) as i32;
        let scale = (canvas.height() / 360).max(1);
        for cm in 0..=depth_cm {
            let (_, y) = self.phantom.placement().px_from_mm(0.0, cm as f32 * 10.0);
            let long = cm % 5 == 0;
            let length = if long { 5 } else { 2 };
            canvas.fill((x, y as i32), (length * scale, 1), colour);
            if long && numbers {
                let at = (x - 14 * scale, y as i32 - 3 * scale);
                canvas.text(at, &cm.to_string(), scale, colour);
            }
        }
    }

    fn draw_ecg(&self, canvas: &mut Canvas, frame: u32) {
        let (width, height) = (canvas.width() as f32, canvas.height() as f32);
        let now = self.phantom.time_nanos(frame) as f64 / 1e6;
        let rhythm = self.phantom.exam().rhythm;
        let sweep = ECG_SECONDS * 1000.0;
        let (left, right) = (0.05 * width, 0.62 * width);
        let high = 0.07 * height;
        let base = 0.93 * height;
        let columns = (right - left) as i32;
        let head = (now.rem_euclid(sweep) / sweep * f64::from(columns)) as i32;
        let mut last: Option<(f32, f32)> = None;
        for column in 0..columns {
            let ahead = (column - head).rem_euclid(columns);
            if (1..columns / 20 + 2).contains(&ahead) {
                last = None;
                continue;
            }
            let passed = if column <= head {
                head - column
            } else {
                head + columns - column
            };
            let millis = now - f64::from(passed) / f64::from(columns) * sweep;
            let y = base - high * cycle::ecg(self.phantom.beats(), rhythm, millis);
            let here = (left + column as f32, y);
            if let Some(last) = last {
                canvas.line(last, here, [70, 220, 130]);
            }
            last = Some(here);
        }
        let bpm = 60_000.0 / self.phantom.beats().at(now).length_millis;
        let scale = (canvas.height() / 360).max(1);
        let at = ((right + 0.02 * width) as i32, (base - 8.0) as i32);
        canvas.text(at, &format!("{bpm:.0} BPM"), scale, [70, 220, 130]);
    }
}
