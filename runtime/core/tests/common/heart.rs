//! A simulated heart in colour.

use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_phantom::Spec;

/// `seconds` of a simulated heart at 24 frames per second in red, green and blue, each darkened to so many 255ths.
#[expect(clippy::unwrap_used, reason = "a test helper")]
pub fn heart(tint: [u16; 3], seconds: u32) -> (Vec<FrameMeta>, Vec<Vec<u8>>) {
    let spec = format!("view=A4C,seconds={seconds},fps=24,skin=bare,ecg=off,size=320x240");
    let mut screen = Spec::parse(&spec).unwrap().screen().unwrap();
    let mut grey = vec![0; 320 * 240];
    let frames = (0..24 * seconds).map(|frame| {
        screen.render(frame, &mut grey);
        let meta = FrameMeta {
            width_px: 320,
            height_px: 240,
            format: PixelFormat::Rgb24,
            capture_nanos: i64::from(frame) * 1_000_000_000 / 24,
            pass: 0,
            host: Default::default(),
        };
        let darkened = |v: &u8| tint.map(|t| (u16::from(*v) * t / 255) as u8);
        (meta, grey.iter().flat_map(darkened).collect())
    });
    frames.unzip()
}
