//! Pictures of a simulated heart to push, made before the clock runs.

use crate::exit::{Because, Cause, Failure};
use echocart_capture::{OpenOptions, open};
use echocart_core::frame::FrameMeta;

/// Frames of a view, with what each is.
pub type Frames = Vec<(FrameMeta, Vec<u8>)>;

/// One beat of 0.8 s at 60 frames/s, which is pushed over and over; the source says so.
const BEAT: &str = "view=A4C,ef=55,hr=75,fps=60,seconds=0.8,skin=bare,ecg=off";

/// Renders what a `phantom:` location asks for.
pub fn render(spec: &str) -> Result<Frames, Failure> {
    let place = format!("phantom:{spec}");
    let mut source = open(&place, &OpenOptions::default()).because(Cause::Source)?;
    let (mut frames, mut pixels) = (Frames::new(), Vec::new());
    while let Some(meta) = source.next(&mut pixels).because(Cause::Source)? {
        frames.push((meta, pixels.clone()));
    }
    Ok(frames)
}

/// Grey pictures of one size.
pub struct Pictures {
    pub meta: FrameMeta,
    frames: Frames,
}

impl Pictures {
    /// A heart that beats once, in GRAY8.
    pub fn new((width_px, height_px): (u32, u32)) -> Result<Self, Failure> {
        let frames = render(&format!("{BEAT},size={width_px}x{height_px}"))?;
        let Some((first, _)) = frames.first() else {
            return Err(Failure::text(Cause::Other, "no picture was rendered"));
        };
        let meta = FrameMeta { pass: 1, ..*first };
        Ok(Self { meta, frames })
    }

    /// The picture of frame `number`.
    pub fn get(&self, number: usize) -> &[u8] {
        &self.frames[number % self.frames.len()].1
    }
}
