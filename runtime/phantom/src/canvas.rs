//! A frame to draw on.

/// Pixels of one frame, grey or red, green and blue.
#[derive(Debug)]
pub struct Canvas<'a> {
    pixels: &'a mut [u8],
    width: usize,
    height: usize,
    channels: usize,
}

impl<'a> Canvas<'a> {
    /// A canvas over a frame of one or three bytes a pixel; nothing where the size does not fit.
    pub fn new(pixels: &'a mut [u8], width_px: u32, height_px: u32) -> Option<Self> {
        let (width, height) = (width_px as usize, height_px as usize);
        let channels = [1, 3]
            .into_iter()
            .find(|channels| pixels.len() == width * height * channels)?;
        Some(Self {
            pixels,
            width,
            height,
            channels,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> i32 {
        self.width as i32
    }

    /// Height in pixels.
    pub fn height(&self) -> i32 {
        self.height as i32
    }

    /// Sets a pixel; outside the frame it does nothing.
    pub fn set(&mut self, x: i32, y: i32, colour: [u8; 3]) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * self.channels;
        match self.channels {
            1 => self.pixels[at] = luminance(colour),
            _ => self.pixels[at..at + 3].copy_from_slice(&colour),
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, (x, y): (i32, i32), (width, height): (i32, i32), colour: [u8; 3]) {
        for row in y..y + height {
            for column in x..x + width {
                self.set(column, row, colour);
            }
        }
    }

    /// Draws a straight line of single pixels.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), colour: [u8; 3]) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).ceil().clamp(1.0, 20_000.0);
        for step in 0..=steps as i32 {
            let share = step as f32 / steps;
            let (x, y) = (from.0 + dx * share, from.1 + dy * share);
            self.set(x.round() as i32, y.round() as i32, colour);
        }
    }

    /// Writes a line of text with its upper left corner at a pixel.
    pub fn text(&mut self, (x, y): (i32, i32), text: &str, scale: i32, colour: [u8; 3]) {
        for (place, letter) in (0..).zip(text.chars()) {
            for (column, bits) in (0..).zip(glyph(letter)) {
                for row in 0..7 {
                    if bits >> row & 1 == 1 {
                        let at = (x + (place * 6 + column) * scale, y + row * scale);
                        self.fill(at, (scale, scale), colour);
                    }
                }
            }
        }
    }
}

/// Brightness of a colour, by ITU-R BT.601.
fn luminance([red, green, blue]: [u8; 3]) -> u8 {
    ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1000) as u8
}

/// Columns of a letter from left to right, the lowest bit on top.
fn glyph(letter: char) -> [u8; 5] {
    match letter.to_ascii_uppercase() {
        '0' => [0x3E, 0x41, 0x41, 0x41, 0x3E],
        '1' => [0x00, 0x42, 0x7F, 0x40, 0x00],
        '2' => [0x62, 0x51, 0x49, 0x49, 0x46],
        '3' => [0x22, 0x41, 0x49, 0x49, 0x36],
        '4' => [0x18, 0x14, 0x12, 0x7F, 0x10],
        '5' => [0x2F, 0x49, 0x49, 0x49, 0x31],
        '6' => [0x3E, 0x49, 0x49, 0x49, 0x32],
        '7' => [0x01, 0x61, 0x19, 0x05, 0x03],
        '8' => [0x36, 0x49, 0x49, 0x49, 0x36],
        '9' => [0x26, 0x49, 0x49, 0x49, 0x3E],
        'A' => [0x7C, 0x12, 0x11, 0x12, 0x7C],
        'B' => [0x7F, 0x49, 0x49, 0x49, 0x36],
        'C' => [0x3E, 0x41, 0x41, 0x41, 0x22],
        'D' => [0x7F, 0x41, 0x41, 0x41, 0x3E],
        'E' => [0x7F, 0x49, 0x49, 0x49, 0x41],
        'F' => [0x7F, 0x09, 0x09, 0x09, 0x01],
        'G' => [0x3E, 0x41, 0x41, 0x51, 0x72],
        'H' => [0x7F, 0x08, 0x08, 0x08, 0x7F],
        'I' => [0x00, 0x41, 0x7F, 0x41, 0x00],
        'J' => [0x20, 0x40, 0x40, 0x41, 0x3F],
        'K' => [0x7F, 0x08, 0x14, 0x22, 0x41],
        'L' => [0x7F, 0x40, 0x40, 0x40, 0x40],
        'M' => [0x7F, 0x02, 0x04, 0x02, 0x7F],
        'N' => [0x7F, 0x06, 0x08, 0x30, 0x7F],
        'O' => [0x1C, 0x22, 0x41, 0x22, 0x1C],
        'P' => [0x7F, 0x09, 0x09, 0x09, 0x06],
        'Q' => [0x3E, 0x41, 0x51, 0x61, 0x7E],
        'R' => [0x7F, 0x09, 0x19, 0x29, 0x46],
        'S' => [0x26, 0x49, 0x49, 0x49, 0x32],
        'T' => [0x01, 0x01, 0x7F, 0x01, 0x01],
        'U' => [0x3F, 0x40, 0x40, 0x40, 0x3F],
        'V' => [0x0F, 0x30, 0x40, 0x30, 0x0F],
        'W' => [0x7F, 0x20, 0x10, 0x20, 0x7F],
        'X' => [0x63, 0x14, 0x08, 0x14, 0x63],
        'Y' => [0x03, 0x04, 0x78, 0x04, 0x03],
        'Z' => [0x61, 0x59, 0x49, 0x4D, 0x43],
        '.' => [0x00, 0x60, 0x60, 0x00, 0x00],
        ':' => [0x00, 0x36, 0x36, 0x00, 0x00],
        '/' => [0x60, 0x10, 0x08, 0x04, 0x03],
        '%' => [0x63, 0x13, 0x08, 0x64, 0x63],
        '-' => [0x08, 0x08, 0x08, 0x08, 0x08],
        _ => [0; 5],
    }
}
