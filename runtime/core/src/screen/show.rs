//! Screens drawn for tests, and what is said of them.

use super::{AreaNews, Fault, Pixels, Scene, ScreenSetup};
use crate::frame::{FrameMeta, HostMeta, PixelFormat, PixelLayout};
use echocart_phantom::Spec;

pub(super) const PERIOD_NANOS: i64 = 33_333_333;

pub(super) fn meta(width: usize, height: usize, format: PixelFormat) -> FrameMeta {
    FrameMeta {
        width_px: width as u32,
        height_px: height as u32,
        format,
        capture_nanos: 0,
        pass: 0,
        host: HostMeta::default(),
    }
}

/// Frames one after the other, and what was said of each.
pub(super) struct Show {
    pub scene: Scene,
    pub at_nanos: i64,
    pub news: Vec<(i64, AreaNews)>,
}

impl Show {
    pub fn new(setup: ScreenSetup) -> Self {
        Self {
            scene: Scene::new(setup),
            at_nanos: 0,
            news: Vec::new(),
        }
    }

    pub fn push(&mut self, meta: &FrameMeta, pixels: &[u8]) -> Option<Fault> {
        let pixels = Pixels::new(pixels, PixelLayout::packed(meta), meta);
        let fault = self.scene.look(&pixels, self.at_nanos);
        if let Some(news) = self.scene.take_news() {
            self.news.push((self.at_nanos, news));
        }
        self.at_nanos += PERIOD_NANOS;
        fault
    }

    /// What is said of `frames` frames of a phantom.
    pub fn phantom(&mut self, spec: &str, frames: u32) -> Vec<Option<Fault>> {
        self.painted(spec, frames, |_, _| {})
    }

    /// The same with something painted over each frame.
    pub fn painted(
        &mut self,
        spec: &str,
        frames: u32,
        mut paint: impl FnMut(u32, &mut Canvas<'_>),
    ) -> Vec<Option<Fault>> {
        let mut screen = Spec::parse(spec).unwrap().screen().unwrap();
        let layout = screen.phantom().exam().layout;
        let (width, height) = (layout.width_px as usize, layout.height_px as usize);
        let meta = meta(width, height, PixelFormat::Rgb24);
        let mut pixels = vec![0; meta.frame_bytes()];
        let said = (0..frames).map(|at| {
            screen.render(at, &mut pixels);
            paint(at, &mut Canvas::new(&mut pixels, width));
            self.push(&meta, &pixels)
        });
        said.collect()
    }

    /// What is said of black frames that something is painted on.
    pub fn black(
        &mut self,
        (width, height): (usize, usize),
        frames: u32,
        mut paint: impl FnMut(u32, &mut Canvas<'_>),
    ) -> Vec<Option<Fault>> {
        let meta = meta(width, height, PixelFormat::Rgb24);
        let shown = (0..frames).map(|at| {
            let mut pixels = vec![0; meta.frame_bytes()];
            paint(at, &mut Canvas::new(&mut pixels, width));
            self.push(&meta, &pixels)
        });
        shown.collect()
    }

    /// What is said of a grey picture shown for two seconds, its noise drawn anew each time.
    pub fn drawn(&mut self, picture: &Drawing) -> Option<Fault> {
        let meta = meta(picture.width, picture.height, PixelFormat::Gray8);
        let mut last = None;
        for seed in 0..60 {
            last = self.push(&meta, &picture.pixels(seed));
        }
        last
    }
}

/// Red, green and blue of a frame, to paint on.
pub(super) struct Canvas<'a> {
    pixels: &'a mut [u8],
    width: usize,
}

impl<'a> Canvas<'a> {
    pub fn new(pixels: &'a mut [u8], width: usize) -> Self {
        Self { pixels, width }
    }

    pub fn size(&self) -> (usize, usize) {
        (self.width, self.pixels.len() / 3 / self.width)
    }

    pub fn dot(&mut self, x: i32, y: i32, rgb: [u8; 3]) {
        let (width, height) = self.size();
        if (0..width as i32).contains(&x) && (0..height as i32).contains(&y) {
            let at = 3 * (y as usize * width + x as usize);
            self.pixels[at..at + 3].copy_from_slice(&rgb);
        }
    }

    pub fn fill(&mut self, x: std::ops::Range<i32>, y: std::ops::Range<i32>, rgb: [u8; 3]) {
        for y in y {
            x.clone().for_each(|x| self.dot(x, y, rgb));
        }
    }

    /// A disc with a letter on it, as the makers of scanners draw it.
    pub fn disc(&mut self, at: [i32; 2], radius: i32, rgb: [u8; 3]) {
        let [x, y] = at;
        for dy in -radius..=radius {
            for dx in -radius..=radius {
                if dx * dx + dy * dy <= radius * radius {
                    self.dot(x + dx, y + dy, rgb);
                }
            }
        }
        let half = radius / 2;
        self.fill(x - half / 2..x - half / 2 + 1, y - half..y + half, [240; 3]);
        self.fill(x - half / 2..x + half / 2, y - half..y - half + 1, [240; 3]);
    }

    /// Strokes of a letter, `size` high.
    pub fn letter(&mut self, at: [i32; 2], size: i32, rgb: [u8; 3]) {
        let [x, y] = at;
        let thick = (size / 6).max(1);
        self.fill(x..x + thick, y..y + size, rgb);
        self.fill(x..x + 2 * size / 3, y..y + thick, rgb);
        self.fill(x..x + 2 * size / 3, y + size / 2..y + size / 2 + thick, rgb);
    }
}

/// A grey screen made of a few parts.
#[derive(Clone)]
pub(super) struct Drawing {
    pub width: usize,
    pub height: usize,
    pub base: Vec<u8>,
    /// Pixels whose brightness is multiplied by noise.
    pub speckled: Vec<bool>,
}

impl Drawing {
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            base: vec![0; width * height],
            speckled: vec![false; width * height],
        }
    }

    /// Fills where `level` gives a brightness.
    pub fn fill(mut self, speckled: bool, level: impl Fn(f32, f32) -> Option<f32>) -> Self {
        for at in 0..self.base.len() {
            let (x, y) = (at % self.width, at / self.width);
            let share = |at: usize, of: usize| at as f32 / of as f32;
            if let Some(level) = level(share(x, self.width), share(y, self.height)) {
                self.base[at] = level.clamp(0.0, 255.0) as u8;
                self.speckled[at] = speckled;
            }
        }
        self
    }

    /// Lines of text as scanners have them.
    pub fn text(self, rows: std::ops::Range<usize>, left: f32) -> Self {
        let (width, height) = (self.width as f32, self.height as f32);
        self.fill(false, |x, y| {
            let (x_px, y_px) = ((x * width) as usize, (y * height) as usize);
            let line = y_px / 20;
            let stroke = (x_px * 7 + line * 13) % 9 < 3 && y_px % 20 < 12 && x_px % 11 < 8;
            let there = rows.contains(&line) && (left..left + 0.14).contains(&x);
            (there && stroke).then_some(230.0)
        })
    }

    /// A fan of tissue with a dark chamber.
    pub fn fan(self, apex: [f32; 2], up: bool, radius: f32) -> Self {
        let aspect = self.width as f32 / self.height as f32;
        self.fill(true, move |x, y| {
            let (dx, dy) = (
                (x - apex[0]) * aspect,
                if up { y - apex[1] } else { apex[1] - y },
            );
            let r = (dx * dx + dy * dy).sqrt();
            let inside = dy > dx.abs() && r < radius;
            let chamber = (dx - 0.05).abs() < 0.12 && (0.3..0.6).contains(&r);
            let wall = (dx + 0.15).abs() < 0.05;
            inside.then_some(if chamber {
                12.0
            } else if wall {
                190.0
            } else {
                70.0
            })
        })
    }

    pub fn pixels(&self, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let cells = self.base.iter().zip(&self.speckled);
        cells
            .map(|(base, speckled)| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let noise = (state >> 40) as u32 % 256;
                match speckled {
                    true => (u32::from(*base) * (96 + noise) / 224).min(255) as u8,
                    false => *base,
                }
            })
            .collect()
    }
}

pub(super) fn screen() -> Drawing {
    Drawing::new(640, 480).text(1..9, 0.84)
}
